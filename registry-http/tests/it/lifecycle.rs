//! A server over a root: what it says at the start, who else may have it, what it cleans up, and
//! that it outlives a shortage.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::client::{Request, parse};
use crate::manifests::image;
use crate::process::wait_for;
use crate::server::{Server, Setup, sha256};

fn start(setup: Setup) -> Server {
    Server::with("filesystem", setup)
}

#[test]
fn a_start_says_where_it_listens_what_it_serves_to_whom_and_how_long_it_took() {
    let mut server = start(Setup::default());
    let root = server.root.path().join("store");
    let line = server.process.log.wait("\"serving; ");
    let address = format!("address=\"{}\"", server.address);
    let root = format!("root={}", root.display());
    let open = "no `auth` is configured: everyone may pull, push and delete\" ";
    for word in [&address, &root, open, "storage=filesystem", "elapsed="] {
        assert!(line.contains(word), "{word}: {line}");
    }
    for (variable, expected) in [
        (
            "REGISTRY_STORAGE_DELETE_ENABLED=false",
            "everyone may pull and push\" address=",
        ),
        (
            "REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED=true",
            "everyone may pull\" address=",
        ),
    ] {
        server.restart_with(Setup {
            variables: &[variable.split_once('=').unwrap()],
            ..Setup::default()
        });
        let line = server.process.log.wait("\"serving; ");
        assert!(line.contains(expected), "{line}");
    }
}

/// What shows that somebody changed a file: its number, time and content.
fn files(dir: &Path) -> BTreeMap<String, (u64, SystemTime, Vec<u8>)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            all.extend(files(&path));
        } else {
            let is = (metadata.ino(), metadata.modified().unwrap());
            let content = fs::read(&path).unwrap();
            all.insert(path.display().to_string(), (is.0, is.1, content));
        }
    }
    all
}

#[test]
fn a_start_removes_its_own_leftovers_and_touches_nothing_else() {
    let mut server = start(Setup::default());
    server.push_manifest("a", "t", &image(&server, "a", "layer"));
    let begun = server.send(Request::new("POST", "/v2/a/blobs/uploads/"));
    let url = begun.header("location").to_owned();
    let patch = Request::new("PATCH", &url).body(b"half");
    assert_eq!(server.send(patch).status, 202);
    server.process.kill();
    fs::create_dir_all(server.at("uploads/_tmp-directory")).unwrap();
    fs::write(server.at("uploads/foreign"), "of someone else").unwrap();
    fs::create_dir_all(server.at("repositories/a/_uploads/x")).unwrap();
    fs::write(
        server.at("repositories/a/_uploads/x/data"),
        "of distribution",
    )
    .unwrap();
    let before = files(&server.at(""));
    for name in ["_tmp-1", "_tmp-2"] {
        fs::write(server.at("uploads").join(name), "left by a crash").unwrap();
    }
    server.restart();
    assert_eq!(files(&server.at("")), before);
    let line = server.process.log.wait("opened the filesystem store");
    assert!(line.contains("leftovers=2 elapsed="), "{line}");
    assert_eq!(server.get(&url).header("range"), "0-3");
    assert_eq!(server.get("/v2/a/manifests/t").status, 200);
}

pub(crate) fn one_server_has_the_root_and_the_next_is_told_which() {
    let server = start(Setup::default());
    let readonly = Setup {
        variables: &[("REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED", "true")],
        ..Setup::default()
    };
    for setup in [Setup::default(), readonly] {
        let Err(ended) = server.beside(setup) else {
            panic!("two servers on one root");
        };
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let last = ended.lines.last().unwrap();
        let holder = format!("in use by process {} (registry)", server.process.id());
        assert!(
            last.starts_with("registry: ") && last.contains(&holder),
            "{last}"
        );
        let root = server.root.path().join("store");
        assert!(last.contains(root.to_str().unwrap()), "{last}");
    }
    assert_eq!(server.get("/v2/").status, 200);
}

#[test]
fn read_only_servers_share_a_root_with_each_other_alone() {
    let readonly = Setup {
        variables: &[("REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED", "true")],
        ..Setup::default()
    };
    let mut server = start(Setup::default());
    let digest = server.push_blob("a", b"shared");
    server.restart_with(readonly);
    let second = server.beside(readonly).unwrap();
    for address in [server.address, second.address] {
        let get = Request::new("GET", &format!("/v2/a/blobs/{digest}"));
        assert_eq!(get.send(address).body, b"shared");
        let post = Request::new("POST", "/v2/a/blobs/uploads/").send(address);
        post.expect(405, "UNSUPPORTED");
        assert_eq!(post.header("allow"), "GET, HEAD");
    }
    let refused = server.beside(Setup::default()).err().unwrap();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let last = refused.lines.last().unwrap();
    assert!(last.contains("in use by process "), "{last}");
}

