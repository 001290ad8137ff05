//! A verified certificate is somebody whom rules can name, and one that is not is nobody.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::SanType;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::shown::{Shown, World};
use super::{VERSIONS, try_send};
use crate::client::{Answer, Request};
use crate::htpasswd::lines;
use crate::server::{Server, Setup};
use crate::tls::Version;

const VERIFY: &str = "verify-client-cert-if-given";

/// Who asks for the tags of something that is not there is told so, if he may know.
const MAY: u16 = 404;

fn rules(fingerprint: &str) -> String {
    format!(
        "\
extensions:
  access:
    groups:
      readers: [bob, 'certificate:dns=Reader.example.com', 'certificate:uri=spiffe://example/reader']
    rules:
      - {{who: ['certificate:subject=CN=build,O=Example'], repositories: ['team/*'], actions: [pull, push]}}
      - {{who: ['group:readers'], repositories: ['team/*'], actions: [pull, catalog]}}
      - {{who: ['certificate:ip=10.1.2.3', 'certificate:fingerprint={fingerprint}'], repositories: ['by/one'], actions: [pull]}}
      - {{who: ['certificate:email=ci@example.com'], repositories: ['by/mail'], actions: [pull]}}
      - {{who: [authenticated], repositories: ['shared/*', '${{user}}/**'], actions: [pull]}}
      - {{who: [anonymous], repositories: ['public/*'], actions: [pull]}}
"
    )
}

