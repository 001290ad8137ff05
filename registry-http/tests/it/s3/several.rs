//! Servers that share a bucket and nothing else.

use crate::client::{Answer, Request};
use crate::manifests::image;
use crate::process::Process;
use crate::server::{Server, Setup, sha256};

/// Whom the next request goes to: everybody in turn.
struct Round<'a> {
    first: &'a Server,
    others: Vec<Process>,
    turn: usize,
}

impl<'a> Round<'a> {
    fn of(first: &'a Server, count: usize) -> Self {
        let beside = (1..count).map(|_| first.beside(Setup::default()).unwrap());
        Self {
            first,
            others: beside.collect(),
            turn: 0,
        }
    }

    fn send(&mut self, request: Request) -> Answer {
        let turn = self.turn;
        self.turn = (turn + 1) % (self.others.len() + 1);
        match turn {
            0 => self.first.send(request),
            other => request.send(self.others[other - 1].address),
        }
    }
}

fn pieces(len: usize) -> Vec<Vec<u8>> {
    let piece = |n: usize| (0..len + n).map(|at| (at * 7 + n) as u8).collect();
    (0..7).map(piece).collect()
}

fn an_upload_goes_on_at_another_server_with_every_piece(count: usize, len: usize) {
    let server = Server::start("s3");
    let mut round = Round::of(&server, count);
    let pieces = pieces(len);
    let whole = pieces.concat();
    let digest = sha256(&whole);
    let begun = round.send(Request::new("POST", "/v2/app/blobs/uploads/"));
    assert_eq!(begun.status, 202);
    let mut url = begun.header("location").to_owned();
    let mut sent = 0;
    for piece in &pieces {
        let patch = Request::new("PATCH", &url).body(piece);
        let answer = round.send(patch);
        sent += piece.len();
        assert_eq!(answer.status, 202, "{answer:?}");
        let range = format!("0-{}", sent - 1);
        assert_eq!(answer.header("range"), range);
        url = answer.header("location").to_owned();
        let status = round.send(Request::new("GET", &url));
        assert_eq!((status.status, status.header("range")), (204, &*range));
    }
    let put = Request::new("PUT", &format!("{url}&digest={digest}"));
    let answer = round.send(put);
    assert_eq!(answer.status, 201, "{answer:?}");
    for _ in 0..count {
        let path = format!("/v2/app/blobs/{digest}");
        let found = round.send(Request::new("GET", &path));
        assert!(found.body == whole);
    }
    let keys = server.bucket().keys();
    let left: Vec<_> = keys.iter().filter(|key| key.contains("/piece-")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(server.bucket().pending().is_empty());
}

#[test]
pub(crate) fn two_servers_take_turns_at_an_upload() {
    an_upload_goes_on_at_another_server_with_every_piece(2, 1_000);
}

#[test]
pub(crate) fn three_servers_take_turns_at_an_upload_of_several_parts() {
    // Seven of these are two parts and a bit.
    an_upload_goes_on_at_another_server_with_every_piece(3, 3_200_000);
}

#[test]
pub(crate) fn what_one_server_is_told_all_know() {
    let server = Server::start("s3");
    let mut round = Round::of(&server, 3);
    let manifest = image(&server, "app", "layer");
    let put = |tag: &str| {
        let request = Request::new("PUT", &format!("/v2/app/manifests/{tag}"));
        let kind = "application/vnd.oci.image.manifest.v1+json";
        request
            .header("Content-Type", kind)
            .body(manifest.as_bytes())
    };
    let tags = |round: &mut Round<'_>| {
        let listed = round.send(Request::new("GET", "/v2/app/tags/list"));
        listed.json()["tags"].to_string()
    };
    for tag in ["a", "b", "c", "d"] {
        assert_eq!(round.send(put(tag)).status, 201);
        let path = format!("/v2/app/manifests/{tag}");
        for _ in 0..3 {
            let found = round.send(Request::new("GET", &path));
            assert_eq!(found.body, manifest.as_bytes());
        }
    }
    assert_eq!(tags(&mut round), r#"["a","b","c","d"]"#);
    let deleted = round.send(Request::new("DELETE", "/v2/app/manifests/b"));
    assert_eq!(deleted.status, 202);
    for _ in 0..3 {
        let gone = round.send(Request::new("GET", "/v2/app/manifests/b"));
        assert_eq!(gone.status, 404);
        assert_eq!(tags(&mut round), r#"["a","c","d"]"#);
    }
    let digest = sha256(manifest.as_bytes());
    let path = format!("/v2/app/manifests/{digest}");
    assert_eq!(round.send(Request::new("DELETE", &path)).status, 202);
    for _ in 0..3 {
        for reference in ["a", &digest] {
            let path = format!("/v2/app/manifests/{reference}");
            assert_eq!(round.send(Request::new("GET", &path)).status, 404);
        }
    }
}

#[test]
pub(crate) fn a_server_that_is_killed_leaves_its_upload_to_the_others() {
    let mut server = Server::start("s3");
    let begun = server.send(Request::new("POST", "/v2/app/blobs/uploads/"));
    let patch = Request::new("PATCH", begun.header("location")).body(b"one half, ");
    let url = server.send(patch).header("location").to_owned();
    let other = server.beside(Setup::default()).unwrap();
    server.process.kill();
    let digest = sha256(b"one half, and the other");
    let put = Request::new("PUT", &format!("{url}&digest={digest}")).body(b"and the other");
    assert_eq!(put.send(other.address).status, 201);
    let found = Request::new("GET", &format!("/v2/app/blobs/{digest}")).send(other.address);
    assert_eq!(found.body, b"one half, and the other");
}
