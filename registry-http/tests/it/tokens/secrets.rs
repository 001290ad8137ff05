//! What nobody may read in a log, a metric, an answer or a report: secrets are planted, everything
//! is done with them, and all that was said is searched.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{ask, basic, claims, post, token_of, with};
use crate::client::{Answer, Request, exchange};
use crate::health::{ask as ask_debug, debug_address};
use crate::htpasswd::lines;
use crate::server::{Server, Setup, command};

const CONFIG: &str = "\
log: {level: debug}
auth: {htpasswd: {realm: users, path: ./htpasswd, failures: 0}}
http:
  secret: planted-secret
  debug: {addr: '127.0.0.1:0', prometheus: {enabled: true}}
health:
  http:
    - {uri: 'http://user:planted-uri@127.0.0.1:9/', headers: {Authorization: [planted-header]}, interval: 1h, threshold: 9}
extensions:
  access:
    rules:
      - {who: [anonymous], repositories: ['public/**'], actions: [pull]}
      - {who: ['user:alice'], repositories: ['alice/**'], actions: [pull, push, delete]}
  token: {service: here}
";

const PASSWORD: &str = "planted-password";

/// All that was answered to requests with secrets, and those that came into being.
fn everything(server: &Server) -> (Vec<Answer>, Vec<String>) {
    let alice = Some(("alice", PASSWORD));
    let (mut answers, mut secrets) = (Vec::new(), Vec::new());
    let offline = "service=here&client_id=c&offline_token=true&scope=repository:alice/a:pull,push";
    let had = ask(server, alice, offline);
    let token = token_of(&had);
    let refresh = had.json()["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(claims(&token)["sub"], "alice");

    let begun = with(server, "POST", "/v2/alice/a/blobs/uploads/", &token);
    let url = begun.header("location").to_owned();
    let (_, state) = url.split_once("_state=").unwrap();
    secrets.extend([state.to_owned(), token.clone(), refresh.clone()]);
    let bad = format!("{url}&digest=sha256:bad");
    let forged = url.replace("_state=", "_state=forged");
    for (method, path) in [
        ("PATCH", &url),
        ("PUT", &bad),
        ("PATCH", &forged),
        ("DELETE", &url),
    ] {
        answers.push(with(server, method, path, &token));
    }
    answers.push(with(server, "GET", "/v2/bob/a/tags/list", &token));
    answers.push(with(server, "GET", "/v2/", &format!("{token}.x")));
    answers.push(with(server, "GET", "/v2/", &refresh));

    for form in [
        format!("grant_type=password&username=alice&password={PASSWORD}"),
        "grant_type=password&username=alice&password=planted-wrong".to_owned(),
        format!("grant_type=refresh_token&refresh_token={refresh}&client_id=other&service=here"),
        format!("grant_type={PASSWORD}"),
    ] {
        // A token that is had is for who had it.
        let answer = post(server, &form);
        answers.extend(Some(answer).filter(|answer| answer.status != 200));
    }
    // In the query, where they do not belong.
    let query = format!("/auth/token?service=planted-service&password={PASSWORD}");
    answers.push(server.get(&query));
    for path in ["/v2/", "/v2/bob/a/tags/list", "/v2/_catalog"] {
        for password in [PASSWORD, "planted-wrong"] {
            let request = Request::new("GET", path);
            answers.push(server.send(request.header("Authorization", &basic("alice", password))));
        }
    }
    let target = format!("http://alice:{PASSWORD}@registry/v2/");
    answers.push(server.get(&target));
    let junk = Request::new("GET", "/v2/").header("Authorization", &format!("Basic {PASSWORD}"));
    answers.push(server.send(junk));
    let broken = format!("GET /v2/ HTTP/1.1\r\nAuthorization: Bearer {token}\u{1}\r\n\r\n");
    let broken = exchange(server.address, broken.as_bytes());
    assert!(broken.starts_with(b"HTTP/1.1 400 "), "{broken:?}");
    (answers, secrets)
}

#[test]
fn secrets_are_told_to_nobody() {
    let mut server = Server::start("filesystem");
    let users = lines(&[("alice", PASSWORD), ("bob", "b")]);
    fs::write(server.root.path().join("htpasswd"), &users).unwrap();
    server.restart_with(Setup {
        more: CONFIG,
        ..Setup::default()
    });
    let debug = debug_address(&server);
    let (answers, mut secrets) = everything(&server);
    let hash = users.lines().next().unwrap().split_once(':').unwrap().1;
    let planted = ["password", "wrong", "secret", "uri", "header"];
    secrets.extend(planted.map(|name| format!("planted-{name}")));
    secrets.push(hash.to_owned());
    for password in [PASSWORD, "planted-wrong"] {
        secrets.push(STANDARD.encode(format!("alice:{password}")));
    }
    for entry in fs::read_dir(server.root.path().join("store/token-keys")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
        let private = text.contains("PRIVATE KEY");
        secrets.extend(text.lines().nth(1).filter(|_| private).map(str::to_owned));
    }
    assert!(secrets.len() >= 12, "{secrets:?}");

    // A file that breaks, too.
    fs::write(
        server.root.path().join("htpasswd"),
        format!("alice:{PASSWORD}\n{hash}\n"),
    )
    .unwrap();
    server.process.signal("HUP");
    server.process.log.wait("told to read the users again");
    server.get("/the-end");
    server.process.access.wait("/the-end");
    server.process.log.wait("/the-end");

    let mut said = vec![
        ("the log", server.process.log.lines().join("\n")),
        (
            "the log of requests",
            server.process.access.lines().join("\n"),
        ),
    ];
    for path in ["/metrics", "/debug/health"] {
        let answer = ask_debug(debug, "GET", path);
        said.push((path, String::from_utf8(answer.body).unwrap()));
    }
    // What belongs to who asked is in answers that went well.
    for answer in answers.iter().filter(|answer| answer.status >= 400) {
        let body = String::from_utf8_lossy(&answer.body);
        said.push(("an answer", format!("{answer:?} {body}")));
    }
    assert!(said.len() > 12, "{answers:?}");
    let keys = server.get("/auth/token/keys").body;
    said.push(("the keys", String::from_utf8(keys).unwrap()));
    for flags in [
        &["check"][..],
        &["check", "--all"],
        &["check", "--json", "--all"],
    ] {
        let mut check = command(&[]);
        check.args(flags).arg("config.yml").env_clear();
        check.env("REGISTRY_HTTP_SECRET", "planted-secret");
        let output = check.current_dir(server.root.path()).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(text.contains("htpasswd"), "{text}");
        said.push(("a check", text));
    }
    for (what, text) in said {
        assert!(!text.is_empty(), "{what} says nothing");
        for secret in &secrets {
            assert!(
                !text.contains(secret.as_str()),
                "{what} has {secret}:\n{text}"
            );
        }
    }
}
