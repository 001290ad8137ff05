//! `registry htpasswd`, beside Apache's command.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::server::command;
use crate::trace::skip_everywhere;

/// A folder in which either command works.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn ours(&self, arguments: &[&str], input: &str) -> Output {
        let mut ours = command(&[]);
        ours.arg("htpasswd");
        self.run(ours, arguments, input)
    }

    fn theirs(&self, arguments: &[&str], input: &str) -> Output {
        self.run(Command::new(APACHE), arguments, input)
    }

    fn run(&self, mut program: Command, arguments: &[&str], input: &str) -> Output {
        program
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear();
        program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        // Whoever does not ask for it may be gone.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// The status of ours, and what it says.
    fn says(&self, arguments: &[&str], input: &str) -> (i32, String) {
        let output = self.ours(arguments, input);
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    #[track_caller]
    fn expect(&self, arguments: &[&str], input: &str, status: i32, said: &str) {
        let (found, text) = self.says(arguments, input);
        assert_eq!(found, status, "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?}: {text}");
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }
}

const APACHE: &str = "/usr/bin/htpasswd";

/// Whether Apache's is here. In CI it has to be.
fn has_apache(what: &str) -> bool {
    let found = Path::new(APACHE).is_file();
    if !found {
        let ci = std::env::var("CI").unwrap_or_default();
        assert!(
            ci.is_empty() || ci == "false",
            "{what}: {APACHE} is missing"
        );
        skip_everywhere(what, "no htpasswd of apache2-utils");
    }
    found
}

pub(crate) fn a_line_is_printed_as_tutorials_want_it() {
    let folder = Folder::new();
    let output = folder.ours(&["-Bbn", "testuser", "testpassword"], "");
    assert!(output.status.success(), "{output:?}");
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(
        line.starts_with("testuser:$2y$10$") && line.ends_with('\n'),
        "{line}"
    );
    assert_eq!(line.len(), "testuser:".len() + 61);
    assert_eq!(output.stderr, b"");
    assert_eq!(fs::read_dir(folder.0.path()).unwrap().count(), 0);
    let again = folder.ours(&["-Bbn", "testuser", "testpassword"], "");
    assert_ne!(again.stdout, line.as_bytes(), "each has a salt of its own");
    let cheap = folder.ours(&["-niC5", "u"], "p\n").stdout;
    assert!(cheap.starts_with(b"u:$2y$05$"), "{cheap:?}");
}

pub(crate) fn the_name_of_the_binary_is_enough() {
    let folder = Folder::new();
    let link = folder.at("htpasswd");
    symlink(env!("CARGO_BIN_EXE_registry"), &link).unwrap();
    let output = folder.run(Command::new(&link), &["-Bbn", "-C4", "u", "p"], "");
    assert!(output.stdout.starts_with(b"u:$2y$04$"), "{output:?}");
}

#[test]
fn users_are_added_changed_verified_and_deleted() {
    let folder = Folder::new();
    folder.expect(
        &["-cbC4", "f", "u", "p"],
        "",
        0,
        "Adding password for user u",
    );
    assert_eq!(fs::metadata(folder.at("f")).unwrap().mode() & 0o7777, 0o600);
    folder.expect(
        &["-iC4", "f", "v"],
        "q\r\n",
        0,
        "Adding password for user v",
    );
    folder.expect(
        &["-vb", "f", "u", "p"],
        "",
        0,
        "Password for user u correct.",
    );
    folder.expect(&["-vi", "f", "v"], "q", 0, "Password for user v correct.");
    folder.expect(
        &["-vb", "f", "u", "q"],
        "",
        3,
        "password verification failed",
    );
    folder.expect(
        &["-bC4", "f", "u", "new"],
        "",
        0,
        "Updating password for user u",
    );
    folder.expect(&["-vb", "f", "u", "new"], "", 0, "correct");
    folder.expect(&["-vb", "f", "u", "p"], "", 3, "failed");
    folder.expect(&["-D", "f", "u"], "", 0, "Deleting password for user u");
    folder.expect(&["-vb", "f", "u", "new"], "", 6, "User u not found");
    folder.expect(&["-D", "f", "u"], "", 0, "User u not found");
    let text = folder.text("f");
    assert!(
        text.starts_with("v:$2y$04$") && text.lines().count() == 1,
        "{text}"
    );
    folder.expect(&["-cbC4", "f", "w", "p"], "", 0, "Adding");
    assert_eq!(folder.text("f").lines().count(), 1, "-c begins anew");
}

#[test]
fn what_goes_wrong_has_the_status_of_apache_and_changes_nothing() {
    let folder = Folder::new();
    fs::write(
        folder.at("f"),
        "# users\nold:$apr1$aKQOaT48$yIghbgBsJj1fe6Y5Bz9y20\n",
    )
    .unwrap();
    fs::write(folder.at("broken"), "no users\n").unwrap();
    let long = "u".repeat(256);
    let long_password = "p".repeat(73);
    let table: [(&[&str], &str, i32, &str); 22] = [
        (
            &["-b", "none", "u", "p"],
            "",
            1,
            "cannot modify file none; use '-c' to create it",
        ),
        (&["-vb", "none", "u", "p"], "", 1, "cannot modify file none"),
        (&["-cb", "no/f", "u", "p"], "", 1, "no/f"),
        (&["-b", ".", "u", "p"], "", 1, "."),
        (&[], "", 2, "Usage:"),
        (&["f"], "", 2, "Usage:"),
        (&["-b", "f", "u"], "", 2, "Usage:"),
        (&["-cD", "f", "u"], "", 2, "only one of -c -n -v -D"),
        (&["-bC18", "f", "u", "p"], "", 2, "from 4 to 17"),
        (&["-bm", "f", "u", "p"], "", 2, "-m is not for bcrypt"),
        (&["-bd", "f", "u", "p"], "", 2, "-d is not for bcrypt"),
        (&["-bs", "f", "u", "p"], "", 2, "-s is not for bcrypt"),
        (&["-bp", "f", "u", "p"], "", 2, "-p is not for bcrypt"),
        (&["-vb", "f", "old", "b"], "", 3, "is not bcrypt"),
        (&["-b", "f", &long, "p"], "", 5, "username too long"),
        (
            &["-b", "f", "u", &long_password],
            "",
            5,
            "longer than the 72 bytes",
        ),
        (&["-i", "f", "u"], "\n", 5, "the password is empty"),
        (&["-b", "f", "a:b", "p"], "", 6, "illegal character ':'"),
        (&["-b", "f", "#u", "p"], "", 6, "a comment"),
        (&["-b", "f", " u", "p"], "", 6, "blank"),
        (&["-b", "f", "", "p"], "", 6, "empty"),
        (
            &["-bC4", "broken", "u", "p"],
            "",
            7,
            "does not appear to be a valid htpasswd file: line 1",
        ),
    ];
    let before = (folder.text("f"), folder.text("broken"));
    for (arguments, input, status, said) in table {
        folder.expect(arguments, input, status, said);
    }
    assert_eq!((folder.text("f"), folder.text("broken")), before);
    assert_eq!(fs::read_dir(folder.0.path()).unwrap().count(), 2);
    let help = folder.ours(&["-h"], "");
    assert!(
        help.status.success() && help.stdout.starts_with(b"Usage:"),
        "{help:?}"
    );
}

#[test]
fn without_a_terminal_it_says_how_else_a_password_is_given() {
    let folder = Folder::new();
    let mut detached = Command::new("setsid");
    detached.arg("-w").arg(env!("CARGO_BIN_EXE_registry"));
    let output = folder.run(detached, &["htpasswd", "-n", "u"], "p\np\n");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("use -i or -b"), "{said}");
}

