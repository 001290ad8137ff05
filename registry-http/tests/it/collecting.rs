//! `registry garbage-collect` on the store of a server: when it is stopped, and beside one that
//! does not write.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::manifests::image;
use crate::process::{end_of, signal};
use crate::server::{Server, Setup, command, sha256};

const READ_ONLY: Setup<'_> = Setup {
    more: "",
    variables: &[("REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED", "true")],
    through: &[],
};

/// A stopped server, in whose store one image was deleted and another was not; their digests.
fn stopped() -> (Server, String, String) {
    let mut server = Server::with("filesystem", Setup::default());
    let gone = server.push_manifest("app", "gone", &image(&server, "app", "layer of one"));
    let stays = server.push_manifest("app", "stays", &image(&server, "app", "layer of two"));
    let deleted = server.delete(&format!("/v2/app/manifests/{gone}"));
    assert_eq!(deleted.status, 202, "{deleted:?}");
    server.process.signal("TERM");
    assert!(server.process.end().success());
    (server, gone, stays)
}

fn collection(server: &Server, flags: &[&str]) -> Command {
    let mut collect: Command = command(&[]);
    collect.arg("garbage-collect").args(flags).arg("config.yml");
    collect.env_clear().current_dir(server.root.path());
    collect.env("REGISTRY_LOG_LEVEL", "error");
    collect
}

fn collect(server: &Server, flags: &[&str]) -> Output {
    collection(server, flags).output().unwrap()
}

/// What a collection writes to a pipe, and what to the terminal, of this kind, that its
/// standard error is.
fn collect_on(kind: &str, server: &Server, flags: &[&str]) -> (String, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap();
    let terminal = open(&path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let mut collection = collection(server, flags);
    collection.env("TERM", kind);
    collection.stdout(Stdio::piped()).stderr(terminal);
    let child = collection.spawn().unwrap();
    // It has the terminal open.
    drop(collection);
    let mut shown = Vec::new();
    // The end of a terminal is an error.
    let _ = File::from(master).read_to_end(&mut shown);
    let said = text(&child.wait_with_output().unwrap());
    (said, String::from_utf8(shown).unwrap())
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn blob(server: &Server, digest: &str) -> PathBuf {
    let hex = digest.strip_prefix("sha256:").unwrap();
    server.at(&format!("blobs/sha256/{}/{hex}/data", &hex[..2]))
}

pub(crate) fn what_was_deleted_goes_and_the_rest_is_served() {
    let (mut server, gone, stays) = stopped();
    let plan = text(&collect(&server, &["--dry-run"]));
    assert!(
        plan.contains(&format!("blob eligible for deletion: {gone}")),
        "{plan}"
    );
    let told = format!("\nblob eligible for deletion: {gone}\n");
    assert!(plan.contains(&told), "{plan}");
    let told = format!("\napp: marking manifest {stays}\n");
    assert!(plan.contains(&told), "{plan}");
    assert_eq!(
        plan.matches("\napp: marking blob sha256:").count(),
        2,
        "{plan}"
    );
    let told = "\n3 blobs marked, 2 blobs and 0 manifests eligible for deletion\n";
    assert!(plan.contains(told), "{plan}");
    assert!(!plan.contains(&format!("deletion: {stays}")), "{plan}");
    assert!(
        plan.contains("2 blobs") && plan.contains("would be moved to the trash"),
        "{plan}"
    );
    assert!(blob(&server, &gone).exists());

    let done = text(&collect(&server, &[]));
    assert!(
        done.contains("in the trash") && done.contains("--now"),
        "{done}"
    );
    assert!(!blob(&server, &gone).exists() && blob(&server, &stays).exists());
    // Nothing of it is told twice, but for what is waiting.
    assert_eq!(text(&collect(&server, &["--quiet"])), "");
    let now = text(&collect(&server, &["--now"]));
    assert!(now.contains(&format!("blob destroyed: {gone}")), "{now}");

    server.restart();
    assert_eq!(server.get("/v2/app/manifests/stays").status, 200);
    assert_eq!(server.get(&format!("/v2/app/blobs/{stays}")).status, 404);
    let body = image(&server, "app", "layer of one");
    assert_eq!(server.push_manifest("app", "again", &body), gone);
}

#[test]
fn every_blob_is_told_with_its_fate_to_machines() {
    let (server, gone, stays) = stopped();
    let said = text(&collect(&server, &["--json", "--dry-run"]));
    let lines: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |digest: &str| {
        let line = lines.iter().find(|line| line["digest"] == digest);
        line.unwrap_or_else(|| panic!("{digest} in {said}"))
    };
    assert_eq!(of(&gone)["fate"], "retire");
    assert_eq!(of(&stays)["fate"], "keep");
    assert_eq!(of(&stays)["repository"], "app");
    assert_eq!(of(&stays)["manifest"], stays.as_str());
    let end = lines.last().unwrap();
    assert_eq!(
        (&end["seen"], &end["dryrun"]),
        (&"end".into(), &true.into())
    );
    assert_eq!(end["retired"]["count"], 2);
}

/// All there is below a directory, itself included: of each name what is in it, and when that was
/// changed.
fn tree(dir: &Path) -> BTreeMap<PathBuf, (SystemTime, Option<Vec<u8>>)> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let content = match metadata.is_dir() {
            true => {
                let entries = fs::read_dir(&path).unwrap();
                left.extend(entries.map(|entry| entry.unwrap().path()));
                None
            }
            false => Some(fs::read(&path).unwrap()),
        };
        found.insert(path, (metadata.modified().unwrap(), content));
    }
    found
}

