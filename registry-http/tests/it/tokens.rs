//! Our own token service over a real port, and who is let in by it.

pub(crate) mod believed;
pub(crate) mod fetched;
mod forged;
pub(crate) mod owned;
mod secrets;
mod shapes;

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::client::{Answer, Request};
use crate::htpasswd::lines;
use crate::manifests::image;
use crate::server::{Server, Setup};

/// Alice may do what she likes in her own, everyone may pull what is public.
const CONFIG: &str = "\
auth: {htpasswd: {realm: users, path: ./htpasswd, failures: 0}}
extensions:
  access:
    rules:
      - {who: [anonymous], repositories: ['public/**'], actions: [pull]}
      - {who: ['user:alice'], repositories: ['alice/**', 'public/**'], actions: [pull, push, delete, catalog]}
      - {who: ['user:bob'], repositories: ['public/*'], actions: [pull, create]}
  token: {service: here, others: [there]}
";

const USERS: &[(&str, &str)] = &[("alice", "a"), ("bob", "b")];

fn start() -> Server {
    let mut server = Server::start("filesystem");
    fs::write(server.root.path().join("htpasswd"), lines(USERS)).unwrap();
    server.restart_with(Setup {
        more: CONFIG,
        ..Setup::default()
    });
    server
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn ask(server: &Server, user: Option<(&str, &str)>, query: &str) -> Answer {
    let mut request = Request::new("GET", &format!("/auth/token?{query}"));
    if let Some((user, password)) = user {
        request = request.header("Authorization", &basic(user, password));
    }
    server.send(request)
}

fn post(server: &Server, form: &str) -> Answer {
    let request = Request::new("POST", "/auth/token")
        .header("Content-Type", "application/x-www-form-urlencoded");
    server.send(request.body(form.as_bytes()))
}

fn token_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    let json = answer.json();
    assert_eq!(json["token"], json["access_token"]);
    assert!(json["expires_in"].as_u64().unwrap() >= 60, "{json}");
    assert!(json["issued_at"].as_str().unwrap().ends_with('Z'), "{json}");
    json["token"].as_str().unwrap().to_owned()
}

