//! Uploads in every way that clients push.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::client::{Answer, Request, exchange, parse};
use crate::process::{connect, wait_for};
use crate::server::{Server, sha256, sha512};

crate::on_each_driver![
    an_upload_goes_through_post_patch_and_put,
    one_post_is_enough,
    sha512_is_as_good_as_sha256,
    chunks_must_follow_each_other,
    a_range_that_ends_before_it_begins_is_refused,
    lengths_that_cannot_be_added_are_refused,
    a_wrong_digest_is_refused_and_nothing_is_kept,
    a_missing_digest_leaves_the_upload_usable,
    an_upload_belongs_to_its_repository,
    a_cancelled_upload_is_gone_for_good,
    a_finish_may_be_repeated,
    what_arrived_before_a_cut_is_kept;
    "writers on several servers meet at the record, not at the first byte":
        a_second_writer_is_told_where_the_upload_stands,
];

fn begin(server: &Server, repo: &str) -> Answer {
    let answer = server.send(Request::new("POST", &format!("/v2/{repo}/blobs/uploads/")));
    assert_eq!((answer.status, answer.header("range")), (202, "0-0"));
    assert!(
        answer
            .header("location")
            .ends_with(answer.header("location").rsplit('/').next().unwrap())
    );
    assert_eq!(answer.header("docker-upload-uuid").len(), 36);
    answer
}

fn url(server: &Server, repo: &str) -> String {
    begin(server, repo).header("location").to_owned()
}

pub(crate) fn an_upload_goes_through_post_patch_and_put(server: &Server) {
    let content: Vec<u8> = (0..2_000_000u32).map(|at| (at % 249) as u8).collect();
    let url = url(server, "a");
    let answer = server.send(Request::new("PATCH", &url).chunked(&content));
    assert_eq!((answer.status, answer.header("range")), (202, "0-1999999"));
    let digest = sha256(&content);
    let next = answer.header("location");
    let answer = server.send(Request::new("PUT", &format!("{next}&digest={digest}")));
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("location"), format!("/v2/a/blobs/{digest}"));
    assert!(server.get(&format!("/v2/a/blobs/{digest}")).body == content);
    assert_eq!(server.get(next).status, 404);
}

pub(crate) fn one_post_is_enough(server: &Server) {
    let digest = sha256(b"whole");
    let post = |body: &[u8]| {
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        server.send(Request::new("POST", &path).body(body))
    };
    assert_eq!(post(b"whole").status, 201);
    post(b"other").expect(400, "DIGEST_INVALID");
    assert_eq!(post(b"").status, 202);
    assert_eq!(server.get(&format!("/v2/a/blobs/{digest}")).body, b"whole");
    // Without a body there is nothing to compare, however that is said.
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    let bare = format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let bare = parse(&exchange(server.next(), bare.as_bytes())).unwrap();
    let chunked = server.send(Request::new("POST", &path).chunked(b""));
    for answer in [bare, chunked] {
        assert_eq!((answer.status, answer.header("range")), (202, "0-0"));
    }
    let whole = server.send(Request::new("POST", &path).chunked(b"whole"));
    assert_eq!(whole.status, 201);
    // Unless the blob is that of no bytes.
    let empty = format!("/v2/a/blobs/uploads/?digest={}", sha256(b""));
    assert_eq!(server.send(Request::new("POST", &empty)).status, 201);
    assert_eq!(
        server
            .send(Request::new("POST", &empty).chunked(b""))
            .status,
        201
    );
}

fn a_range_that_ends_before_it_begins_is_refused(server: &Server) {
    let url = url(server, "a");
    let patch = |range: &str, body: &[u8]| {
        let patch = Request::new("PATCH", &url).header("Content-Range", range);
        server.send(patch.body(body))
    };
    let most = u64::MAX;
    patch(&format!("0-{most}"), b"").expect(400, "SIZE_INVALID");
    assert_eq!(patch("0-6", b"0123456").status, 202);
    for (range, body) in [("7-3", "ab"), ("7-6", ""), ("7-0", ""), ("7-6", "ab")] {
        let answer = patch(range, body.as_bytes());
        answer.expect(416, "RANGE_INVALID");
        assert_eq!(answer.header("range"), "0-6", "{range}");
        assert!(
            answer
                .header("location")
                .starts_with("/v2/a/blobs/uploads/")
        );
    }
    patch("7-8", b"abc").expect(400, "SIZE_INVALID");
    patch(&format!("7-{most}"), b"ab").expect(400, "SIZE_INVALID");
    let chunked = Request::new("PATCH", &url).header("Content-Range", "7-6");
    server
        .send(chunked.chunked(b""))
        .expect(416, "RANGE_INVALID");
    assert_eq!(server.get(&url).header("range"), "0-6");
    let put = Request::new("PUT", &format!("{url}&digest={}", sha256(b"0123456")));
    let reversed = server.send(put.header("Content-Range", "7-6"));
    reversed.expect(416, "RANGE_INVALID");
    assert_eq!(patch("7-8", b"ab").status, 202);
}

