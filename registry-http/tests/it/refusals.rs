//! Configurations that cannot be served: an exit status, and one line that names the key.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Ended, Process};

fn serve(dir: &TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry"));
    command.args(arguments).current_dir(dir.path()).env_clear();
    match Process::start(command_with(command, variables)) {
        Err(ended) => ended,
        Ok(process) => panic!("it serves: {:?}", process.log.lines()),
    }
}

fn command_with(mut command: Command, variables: &[(&str, &str)]) -> Command {
    command
        .env("REGISTRY_HTTP_ADDR", "127.0.0.1:0")
        // Whoever asks for backtraces gets none of what is no panic.
        .env("RUST_BACKTRACE", "1")
        .envs(variables.iter().copied());
    command
}

/// The one line that is no line of the log, which is the last.
#[track_caller]
fn check(ended: &Ended, expected: &[&str]) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let said = |line: &&String| line.starts_with("registry: ");
    assert_eq!(ended.lines.iter().filter(said).count(), 1, "{ended:?}");
    let last = ended.lines.last().unwrap();
    for word in expected {
        assert!(last.contains(word), "{word:?} is not in {last:?}");
    }
    // What was opened before says so in the log, and no more.
    for line in &ended.lines[..ended.lines.len() - 1] {
        let of_log = ["level=info", "level=warning"]
            .iter()
            .any(|level| line.contains(level));
        assert!(of_log, "{line:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let table: [(&str, &[u8], &[&str]); 6] = [
        (
            "empty.yml",
            b"",
            &["`version` (empty.yml)", "version: 0.1", "`storage"],
        ),
        ("binary.yml", b"\x7fELF\x00\xff\xfe", &["binary.yml"]),
        (
            "torn.yml",
            b"version: 0.1\nstorage: {inmemory: {}\n",
            &["torn.yml:"],
        ),
        ("list.yml", b"- version\n", &["list.yml"]),
        (
            "tab.yml",
            b"version: 0.1\nstorage:\n\tinmemory: {}\n",
            &["tab.yml:3"],
        ),
        (
            "twice.yml",
            b"version: 0.1\nversion: 0.1\nstorage: inmemory\n",
            &["twice.yml:2"],
        ),
    ];
    for (name, content, expected) in table {
        fs::write(dir.path().join(name), content).unwrap();
        check(&serve(&dir, &["serve", name], &[]), expected);
    }
    let missing = ["missing.yml", "No such file"];
    check(&serve(&dir, &["serve", "missing.yml"], &[]), &missing);
    check(
        &serve(&dir, &["serve", "."], &[]),
        &["configuration .", "directory"],
    );
    let variable = [("REGISTRY_CONFIGURATION_PATH", "missing.yml")];
    check(&serve(&dir, &["serve"], &variable), &missing);
}

#[test]
fn a_value_that_cannot_be_served_is_named_with_where_it_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let table: [(&str, &[&str]); 14] = [
        ("version: 0.2\nstorage: inmemory", &["`version` (c.yml:1:"]),
        ("version: 0.1\nstorage: {}", &["`storage` (c.yml:2:"]),
        (
            "version: 0.1\nstorage: floppy",
            &["`storage.floppy` (c.yml:2:", "inmemory"],
        ),
        (
            "version: 0.1\nstorage:\n  inmemory:\n  tape:\n",
            &["c.yml:", "inmemory", "tape"],
        ),
        (
            "version: 0.1\nstorage: inmemory\nauth: {silly: {realm: a, service: b}}",
            &["`auth.silly` (c.yml:3:"],
        ),
        (
            "version: 0.1\nstorage: inmemory\nhttp: {tls: {certificate: a, key: b}}",
            &["`http.tls.certificate` (c.yml:3:"],
        ),
        (
            "version: 0.1\nstorage: inmemory\nproxy: {remoteurl: 'https://a'}",
            &["`proxy.remoteurl` (c.yml:3:"],
        ),
        (
            "version: 0.1\nstorage: inmemory\nlog: {level: loud}",
            &["`log.level` (c.yml:3:", "loud", "debug"],
        ),
        (
            "version: 0.1\nstorage: inmemory\nhttp: {draintimeout: soon}",
            &["`http.draintimeout` (c.yml:3:"],
        ),
        (
            "version: 0.1\nstorage: inmemory\nhttp: {net: udp}",
            &["`http.net` (c.yml:3:"],
        ),
        (
            "version: 0.1\nstorage: inmemory\nextensions: {limits: {connections: 0}}",
            &["`extensions.limits.connections` (c.yml:3:"],
        ),
        (
            "version: 0.1\nstorage: inmemory\nextensions: {limits: {manifest: big}}",
            &["`extensions.limits.manifest` (c.yml:3:"],
        ),
        (
            "version: 0.1\nstorage: {inmemory: {}, delete: {enabled: perhaps}}",
            &["`storage.delete.enabled` (c.yml:2:"],
        ),
        (
            "version: 0.1\nstorage: inmemory\nhttp: {draintimeout: '60'}",
            &["`http.draintimeout` (c.yml:3:", "unit"],
        ),
    ];
    for (text, expected) in table {
        fs::write(dir.path().join("c.yml"), text).unwrap();
        check(&serve(&dir, &["serve", "c.yml"], &[]), expected);
    }
}

#[test]
fn a_variable_that_cannot_be_served_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("c.yml"), "version: 0.1\nstorage: inmemory").unwrap();
    for (name, value) in [
        ("REGISTRY_STORAGE_DELETE_ENABLED", "perhaps"),
        ("REGISTRY_HTTP_DRAINTIMEOUT", "soon"),
        ("REGISTRY_LOG_LEVEL", "loud"),
        ("REGISTRY_EXTENSIONS_LIMITS_CONNECTIONS", "-1"),
        ("REGISTRY_AUTH", "htpasswd"),
        ("REGISTRY_PROXY_REMOTEURL", "https://a"),
        ("REGISTRY_HTTP_TLS_CERTIFICATE", "a"),
    ] {
        check(&serve(&dir, &["serve", "c.yml"], &[(name, value)]), &[name]);
    }
}

pub(crate) fn an_address_that_cannot_be_had_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("c.yml"), "version: 0.1\nstorage: inmemory").unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    for (address, remedy) in [
        (taken.as_str(), "stop what listens there"),
        ("nonsense", "host:port or :port"),
        ("127.0.0.1:99999", "host:port or :port"),
        ("192.0.2.1:5000", "`:5000` is"),
    ] {
        for (name, key) in [
            ("REGISTRY_HTTP_ADDR", "http.addr"),
            ("REGISTRY_HTTP_DEBUG_ADDR", "http.debug.addr"),
        ] {
            let ended = serve(&dir, &["serve", "c.yml"], &[(name, address)]);
            let start = format!("`{key}` ({name}): listening on {address}: ");
            check(&ended, &[&start, remedy]);
        }
    }
}

#[cfg(feature = "fs")]
#[test]
fn a_root_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    for root in ["file", "file/below", "/proc/nowhere"] {
        let text = format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: {root}}}}}");
        fs::write(dir.path().join("c.yml"), text).unwrap();
        check(
            &serve(&dir, &["serve", "c.yml"], &[]),
            &[
                "`storage.filesystem.rootdirectory` (c.yml:2:",
                "filesystem store",
                root,
            ],
        );
    }
}
