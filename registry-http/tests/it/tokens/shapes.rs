//! What a token is good for, and what is none.

use super::believed::believer;
use super::{ALICE, BOB, ask, basic, claims, post, start, token, token_of, with};
use crate::client::Request;
use crate::server::Server;

#[test]
fn a_token_for_a_repository_is_for_no_other() {
    let server = start();
    let pull = token(&server, ALICE, "repository:alice/a:pull");
    for (path, status) in [
        ("/v2/alice/a/tags/list", 404),
        ("/v2/alice/a/b/tags/list", 401),
        ("/v2/alice/ab/tags/list", 401),
        ("/v2/alice/tags/list", 401),
        ("/v2/alice/b/tags/list", 401),
        ("/v2/public/a/tags/list", 401),
        ("/v2/Alice/a/tags/list", 400),
        ("/v2/alice/a/../b/tags/list", 400),
        ("/v2/alice%2fa/tags/list", 400),
        ("/v2/_catalog", 401),
    ] {
        let answer = with(&server, "GET", path, &pull);
        assert_eq!(answer.status, status, "{path}");
        let said = answer.header("www-authenticate");
        let says = said.ends_with(",error=\"insufficient_scope\"");
        assert_eq!(says, status == 401, "{path}: {said}");
    }
    for (method, path) in [
        ("POST", "/v2/alice/a/blobs/uploads/"),
        ("PUT", "/v2/alice/a/manifests/t"),
        ("DELETE", "/v2/alice/a/manifests/t"),
    ] {
        assert_eq!(with(&server, method, path, &pull).status, 401, "{path}");
    }
    let both = "repository:alice/a:pull%20repository:alice/b:pull";
    let both = token(&server, ALICE, both);
    for path in ["/v2/alice/a/tags/list", "/v2/alice/b/tags/list"] {
        assert_eq!(with(&server, "GET", path, &both).status, 404, "{path}");
    }
}

#[test]
fn a_scope_that_is_odd_gives_what_can_be_given() {
    let server = start();
    let access = |scope: &str| claims(&token(&server, ALICE, scope))["access"].clone();
    let actions = |scope: &str| access(scope)[0]["actions"].to_string();
    assert_eq!(
        actions("repository:alice/a:*"),
        r#"["pull","push","delete"]"#
    );
    assert_eq!(
        actions("repository:alice/a:pull,fly,pull,"),
        r#"["pull"]"#,
        "what is unknown is not given"
    );
    assert_eq!(actions("repository(image):alice/a:pull"), r#"["pull"]"#);
    for scope in [
        "repository:localhost:5000/alice/a:pull",
        "repository:alice/a",
        "repository:alice/a:",
        "repository::pull",
        "repository:Alice/a:pull",
        "repository:alice/../alice/a:pull",
        "repository:alice/*:pull",
        "spaceship:alice/a:pull",
        ":::",
        "%00",
        "",
    ] {
        let given = access(scope);
        assert_eq!(given.as_array().map_or(0, Vec::len), 0, "{scope}: {given}");
    }
    // One that is odd takes nothing from the others.
    let beside = "repository:localhost:5000/x:pull%20:::%20%20repository:alice/a:pull";
    assert_eq!(access(beside).as_array().unwrap().len(), 1);
}

#[test]
fn a_refresh_token_gives_no_more_than_its_user_may() {
    let server = start();
    let query = "service=here&client_id=c&offline_token=true";
    let kept = ask(&server, BOB, query).json();
    let kept = kept["refresh_token"].as_str().unwrap();
    let scope = "repository:alice/a:pull repository:public/a:pull,push,delete registry:catalog:*";
    let form = format!(
        "grant_type=refresh_token&refresh_token={kept}&client_id=c&service=here&scope={scope}"
    );
    let again = post(&server, &form);
    assert_eq!(claims(&token_of(&again))["sub"], "bob");
    assert_eq!(again.json()["scope"], "repository:public/a:pull,push");
    // And is no token itself.
    let answer = with(&server, "GET", "/v2/", kept);
    assert_eq!(answer.status, 401);
}

/// Every shape of a header; a good token is good there.
fn shapes(server: &Server, good: &str) {
    let cut = &good[..good.len() - 4];
    let table: [(&str, String, u16); 17] = [
        ("as it is", format!("Bearer {good}"), 200),
        ("a scheme in lower case", format!("bearer {good}"), 200),
        ("a scheme in upper case", format!("BEARER {good}"), 200),
        ("nothing", "Bearer".to_owned(), 401),
        ("an empty token", "Bearer ".to_owned(), 401),
        ("another scheme", format!("Token {good}"), 401),
        ("no scheme", good.to_owned(), 401),
        ("a password", basic("", good), 401),
        ("no base64", "Bearer !.!.!".to_owned(), 401),
        ("dots", "Bearer ...".to_owned(), 401),
        ("one part", "Bearer eyJhbGciOiJub25lIn0".to_owned(), 401),
        (
            "no signature",
            "Bearer eyJhbGciOiJub25lIn0.e30.".to_owned(),
            401,
        ),
        ("cut", format!("Bearer {cut}"), 401),
        ("a part more", format!("Bearer {good}.e30"), 401),
        ("two in one", format!("Bearer {good} {good}"), 401),
        ("20 kB", format!("Bearer {}", "a".repeat(20_000)), 401),
        ("64 kB", format!("Bearer {}", "a".repeat(64_000)), 431),
    ];
    for (what, authorization, status) in table {
        let request = Request::new("GET", "/v2/").header("Authorization", &authorization);
        let answer = crate::client::exchange(server.address, &request.wire());
        let answer = crate::client::parse(&answer).unwrap_or_else(|| panic!("{what}"));
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        if status == 401 {
            answer.expect(401, "UNAUTHORIZED");
            let challenge = answer.header("www-authenticate");
            assert!(challenge.starts_with("Bearer realm="), "{what}");
        }
    }
    for second in [basic("alice", "a"), format!("Bearer {good}")] {
        for path in ["/v2/", "/v2/alice/a/tags/list"] {
            let request =
                Request::new("GET", path).header("Authorization", &format!("Bearer {good}"));
            let twice = server.send(request.header("Authorization", &second));
            assert_eq!(twice.status, 400, "two are ambiguous: {path}");
        }
    }
}

#[test]
fn every_shape_of_a_token_is_understood_or_refused() {
    let server = start();
    shapes(&server, &token(&server, ALICE, "repository:alice/a:pull"));
    let other = believer(&server, "");
    let query = "service=there&scope=repository:alice/a:pull";
    shapes(&other, &token_of(&ask(&server, ALICE, query)));
    let twice = Request::new("GET", "/auth/token").header("Authorization", &basic("alice", "a"));
    let twice = server.send(twice.header("Authorization", &basic("bob", "b")));
    assert_eq!(twice.status, 400);
}
