//! A disk that is full, or that nobody may write to: what was pushed is served.

use std::fs;
use std::process::Stdio;

use crate::client::Request;
use crate::manifests::image;
use crate::process::Ended;
use crate::server::{Server, Setup, command, sha256};
use crate::trace::skip_everywhere;

/// What runs the binary where the store is on a small disk of its own, whose state the shell makes.
struct Disk {
    through: Vec<String>,
}

impl Disk {
    /// `None` where no disk may be mounted, which is said.
    fn new(server: &Server, test: &str, state: &str) -> Option<Self> {
        let store = server.root.path().join("store");
        let script = format!(
            "mount -t tmpfs -o size=1m none {0:?} && cp -a {0:?}.kept/. {0:?} && cd {0:?} && \
             {{ {state}; cd /; exec \"$0\" \"$@\"; }}",
            store.display().to_string()
        );
        let through = ["unshare", "-rm", "/bin/sh", "-c", &script];
        let tried = command(&through).arg("--version").env_clear().output();
        let why = match tried {
            Ok(output) if output.status.success() => {
                let through = through.map(str::to_owned).to_vec();
                return Some(Self { through });
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        skip_everywhere(test, &format!("no disk can be mounted here: {why}"));
        None
    }

    fn parts(&self) -> Vec<&str> {
        self.through.iter().map(String::as_str).collect()
    }
}

/// A stopped server with an image, whose store is out of the way of a disk, and the layer.
fn stopped() -> (Server, String) {
    let mut server = Server::start("filesystem");
    server.push_manifest("a", "t", &image(&server, "a", "layer"));
    let layer = server.push_blob("a", b"more");
    server.process.signal("TERM");
    assert!(server.process.end().success());
    let store = server.root.path().join("store");
    fs::rename(&store, server.root.path().join("store.kept")).unwrap();
    fs::create_dir(&store).unwrap();
    (server, layer)
}

const FILL: &str = "dd if=/dev/zero of=filler bs=4k 2>/dev/null";

fn push(server: &Server, content: &[u8]) -> u16 {
    let begun = server.send(Request::new("POST", "/v2/a/blobs/uploads/"));
    assert_eq!(begun.status, 202, "{begun:?}");
    let url = format!("{}&digest={}", begun.header("location"), sha256(content));
    server.send(Request::new("PUT", &url).body(content)).status
}

pub(crate) fn a_full_disk_is_served_from_and_written_to_once_there_is_room() {
    let (mut server, layer) = stopped();
    let Some(disk) = Disk::new(&server, "a full disk", FILL) else {
        return;
    };
    server.restart_with(Setup {
        through: &disk.parts(),
        ..Setup::default()
    });
    server.process.log.wait("the disk is full");
    assert_eq!(server.get(&format!("/v2/a/blobs/{layer}")).body, b"more");
    let manifest = server.get("/v2/a/manifests/t");
    assert_eq!(manifest.status, 200);
    assert_eq!(push(&server, b"new"), 507);
    let text = String::from_utf8(manifest.body).unwrap();
    assert_eq!(server.put_manifest("a", "other", &text).status, 507);
    assert_eq!(server.delete("/v2/a/manifests/t").status, 202);
    let store = server.root.path().join("store");
    let inside = format!("/proc/{}/root{}", server.process.id(), store.display());
    fs::remove_file(format!("{inside}/filler")).unwrap();
    assert_eq!(push(&server, b"new"), 201);
    assert_eq!(server.put_manifest("a", "other", &text).status, 201);
}

#[test]
fn a_check_of_a_full_disk_says_that_pushes_are_refused() {
    let (server, _) = stopped();
    let Some(disk) = Disk::new(&server, "a check of a full disk", FILL) else {
        return;
    };
    let mut check = command(&disk.parts());
    let config = server.root.path().join("config.yml");
    check.arg("check").arg(config).env_clear();
    check.env("REGISTRY_HTTP_ADDR", "127.0.0.1:0");
    check.stdin(Stdio::null());
    let output = check.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    for said in ["pushes are refused until there is more", "could be served"] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

pub(crate) fn a_disk_that_may_not_be_written_to_is_refused_with_the_key_and_the_way_out() {
    let (mut server, layer) = stopped();
    let test = "a disk that may not be written to";
    let Some(disk) = Disk::new(&server, test, "mount -o remount,ro .") else {
        return;
    };
    let through = disk.parts();
    let setup = Setup {
        through: &through,
        ..Setup::default()
    };
    let Err(Ended { code, lines }) = server.beside(setup) else {
        panic!("it serves");
    };
    assert_eq!(code, Some(1), "{lines:?}");
    let last = lines.last().unwrap();
    for said in [
        "`storage.filesystem.rootdirectory` (",
        "config.yml:3:",
        "Read-only file system",
        "`storage.maintenance.readonly.enabled: true`",
    ] {
        assert!(last.contains(said), "{said}: {last}");
    }
    server.restart_with(Setup {
        variables: &[("REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED", "true")],
        ..setup
    });
    assert_eq!(server.get(&format!("/v2/a/blobs/{layer}")).body, b"more");
}