pub(crate) fn a_dry_run_changes_nothing() {
    let (server, gone, stays) = stopped();
    // As if a collection had been stopped before it looked once more.
    let copy = server.at(&format!("gc/{}/{:032x}", stays.replace(':', "/"), 1));
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    fs::rename(blob(&server, &stays), &copy).unwrap();
    let before = tree(&server.root.path().join("store"));
    for flags in [&["-d"][..], &["-d", "-m"], &["-d", "--now"]] {
        let plan = text(&collect(&server, flags));
        let told = format!("blob would be restored from the trash: {stays}: needed by app@{stays}");
        assert!(plan.contains(&told), "{plan}");
        let told = format!("blob eligible for deletion: {gone}");
        assert!(plan.contains(&told), "{plan}");
        let told = "\n2 blobs (";
        assert!(plan.contains(told), "{plan}");
        assert!(
            tree(&server.root.path().join("store")) == before,
            "{flags:?}"
        );
    }
    text(&collect(&server, &[]));
    assert!(blob(&server, &stays).exists() && !copy.exists());
}

#[test]
fn a_terminal_shows_how_far_it_has_come() {
    let (server, gone, _) = stopped();
    let (said, shown) = collect_on("xterm", &server, &["--now"]);
    let parts = [
        "marking: 1 repositories, 1 manifests",
        "5 blobs, 2 for the trash",
        "emptying the trash: 2 of 2, 2 destroyed",
        "removing links: 1 repositories, 1 links",
    ];
    let found = parts.map(|part| shown.find(part).unwrap_or_else(|| panic!("{shown:?}")));
    assert!(found.is_sorted(), "{shown:?}");
    // One line, which is gone in the end.
    assert!(!shown.contains('\n'), "{shown:?}");
    assert!(shown.ends_with("\r\x1b[2K"), "{shown:?}");
    assert!(said.contains(&format!("blob destroyed: {gone}")), "{said}");
    assert!(
        !said.contains("marking: ") && !said.contains('\x1b'),
        "{said}"
    );
    // One that cannot go back in a line.
    let shown = collect_on("dumb", &server, &[]).1;
    assert!(
        shown.contains("marking: 1 repositories, 1 manifests\r\n"),
        "{shown:?}"
    );
    assert!(!shown.contains('\x1b'), "{shown:?}");
    for flag in ["--quiet", "--json"] {
        assert_eq!(collect_on("xterm", &server, &[flag]).1, "");
    }
}

#[test]
fn what_is_no_terminal_has_a_line_for_each_part() {
    let (server, _, _) = stopped();
    let done = collect(&server, &["--now"]);
    let told = String::from_utf8(done.stderr).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    let [marking, retiring, again, purging, unlinking] = &lines[..] else {
        panic!("{told}");
    };
    assert_eq!(*marking, "marking: 1 repositories, 1 manifests");
    assert_eq!(marking, again);
    assert!(retiring.contains("5 blobs, 2 for the trash ("), "{told}");
    assert!(purging.contains("2 of 2, 2 destroyed ("), "{told}");
    assert_eq!(*unlinking, "removing links: 1 repositories, 1 links");
    for flag in ["--quiet", "--json"] {
        assert_eq!(collect(&server, &[flag]).stderr, b"");
    }
}