/// Types the answers into a terminal, each once it is asked for; what the terminal showed.
pub(crate) fn type_in(folder: &Path, arguments: &str, answers: &[(&str, &str)]) -> (i32, String) {
    let line = format!("{} htpasswd {arguments}", env!("CARGO_BIN_EXE_registry"));
    let mut script = Command::new("script");
    script
        .args(["-qec", &line, "/dev/null"])
        .current_dir(folder);
    script.env("SHELL", "/bin/sh");
    script.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = script.spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut shown = Vec::new();
    for (question, answer) in answers {
        let mut byte = [0];
        while !shown.ends_with(question.as_bytes()) && screen.read(&mut byte).unwrap() == 1 {
            shown.extend(byte);
        }
        keys.write_all(format!("{answer}\n").as_bytes()).unwrap();
    }
    screen.read_to_end(&mut shown).unwrap();
    let status = child.wait().unwrap().code().unwrap();
    (status, String::from_utf8(shown).unwrap())
}

#[test]
fn a_terminal_is_asked_twice_and_shows_nothing() {
    let folder = Folder::new();
    let (new, again) = ("New password: ", "Re-type new password: ");
    let (status, shown) = type_in(
        folder.0.path(),
        "-cC4 f u",
        &[(new, "hush"), (again, "hush")],
    );
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains("hush"), "{shown}");
    folder.expect(&["-vb", "f", "u", "hush"], "", 0, "correct");
    let before = folder.text("f");
    let (status, shown) = type_in(
        folder.0.path(),
        "-C4 f u",
        &[(new, "hush"), (again, "shhh")],
    );
    assert_eq!(status, 3, "{shown}");
    assert!(shown.contains("password verification error"), "{shown}");
    assert_eq!(folder.text("f"), before);
    let (status, shown) = type_in(folder.0.path(), "-v f u", &[("Enter password: ", "hush")]);
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("Password for user u correct."), "{shown}");
}