fn lengths_that_cannot_be_added_are_refused(server: &Server) {
    let url = url(server, "a");
    let ten = Request::new("PATCH", &url).body(b"0123456789");
    assert_eq!(server.send(ten).status, 202);
    let put = format!(
        "PUT {url}&digest={} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        sha256(b"0123456789"),
        u64::MAX - 3
    );
    let mut stream = connect(server.next());
    stream.write_all(put.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    parse(&answer).unwrap().expect(400, "SIZE_INVALID");
    assert_eq!(server.get(&url).header("range"), "0-9");
}

pub(crate) fn sha512_is_as_good_as_sha256(server: &Server) {
    let digest = sha512(b"long");
    for (at, announced) in ["", "?digest-algorithm=sha512"].iter().enumerate() {
        let repo = format!("r{at}");
        let begun = server.send(Request::new(
            "POST",
            &format!("/v2/{repo}/blobs/uploads/{announced}"),
        ));
        let url = begun.header("location").to_owned();
        assert_eq!(
            server
                .send(Request::new("PATCH", &url).chunked(b"lo"))
                .status,
            202
        );
        let answer =
            server.send(Request::new("PUT", &format!("{url}&digest={digest}")).body(b"ng"));
        assert_eq!(
            (answer.status, answer.header("docker-content-digest")),
            (201, digest.as_str())
        );
        assert_eq!(
            server.get(&format!("/v2/{repo}/blobs/{digest}")).body,
            b"long"
        );
    }
}

pub(crate) fn chunks_must_follow_each_other(server: &Server) {
    let url = url(server, "a");
    let patch = |range: &str, body: &[u8]| {
        server.send(
            Request::new("PATCH", &url)
                .header("Content-Range", range)
                .body(body),
        )
    };
    let refused = |answer: Answer, stands: &str| {
        answer.expect(416, "RANGE_INVALID");
        assert_eq!(answer.header("range"), stands);
        assert!(
            answer
                .header("location")
                .starts_with("/v2/a/blobs/uploads/")
        );
    };
    refused(patch("5-9", b"world"), "0-0");
    assert_eq!(patch("0-4", b"hello").header("range"), "0-4");
    refused(patch("0-4", b"hello"), "0-4");
    patch("5-8", b"world").expect(400, "SIZE_INVALID");
    patch("x", b"world").expect(400, "BLOB_UPLOAD_INVALID");
    let status = server.get(&url);
    assert_eq!((status.status, status.header("range")), (204, "0-4"));
    let digest = sha256(b"helloworld");
    let finish = format!("{url}&digest={digest}");
    let put = |range: &str| {
        server.send(
            Request::new("PUT", &finish)
                .header("Content-Range", range)
                .body(b"world"),
        )
    };
    refused(put("0-4"), "0-4");
    assert_eq!(server.get(&finish).header("range"), "0-4");
    assert_eq!(put("5-9").status, 201);
}

pub(crate) fn a_wrong_digest_is_refused_and_nothing_is_kept(server: &Server) {
    let url = url(server, "a");
    let wrong = sha256(b"other");
    let answer =
        server.send(Request::new("PUT", &format!("{url}&digest={wrong}")).body(b"content"));
    answer.expect(400, "DIGEST_INVALID");
    assert_eq!(server.head(&format!("/v2/a/blobs/{wrong}")).status, 404);
    assert_eq!(
        server
            .head(&format!("/v2/a/blobs/{}", sha256(b"content")))
            .status,
        404
    );
}

pub(crate) fn a_missing_digest_leaves_the_upload_usable(server: &Server) {
    let url = url(server, "a");
    assert_eq!(
        server.send(Request::new("PATCH", &url).body(b"x")).status,
        202
    );
    server
        .send(Request::new("PUT", &url))
        .expect(400, "DIGEST_INVALID");
    server
        .send(Request::new("PUT", &format!("{url}&digest=md5:x")))
        .expect(400, "DIGEST_INVALID");
    let finish = format!("{url}&digest={}", sha256(b"x"));
    assert_eq!(server.send(Request::new("PUT", &finish)).status, 201);
}

pub(crate) fn an_upload_belongs_to_its_repository(server: &Server) {
    let mine = url(server, "mine");
    assert_eq!(
        server.send(Request::new("PATCH", &mine).body(b"x")).status,
        202
    );
    let theirs = mine.replace("/v2/mine/", "/v2/theirs/");
    let bare = theirs.split('?').next().unwrap();
    for method in ["GET", "PATCH", "DELETE"] {
        assert_eq!(
            server.send(Request::new(method, &theirs)).status,
            404,
            "{method}"
        );
        assert_eq!(
            server.send(Request::new(method, bare)).status,
            404,
            "{method}"
        );
    }
    let tampered = format!("{mine}x");
    server
        .send(Request::new("PATCH", &tampered).body(b"y"))
        .expect(404, "BLOB_UPLOAD_INVALID");
    let finish = format!("{mine}&digest={}", sha256(b"x"));
    assert_eq!(server.send(Request::new("PUT", &finish)).status, 201);
}

pub(crate) fn a_cancelled_upload_is_gone_for_good(server: &Server) {
    for patched in [false, true] {
        let url = url(server, "a");
        if patched {
            server.send(Request::new("PATCH", &url).body(b"x"));
        }
        assert_eq!(server.delete(&url).status, 204);
        server.get(&url).expect(404, "BLOB_UPLOAD_UNKNOWN");
        server
            .send(Request::new("PATCH", &url).body(b"x"))
            .expect(404, "BLOB_UPLOAD_UNKNOWN");
        server.delete(&url).expect(404, "BLOB_UPLOAD_UNKNOWN");
    }
}

/// Sends the head of a request and a part of its body, and keeps the connection.
fn half_sent(server: &Server, request: &Request, rest: usize) -> (TcpStream, Vec<u8>) {
    let wire = request.wire();
    let mut stream = connect(server.next());
    let (first, last) = wire.split_at(wire.len() - rest);
    stream.write_all(first).unwrap();
    (stream, last.to_vec())
}

pub(crate) fn a_second_writer_is_told_where_the_upload_stands(server: &Server) {
    let url = url(server, "a");
    let slow = Request::new("PATCH", &url)
        .header("Expect", "100-continue")
        .body(b"slow writer");
    let (mut first, rest) = half_sent(server, &slow, 5);
    // 100 Continue comes when the handler reads: then this writer holds the upload.
    let mut begun = [0; 25];
    first.read_exact(&mut begun).unwrap();
    assert!(begun.starts_with(b"HTTP/1.1 100 Continue"));
    let second = server.send(Request::new("PATCH", &url).body(b"other bytes"));
    second.expect(416, "RANGE_INVALID");
    assert_eq!(second.header("range"), "0-0");
    first.write_all(&rest).unwrap();
    let mut answer = Vec::new();
    first.read_to_end(&mut answer).unwrap();
    assert_eq!(parse(&answer).unwrap().header("range"), "0-10");
    let finish = format!("{url}&digest={}", sha256(b"slow writer"));
    assert_eq!(server.send(Request::new("PUT", &finish)).status, 201);
}

pub(crate) fn a_finish_may_be_repeated(server: &Server) {
    let url = url(server, "a");
    server.send(Request::new("PATCH", &url).body(b"again"));
    let finish = format!("{url}&digest={}", sha256(b"again"));
    for _ in 0..2 {
        assert_eq!(server.send(Request::new("PUT", &finish)).status, 201);
    }
}

pub(crate) fn what_arrived_before_a_cut_is_kept(server: &Server) {
    let url = url(server, "a");
    let content = vec![7; 100_000];
    let (stream, _) = half_sent(server, &Request::new("PATCH", &url).body(&content), 40_000);
    drop(stream);
    let stands = wait_for(|| {
        let answer = server.get(&url);
        (answer.status == 204 && answer.header("range") != "0-0")
            .then(|| answer.header("range").to_owned())
    });
    let received: usize = stands[2..].parse::<usize>().unwrap() + 1;
    assert!(received <= 60_000, "{received}");
    let finish = format!("{url}&digest={}", sha256(&content));
    let answer = server.send(Request::new("PUT", &finish).body(&content[received..]));
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[cfg(feature = "fs")]
pub(crate) fn an_upload_survives_the_death_of_the_server() {
    let mut server = Server::start("filesystem");
    let url = url(&server, "a");
    assert_eq!(
        server
            .send(Request::new("PATCH", &url).chunked(b"before "))
            .status,
        202
    );
    server.restart();
    assert_eq!(server.get(&url).header("range"), "0-6");
    let patch = Request::new("PATCH", &url)
        .header("Content-Range", "7-11")
        .body(b"after");
    assert_eq!(server.send(patch).status, 202);
    let finish = format!("{url}&digest={}", sha256(b"before after"));
    assert_eq!(server.send(Request::new("PUT", &finish)).status, 201);
    server.restart();
    let blob = server.get(&format!("/v2/a/blobs/{}", sha256(b"before after")));
    assert_eq!(blob.body, b"before after");
}
