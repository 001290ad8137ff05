//! `auth.htpasswd` over a real port: who is let in, and what it costs.

pub(crate) mod command;
pub(crate) mod file;

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::client::{Answer, Request};
use crate::server::{Server, Setup, command};

const SETUP: &str = "\
auth: {htpasswd: {realm: the \"realm\", path: ./htpasswd}}
log: {level: debug}
";

/// What the log has of each comparison with a hash.
const COMPARED: &str = "compared a password";

/// A server whose users are these, with passwords.
fn start(users: &[(&str, &str)]) -> Server {
    let server = Server::start("inmemory");
    rewrite(&server, users);
    restart(server)
}

fn restart(mut server: Server) -> Server {
    server.restart_with(Setup {
        more: SETUP,
        ..Setup::default()
    });
    server
}

/// The file by our own command, as cheap as bcrypt gets.
pub(crate) fn lines(users: &[(&str, &str)]) -> String {
    let line = |(user, password): &(&str, &str)| {
        let mut hash = command(&[]);
        hash.args(["htpasswd", "-nbBC", "4", user, password]);
        let hash = hash.stdin(Stdio::null()).output().unwrap();
        assert!(hash.status.success(), "{hash:?}");
        String::from_utf8(hash.stdout).unwrap()
    };
    users.iter().map(line).collect()
}

fn file(server: &Server) -> std::path::PathBuf {
    server.root.path().join("htpasswd")
}

/// Puts a file there by a rename.
fn rewrite(server: &Server, users: &[(&str, &str)]) {
    rename_over(&file(server), &lines(users));
}

fn rename_over(path: &Path, text: &str) {
    let next = path.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(next, path).unwrap();
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn ask(server: &Server, authorization: &str) -> Answer {
    server.send(Request::new("GET", "/v2/").header("Authorization", authorization))
}

fn login(server: &Server, user: &str, password: &str) -> u16 {
    ask(server, &basic(user, password)).status
}

/// How many comparisons with a hash the log tells of all requests that have their answers.
fn comparisons(server: &Server) -> usize {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    let last = format!("/the-end-{}-", LAST.fetch_add(1, Ordering::SeqCst));
    server.get(&last);
    server.process.log.wait(&last);
    server.process.log.count(COMPARED)
}

/// Looks again until it is so, or for a minute.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        thread::yield_now();
    }
}

pub(crate) fn nothing_is_answered_to_who_is_not_let_in() {
    let server = start(&[("alice", "a")]);
    for (method, path) in [
        ("GET", "/v2/"),
        ("GET", "/v2/_catalog"),
        ("GET", "/v2/a/tags/list"),
        ("GET", "/v2/a/manifests/t"),
        ("HEAD", "/v2/a/manifests/t"),
        ("PUT", "/v2/a/manifests/t"),
        ("DELETE", "/v2/a/manifests/t"),
        ("POST", "/v2/a/blobs/uploads/"),
    ] {
        let refused = server.send(Request::new(method, path));
        assert_eq!(refused.status, 401, "{method} {path}");
        let challenge = refused.header("www-authenticate");
        assert_eq!(challenge, "Basic realm=\"the \\\"realm\\\"\"", "{path}");
        assert_eq!(refused.header("cache-control"), "no-store");
        if method != "HEAD" {
            refused.expect(401, "UNAUTHORIZED");
        }
        let request = Request::new(method, path).header("Authorization", &basic("alice", "a"));
        assert_ne!(server.send(request).status, 401, "{method} {path}");
    }
    // As in distribution, for who only asks whether anyone is there.
    assert_eq!(server.get("/").status, 200);
    // Who is let in may do everything.
    let post = Request::new("POST", "/v2/a/blobs/uploads/");
    let begun = server.send(post.header("Authorization", &basic("alice", "a")));
    assert_eq!(begun.status, 202);
    let log = server.process.log.lines().join("\n");
    assert!(
        log.contains("whoever `auth.htpasswd` lets in may pull, push and delete"),
        "{log}"
    );
    assert!(!log.contains(&basic("alice", "a")[6..]), "{log}");
}

#[test]
fn every_shape_of_authorization_is_understood_or_refused() {
    let server = start(&[("alice", "a:b"), ("jürgen", "straße")]);
    let raw = |bytes: &[u8]| format!("Basic {}", STANDARD.encode(bytes));
    let good = basic("alice", "a:b");
    let encoded = good.strip_prefix("Basic ").unwrap();
    let table: [(&str, String, u16); 20] = [
        ("a colon in the password", good.clone(), 200),
        ("a scheme in lower case", format!("basic {encoded}"), 200),
        ("a scheme in upper case", format!("BASIC {encoded}"), 200),
        ("UTF-8", basic("jürgen", "straße"), 200),
        ("latin-1", raw(b"j\xfcrgen:stra\xdfe"), 401),
        ("no colon", raw(b"alice"), 401),
        ("no user", raw(b":a:b"), 401),
        ("no password", raw(b"alice:"), 401),
        ("nothing but a colon", raw(b":"), 401),
        ("a NUL", raw(b"alice:a:b\0"), 401),
        ("73 bytes", basic("alice", &"p".repeat(73)), 401),
        ("a line end", basic("alice", "a:b\n"), 401),
        ("nothing", "Basic".to_owned(), 401),
        ("an empty text", "Basic ".to_owned(), 401),
        ("no base64", "Basic !!!".to_owned(), 401),
        (
            "no padding",
            format!("Basic {}", raw(b"a:b").trim_end_matches('=')),
            401,
        ),
        (
            "base64 of the other alphabet",
            "Basic YWxpY2U6_-8=".to_owned(),
            401,
        ),
        ("no scheme", encoded.to_owned(), 401),
        ("another scheme", format!("Bearer {encoded}"), 401),
        ("yet another", format!("Digest {encoded}"), 401),
    ];
    for (what, authorization, expected) in table {
        let answer = ask(&server, &authorization);
        assert_eq!(answer.status, expected, "{what}");
        if expected == 401 {
            answer.expect(401, "UNAUTHORIZED");
            assert!(
                answer.header("www-authenticate").starts_with("Basic "),
                "{what}"
            );
        }
    }
    let twice = Request::new("GET", "/v2/").header("Authorization", &good);
    let twice = server.send(twice.header("Authorization", "Bearer x"));
    assert_eq!(twice.status, 400, "two are ambiguous");
}

