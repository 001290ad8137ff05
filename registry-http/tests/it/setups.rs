//! The pages of docs/setups, from their first line to the last: each file is written, each command run, and each request
//! made that a client makes for its command.

mod client;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::client::Client;
use crate::examples::blocks;
use crate::htpasswd::command::type_in;
use crate::htpasswd::lines;
use crate::process::{Process, wait_for};
use crate::server::{Server, Setup, command};

/// What everyone's password is.
const PASSWORD: &str = "secret";

/// Someone who does what a page says.
struct Reader {
    folder: tempfile::TempDir,
    client: Client,
    /// What has to be written otherwise here: addresses, as the page has them.
    names: Vec<(&'static str, String)>,
    servers: Vec<Process>,
    /// How many commands were run.
    done: usize,
}

impl Reader {
    fn new(names: Vec<(&'static str, String)>) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            client: Client::default(),
            names,
            servers: Vec::new(),
            done: 0,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&mut self, page: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/setups");
        let page = fs::read_to_string(file.join(page)).unwrap();
        for (kind, text) in blocks(&page) {
            match kind {
                "yaml" => self.write(text),
                "sh" => text.lines().for_each(|line| self.run(line)),
                "console" => self.converse(text),
                other => panic!("a block of {other:?}"),
            }
        }
    }

    /// The text as it has to be here.
    fn here(&self, text: &str) -> String {
        let names = self.names.iter();
        names.fold(text.to_owned(), |text, (name, here)| {
            text.replace(name, here)
        })
    }

    /// A configuration, which may say what it is called, and could be served.
    fn write(&self, text: &str) {
        let first = text.lines().next().unwrap().strip_prefix("# ");
        let name = first.unwrap_or("config.yml");
        fs::write(self.at(name), self.here(text)).unwrap();
        let checked = self.registry(&["check", name]).output().unwrap();
        let told = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
        let is_good = checked.status.success() && !told.contains("unknown key");
        assert!(is_good, "{name}: {told}");
    }

    /// Our own command, at a port that is free: that of the page may be another's.
    fn registry(&self, words: &[&str]) -> Command {
        let mut command = command(&[]);
        command.args(words).current_dir(&self.folder);
        command.env_clear().env("REGISTRY_HTTP_ADDR", "127.0.0.1:0");
        command
    }

    /// One command. What is refused may be so only after a while.
    fn run(&mut self, line: &str) {
        let (line, comment) = line.split_once(" # ").unwrap_or((line, ""));
        let line = self.here(line);
        let words: Vec<&str> = line.split_whitespace().collect();
        eprintln!("$ {line}");
        match (&words[..], comment.strip_prefix("refused: ")) {
            (["registry", "serve", name], None) => self.serve(name),
            (["registry", "htpasswd", words @ ..], None) => self.change_users(words),
            (["mkdir" | "cp", ..], None) => {
                let mut shell = Command::new("/bin/sh");
                let shell = shell.args(["-c", &line]).current_dir(&self.folder);
                assert!(shell.status().unwrap().success(), "{line}");
            }
            (_, None) => assert_eq!(self.client.run(&words), Ok(()), "{line}"),
            (_, Some(status)) => {
                let refused = Err(status.parse().unwrap());
                wait_for(|| (self.client.run(&words) == refused).then_some(()));
            }
        }
        self.done += 1;
    }

    /// Starts it; from then on it has the names that the page has for it.
    fn serve(&mut self, file: &str) {
        let process = Process::start(self.registry(&["serve", file])).unwrap();
        let text = fs::read_to_string(self.at(file)).unwrap();
        let named = ["localhost:5000", "localhost:5001", "localhost:5002"];
        let named = named.into_iter().find(|name| {
            let line = format!("addr: {}", name.replace("localhost", "127.0.0.1"));
            text.lines().any(|one| one.trim() == line)
        });
        let address = process.address.to_string();
        self.names.push((named.unwrap(), address.clone()));
        if named == Some("localhost:5000") {
            let url = format!("http://{address}");
            self.names.push(("https://registry.example.com", url));
        }
        self.servers.push(process);
    }

    /// At a terminal, as a new user does.
    fn change_users(&self, words: &[&str]) {
        let questions = ["New password: ", "Re-type new password: "];
        let answers = questions.map(|question| (question, PASSWORD));
        let answers = if words[0] == "-D" { &[] } else { &answers[..] };
        let (status, shown) = type_in(self.folder.path(), &words.join(" "), answers);
        assert_eq!(status, 0, "{words:?}: {shown}");
    }

    /// Questions to `registry check`, each with the answer below it.
    fn converse(&mut self, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.chunks(2) {
            let words = pair[0].strip_prefix("$ registry ").unwrap().split(' ');
            let words: Vec<&str> = words.collect();
            let output = self.registry(&words).output().unwrap();
            let told = String::from_utf8(output.stdout).unwrap();
            assert!(told.starts_with(pair[1]), "{}\n{told}", pair[0]);
            let may = !pair[1].contains(" may not ");
            assert_eq!(output.status.success(), may, "{}", pair[0]);
            self.done += 1;
        }
    }
}

/// Does what the page says, which is so many commands.
#[track_caller]
fn reads(page: &str, names: Vec<(&'static str, String)>, commands: usize) {
    let mut reader = Reader::new(names);
    reader.read(page);
    assert_eq!(reader.done, commands, "{page}");
}

#[test]
fn the_page_for_a_laptop_is_so() {
    reads("laptop.md", Vec::new(), 5);
}

#[test]
fn the_page_for_a_team_is_so() {
    reads("team.md", Vec::new(), 13);
}

#[test]
fn the_page_on_public_images_is_so() {
    reads("public-pull.md", Vec::new(), 16);
}

/// A service of tokens for the registry of the page, and where it is.
fn service() -> (Server, Vec<(&'static str, String)>) {
    let mut server = Server::start("filesystem");
    let users = lines(&[("alice", PASSWORD)]);
    fs::write(server.root.path().join("htpasswd"), users).unwrap();
    let more = "\
auth: {htpasswd: {realm: users, path: ./htpasswd}}
extensions:
  access: {rules: [{who: [authenticated], repositories: ['${user}/**'], actions: [pull, push]}]}
  token: {service: auth.example.com, others: [registry.example.com]}
";
    server.restart_with(Setup {
        more,
        ..Setup::default()
    });
    let at = |path: &str| format!("http://{}/auth/token{path}", server.address);
    let names = vec![
        ("https://auth.example.com/token", at("")),
        ("https://auth.example.com/keys", at("/keys")),
    ];
    (server, names)
}

#[test]
fn the_page_on_tokens_of_another_service_is_so() {
    let (_server, names) = service();
    reads("token-server.md", names, 8);
}

#[test]
fn the_page_on_tokens_for_other_registries_is_so() {
    reads("token-service.md", Vec::new(), 17);
}

#[test]
fn every_page_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/setups");
    let here = include_str!("setups.rs");
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(here.contains(&format!("reads(\"{name}\"")), "{name}");
    }
}
