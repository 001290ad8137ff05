//! The sessions that tutorials print of curl: what a registry with users says to a script, line by line.

use serde_json::{Value, json};

use crate::client::{Answer, Request, exchange, parse};
use crate::htpasswd::lines;
use crate::manifests::image;
use crate::server::{Server, Setup};
use crate::tokens::basic;

const PASSWORDS: &str = "auth: {htpasswd: {realm: Registry Realm, path: ./htpasswd}}\n";

const RULES: &str = "\
extensions:
  access: {rules: [{who: [authenticated], repositories: ['library/**'], actions: [pull]}]}
";

const TOKENS: &str = "\
auth: {htpasswd: {realm: Registry Realm, path: ./htpasswd}}
extensions: {token: {service: registry.example.com}}
";

const LOGIN: (&str, &str) = ("testuser", "testpassword");

const MANIFEST: &str = "/v2/library/app/manifests/latest";

/// A registry with one image and one user, and the bytes of its manifest.
fn start(config: &str) -> (Server, String) {
    let mut server = Server::start("filesystem");
    let manifest = image(&server, "library/app", "layer");
    server.push_manifest("library/app", "latest", &manifest);
    std::fs::write(server.root.path().join("htpasswd"), lines(&[LOGIN])).unwrap();
    server.restart_with(Setup {
        more: config,
        ..Setup::default()
    });
    (server, manifest)
}

/// As `curl -i -u testuser:testpassword` sends it.
fn with_password(request: Request) -> Request {
    request.header("Authorization", &basic(LOGIN.0, LOGIN.1))
}

fn bearer(request: Request, token: &str) -> Request {
    request.header("Authorization", &format!("Bearer {token}"))
}

/// Sends it, and looks at what `curl -i` would show: the first line, and these among the others.
#[track_caller]
fn shows(server: &Server, request: &Request, status: &str, expected: &[&str]) -> Answer {
    let bytes = exchange(server.address, &request.wire());
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut printed = head.split("\r\n");
    assert_eq!(printed.next(), Some(&*format!("HTTP/1.1 {status}")));
    let printed: Vec<&str> = printed.collect();
    let always = [
        "Docker-Distribution-Api-Version: registry/2.0",
        "X-Content-Type-Options: nosniff",
    ];
    for line in expected.iter().chain(&always) {
        assert!(printed.contains(line), "no {line:?} in {text}");
    }
    let length = format!("Content-Length: {}", body.len());
    assert!(
        body.is_empty() || printed.contains(&&*length),
        "{length}: {text}"
    );
    parse(&bytes).unwrap()
}

/// As `curl -I` shows it: all of the same, and nothing below it.
#[track_caller]
fn shows_head(server: &Server, path: &str, whole: &Answer, status: &str, expected: &[&str]) {
    let length = format!("Content-Length: {}", whole.body.len());
    let expected = [expected, &[&*length]].concat();
    let head = shows(server, &Request::new("HEAD", path), status, &expected);
    assert!(head.body.is_empty(), "{head:?}");
}

fn error(code: &str, message: &str, needed: Option<Value>) -> Value {
    let mut error = json!({"code": code, "message": message});
    if let Some(needed) = needed {
        error["detail"] = needed;
    }
    json!({"errors": [error]})
}

fn unauthorized(needed: Value) -> Value {
    error("UNAUTHORIZED", "authentication required", Some(needed))
}

/// One entry of what was needed, in the capitals of distribution.
fn need(kind: &str, name: &str, action: &str) -> Value {
    json!({"Type": kind, "Class": "", "Name": name, "Action": action})
}

const JSON: &str = "Content-Type: application/json; charset=utf-8";

const ASKED: &[&str] = &["Www-Authenticate: Basic realm=\"Registry Realm\"", JSON];

#[test]
fn a_session_with_a_password_is_as_tutorials_print_it() {
    let (server, manifest) = start(PASSWORDS);
    let asked = Request::new("GET", "/v2/");
    let asked = shows(&server, &asked, "401 Unauthorized", ASKED);
    assert_eq!(asked.json(), unauthorized(json!([])));
    shows_head(&server, "/v2/", &asked, "401 Unauthorized", ASKED);
    let wrong = Request::new("GET", "/v2/").header("Authorization", &basic(LOGIN.0, "wrong"));
    let wrong = shows(&server, &wrong, "401 Unauthorized", ASKED);
    assert_eq!(wrong.body, asked.body);

    for method in ["GET", "HEAD"] {
        let entered = with_password(Request::new(method, "/v2/"));
        let lines = ["Content-Length: 2", "Content-Type: application/json"];
        let entered = shows(&server, &entered, "200 OK", &lines);
        let body = if method == "GET" { "{}" } else { "" };
        assert_eq!(entered.body, body.as_bytes());
        assert_eq!(entered.header("www-authenticate"), "");
    }

    let pulled = with_password(Request::new("GET", MANIFEST));
    let kind = "Content-Type: application/vnd.oci.image.manifest.v1+json";
    let pulled = shows(&server, &pulled, "200 OK", &[kind]);
    assert_eq!(pulled.body, manifest.as_bytes());
}

