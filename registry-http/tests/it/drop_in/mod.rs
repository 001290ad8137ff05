//! Each row of docs/drop-in.md has a test of its name, and each test a row.

#[cfg(feature = "fs")]
mod collection;
#[cfg(feature = "fs")]
mod command_line;
mod deleting;
mod file;
mod headers;
mod health;
mod http;
mod lists;
mod log;
mod manifests;
mod not_yet;
#[cfg(all(feature = "fs", feature = "htpasswd", feature = "token"))]
mod page;
mod pulling;
mod pushing;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "fs")]
mod storage;
#[cfg(feature = "fs")]
mod store;
mod users;
mod variables;

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Ended, Process};
use crate::server::{Server, Setup, command};

/// A row whose claim is what another check looks at.
macro_rules! proved_by {
    ($($row:ident: $($check:path),+;)+) => {
        $(#[test] fn $row() { $($check();)+ })+
    };
}
use proved_by;

/// The same where the check wants a server.
macro_rules! proved_on_a_server_by {
    ($($row:ident: $($check:path),+;)+) => {
        $(#[test] fn $row() { $($check(&crate::server::Server::start("inmemory"));)+ })+
    };
}
use proved_on_a_server_by;

/// The least that can be served.
const MEMORY: &str = "version: 0.1\nstorage: {inmemory: }\n";

/// What `registry check` says of a configuration.
#[derive(Debug)]
struct Checked {
    code: Option<i32>,
    lines: Vec<Value>,
}

impl Checked {
    fn all(&self, seen: &str, field: &str) -> Vec<&str> {
        let lines = self.lines.iter().filter(|line| line["seen"] == seen);
        lines.map(|line| line[field].as_str().unwrap()).collect()
    }

    fn warnings(&self) -> Vec<&str> {
        self.all("warning", "message")
    }

    fn problems(&self) -> Vec<&str> {
        self.all("problem", "message")
    }

    /// What counts for a key; nothing where it is not there.
    #[track_caller]
    fn value(&self, key: &str) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        let mut lines = self.lines.iter();
        lines
            .find(|line| line["seen"] == "setting" && line["key"] == key)
            .map_or("", |line| line["value"].as_str().unwrap())
    }

    /// The one thing that is in the way.
    #[track_caller]
    fn problem(&self) -> &str {
        assert_eq!(self.code, Some(1), "{self:?}");
        let problems = self.problems();
        assert_eq!(problems.len(), 1, "{self:?}");
        problems[0]
    }

    /// The one thing that has no effect.
    #[track_caller]
    fn warning(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        let warnings = self.warnings();
        assert_eq!(warnings.len(), 1, "{self:?}");
        warnings[0]
    }
}

/// Checks a file `c.yml` of this content, with these variables.
fn check(text: &str, variables: &[(&str, &str)]) -> Checked {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("c.yml"), text).unwrap();
    let mut check = command(&[]);
    check.args(["check", "--json", "c.yml"]);
    check.current_dir(dir.path()).env_clear();
    check.env("REGISTRY_HTTP_ADDR", "127.0.0.1:0");
    let output = check.envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let lines = said.lines().map(|line| serde_json::from_str(line).unwrap());
    Checked {
        code: output.status.code(),
        lines: lines.collect(),
    }
}

/// Checks it with these keys beside storage in memory.
fn check_with(keys: &str) -> Checked {
    check(&format!("{MEMORY}{keys}\n"), &[])
}

/// The binary with these arguments, in a directory and with no variables but these.
fn registry(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> std::process::Command {
    let mut registry = command(&[]);
    registry.args(arguments).current_dir(dir).env_clear();
    registry.envs(variables.iter().copied());
    registry
}

/// Serves a file `c.yml` of this content, or says why not.
fn serve(text: &str, variables: &[(&str, &str)]) -> (TempDir, Result<Process, Ended>) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("c.yml"), text).unwrap();
    let served = Process::start(registry(dir.path(), &["serve", "c.yml"], variables));
    (dir, served)
}

/// A server with storage in memory and these keys.
fn server(more: &str) -> Server {
    Server::with(
        "inmemory",
        Setup {
            more,
            ..Setup::default()
        },
    )
}
