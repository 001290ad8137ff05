//! `auth.token`: tokens of another service, which is ours here.

use std::fs;

use super::{ALICE, ask, basic, start, token, token_of, with};
use crate::client::Request;
use crate::server::{Server, Setup};

/// Another registry, which believes the tokens of the first by its keys.
pub(super) fn believer(server: &Server, more: &str) -> Server {
    let mut other = Server::start("inmemory");
    let keys = server.get("/auth/token/keys");
    fs::write(other.root.path().join("jwks.json"), &keys.body).unwrap();
    let auth = format!(
        "auth: {{token: {{realm: 'https://auth.example/t', service: there, issuer: here, jwks: ./jwks.json{more}}}}}\n"
    );
    other.restart_with(Setup {
        more: &auth,
        ..Setup::default()
    });
    other
}

pub(crate) fn tokens_of_another_service_are_believed_by_its_keys() {
    let server = start();
    let other = believer(&server, "");
    let asked = other.get("/v2/x/manifests/t");
    asked.expect(401, "UNAUTHORIZED");
    let challenge =
        "Bearer realm=\"https://auth.example/t\",service=\"there\",scope=\"repository:x:pull\"";
    assert_eq!(asked.header("www-authenticate"), challenge);
    let query = "service=there&scope=repository:alice/a:pull,push";
    let alices = token_of(&ask(&server, ALICE, query));
    assert_eq!(with(&other, "GET", "/v2/", &alices).status, 200);
    assert_eq!(
        with(&other, "POST", "/v2/alice/a/blobs/uploads/", &alices).status,
        202
    );
    let elsewhere = with(&other, "POST", "/v2/alice/b/blobs/uploads/", &alices);
    assert!(
        elsewhere
            .header("www-authenticate")
            .ends_with(",error=\"insufficient_scope\"")
    );
    // For another service, and by a password.
    let wrong = token(&server, ALICE, "repository:alice/a:pull");
    let wrong = with(&other, "GET", "/v2/", &wrong);
    assert!(
        wrong
            .header("www-authenticate")
            .ends_with(",error=\"invalid_token\"")
    );
    let basic = Request::new("GET", "/v2/").header("Authorization", &basic("alice", "a"));
    assert_eq!(other.send(basic).status, 401);
}

pub(crate) fn a_realm_on_the_host_that_was_asked_is_told_as_a_proxy_says() {
    let server = start();
    let other = believer(&server, ", autoredirect: true");
    let realm = |headers: &[(&str, &str)]| {
        let mut request = Request::new("GET", "/v2/");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = other.send(request);
        let challenge = answer.header("www-authenticate").to_owned();
        challenge.split('"').nth(1).unwrap().to_owned()
    };
    assert_eq!(realm(&[]), "https://registry/auth/token");
    assert_eq!(
        realm(&[("X-Forwarded-Proto", "http")]),
        "http://registry/auth/token"
    );
    assert_eq!(
        realm(&[("X-Forwarded-Proto", "javascript")]),
        "https://registry/auth/token"
    );
    let other = believer(&server, ", autoredirect: true, autoredirectpath: /t");
    let asked = other.get("/v2/");
    assert!(
        asked
            .header("www-authenticate")
            .starts_with("Bearer realm=\"https://registry/t\"")
    );
}

pub(crate) fn without_keys_nothing_is_served() {
    let server = Server::start("inmemory");
    let token = |more: &str| {
        let auth =
            format!("auth: {{token: {{realm: 'https://a', service: b, issuer: c{more}}}}}\n");
        let setup = Setup {
            more: &auth,
            ..Setup::default()
        };
        let ended = server.beside(setup).err().unwrap();
        assert_eq!(ended.code, Some(1));
        ended.lines.last().unwrap().clone()
    };
    for (more, expected) in [
        ("", "`auth.token`"),
        (", jwks: ./none.json", "none.json"),
        (", rootcertbundle: ./none.pem", "none.pem"),
        (", jwks: ./config.yml", "config.yml"),
        (
            ", rootcertbundle: ./config.yml",
            "no key to verify tokens with",
        ),
        (", signingalgorithms: [RS1]", "RS1"),
    ] {
        let said = token(more);
        assert!(said.contains(expected), "{more}: {said}");
    }
}