#[test]
fn lists_with_a_password_are_as_tutorials_print_them() {
    let (server, _) = start(PASSWORDS);
    let (all, tags) = ("/v2/_catalog", "/v2/library/app/tags/list");
    for (path, expected, needed) in [
        (
            all,
            json!({"repositories": ["library/app"]}),
            need("registry", "catalog", "*"),
        ),
        (
            tags,
            json!({"name": "library/app", "tags": ["latest"]}),
            need("repository", "library/app", "pull"),
        ),
    ] {
        let listed = with_password(Request::new("GET", path));
        let kind = ["Content-Type: application/json"];
        let listed = shows(&server, &listed, "200 OK", &kind);
        assert_eq!(listed.json(), expected, "{path}");
        let asked = Request::new("GET", path);
        let asked = shows(&server, &asked, "401 Unauthorized", ASKED);
        assert_eq!(asked.json(), unauthorized(json!([needed])), "{path}");
        shows_head(&server, path, &asked, "401 Unauthorized", ASKED);
    }
}

#[test]
fn who_is_known_and_lacks_a_right_is_told_so_in_the_words_of_distribution() {
    let (server, _) = start(&format!("{PASSWORDS}{RULES}"));
    let denied = error("DENIED", "requested access to the resource is denied", None);
    for (method, path) in [
        ("GET", "/v2/_catalog"),
        ("GET", "/v2/private/app/tags/list"),
        ("POST", "/v2/library/app/blobs/uploads/"),
        ("DELETE", MANIFEST),
    ] {
        let request = with_password(Request::new(method, path));
        let told = shows(&server, &request, "403 Forbidden", &[JSON]);
        assert_eq!(told.json(), denied, "{method} {path}");
        assert_eq!(told.header("www-authenticate"), "", "{method} {path}");
    }
}

/// The values of a challenge, as scripts cut them out.
fn value<'a>(challenge: &'a str, name: &str) -> &'a str {
    let (_, rest) = challenge.split_once(&format!("{name}=\"")).unwrap();
    rest.split_once('"').unwrap().0
}

/// Gets the token that a challenge asks for, with the password, as it says and knowing nothing else.
fn token_for(server: &Server, challenge: &str) -> String {
    let realm = value(challenge, "realm");
    let path = realm.strip_prefix("http://registry").unwrap();
    let (service, scope) = (value(challenge, "service"), value(challenge, "scope"));
    let path = format!("{path}?service={service}&scope={scope}");
    let answer = with_password(Request::new("GET", &path));
    let answer = shows(server, &answer, "200 OK", &[]).json();
    assert_eq!(answer["access_token"], answer["token"]);
    answer["token"].as_str().unwrap().to_owned()
}

const PULL: &str = "Bearer realm=\"http://registry/auth/token\",\
    service=\"registry.example.com\",scope=\"repository:library/app:pull\"";

#[test]
fn a_session_with_a_token_is_as_tutorials_print_it() {
    let (server, manifest) = start(TOKENS);
    let line = format!("Www-Authenticate: {PULL}");
    let asked = Request::new("GET", MANIFEST);
    let asked = shows(&server, &asked, "401 Unauthorized", &[&line, JSON]);
    let pull = need("repository", "library/app", "pull");
    assert_eq!(asked.json(), unauthorized(json!([pull])));
    shows_head(
        &server,
        MANIFEST,
        &asked,
        "401 Unauthorized",
        &[&line, JSON],
    );
    let token = token_for(&server, asked.header("www-authenticate"));
    let pulled = bearer(Request::new("GET", MANIFEST), &token);
    let pulled = shows(&server, &pulled, "200 OK", &[]);
    assert_eq!(pulled.body, manifest.as_bytes());

    let anew = "Www-Authenticate: Bearer realm=\"http://registry/auth/token\",\
                service=\"registry.example.com\",error=\"invalid_token\"";
    let cut = bearer(Request::new("GET", "/v2/"), &token[1..]);
    let cut = shows(&server, &cut, "401 Unauthorized", &[anew, JSON]);
    assert_eq!(cut.json(), unauthorized(json!([])));
}

#[test]
fn a_token_of_too_little_is_told_what_it_lacks_and_the_next_one_has_it() {
    let (server, _) = start(TOKENS);
    let pull = token_for(&server, PULL);
    let of = |name, actions: &[&str]| {
        let needs = actions
            .iter()
            .map(|action| need("repository", name, action));
        needs.collect::<Value>()
    };
    let uploads = "/v2/library/app/blobs/uploads/";
    for (method, path, scope, needed, status) in [
        (
            "POST",
            uploads,
            "repository:library/app:pull,push",
            of("library/app", &["pull", "push"]),
            "202 Accepted",
        ),
        (
            "GET",
            "/v2/other/tags/list",
            "repository:other:pull",
            of("other", &["pull"]),
            "404 Not Found",
        ),
        (
            "GET",
            "/v2/_catalog",
            "registry:catalog:*",
            json!([need("registry", "catalog", "*")]),
            "200 OK",
        ),
        (
            "DELETE",
            MANIFEST,
            "repository:library/app:delete",
            of("library/app", &["delete"]),
            "202 Accepted",
        ),
    ] {
        let before = PULL.split(",scope=").next().unwrap();
        let challenge = format!("{before},scope=\"{scope}\",error=\"insufficient_scope\"");
        let line = format!("Www-Authenticate: {challenge}");
        let little = bearer(Request::new(method, path), &pull);
        let told = shows(&server, &little, "401 Unauthorized", &[&line, JSON]);
        assert_eq!(told.json(), unauthorized(needed), "{method} {path}");
        let token = token_for(&server, &challenge);
        let enough = bearer(Request::new(method, path), &token);
        shows(&server, &enough, status, &[]);
    }
}