pub(crate) fn a_login_is_one_comparison_for_who_is_there_and_who_is_not() {
    let server = start(&[("alice", "a")]);
    for (expected, (user, password)) in
        (1..).zip([("alice", "x"), ("nobody", "x"), ("nobody", "a")])
    {
        assert_eq!(login(&server, user, password), 401);
        assert_eq!(comparisons(&server), expected, "{user}");
    }
    for _ in 0..50 {
        assert_eq!(login(&server, "alice", "a"), 200);
    }
    assert_eq!(
        comparisons(&server),
        4,
        "what was verified is not verified again"
    );
}

#[test]
fn a_flood_of_wrong_logins_costs_those_who_are_in_nothing() {
    let server = start(&[("alice", "a")]);
    assert_eq!(login(&server, "alice", "a"), 200);
    let done = AtomicBool::new(false);
    let (address, done) = (server.address, &done);
    thread::scope(|scope| {
        let flooders: Vec<_> = (0..4)
            .map(|thread| {
                scope.spawn(move || {
                    let mut statuses = Vec::new();
                    for n in 0.. {
                        let wrong = basic(&format!("user {thread} {n}"), "x");
                        let request = Request::new("GET", "/v2/").header("Authorization", &wrong);
                        statuses.push(request.send(address).status);
                        if done.load(Ordering::SeqCst) {
                            break;
                        }
                    }
                    statuses
                })
            })
            .collect();
        let pulled: Vec<u16> = (0..200).map(|_| login(&server, "alice", "a")).collect();
        done.store(true, Ordering::SeqCst);
        let statuses: Vec<u16> = flooders
            .into_iter()
            .flat_map(|one| one.join().unwrap())
            .collect();
        assert_eq!(pulled, [200; 200]);
        assert!(
            statuses.iter().all(|status| [401, 429].contains(status)),
            "{statuses:?}"
        );
        // Not one comparison is alice's, but for the first, unless this took a minute.
        let tried = statuses.iter().filter(|status| **status == 401).count();
        let of_alice = comparisons(&server) - tried;
        assert!((1..=3).contains(&of_alice), "{of_alice}");
    });
}

pub(crate) fn too_many_failures_are_told_when_to_come_back() {
    let server = start(&[("alice", "a"), ("bob", "b")]);
    let mut answers = (0..20).map(|_| ask(&server, &basic("alice", "x")));
    let throttled = answers.find(|answer| answer.status != 401).unwrap();
    throttled.expect(429, "TOOMANYREQUESTS");
    let wait: u64 = throttled.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert!(
        throttled.all("www-authenticate").is_empty(),
        "nobody is to try again at once"
    );
    assert_eq!(login(&server, "bob", "b"), 200);
    eventually("whoever waits is let in", || {
        login(&server, "alice", "a") == 200
    });
}

/// What clients do when a password was wrong: nothing is left hanging.
#[test]
fn a_push_that_is_refused_is_answered_before_its_body() {
    use std::io::{Read, Write};
    let server = start(&[("alice", "a")]);
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let head = "PUT /v2/a/manifests/t HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\
                Expect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(!answer.contains("100 Continue"), "{answer}");
}

#[test]
fn distribution_lets_in_the_same_users() {
    let theirs = Path::new("/usr/bin/docker-registry");
    if !theirs.is_file() {
        return crate::trace::skip_everywhere(
            "logins of distribution 2.8",
            "no /usr/bin/docker-registry",
        );
    }
    let long = "p".repeat(72);
    let users = [
        ("alice", "a:b"),
        ("jürgen", "straße"),
        ("long", &*long),
        ("with blank", "x"),
    ];
    let server = start(&users);
    let config = server.root.path().join("config.yml");
    let mut distribution = Command::new(theirs);
    distribution
        .arg("serve")
        .arg(config)
        .current_dir(server.root.path());
    distribution
        .env_clear()
        .env("REGISTRY_HTTP_ADDR", "127.0.0.1:0");
    let distribution =
        crate::process::Process::start_saying(distribution, "listening on 127.0.0.1:").unwrap();
    let mut tries = users.to_vec();
    tries.extend([("alice", "a"), ("alice", ""), ("nobody", "x")]);
    tries.extend([
        ("Alice", "a:b"),
        ("with blank ", "x"),
        ("jürgen", "strasse"),
    ]);
    for (user, password) in tries {
        let request = Request::new("GET", "/v2/").header("Authorization", &basic(user, password));
        let answer = crate::client::exchange(distribution.address, &request.wire());
        let expected = crate::client::parse(&answer).unwrap().status;
        assert_eq!(
            login(&server, user, password),
            expected,
            "{user} {password}"
        );
    }
}