fn token(server: &Server, user: Option<(&str, &str)>, scope: &str) -> String {
    let query = format!("service=here&scope={scope}");
    token_of(&ask(server, user, &query))
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn with(server: &Server, method: &str, path: &str, token: &str) -> Answer {
    let request = Request::new(method, path);
    server.send(request.header("Authorization", &format!("Bearer {token}")))
}

const ALICE: Option<(&str, &str)> = Some(("alice", "a"));
const BOB: Option<(&str, &str)> = Some(("bob", "b"));

pub(crate) fn a_client_is_sent_to_the_token_service_and_let_in_with_what_it_gets() {
    let server = start();
    let asked = server.get("/v2/");
    asked.expect(401, "UNAUTHORIZED");
    let realm = "http://registry/auth/token";
    let challenge = format!("Bearer realm=\"{realm}\",service=\"here\"");
    assert_eq!(asked.header("www-authenticate"), challenge);
    for told in ["https", "HTTPS", "https, http", "https,https"] {
        let behind = Request::new("GET", "/v2/").header("X-Forwarded-Proto", told);
        let behind = server.send(behind);
        let begin = "Bearer realm=\"https://registry/auth/token\"";
        assert!(
            behind.header("www-authenticate").starts_with(begin),
            "{told}"
        );
    }
    let push = server.send(Request::new("POST", "/v2/alice/a/blobs/uploads/"));
    let scope = ",scope=\"repository:alice/a:pull,push\"";
    assert_eq!(
        push.header("www-authenticate"),
        format!("{challenge}{scope}")
    );
    let token = token(&server, ALICE, "repository:alice/a:pull,push");
    assert_eq!(with(&server, "GET", "/v2/", &token).status, 200);
    let begun = with(&server, "POST", "/v2/alice/a/blobs/uploads/", &token);
    assert_eq!(begun.status, 202);
    // Valid, and for something else.
    let other = with(&server, "POST", "/v2/public/a/blobs/uploads/", &token);
    other.expect(401, "UNAUTHORIZED");
    assert!(
        other
            .header("www-authenticate")
            .ends_with(",error=\"insufficient_scope\"")
    );
    let junk = with(&server, "GET", "/v2/", "junk");
    assert!(
        junk.header("www-authenticate")
            .ends_with(",error=\"invalid_token\"")
    );
}

#[test]
fn a_token_carries_what_is_allowed_of_what_was_asked_for() {
    let server = start();
    let access = |user, scope: &str| claims(&token(&server, user, scope))["access"].to_string();
    let all = "repository:public/a:pull,push,delete";
    let of = |actions: &str| {
        format!("[{{\"actions\":[{actions}],\"name\":\"public/a\",\"type\":\"repository\"}}]")
    };
    assert_eq!(access(ALICE, all), of("\"pull\",\"push\",\"delete\""));
    assert_eq!(access(BOB, all), of("\"pull\",\"push\""));
    assert_eq!(access(None, all), of("\"pull\""));
    assert_eq!(access(None, "repository:alice/a:pull"), "[]");
    assert_eq!(access(BOB, "registry:catalog:*"), "[]");
    // Elsewhere nobody would keep what she may not pull from the list, either.
    let listing = ask(&server, ALICE, "service=there&scope=registry:catalog:*");
    assert_eq!(claims(&token_of(&listing))["access"].to_string(), "[]");
    let two = access(
        ALICE,
        "repository:alice/a:pull&scope=repository:public/a:pull",
    );
    assert_eq!(
        two,
        access(ALICE, "repository:alice/a:pull%20repository:public/a:pull")
    );
    let nobody = claims(&token(&server, None, all));
    assert_eq!(
        (&nobody["sub"], &nobody["aud"]),
        (&Value::from(""), &Value::from("here"))
    );
    // Elsewhere nobody would keep bob from moving tags.
    let there = ask(&server, BOB, &format!("service=there&scope={all}"));
    let there = claims(&token_of(&there));
    assert_eq!(there["access"].to_string(), of("\"pull\""));
    ask(&server, ALICE, "service=nowhere").expect(400, "UNSUPPORTED");
    let many = "repository:a:pull%20".repeat(100);
    ask(&server, ALICE, &format!("scope={many}")).expect(400, "UNSUPPORTED");
}

#[test]
fn who_may_create_moves_no_tag_by_a_token_either() {
    let server = start();
    let token = token(&server, ALICE, "repository:public/a:pull,push");
    let put = |token: &str, tag: &str, body: &str| {
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let request = Request::new("PUT", &format!("/v2/public/a/manifests/{tag}"));
        let request = request.header("Content-Type", kind);
        let request = request.header("Authorization", &format!("Bearer {token}"));
        server.send(request.body(body.as_bytes())).status
    };
    let push_blob = |content: &str| {
        let digest = crate::server::sha256(content.as_bytes());
        let path = format!("/v2/public/a/blobs/uploads/?digest={digest}");
        let request =
            Request::new("POST", &path).header("Authorization", &format!("Bearer {token}"));
        assert_eq!(server.send(request.body(content.as_bytes())).status, 201);
        digest
    };
    let config = push_blob("{}");
    let manifest = |mark: &str| {
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let config = format!(
            r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}}"#
        );
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{config},"layers":[],"annotations":{{"mark":"{mark}"}}}}"#
        )
    };
    assert_eq!(put(&token, "latest", &manifest("one")), 201);
    let bobs = self::token(&server, BOB, "repository:public/a:pull,push");
    assert_eq!(put(&bobs, "latest", &manifest("two")), 403);
    assert_eq!(put(&bobs, "new", &manifest("two")), 201);
    assert_eq!(put(&token, "latest", &manifest("two")), 201);
}