#[test]
fn a_server_without_descriptors_refuses_what_needs_one_and_recovers() {
    let descriptors: usize = 64;
    let server = start(Setup {
        more: "extensions: {limits: {header_timeout: 10m, connections: 1000}}\n",
        through: &["/bin/sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""],
        ..Setup::default()
    });
    let digest = server.push_blob("a", b"kept");
    let path = format!("/v2/a/blobs/{digest}");
    // The kernel takes them all; the server cannot.
    let mut held: Vec<TcpStream> = (0..descriptors).map(|_| server.process.connect()).collect();
    let failing = "accepting connections; trying again until it works";
    let line = server.process.log.wait(failing);
    assert!(line.contains("os error 24"), "{line}");
    wait_for(|| short_of_descriptors(status_of(&mut held[0], &path), 503));
    drop(held);
    wait_for(|| short_of_descriptors(server.get(&path).status, 200));
    let post = format!("/v2/a/blobs/uploads/?digest={}", sha256(b"new"));
    let post = || server.send(Request::new("POST", &post).body(b"new")).status;
    wait_for(|| short_of_descriptors(post(), 201));
    assert_eq!(server.process.log.count(failing), 1);
}

/// Whether it is this status already. Until then, a fault is a fault and no absence.
fn short_of_descriptors(status: u16, expected: u16) -> Option<()> {
    assert!([200, 201, 503].contains(&status), "{status}");
    (status == expected).then_some(())
}

/// Asks on a connection that goes on.
fn status_of(stream: &mut TcpStream, path: &str) -> u16 {
    let head = format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    parse(&answer).unwrap().status
}

const PURGING: [(&str, &str); 2] = [
    ("REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_AGE", "1h"),
    (
        "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_INTERVAL",
        "10ms",
    ),
];

pub(crate) fn abandoned_uploads_are_told_or_purged_while_serving() {
    let mut server = start(Setup::default());
    let young = plant_uploads(&mut server);
    let before = files(&server.at(""));
    let [age, interval] = PURGING;
    let dryrun = ("REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_DRYRUN", "true");
    server.restart_with(Setup {
        variables: &[age, interval, dryrun],
        ..Setup::default()
    });
    let log = &server.process.log;
    let line = log.wait("would purge uploads");
    assert!(line.contains("count=2"), "{line}");
    // Again, so that a first time that did remove them would show.
    wait_for(|| (log.count("would purge uploads") > 1).then_some(()));
    let told = log.wait("upload=docker/registry/v2/repositories/a/_uploads/old");
    assert!(told.contains("would purge, but for `dryrun`"), "{told}");
    log.wait("upload=docker/registry/v2/uploads/");
    assert_eq!(log.count(&young_id(&young)), 0);
    assert_eq!(files(&server.at("")), before);

    server.restart_with(Setup {
        variables: &PURGING,
        ..Setup::default()
    });
    let log = &server.process.log;
    let line = log.wait("purged uploads that were never finished");
    assert!(line.contains("count=2"), "{line}");
    assert!(!server.at("repositories/a/_uploads/old").exists());
    assert_eq!(server.get(&young).header("range"), "0-4");
}

fn young_id(url: &str) -> String {
    let path = url.split('?').next().unwrap();
    format!("uploads/{}", path.rsplit('/').next().unwrap())
}

/// Leaves an old upload of ours, an old one of distribution's, and a young one, whose URL it says.
fn plant_uploads(server: &mut Server) -> String {
    let begin = |server: &Server| {
        let begun = server.send(Request::new("POST", "/v2/a/blobs/uploads/"));
        let url = begun.header("location").to_owned();
        let patch = Request::new("PATCH", &url).body(b"bytes");
        assert_eq!(server.send(patch).status, 202);
        url
    };
    begin(server);
    server.process.kill();
    let theirs = server.at("repositories/a/_uploads/old");
    fs::create_dir_all(&theirs).unwrap();
    fs::write(theirs.join("startedat"), "2020-01-01T00:00:00Z").unwrap();
    let day_ago = SystemTime::now() - Duration::from_secs(86_400);
    for path in files(&server.at("uploads")).into_keys() {
        age(Path::new(&path), day_ago);
        age(Path::new(&path).parent().unwrap(), day_ago);
    }
    server.restart();
    begin(server)
}

fn age(path: &Path, to: SystemTime) {
    let times = FileTimes::new().set_modified(to);
    File::open(path).unwrap().set_times(times).unwrap();
}
