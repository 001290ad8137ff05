//! Blobs: HEAD, GET, ranges, conditions, DELETE, mounts.

use crate::client::Request;
use crate::server::{Server, sha256};

crate::on_each_driver![
    a_blob_comes_back_whole_with_all_its_headers,
    a_blob_is_unknown_where_it_is_not_linked,
    ranges_are_served_as_asked,
    several_ranges_come_as_parts,
    a_blob_may_contain_what_stood_between_the_parts_of_another_answer,
    a_condition_that_holds_saves_the_bytes,
    a_deleted_blob_is_gone_here_and_stays_elsewhere,
    a_mount_makes_a_blob_visible_and_a_miss_begins_an_upload,
    the_empty_blob_is_a_blob;
    "each server remembers by itself where it has seen a digest":
        a_mount_without_a_source_finds_what_was_seen,
];

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

fn a_blob_comes_back_whole_with_all_its_headers(server: &Server) {
    let content = content(3 << 20);
    let digest = server.push_blob("a/b", &content);
    let path = format!("/v2/a/b/blobs/{digest}");
    for answer in [server.get(&path), server.head(&path)] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-length"), content.len().to_string());
        assert_eq!(answer.header("docker-content-digest"), digest);
        assert_eq!(answer.header("etag"), format!("\"{digest}\""));
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert_eq!(answer.header("accept-ranges"), "bytes");
        assert_eq!(answer.header("cache-control"), "max-age=31536000");
    }
    assert!(server.get(&path).body == content);
}

pub(crate) fn a_blob_is_unknown_where_it_is_not_linked(server: &Server) {
    let digest = server.push_blob("a", b"only here");
    server
        .get(&format!("/v2/b/blobs/{digest}"))
        .expect(404, "BLOB_UNKNOWN");
    assert_eq!(server.head(&format!("/v2/b/blobs/{digest}")).status, 404);
    server
        .get(&format!("/v2/a/blobs/{}", sha256(b"nowhere")))
        .expect(404, "BLOB_UNKNOWN");
    server
        .get("/v2/a/blobs/sha256:short")
        .expect(400, "DIGEST_INVALID");
}

pub(crate) fn ranges_are_served_as_asked(server: &Server) {
    let content = content(2048);
    let path = format!("/v2/a/blobs/{}", server.push_blob("a", &content));
    let ask = |range: &str| server.send(Request::new("GET", &path).header("Range", range));
    for (range, from, to) in [
        ("bytes=500-1499", 500, 1500),
        ("bytes=500-", 500, 2048),
        ("bytes=-500", 1548, 2048),
        ("bytes=2000-5000", 2000, 2048),
        ("bytes=-5000", 0, 2048),
        ("bytes=0-", 0, 2048),
    ] {
        let answer = ask(range);
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.body, content[from..to], "{range}");
        assert_eq!(
            answer.header("content-range"),
            format!("bytes {from}-{}/2048", to - 1)
        );
    }
    for range in ["bytes=500-0", "bytes=5000-10000"] {
        let answer = ask(range);
        answer.expect(416, "RANGE_INVALID");
        assert_eq!(answer.header("content-range"), "bytes */2048");
    }
    assert_eq!(ask("items=0-1").status, 200);
    let if_range = |tag: &str| {
        let request = Request::new("GET", &path).header("Range", "bytes=0-0");
        server.send(request.header("If-Range", tag)).status
    };
    assert_eq!(if_range("\"other\""), 200);
    assert_eq!(if_range(&format!("\"{}\"", sha256(&content))), 206);
}

pub(crate) fn several_ranges_come_as_parts(server: &Server) {
    let content = content(2048);
    let path = format!("/v2/a/blobs/{}", server.push_blob("a", &content));
    let answer = server.send(Request::new("GET", &path).header("Range", "bytes=0-9,100-199,-5"));
    assert_eq!(answer.status, 206);
    let kind = answer.header("content-type").to_owned();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let mut expected = Vec::new();
    for (from, to) in [(0, 10), (100, 200), (2043, 2048)] {
        expected.extend(
            format!("\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n").bytes(),
        );
        expected.extend(format!("Content-Range: bytes {from}-{}/2048\r\n\r\n", to - 1).bytes());
        expected.extend(&content[from..to]);
    }
    expected.extend(format!("\r\n--{boundary}--\r\n").bytes());
    assert_eq!(answer.body, expected);
}

