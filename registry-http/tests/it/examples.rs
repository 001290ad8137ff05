//! The files of docs/examples: served by us, and by distribution where it is installed.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::client::{Request, exchange, parse};
use crate::process::Process;
use crate::server::command;
use crate::trace::skip_everywhere;

fn examples() -> BTreeMap<String, PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let files = fs::read_dir(dir).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, path)
    });
    files.filter(|(name, _)| name.ends_with(".yml")).collect()
}

/// A command with a root and ports of its own, whatever its file says.
pub(crate) fn elsewhere(mut command: Command, root: &TempDir) -> Command {
    fs::create_dir_all(root.path().join("store")).unwrap();
    command
        .env_clear()
        .current_dir(root.path())
        .env("REGISTRY_HTTP_ADDR", "127.0.0.1:0")
        .env("REGISTRY_HTTP_DEBUG_ADDR", "127.0.0.1:0")
        .env("REGISTRY_LOG_LEVEL", "info")
        .env("OTEL_TRACES_EXPORTER", "none")
        .env(
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY",
            root.path().join("store"),
        );
    command
}

#[track_caller]
pub(crate) fn answers(address: SocketAddr, name: &str) {
    let answer = exchange(address, &Request::new("GET", "/v2/").wire());
    let status = parse(&answer).map(|answer| answer.status);
    // Where there are users, nobody else is let in.
    let expected = if name == "htpasswd.yml" { 401 } else { 200 };
    assert_eq!(status, Some(expected), "{name}: {answer:?}");
}

#[test]
fn every_example_is_served_and_checked() {
    let examples = examples();
    assert!(examples.len() >= 4, "{examples:?}");
    for (name, file) in examples {
        let root = tempfile::tempdir().unwrap();
        let mut check = elsewhere(command(&[]), &root);
        let checked = check.arg("check").arg(&file).output().unwrap();
        assert!(checked.status.success(), "{name}: {checked:?}");
        let told = String::from_utf8(checked.stdout).unwrap();
        assert!(!told.contains("unknown key"), "{name}: {told}");

        let mut serve = elsewhere(command(&[]), &root);
        serve.arg("serve").arg(&file);
        let process = Process::start(serve).unwrap();
        answers(process.address, &name);
    }
}

#[test]
fn distribution_2_serves_the_examples() {
    let program = Path::new("/usr/bin/docker-registry");
    match program.is_file() {
        true => serve_all_by(program, &["official-image-3.yml"]),
        false => skip_everywhere(
            "examples by distribution 2.8",
            "no /usr/bin/docker-registry",
        ),
    }
}

#[test]
fn distribution_3_serves_the_examples() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = std::env::split_paths(&path).map(|dir| dir.join("registry"));
    let is_theirs = |program: &PathBuf| {
        let version = Command::new(program).arg("--version").output();
        version.is_ok_and(|told| {
            String::from_utf8_lossy(&told.stdout).contains("distribution/distribution/v3")
        })
    };
    let found = candidates.filter(|path| path.is_file()).find(is_theirs);
    match found {
        Some(program) => serve_all_by(&program, &[]),
        // It would have to be built by Go, which CI does not have.
        None => skip_everywhere("examples by distribution 3", "no `registry` of it in PATH"),
    }
}

/// `but` are files that this version does not know.
fn serve_all_by(program: &Path, but: &[&str]) {
    for (name, file) in examples() {
        if but.contains(&&*name) {
            continue;
        }
        let root = tempfile::tempdir().unwrap();
        let mut serve = elsewhere(Command::new(program), &root);
        serve.arg("serve").arg(&file);
        let process = Process::start_saying(serve, "listening on 127.0.0.1:");
        let process = process.unwrap_or_else(|ended| panic!("{name}: {ended:?}"));
        answers(process.address, &name);
    }
}