#[test]
fn what_ours_writes_apache_verifies_and_the_other_way_round() {
    if !has_apache("htpasswd of Apache") {
        return;
    }
    let folder = Folder::new();
    let passwords = ["p", "a b:c", "straße", "-x", &"p".repeat(72)];
    for (n, password) in passwords.iter().enumerate() {
        let create = if n == 0 { "-cbBC4" } else { "-bBC4" };
        let user = format!("user {n}");
        let made = folder.ours(&[create, "ours", &user, password], "");
        assert!(made.status.success(), "{made:?}");
        let made = folder.theirs(&[create, "theirs", &user, password], "");
        assert!(made.status.success(), "{made:?}");
    }
    for (n, password) in passwords.iter().enumerate() {
        let user = format!("user {n}");
        for file in ["ours", "theirs"] {
            for (tried, expected) in [(*password, 0), ("wrong", 3)] {
                let arguments = ["-vb", file, &user, tried];
                let ours = folder.ours(&arguments, "");
                let theirs = folder.theirs(&arguments, "");
                assert_eq!(ours.status.code(), Some(expected), "{ours:?}");
                assert_eq!(theirs.status.code(), Some(expected), "{theirs:?}");
                assert_eq!(
                    String::from_utf8_lossy(&ours.stderr).trim_start_matches("htpasswd: "),
                    String::from_utf8_lossy(&theirs.stderr).trim_start_matches("htpasswd: "),
                );
            }
        }
    }
    // Each goes on with the file of the other.
    for (program, file) in [(true, "theirs"), (false, "ours")] {
        let run = |arguments: &[&str]| match program {
            true => folder.ours(arguments, ""),
            false => folder.theirs(arguments, ""),
        };
        assert!(run(&["-bBC4", file, "user 1", "new"]).status.success());
        assert!(run(&["-D", file, "user 2"]).status.success());
    }
    let names = |file: &str| {
        let text = folder.text(file);
        let lines = text
            .lines()
            .map(|line| line.split(':').next().unwrap().to_owned());
        lines.collect::<Vec<_>>()
    };
    assert_eq!(names("ours"), ["user 0", "user 1", "user 3", "user 4"]);
    assert_eq!(names("ours"), names("theirs"));
}

#[test]
fn what_goes_wrong_goes_wrong_for_apache_too() {
    if !has_apache("statuses of Apache's htpasswd") {
        return;
    }
    let folder = Folder::new();
    fs::write(folder.at("f"), "v:x\n").unwrap();
    fs::write(folder.at("broken"), "no users\n").unwrap();
    let long = "u".repeat(256);
    for arguments in [
        &["-bB", "none", "u", "p"][..],
        &["-cbB", "no/f", "u", "p"],
        &["-bB"],
        &["-bB", "f", "u"],
        &["-bB", "f", "u", "p", "x"],
        &["-cD", "f", "u"],
        &["-nD", "f", "u"],
        &["-bBC", "x", "f", "u", "p"],
        &["-vb", "f", "w", "p"],
        &["-bB", "f", &long, "p"],
        &["-bB", "f", "a:b", "p"],
        &["-D", "f", "w"],
    ] {
        let (ours, theirs) = (folder.ours(arguments, ""), folder.theirs(arguments, ""));
        assert_eq!(
            ours.status.code(),
            theirs.status.code(),
            "{ours:?} {theirs:?}"
        );
    }
}