fn fingerprint(shown: &Shown) -> String {
    let digest = registry_core::hasher::digest_of(registry_core::Algorithm::Sha256, shown.leaf());
    digest.hex()
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn ask(world: &World, server: &Server, shown: &Shown, request: &Request) -> Answer {
    let config = shown.client(&world.files, Version::Tls13, &["http/1.1"]);
    try_send(server, config, request).unwrap()
}

fn tags(repo: &str) -> Request {
    Request::new("GET", &format!("/v2/{repo}/tags/list"))
}

#[test]
fn without_users_a_certificate_may_what_rules_give_to_it() {
    let world = World::new();
    let known = world.client("known", vec![]);
    let more = rules(&fingerprint(&known));
    let server = world.files.start("", &world.keys(VERIFY), &more);
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let mail = |text: &str| SanType::Rfc822Name(text.try_into().unwrap());
    let clients = [
        ("nobody", Shown::default(), "public/a"),
        (
            "build",
            world.client("build", vec![]),
            "public/a team/a shared/a",
        ),
        (
            "Build",
            world.client("Build", vec![dns("build")]),
            "public/a shared/a",
        ),
        (
            "user:build",
            world.client("user:build", vec![]),
            "public/a shared/a",
        ),
        ("known", known, "public/a by/one shared/a"),
        (
            "ip",
            world.client("", vec![SanType::IpAddress("10.1.2.3".parse().unwrap())]),
            "public/a by/one shared/a",
        ),
        (
            "mail",
            world.client("", vec![mail("ci@EXAMPLE.com")]),
            "public/a by/mail shared/a",
        ),
        (
            "reader",
            world.client("x", vec![dns("a"), dns("reader.EXAMPLE.com")]),
            "public/a team/a shared/a",
        ),
        (
            "spiffe",
            world.client("x", vec![uri("spiffe://example/reader")]),
            "public/a team/a shared/a",
        ),
        (
            "below",
            world.client("x", vec![dns("a.reader.example.com")]),
            "public/a shared/a",
        ),
        (
            "any",
            world.client("x", vec![dns("*.example.com")]),
            "public/a shared/a",
        ),
        ("own", world.find("own").clone(), "public/a shared/a"),
    ];
    let all = [
        "public/a", "team/a", "by/one", "by/mail", "shared/a", "build/a", "x/a",
    ];
    for (name, shown, may) in &clients {
        for repo in all {
            let expected = if may.split(' ').any(|one| one == repo) {
                MAY
            } else {
                403
            };
            let answer = ask(&world, &server, shown, &tags(repo));
            assert_eq!(answer.status, expected, "{name}: {repo}");
        }
        let entry = ask(&world, &server, shown, &Request::new("GET", "/v2/"));
        assert_eq!(entry.status, 200, "{name}");
    }
    let list = Request::new("GET", "/v2/_catalog");
    assert_eq!(ask(&world, &server, &clients[7].1, &list).status, 200);
    assert_eq!(ask(&world, &server, &clients[1].1, &list).status, 403);
    let begin = Request::new("POST", "/v2/team/a/blobs/uploads/");
    assert_eq!(ask(&world, &server, &clients[1].1, &begin).status, 202);
    assert_eq!(ask(&world, &server, &clients[7].1, &begin).status, 403);
}

#[tokio::test]
async fn over_http_2_it_is_the_same_certificate_for_every_request() {
    let world = World::new();
    let server = world
        .files
        .start("", &world.keys(""), &rules(&"00".repeat(32)));
    for (name, status) in [("build", 404), ("other", 403)] {
        let shown = world.client(name, vec![]);
        for version in VERSIONS {
            let config = shown.client(&world.files, version, &["h2"]);
            let stream = tokio::net::TcpStream::connect(server.address)
                .await
                .unwrap();
            let host = ServerName::try_from("localhost").unwrap();
            let connector = TlsConnector::from(std::sync::Arc::new(config));
            let stream = connector.connect(host, stream).await.unwrap();
            let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            for _ in 0..3 {
                let request = http::Request::get("https://localhost/v2/team/a/tags/list");
                client = client.ready().await.unwrap();
                let (answer, _) = client
                    .send_request(request.body(()).unwrap(), true)
                    .unwrap();
                assert_eq!(
                    answer.await.unwrap().status().as_u16(),
                    status,
                    "{name} {version:?}"
                );
            }
        }
    }
}

const USERS: &str = "auth: {htpasswd: {realm: users, path: ./htpasswd, failures: 0}}\n";

fn with_users(world: &World, auth: &str, more: &str) -> Server {
    let mut server = Server::start("filesystem");
    let users = ["alice", "bob", "build"].map(|user| (user, user));
    fs::write(server.root.path().join("htpasswd"), lines(&users)).unwrap();
    let section = world.files.section("", &world.keys(auth));
    server.restart_with(Setup {
        more: &format!("{section}{USERS}{more}"),
        ..Setup::default()
    });
    server
}

fn by(request: Request, user: &str, password: &str) -> Request {
    let pair = STANDARD.encode(format!("{user}:{password}"));
    request.header("Authorization", &format!("Basic {pair}"))
}

#[test]
fn with_users_both_count_and_neither_is_the_other() {
    let world = World::new();
    let server = with_users(&world, VERIFY, &rules(&"00".repeat(32)));
    let build = world.client("build", vec![]);
    let status = |shown: &Shown, user: &str, repo: &str| {
        let request = match user {
            "" => tags(repo),
            "wrong" => by(tags(repo), "alice", "wrong"),
            user => by(tags(repo), user, user),
        };
        ask(&world, &server, shown, &request).status
    };
    let none = Shown::default();
    // Who shows a certificate has what it has, and is asked to log in for more.
    assert_eq!(status(&build, "", "team/a"), MAY);
    assert_eq!(status(&build, "", "shared/a"), MAY);
    assert_eq!(status(&build, "", "public/a"), MAY);
    assert_eq!(status(&build, "", "build/a"), 401);
    assert_eq!(status(&build, "", "alice/a"), 401);
    let challenge = ask(&world, &server, &build, &tags("alice/a"));
    let challenge = challenge.header("www-authenticate").to_owned();
    assert!(challenge.starts_with("Bearer realm="), "{challenge}");
    assert!(!challenge.contains("error="), "{challenge}");
    // Who logs in besides loses nothing, and has what is the user's.
    assert_eq!(status(&build, "alice", "team/a"), MAY);
    assert_eq!(status(&build, "alice", "alice/a"), MAY);
    assert_eq!(status(&build, "alice", "build/a"), 403);
    assert_eq!(status(&none, "alice", "team/a"), 403);
    assert_eq!(status(&none, "bob", "team/a"), MAY, "he is in the group");
    // A user of the certificate's name is that user and no more.
    assert_eq!(status(&none, "build", "team/a"), 403);
    assert_eq!(status(&none, "build", "build/a"), MAY);
    // What is wrong stays wrong.
    assert_eq!(status(&build, "wrong", "team/a"), 401);
    assert_eq!(status(&build, "wrong", "public/a"), 401);
    assert_eq!(status(&none, "", "team/a"), 401);
}

/// Clients learn at `/v2/` how to log in, and use no password or token where they were not asked
/// for one there.
#[test]
fn a_client_with_nothing_but_a_certificate_has_a_token_of_nobody_beside_it() {
    let world = World::new();
    let only_team = "\
extensions:
  access:
    rules:
      - {who: ['certificate:subject=CN=build,O=Example'], repositories: ['team/*'], actions: [pull, push]}
      - {who: ['user:alice'], repositories: ['alice/*'], actions: [pull]}
";
    let server = with_users(&world, VERIFY, only_team);
    let (build, none) = (world.client("build", vec![]), Shown::default());
    let entry = ask(&world, &server, &build, &Request::new("GET", "/v2/"));
    assert_eq!(entry.status, 401);
    let challenge = entry.header("www-authenticate");
    assert!(challenge.starts_with("Bearer realm="), "{challenge}");
    let fetch = "/auth/token?service=registry&scope=repository:team/a:pull,push";
    let fetch = || Request::new("GET", fetch);
    assert_eq!(ask(&world, &server, &none, &fetch()).status, 401);
    let token = |answer: Answer| {
        assert_eq!(answer.status, 200, "{answer:?}");
        format!("Bearer {}", answer.json()["token"].as_str().unwrap())
    };
    let nobody = token(ask(&world, &server, &build, &fetch()));
    let alice = token(ask(&world, &server, &build, &by(fetch(), "alice", "alice")));
    let status = |shown: &Shown, token: &str, repo: &str| {
        let request = tags(repo).header("Authorization", token);
        ask(&world, &server, shown, &request).status
    };
    for token in [&nobody, &alice] {
        assert_eq!(status(&build, token, "team/a"), MAY);
        // It is the certificate that may, and not the token.
        assert_eq!(status(&none, token, "team/a"), 401);
        assert_eq!(status(&build, token, "other/a"), 401);
    }
    let entry = Request::new("GET", "/v2/").header("Authorization", &nobody);
    assert_eq!(ask(&world, &server, &build, &entry).status, 200);
}

#[test]
fn an_upload_is_of_the_certificate_that_began_it() {
    let world = World::new();
    let server = world.files.start("", &world.keys(""), "");
    let (build, other) = (world.client("build", vec![]), world.client("other", vec![]));
    let renewed = world.client("build", vec![]);
    let begin = Request::new("POST", "/v2/a/blobs/uploads/");
    let begun = ask(&world, &server, &build, &begin);
    assert_eq!(begun.status, 202);
    let url = begun.header("location");
    let look = Request::new("GET", url);
    assert_eq!(ask(&world, &server, &other, &look).status, 404);
    assert_eq!(ask(&world, &server, &build, &look).status, 204);
    assert_eq!(ask(&world, &server, &renewed, &look).status, 204);
}

#[test]
fn without_rules_a_certificate_is_no_login() {
    let world = World::new();
    let server = with_users(&world, "", "");
    let good = world.find("good");
    assert_eq!(ask(&world, &server, good, &tags("a")).status, 401);
    let alice = by(tags("a"), "alice", "alice");
    assert_eq!(ask(&world, &server, good, &alice).status, MAY);
}

#[test]
fn what_nobody_vouches_for_is_nobody() {
    let world = World::new();
    let rules = "\
extensions:
  access:
    rules:
      - {who: [authenticated], repositories: ['**'], actions: [pull]}
      - {who: [anonymous], repositories: ['public/*'], actions: [pull]}
";
    for auth in ["request-client-cert", "require-any-client-cert"] {
        let server = with_users(&world, auth, rules);
        for name in ["good", "own", "own, not trusted", "expired"] {
            let shown = world.find(name);
            assert_eq!(
                ask(&world, &server, shown, &tags("a")).status,
                401,
                "{auth} {name}"
            );
            assert_eq!(ask(&world, &server, shown, &tags("public/a")).status, MAY);
            let alice = by(tags("a"), "alice", "alice");
            assert_eq!(ask(&world, &server, shown, &alice).status, MAY);
        }
    }
}