#[test]
fn untagged_manifests_go_when_that_is_asked_for() {
    let mut server = Server::with("filesystem", Setup::default());
    let first = server.push_manifest("app", "v1", &image(&server, "app", "first"));
    let second = server.push_manifest("app", "v1", &image(&server, "app", "second"));
    server.process.signal("TERM");
    assert!(server.process.end().success());
    let kept = text(&collect(&server, &[]));
    assert!(!kept.contains("deletion: "), "{kept}");
    let done = text(&collect(&server, &["-m"]));
    assert!(
        done.contains(&format!("\nmanifest eligible for deletion: {first}\n")),
        "{done}"
    );
    assert!(!done.contains(&format!("deletion: {second}")), "{done}");
    server.restart();
    assert_eq!(
        server.get(&format!("/v2/app/manifests/{first}")).status,
        404
    );
    assert_eq!(
        server
            .get("/v2/app/manifests/v1")
            .header("docker-content-digest"),
        second
    );
}

pub(crate) fn a_server_that_writes_keeps_a_collection_out_and_one_that_does_not_lets_it_in() {
    let (mut server, gone, stays) = stopped();
    server.restart();
    let refused = collect(&server, &["--now"]);
    assert_eq!(refused.status.code(), Some(1));
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(
        why.contains(&format!("process {}", server.process.id())),
        "{why}"
    );
    assert!(blob(&server, &gone).exists());
    // What changes nothing needs nothing for itself.
    let before = tree(&server.root.path().join("store"));
    let beside = collect(&server, &["--dry-run"]);
    let plan = text(&beside);
    assert!(
        plan.contains(&format!("blob eligible for deletion: {gone}\n")),
        "{plan}"
    );
    let why = String::from_utf8(beside.stderr).unwrap();
    let holder = format!("in use by process {}", server.process.id());
    assert!(
        why.contains(&holder) && why.contains("told wrongly"),
        "{why}"
    );
    assert_eq!(collect(&server, &["-d", "-q"]).stderr, b"");
    assert!(tree(&server.root.path().join("store")) == before);

    server.restart_with(READ_ONLY);
    assert_eq!(server.get("/v2/app/manifests/stays").status, 200);
    text(&collect(&server, &["--now"]));
    assert!(!blob(&server, &gone).exists());
    assert_eq!(
        server.get(&format!("/v2/app/manifests/{stays}")).status,
        200
    );
}

pub(crate) fn no_store_is_collected_that_nobody_has_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut collect: Command = command(&[]);
    collect
        .arg("garbage-collect")
        .env_clear()
        .current_dir(dir.path());
    let refused = collect.output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("REGISTRY_CONFIGURATION_PATH"), "{why}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_store_that_is_not_there_is_an_error_of_a_dry_run_too() {
    let dir = tempfile::tempdir().unwrap();
    let config = "version: 0.1\nstorage: { filesystem: { rootdirectory: a/b } }\n";
    fs::write(dir.path().join("config.yml"), config).unwrap();
    let mut collect: Command = command(&[]);
    collect.args(["garbage-collect", "-d", "config.yml"]);
    let refused = collect
        .env_clear()
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(
        why.contains("`storage.filesystem.rootdirectory` (config.yml:2:"),
        "{why}"
    );
    assert!(!dir.path().join("a").exists());
}

#[test]
fn a_configuration_that_cannot_be_served_yet_can_be_collected() {
    let (server, gone, _) = stopped();
    let file = server.root.path().join("config.yml");
    let config = fs::read_to_string(&file).unwrap();
    let auth = "auth: { htpasswd: { realm: x, path: /nowhere } }\n";
    fs::write(&file, config + auth).unwrap();
    let done = text(&collect(&server, &["--now"]));
    assert!(done.contains(&gone), "{done}");
}

pub(crate) fn a_signal_ends_it_even_when_nobody_reads_what_it_says() {
    let (server, ..) = stopped();
    // More lines than a pipe and a buffer hold.
    for number in 0..2000 {
        let digest = sha256(format!("of no manifest {number}").as_bytes());
        let data = blob(&server, &digest);
        fs::create_dir_all(data.parent().unwrap()).unwrap();
        fs::write(data, "").unwrap();
    }
    for name in ["TERM", "INT"] {
        let mut collect = command(&[]);
        collect.args(["garbage-collect", "--dry-run", "config.yml"]);
        collect.env_clear().current_dir(server.root.path());
        collect.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = collect.spawn().unwrap();
        // By its first line it is at work.
        let mut said = child.stdout.take().unwrap();
        said.read_exact(&mut [0; 1]).unwrap();
        signal(child.id(), name);
        assert_eq!(end_of(&mut child).code(), Some(1), "{name}");
    }
}
