//! The file of users: what it may be, and how it changes.

use std::fs;
use std::os::unix::fs::symlink;

use super::{SETUP, eventually, file, lines, login, rename_over, restart, rewrite, start};
use crate::server::{Server, Setup, command};

pub(crate) fn users_change_by_a_rename_a_swapped_link_and_a_signal() {
    let server = start(&[("alice", "a")]);
    assert_eq!(login(&server, "alice", "a"), 200);
    rewrite(&server, &[("bob", "b")]);
    eventually("by a rename", || login(&server, "alice", "a") == 401);
    assert_eq!(login(&server, "bob", "b"), 200);

    let folder = server.root.path().join("elsewhere");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("users"), lines(&[("carol", "c")])).unwrap();
    symlink("elsewhere/users", server.root.path().join("link")).unwrap();
    fs::rename(server.root.path().join("link"), file(&server)).unwrap();
    eventually("by a link", || login(&server, "bob", "b") == 401);
    assert_eq!(login(&server, "carol", "c"), 200);

    rewrite(&server, &[("dave", "d")]);
    server.process.signal("HUP");
    eventually("by a signal", || {
        server.process.log.count("told to read the users again") == 1
    });
    eventually("by a signal", || login(&server, "carol", "c") == 401);
    assert_eq!(login(&server, "dave", "d"), 200);
}

pub(crate) fn a_broken_file_leaves_the_users_and_is_told_once() {
    let server = start(&[("alice", "a")]);
    let told = || {
        server
            .process
            .log
            .count("cannot be used; those it had before go on counting")
    };
    rename_over(&file(&server), "no users, but a secret\n");
    eventually("it is told", || {
        assert_eq!(login(&server, "alice", "a"), 200);
        told() > 0
    });
    // Whoever asks is told again.
    server.process.signal("HUP");
    eventually("it is told again", || told() > 1);
    fs::remove_file(file(&server)).unwrap();
    eventually("the next is told, too", || {
        assert_eq!(login(&server, "alice", "a"), 200);
        told() > 2
    });
    assert_eq!(told(), 3);
    let log = server.process.log.lines().join("\n");
    assert!(!log.contains("but a secret"), "{log}");
    rewrite(&server, &[("bob", "b")]);
    eventually("a good one counts", || login(&server, "bob", "b") == 200);
}

pub(crate) fn odd_lines_are_named_and_the_others_log_in() {
    let server = Server::start("inmemory");
    let odd = "md5:$apr1$aKQOaT48$yIghbgBsJj1fe6Y5Bz9y20\n";
    rename_over(
        &file(&server),
        &(odd.to_owned() + &lines(&[("alice", "a")])),
    );
    let server = restart(server);
    assert_eq!(login(&server, "alice", "a"), 200);
    assert_eq!(login(&server, "md5", "b"), 401);
    let log = server.process.log.lines().join("\n");
    let named = r#"line 1: the hash of user \"md5\" is not bcrypt"#;
    assert!(log.contains(named), "{log}");
    assert_eq!(log.matches("of a cost below 10").count(), 1, "{log}");
    assert!(!log.contains("apr1"), "{log}");
}

pub(crate) fn a_password_with_more_behind_it_is_refused_and_told_of() {
    let server = Server::start("inmemory");
    let long = "secretly".repeat(9);
    rename_over(&file(&server), &lines(&[("alice", &long)]));
    let server = restart(server);
    assert_eq!(login(&server, "alice", &long), 200);
    let longer = long.clone() + "!";
    for (user, password) in [("nobody", &longer), ("alice", &longer), ("alice", &longer)] {
        assert_eq!(login(&server, user, password), 401);
    }
    assert_eq!(login(&server, "alice", ""), 401);
    let told = "longer than the 72 bytes that bcrypt looks at";
    server.process.log.wait(told);
    // Whatever is told of a request is told before its answer.
    assert_eq!(super::comparisons(&server), 4);
    assert_eq!(server.process.log.count(told), 1);
    let log = server.process.log.lines().join("\n");
    assert!(
        log.contains("user=alice") && !log.contains("secretly"),
        "{log}"
    );
}

pub(crate) fn a_missing_file_is_made_and_its_password_told_once() {
    let server = restart(Server::start("inmemory"));
    let log = server.process.log.lines().join("\n");
    assert_eq!(log.matches("password=").count(), 1, "{log}");
    let password = log.split("password=").nth(1).unwrap_or_default();
    let password = password.split_whitespace().next().unwrap_or_default();
    assert!(password.len() > 40, "{log}");
    assert_eq!(login(&server, "docker", password), 200);
    let server = restart(server);
    assert_eq!(server.process.log.count("password="), 0);
    assert_eq!(login(&server, "docker", password), 200);
}

#[test]
fn what_cannot_be_opened_does_not_start() {
    let server = Server::start("inmemory");
    let table = [
        ("auth: {htpasswd: {path: ./x}}\n", "`auth.htpasswd.realm`"),
        ("auth: {htpasswd: {realm: x}}\n", "`auth.htpasswd.path`"),
        ("auth: htpasswd\n", "`auth.htpasswd."),
        (
            "auth: {htpasswd: {realm: x, path: .}}\n",
            "it is not a regular file",
        ),
        (
            "auth: {htpasswd: {realm: x, path: ./config.yml}}\n",
            "has no colon between a user and a hash",
        ),
        (
            "auth: {silly: {realm: x}}\n",
            "there is no driver for auth kind \"silly\"",
        ),
        (
            "auth: {htpaswd: {realm: x, path: y}}\n",
            "did you mean \"htpasswd\"?",
        ),
    ];
    for (more, expected) in table {
        // A list, so that there is a line without a colon.
        let more = &format!("{more}policy:\n  repository:\n    classes:\n      - image\n");
        let ended = server.beside(Setup {
            more,
            ..Setup::default()
        });
        let ended = ended
            .err()
            .unwrap_or_else(|| panic!("it serves with {more}"));
        assert_eq!(ended.code, Some(1));
        let last = ended.lines.last().unwrap();
        assert!(last.contains(expected), "{last}");
    }
}

#[test]
fn a_check_opens_the_users_and_makes_none() {
    let server = Server::start("inmemory");
    let check = || {
        let mut check = command(&[]);
        let config = server.root.path().join("config.yml");
        check
            .arg("check")
            .arg(config)
            .current_dir(server.root.path());
        check
            .env_clear()
            .env("REGISTRY_HTTP_ADDR", "127.0.0.1:0")
            .output()
            .unwrap()
    };
    let config = server.root.path().join("config.yml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + SETUP).unwrap();
    let fine = check();
    assert!(fine.status.success(), "{fine:?}");
    assert!(!file(&server).exists());
    fs::write(file(&server), "no users\n").unwrap();
    let broken = check();
    assert!(!broken.status.success(), "{broken:?}");
    let told = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert!(told.contains("line 1 has no colon"), "{told}");
}
