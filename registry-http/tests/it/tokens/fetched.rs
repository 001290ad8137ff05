//! `auth.token.jwks` as a URL: tokens of another service, whose keys are fetched.

use super::{ALICE, ask, start, token_of, with};
use crate::client::Answer;
use crate::https::{Authority, Https, Reply};
use crate::server::{Server, Setup};

fn believing(jwks: &str) -> String {
    format!(
        "auth: {{token: {{realm: 'https://auth.example/t', service: there, issuer: here, jwks: '{jwks}'}}}}\n"
    )
}

/// Another registry, which believes the keys at this URL, and certificates of this authority.
fn believer(url: &str, authority: &Authority) -> Server {
    Server::with(
        "inmemory",
        Setup {
            more: &believing(url),
            variables: &[("SSL_CERT_FILE", &authority.file())],
            ..Setup::default()
        },
    )
}

/// A token for that registry, of the service of this one, and the keys that it is signed with.
fn token_and_keys(server: &Server) -> (String, Vec<u8>) {
    let token = token_of(&ask(server, ALICE, "service=there"));
    (token, server.get("/auth/token/keys").body)
}

fn enter(server: &Server, token: &str) -> Answer {
    with(server, "GET", "/v2/", token)
}

pub(crate) fn keys_are_fetched_over_https_and_tokens_believed_by_them() {
    let (token, keys) = token_and_keys(&start());
    let (strange, _) = token_and_keys(&start());
    let authority = Authority::new("authority");
    let issuer = Https::start(&authority, "127.0.0.1", Reply::body(&keys));
    let url = format!("https://{}/keys?of=here", issuer.address);
    let other = believer(&url, &authority);
    // The issuer may be started later.
    assert!(issuer.asked().is_empty());
    for _ in 0..3 {
        assert_eq!(enter(&other, &token).status, 200);
        assert_eq!(enter(&other, &strange).status, 401);
    }
    let asked = issuer.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0][0], "GET /keys?of=here HTTP/1.1");
    let host = format!("host: {}", issuer.address);
    assert!(asked[0].contains(&host), "{asked:?}");
}

/// Nobody is let in by the answers of this issuer, and the log says why.
#[track_caller]
fn refused(token: &str, issuer: &Https, authority: &Authority, expected: &str) {
    let url = format!("https://{}/keys", issuer.address);
    let other = believer(&url, authority);
    enter(&other, token).expect(503, "UNAVAILABLE");
    let said = "the keys of `auth.token.jwks` were not fetched";
    let line = other.process.log.wait(said);
    assert!(line.contains(expected), "{line}");
}

/// The same of each of these answers.
#[track_caller]
fn replies_refused(replies: impl IntoIterator<Item = (Reply, &'static str)>) {
    let (token, _) = token_and_keys(&start());
    let authority = Authority::new("authority");
    let issuer = Https::start(&authority, "127.0.0.1", Reply::Silence);
    for (reply, expected) in replies {
        issuer.replies(reply);
        refused(&token, &issuer, &authority, expected);
    }
}

pub(crate) fn keys_of_whom_nobody_vouches_for_are_not_believed() {
    let (token, keys) = token_and_keys(&start());
    let known = Authority::new("known");
    for (authority, host, why) in [
        (&Authority::new("unknown"), "127.0.0.1", "UnknownIssuer"),
        // It only says that it is the one.
        (&Authority::new("known"), "127.0.0.1", "BadSignature"),
        (&known, "localhost", "certificate not valid for name"),
    ] {
        let issuer = Https::start(authority, host, Reply::body(&keys));
        refused(&token, &issuer, &known, why);
        assert!(issuer.asked().is_empty(), "{why}");
    }
}

#[test]
fn nobody_is_sent_elsewhere_for_keys() {
    let (token, keys) = token_and_keys(&start());
    let authority = Authority::new("authority");
    let elsewhere = Https::start(&authority, "127.0.0.1", Reply::body(&keys));
    let issuer = Https::start(&authority, "127.0.0.1", Reply::Silence);
    let there = format!("Location: https://{}/keys\r\n", elsewhere.address);
    for (status, location) in [
        ("301 Moved", there.as_str()),
        ("302 Found", "Location: /other/keys\r\n"),
        ("307 Temporary", &there),
        ("308 Permanent", &there),
    ] {
        let asked = issuer.asked().len();
        issuer.replies(Reply::answer(status, location));
        let why = format!("answered {}, not 200; redirects", &status[..3]);
        refused(&token, &issuer, &authority, &why);
        assert_eq!(issuer.asked().len(), asked + 1, "{status}");
    }
    assert!(elsewhere.asked().is_empty());
}

#[test]
fn what_is_no_set_of_keys_is_told() {
    let long = "a".repeat((1 << 20) + 1);
    let at_length = [b"HTTP/1.1 200 OK\r\n\r\n", long.as_bytes()].concat();
    replies_refused([
        (Reply::status("404 Not Found"), "answered 404, not 200"),
        (Reply::body(b"<html>"), "not a set of keys"),
        (Reply::body(b"{\"keys\":[]}"), "no key of use"),
        (Reply::body(long.as_bytes()), "more than 1048576 bytes"),
        (Reply::Bytes(at_length), "more than 1048576 bytes"),
        (Reply::Bytes(b"SSH-2.0\r\n".to_vec()), "invalid HTTP"),
        (
            Reply::answer("200 OK", "Content-Length: 9\r\n"),
            "the answer breaks off",
        ),
    ]);
}

#[test]
fn an_issuer_that_shakes_no_hands_is_given_up() {
    replies_refused([(Reply::Silence, "no answer within 4s")]);
}

#[test]
fn an_issuer_that_ends_no_answer_is_given_up() {
    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{";
    replies_refused([(Reply::Stall(begun.to_vec()), "no answer in time")]);
}

#[test]
fn on_this_machine_keys_may_come_without_tls() {
    let server = start();
    let (token, _) = token_and_keys(&server);
    let url = format!("http://{}/auth/token/keys", server.address);
    let other = Server::with(
        "inmemory",
        Setup {
            more: &believing(&url),
            ..Setup::default()
        },
    );
    assert_eq!(enter(&other, &token).status, 200);
}

pub(crate) fn a_url_that_is_not_safe_is_refused_at_the_start() {
    let server = Server::start("inmemory");
    for (url, authorities, expected) in [
        ("http://auth.example/keys", "", "only https will do"),
        ("ftp://auth.example/keys", "", "only https URLs"),
        ("https://a:hush@auth.example/", "", "a user and a password"),
        ("https://auth.example/", "./none.pem", "SSL_CERT_FILE"),
        ("https://auth.example/", "./config.yml", "SSL_CERT_FILE"),
    ] {
        let setup = Setup {
            more: &believing(url),
            variables: &[("SSL_CERT_FILE", authorities)],
            ..Setup::default()
        };
        let ended = server.beside(setup).err().unwrap();
        assert_eq!(ended.code, Some(1));
        let said = ended.lines.last().unwrap();
        let named = said.contains("`auth.token`") && said.contains("`jwks`: ");
        assert!(named && said.contains(expected), "{url}: {said}");
        assert!(!said.contains("hush"), "{said}");
    }
}
