//! The entry point of the container image, which is a link to the binary.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use tempfile::TempDir;

use crate::client::{Request, exchange, parse};
use crate::process::Process;

/// A variable that a shell cannot set, and would not pass on.
const HEADER: &str = "REGISTRY_HTTP_HEADERS_X-From-Variable";

fn entry_point() -> (TempDir, Command) {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("entrypoint.sh");
    symlink(env!("CARGO_BIN_EXE_registry"), &link).unwrap();
    let mut command = Command::new(link);
    command.env_clear().current_dir(folder.path());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env(HEADER, "[kept]");
    (folder, command)
}

pub(crate) fn a_file_is_served_with_every_variable() {
    let (folder, mut command) = entry_point();
    let text = "version: 0.1\nstorage: {inmemory: }\nhttp: {addr: '127.0.0.1:0'}\n";
    fs::write(folder.path().join("config.yml"), text).unwrap();
    command.arg("config.yml");
    let process = Process::start(command).unwrap();
    let answer = exchange(process.address, &Request::new("GET", "/v2/").wire());
    assert_eq!(parse(&answer).unwrap().header("x-from-variable"), "kept");
    let line = fs::read(format!("/proc/{}/cmdline", process.id())).unwrap();
    assert_eq!(line, b"registry\0serve\0config.yml\0");
}

pub(crate) fn a_program_takes_the_place_of_the_entry_point() {
    let (_folder, mut command) = entry_point();
    let said = command.args(["sh", "-c", "echo said; exit 3"]).output();
    let said = said.unwrap();
    assert_eq!(
        (said.stdout, said.status.code()),
        (b"said\n".to_vec(), Some(3))
    );
    let (_folder, mut command) = entry_point();
    let said = command.arg("env").output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains(&format!("{HEADER}=[kept]\n")), "{said}");
}

pub(crate) fn commands_and_flags_go_to_the_registry() {
    for word in ["help", "--help", "-h"] {
        let (_folder, mut command) = entry_point();
        let said = command.arg(word).output().unwrap();
        assert!(said.status.success(), "{said:?}");
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(said.contains("garbage-collect"), "{said}");
    }
    let (_folder, mut command) = entry_point();
    let said = command.arg("no-such-word").output().unwrap();
    assert_eq!(said.status.code(), Some(1), "{said:?}");
}