fn a_blob_may_contain_what_stood_between_the_parts_of_another_answer(server: &Server) {
    let digest = server.push_blob("a", b"some content");
    let ask = |digest: &str| {
        let get = Request::new("GET", &format!("/v2/a/blobs/{digest}"));
        let answer = server.send(get.header("Range", "bytes=0-0,2-"));
        assert_eq!(answer.status, 206);
        let kind = answer.header("content-type").to_owned();
        let boundary = kind
            .strip_prefix("multipart/byteranges; boundary=")
            .unwrap();
        (boundary.to_owned(), String::from_utf8(answer.body).unwrap())
    };
    let (boundary, _) = ask(&digest);
    let content = format!("abc\r\n--{boundary}--\r\n").repeat(3);
    let digest = server.push_blob("a", content.as_bytes());
    let (boundary, body) = ask(&digest);
    assert!((1..=70).contains(&boundary.len()));
    assert_eq!(body.matches(&format!("--{boundary}")).count(), 3, "{body}");
}

fn a_condition_that_holds_saves_the_bytes(server: &Server) {
    let digest = server.push_blob("a", b"known");
    let ask = |tag: &str| {
        let request = Request::new("GET", &format!("/v2/a/blobs/{digest}"));
        server.send(request.header("If-None-Match", tag))
    };
    for tag in [
        "*".to_owned(),
        format!("\"{digest}\""),
        format!("\"x\", W/\"{digest}\""),
        digest.clone(),
    ] {
        let answer = ask(&tag);
        assert_eq!(
            (answer.status, answer.header("etag")),
            (304, format!("\"{digest}\"").as_str())
        );
        assert_eq!(answer.header("cache-control"), "max-age=31536000");
    }
    assert_eq!(ask("\"x\"").status, 200);
}

pub(crate) fn a_deleted_blob_is_gone_here_and_stays_elsewhere(server: &Server) {
    let digest = server.push_blob("a", b"shared");
    server.push_blob("b", b"shared");
    assert_eq!(server.delete(&format!("/v2/a/blobs/{digest}")).status, 202);
    assert_eq!(server.head(&format!("/v2/a/blobs/{digest}")).status, 404);
    assert_eq!(server.get(&format!("/v2/b/blobs/{digest}")).body, b"shared");
    assert_eq!(server.head(&format!("/v2/a/blobs/{digest}")).status, 404);
    server
        .delete(&format!("/v2/a/blobs/{digest}"))
        .expect(404, "BLOB_UNKNOWN");
}

pub(crate) fn a_mount_makes_a_blob_visible_and_a_miss_begins_an_upload(server: &Server) {
    let digest = server.push_blob("source", b"mounted");
    let mount = |repo: &str, query: &str| {
        server.send(Request::new(
            "POST",
            &format!("/v2/{repo}/blobs/uploads/?{query}"),
        ))
    };
    let answer = mount("named", &format!("mount={digest}&from=source"));
    assert_eq!(answer.status, 201);
    assert_eq!(
        answer.header("location"),
        format!("/v2/named/blobs/{digest}")
    );
    assert_eq!(answer.header("docker-content-digest"), digest);
    let mounted = server.get(&format!("/v2/named/blobs/{digest}"));
    assert_eq!(mounted.body, b"mounted");
    let nowhere = sha256(b"nowhere");
    for query in [
        format!("mount={nowhere}&from=source"),
        format!("mount={nowhere}"),
        format!("mount={digest}&from=other/place"),
        "mount=sha256:bad&from=source".to_owned(),
    ] {
        let answer = mount("missed", &query);
        assert_eq!(answer.status, 202, "{query}");
        assert!(
            answer
                .header("location")
                .starts_with("/v2/missed/blobs/uploads/")
        );
    }
}

fn a_mount_without_a_source_finds_what_was_seen(server: &Server) {
    let digest = server.push_blob("source", b"mounted");
    let path = format!("/v2/unnamed/blobs/uploads/?mount={digest}");
    assert_eq!(server.send(Request::new("POST", &path)).status, 201);
    let mounted = server.get(&format!("/v2/unnamed/blobs/{digest}"));
    assert_eq!(mounted.body, b"mounted");
}

fn the_empty_blob_is_a_blob(server: &Server) {
    let digest = server.push_blob("a", b"");
    let path = format!("/v2/a/blobs/{digest}");
    assert_eq!(server.head(&path).header("content-length"), "0");
    let answer = server.send(Request::new("GET", &path).header("Range", "bytes=0-"));
    assert_eq!((answer.status, answer.body.len()), (200, 0));
}