#[test]
fn nobody_in_particular_pulls_what_is_public_and_lists_nothing() {
    let mut server = start();
    server.restart();
    let digest = server.push_manifest("public/a", "t", &image(&server, "public/a", "p"));
    server.push_manifest("alice/a", "t", &image(&server, "alice/a", "p"));
    server.restart_with(Setup {
        more: CONFIG,
        ..Setup::default()
    });
    let anonymous = token(&server, None, "repository:public/a:pull");
    for path in ["/v2/public/a/manifests/t", "/v2/public/a/tags/list"] {
        assert_eq!(with(&server, "GET", path, &anonymous).status, 200, "{path}");
        // Without a token it is the same.
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    assert_eq!(
        server
            .head(&format!("/v2/public/a/manifests/{digest}"))
            .status,
        200
    );
    server
        .get("/v2/alice/a/manifests/t")
        .expect(401, "UNAUTHORIZED");
    server
        .get("/v2/alice/b/manifests/t")
        .expect(401, "UNAUTHORIZED");
    server.get("/v2/_catalog").expect(401, "UNAUTHORIZED");
    let listing = token(&server, ALICE, "registry:catalog:*");
    let listed = with(&server, "GET", "/v2/_catalog", &listing);
    let all = serde_json::json!(["alice/a", "public/a"]);
    assert_eq!(listed.json()["repositories"], all);
    server.get("/v2/_catalog").expect(401, "UNAUTHORIZED");
    let listed = Request::new("GET", "/v2/_catalog").header("Authorization", &basic("alice", "a"));
    let listed = server.send(listed).json();
    assert_eq!(
        listed["repositories"],
        serde_json::json!(["alice/a", "public/a"])
    );
}

pub(crate) fn passwords_and_refresh_tokens_come_in_a_form() {
    let server = start();
    let scope = "scope=repository:alice/a:pull";
    let login =
        format!("grant_type=password&username=alice&password=a&client_id=c&service=here&{scope}");
    let once = post(&server, &login);
    assert_eq!(once.json()["refresh_token"], Value::Null);
    assert_eq!(once.json()["scope"], "repository:alice/a:pull");
    assert_eq!(claims(&token_of(&once))["sub"], "alice");
    let kept = post(&server, &format!("{login}&access_type=offline")).json();
    let kept = kept["refresh_token"].as_str().unwrap().to_owned();
    let refresh = |more: &str| {
        post(
            &server,
            &format!("grant_type=refresh_token&refresh_token={kept}&{more}&{scope}"),
        )
    };
    let again = refresh("client_id=c&service=here");
    assert_eq!(claims(&token_of(&again))["sub"], "alice");
    assert_eq!(again.json()["refresh_token"], kept.as_str());
    refresh("client_id=d&service=here").expect(401, "UNAUTHORIZED");
    refresh("client_id=c&service=there").expect(401, "UNAUTHORIZED");
    // By GET, as docker login does.
    let docker = ask(
        &server,
        ALICE,
        "service=here&client_id=docker&offline_token=true&account=alice",
    );
    assert!(docker.json()["refresh_token"].is_string());

    post(
        &server,
        "grant_type=password&username=alice&password=x&service=here",
    )
    .expect(401, "UNAUTHORIZED");
    for form in ["", "grant_type=magic", "grant_type=refresh_token", "\u{ff}"] {
        post(&server, form).expect(400, "UNSUPPORTED");
    }
    assert_eq!(
        server.send(Request::new("DELETE", "/auth/token")).status,
        405
    );

    // A new password, and what hung on the old one is worth nothing.
    let path = server.root.path().join("htpasswd");
    fs::write(path, lines(&[("alice", "new"), ("bob", "b")])).unwrap();
    server.process.signal("HUP");
    server.process.log.wait("told to read the users again");
    crate::process::wait_for(|| (refresh("client_id=c&service=here").status == 401).then_some(()));
}

#[test]
fn a_form_has_a_bound_and_is_called_a_form() {
    let server = start();
    let form = "grant_type=password&username=alice&password=a&service=here&padding=";
    let of_length = |length: usize| format!("{form}{}", "x".repeat(length - form.len()));
    token_of(&post(&server, &of_length(64 << 10)));
    let larger = post(&server, &of_length((64 << 10) + 1));
    larger.expect(413, "UNSUPPORTED");
    let detail = larger.json()["errors"][0]["detail"].to_string();
    assert_eq!(detail, "\"form larger than 65536 bytes\"");
}

#[test]
fn what_is_no_login_is_not_taken_for_nobody() {
    let server = start();
    for odd in [
        "Basic !!!",
        "Basic",
        "Basic YWxpY2U=",
        "Basic YWxpY2U6/w==",
        "Bearer x",
        "Foo x",
    ] {
        for path in ["/auth/token?service=here", "/v2/public/a/tags/list", "/v2/"] {
            let request = Request::new("GET", path).header("Authorization", odd);
            assert_eq!(server.send(request).status, 401, "{odd} {path}");
        }
    }
    for half in ["username=alice", "password=a"] {
        post(&server, &format!("grant_type=password&service=here&{half}"))
            .expect(400, "UNSUPPORTED");
    }
}

#[test]
fn who_is_gone_is_gone_with_the_tokens() {
    let server = start();
    let token = token(&server, BOB, "repository:public/a:pull");
    assert_eq!(with(&server, "GET", "/v2/", &token).status, 200);
    fs::write(server.root.path().join("htpasswd"), lines(&USERS[..1])).unwrap();
    server.process.signal("HUP");
    crate::process::wait_for(|| {
        let gone = with(&server, "GET", "/v2/", &token);
        (gone.status == 401).then_some(())
    });
}

#[test]
fn a_token_ends_with_the_password_it_was_given_for_and_with_its_user() {
    let server = start();
    let scope = "repository:public/a:pull";
    let path = server.root.path().join("htpasswd");
    let users_are = |lines: &str| {
        fs::write(&path, lines).unwrap();
        server.process.signal("HUP");
    };
    let is_over = |token: &str| {
        let answer = with(&server, "GET", "/v2/", token);
        (answer.status == 401).then_some(())
    };
    let (alice, bob) = (token(&server, ALICE, scope), token(&server, BOB, scope));
    assert_eq!(with(&server, "GET", "/v2/", &alice).status, 200);
    assert_eq!(with(&server, "GET", "/v2/", &bob).status, 200);
    let before = fs::read_to_string(&path).unwrap();
    let of_bob = before.lines().find(|line| line.starts_with("bob:"));
    let of_alice = lines(&[("alice", "new")]);
    users_are(&format!("{of_alice}{}\n", of_bob.unwrap()));
    crate::process::wait_for(|| is_over(&alice));
    assert_eq!(with(&server, "GET", "/v2/", &bob).status, 200, "as before");
    let alice = token(&server, Some(("alice", "new")), scope);
    assert_eq!(with(&server, "GET", "/v2/", &alice).status, 200);
    // Gone, and somebody else under the same name.
    users_are(&of_alice);
    crate::process::wait_for(|| is_over(&bob));
    users_are(&lines(USERS));
    crate::process::wait_for(|| (ask(&server, BOB, "service=here").status == 200).then_some(()));
    let refused = with(&server, "GET", "/v2/", &bob);
    refused.expect(401, "UNAUTHORIZED");
    let challenge = refused.header("www-authenticate");
    assert!(
        challenge.ends_with(",error=\"invalid_token\""),
        "{challenge}"
    );
}

#[test]
fn wrong_passwords_are_asked_for_again_and_tell_nothing() {
    let server = start();
    for (user, password) in [("alice", "x"), ("eve", "x"), ("alice", "")] {
        let refused = ask(&server, Some((user, password)), "service=here");
        refused.expect(401, "UNAUTHORIZED");
        assert_eq!(refused.header("www-authenticate"), "Basic realm=\"here\"");
    }
    let log = server.process.log.lines().join("\n");
    assert!(!log.contains(&basic("alice", "x")[6..]), "{log}");
}

#[test]
fn the_keys_are_kept_and_told_to_others() {
    let mut server = start();
    let token = token(&server, ALICE, "repository:alice/a:pull");
    let keys = server.get("/auth/token/keys").json();
    let key = &keys["keys"][0];
    assert_eq!(
        (&key["kty"], &key["alg"]),
        (&Value::from("EC"), &Value::from("ES256"))
    );
    assert!(key.get("d").is_none(), "{key}");
    let folder = server.root.path().join("store/token-keys");
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & 0o077, 0, "{path:?}");
    }
    server.restart_with(Setup {
        more: CONFIG,
        ..Setup::default()
    });
    assert_eq!(
        with(&server, "GET", "/v2/", &token).status,
        200,
        "after a restart"
    );
    assert_eq!(server.get("/auth/token/keys").json(), keys);
}
