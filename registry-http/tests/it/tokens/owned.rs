//! Uploads, and who may go on with them.

use std::fs;
use std::path::Path;

use super::{basic, token};
use crate::client::{Answer, Request};
use crate::htpasswd::lines;
use crate::server::{Server, Setup, sha256};

const CONFIG: Setup = Setup {
    more: "\
auth: {htpasswd: {realm: users, path: ./htpasswd, failures: 0}}
extensions:
  access:
    rules:
      - {who: [anonymous], repositories: ['open/**'], actions: [pull, push, delete]}
      - {who: [authenticated], repositories: ['team/**'], actions: [pull, push, delete]}
  token: {service: here}
",
    variables: &[],
    through: &[],
};

fn start() -> Server {
    let mut server = Server::start("filesystem");
    let users = lines(&[("alice", "a"), ("bob", "b")]);
    fs::write(server.root.path().join("htpasswd"), users).unwrap();
    server.restart_with(CONFIG);
    server
}

fn by(server: &Server, who: &str, method: &str, path: &str, body: &[u8]) -> Answer {
    let request = Request::new(method, path).body(body);
    match who {
        "" => server.send(request),
        who => server.send(request.header("Authorization", who)),
    }
}

fn begin(server: &Server, who: &str, repo: &str) -> String {
    let begun = by(
        server,
        who,
        "POST",
        &format!("/v2/{repo}/blobs/uploads/"),
        b"",
    );
    assert_eq!(begun.status, 202, "{begun:?}");
    begun.header("location").to_owned()
}

fn finishing(url: &str, digest: &str) -> String {
    let sign = if url.contains('?') { '&' } else { '?' };
    format!("{url}{sign}digest={digest}")
}

fn is_not_there(server: &Server, who: &str, url: &str) {
    let never = sha256(b"never pushed");
    let finish = finishing(url, &never);
    for (method, url) in [
        ("GET", url),
        ("PATCH", url),
        ("PUT", &finish),
        ("DELETE", url),
    ] {
        let body: &[u8] = if method.starts_with('P') {
            b"never pushed"
        } else {
            b""
        };
        let answer = by(server, who, method, url, body);
        // A state that is not of this repository is no state at all.
        let is_foreign = method == "PATCH" && url.contains("/team/b/") && url.contains('?');
        let code = match is_foreign {
            true => "BLOB_UPLOAD_INVALID",
            false => "BLOB_UPLOAD_UNKNOWN",
        };
        answer.expect(404, code);
    }
}

fn bearer(server: &Server, user: (&str, &str)) -> String {
    let scope = "repository:team/a:pull,push,delete&scope=repository:team/b:pull,push,delete";
    format!("Bearer {}", token(server, Some(user), scope))
}

/// Whether a file below has this in it.
fn is_somewhere(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => is_somewhere(&path, text),
            false => String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(text),
        }
    })
}

pub(crate) fn an_upload_is_its_owners_alone_before_and_after_its_first_bytes() {
    let mut server = start();
    let alice = basic("alice", "a");
    for sent in [&b""[..], b"some"] {
        let url = begin(&server, &alice, "team/a");
        if !sent.is_empty() {
            assert_eq!(by(&server, &alice, "PATCH", &url, sent).status, 202);
            // What is known of it is in the store.
            server.restart_with(CONFIG);
        }
        let elsewhere = url.replace("/team/a/", "/team/b/");
        let bare = |url: &str| url.split('?').next().unwrap().to_owned();
        for bob in [basic("bob", "b"), bearer(&server, ("bob", "b"))] {
            for url in [&url, &bare(&url), &elsewhere, &bare(&elsewhere)] {
                is_not_there(&server, &bob, url);
            }
        }
        // The same user by a token, as clients that renew theirs.
        let alice = bearer(&server, ("alice", "a"));
        let status = by(&server, &alice, "GET", &url, b"");
        let range = format!("0-{}", sent.len().saturating_sub(1));
        assert_eq!((status.status, status.header("range")), (204, &*range));
        let more = by(&server, &alice, "PATCH", &url, b" content");
        assert_eq!(more.status, 202, "{more:?}");
        let whole = [sent, b" content"].concat();
        let finish = finishing(&url, &sha256(&whole));
        assert_eq!(
            by(&server, &basic("alice", "a"), "PUT", &finish, b"").status,
            201
        );
    }
}

#[test]
fn an_upload_of_nobody_is_whoevers_has_its_url_and_one_of_a_user_is_not_nobodys() {
    let server = start();
    let alice = basic("alice", "a");
    let digest = sha256(b"ab");
    let url = begin(&server, "", "open/a");
    assert_eq!(by(&server, "", "PATCH", &url, b"a").status, 202);
    // A client that logs in meanwhile.
    assert_eq!(by(&server, &alice, "PATCH", &url, b"b").status, 202);
    assert_eq!(
        by(&server, "", "PUT", &finishing(&url, &digest), b"").status,
        201
    );

    let url = begin(&server, &alice, "open/b");
    assert_eq!(by(&server, &alice, "PATCH", &url, b"a").status, 202);
    assert!(!is_somewhere(&server.root.path().join("store"), "alice"));
    is_not_there(&server, "", &url);
    is_not_there(&server, &basic("bob", "b"), &url);
    assert_eq!(by(&server, &alice, "DELETE", &url, b"").status, 204);
    is_not_there(&server, &alice, url.split('?').next().unwrap());
}
