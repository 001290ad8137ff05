//! What nobody may read of a key, whatever is wrong with its file: each is served, or not, checked
//! and read again, and all that was said is searched.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::health::{ask, debug_address};
use crate::process::{Process, wait_for};
use crate::server::command;

/// What people write into such files, besides.
const PASSPHRASE: &str = "planted-passphrase";

/// A key as it should be, and what becomes of it on its way.
fn forms(key: &str) -> Vec<String> {
    let between = key.lines().nth(1).unwrap();
    let nonsense = STANDARD.encode(PASSPHRASE);
    vec![
        // Lines that were joined, on the way through a variable.
        key.replace('\n', " "),
        key.replace('\n', "\\n"),
        key.replacen('\n', "", 1),
        key.replace("\n-----END", "-----END"),
        key.replace("-----END", "--END"),
        format!("-----BEGIN {PASSPHRASE}\n{key}"),
        format!("-----BEGIN {PASSPHRASE}-----\n{between}\n"),
        // What is no base64, and what is no key.
        key.replacen('\n', &format!("\n{PASSPHRASE}\n"), 1),
        format!("-----BEGIN PRIVATE KEY-----\n{nonsense}\n-----END PRIVATE KEY-----\n"),
        // An old header of encryption, and no PEM at all.
        key.replacen(
            '\n',
            &format!("\nProc-Type: 4,ENCRYPTED\nDEK-Info: {PASSPHRASE}\n\n"),
            1,
        ),
        key.replace("PRIVATE", "ENCRYPTED PRIVATE"),
        format!("passphrase = {PASSPHRASE}\n{between}\n"),
    ]
}

/// Ways to write a secret, and parts of it, too.
fn spellings(secret: &str) -> Vec<String> {
    let parts = secret.as_bytes().chunks(16).filter(|part| part.len() > 8);
    parts
        .flat_map(|part| {
            let text = String::from_utf8(part.to_vec()).unwrap();
            let numbers = format!("{part:?}");
            let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
            [text, numbers.trim_matches(['[', ']']).to_owned(), hex]
        })
        .collect()
}

/// What is said instead of serving by the configuration in this folder.
fn not_served(files: &Files) -> String {
    let mut command = command(&[]);
    command.args(["serve", "c.yml"]).env_clear();
    command.env("REGISTRY_HTTP_ADDR", "127.0.0.1:0");
    command.current_dir(files.folder());
    match Process::start(command) {
        Ok(_) => panic!("it is served"),
        Err(ended) => ended.lines.join("\n"),
    }
}

/// What a check of it says.
fn checked(files: &Files, flags: &[&str]) -> String {
    let mut command = command(&[]);
    command.arg("check").args(flags).arg("c.yml").env_clear();
    let output = command.current_dir(files.folder()).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

#[test]
fn of_a_key_nothing_is_told() {
    let files = Files::new();
    let (certificate, key) = files.authority.pair(&["localhost"]);
    files.write(&certificate, &key);
    let debug = "debug: {addr: '127.0.0.1:0', prometheus: {enabled: true}}, ";
    let server = files.start(debug, "", "log: {level: debug}\n");
    let config = format!(
        "version: 0.1\nstorage: {{inmemory: }}\nlog: {{level: debug}}\n{}",
        files.section("", "")
    );
    std::fs::write(files.folder().join("c.yml"), config).unwrap();
    let mut said = Vec::new();
    for broken in forms(&key) {
        // A key may be where the certificate should be, too.
        for (certificate, key) in [(&certificate, &broken), (&broken, &key)] {
            files.write(certificate, key);
            let all = [
                ("a start", not_served(&files)),
                ("a check", checked(&files, &["--all"])),
                ("a check", checked(&files, &["--json", "--all"])),
            ];
            for (what, text) in all {
                assert!(text.contains("http.tls."), "{text}");
                said.push((what, text));
            }
            let complaint = "the files of `http.tls` cannot be used";
            let before = server.process.log.count(complaint);
            server.process.signal("HUP");
            wait_for(|| (server.process.log.count(complaint) > before).then_some(()));
        }
    }
    let debug = debug_address(&server);
    for path in ["/metrics", "/debug/health"] {
        let answer = ask(debug, "GET", path);
        said.push((path, String::from_utf8(answer.body).unwrap()));
    }
    let answer = exchange(server.address, &Request::new("GET", "/v2/").wire());
    said.push(("an answer", String::from_utf8(answer).unwrap()));
    let log = &server.process.log;
    said.push(("the log", log.lines().join("\n")));
    let mut secrets = spellings(key.lines().nth(1).unwrap());
    assert!(secrets.len() > 20, "{secrets:?}");
    secrets.extend(spellings(PASSPHRASE));
    secrets.extend(spellings(&STANDARD.encode(PASSPHRASE)));
    for (what, text) in said {
        assert!(!text.is_empty(), "{what} says nothing");
        for secret in &secrets {
            assert!(!text.contains(secret), "{what} has {secret}:\n{text}");
        }
    }
}
