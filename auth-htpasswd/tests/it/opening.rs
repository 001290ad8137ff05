//! What there is to say before anyone logs in.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Command;

use auth_htpasswd::{Config, FileError, Hash, Missing, OpenError};

use crate::clock;
use crate::fixture::Outcome::Out;
use crate::fixture::{login_by, open};

#[test]
fn a_missing_file_is_made_as_distribution_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/htpasswd");
    let config = Config::new("the realm", &path);
    open(clock!(), &config, Missing::Create).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&folder.path().join("a")), 0o700);
    let text = fs::read_to_string(&path).unwrap();
    let hash = text.strip_prefix("docker:").unwrap().trim_end();
    assert_eq!(Hash::parse(hash).unwrap().cost(), 10);
    // Another start leaves it alone.
    open(clock!(), &config, Missing::Create).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn where_nothing_is_to_change_a_missing_file_stays_away() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::new("the realm", folder.path().join("htpasswd"));
    let users = open(clock!(), &config, Missing::Leave).unwrap();
    assert_eq!(login_by(&users, None, "docker", "x").await, Out);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_used_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let opened = |name: &str| {
        let config = Config::new("the realm", folder.path().join(name));
        open(clock!(), &config, Missing::Create).map(|_| ())
    };
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("directory")).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    let made = Command::new("mkfifo").arg(at("pipe")).status().unwrap();
    assert!(made.success());
    for name in ["directory", "socket", "pipe"] {
        let error = opened(name).unwrap_err();
        let OpenError::File { source, .. } = error else {
            panic!("{error:?}");
        };
        assert!(matches!(source, FileError::NotAFile), "{name}: {source:?}");
    }
    fs::write(at("huge"), "").unwrap();
    let huge = fs::OpenOptions::new().write(true).open(at("huge"));
    huge.unwrap().set_len(1 << 30).unwrap();
    fs::write(at("line"), "# users\nsecret\n").unwrap();
    for (name, expected) in [
        ("huge", "it is larger than 16777216 bytes"),
        ("line", "line 2 has no colon between a user and a hash"),
    ] {
        let error = opened(name).unwrap_err();
        assert_eq!(
            std::error::Error::source(&error).unwrap().to_string(),
            expected
        );
    }
    let OpenError::Create { source, .. } = opened("line/htpasswd").unwrap_err() else {
        panic!("a folder was made of a file");
    };
    assert_eq!(source.kind(), io::ErrorKind::NotADirectory);
    fs::write(at("empty"), "").unwrap();
    opened("empty").unwrap();
}
