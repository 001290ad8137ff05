//! Pulling.

use serde_json::json;

use super::{proved_on_a_server_by, server};
use crate::client::Request;
use crate::manifests::image;
use crate::{blobs, lists, robustness};

proved_on_a_server_by! {
    pull_root: robustness::the_support_check_answers;
    pull_no_such_path: robustness::an_unknown_path_is_not_found;
    pull_head: robustness::a_head_is_a_get_without_its_body;
    pull_ranges: blobs::ranges_are_served_as_asked, blobs::several_ranges_come_as_parts;
    pull_blob_elsewhere: blobs::a_blob_is_unknown_where_it_is_not_linked;
    pull_referrers: lists::referrers_are_found_by_subject_type_and_page,
        lists::a_subject_need_not_exist;
}

#[test]
fn pull_slash() {
    let server = server("");
    assert_eq!(server.get("/v2").status, 200);
    for path in ["/v2/a/blobs/uploads", "/v2/a/blobs/uploads/"] {
        assert_eq!(
            server.send(Request::new("POST", path)).status,
            202,
            "{path}"
        );
    }
    server.push_blob("a", b"content");
    assert_eq!(server.get("/v2/a/tags/list/").status, 200);
}

#[test]
fn pull_bad_name() {
    let server = server("");
    let long = "a".repeat(256);
    for name in ["A", "a..b", "-a", &long] {
        let answer = server.get(&format!("/v2/{name}/tags/list"));
        answer.expect(400, "NAME_INVALID");
    }
}

#[test]
fn pull_encoded_slash() {
    let server = server("");
    server.push_manifest("a/b", "t", &image(&server, "a/b", "layer"));
    for slash in ["%2f", "%2F"] {
        let answer = server.get(&format!("/v2/a{slash}b/manifests/t"));
        answer.expect(400, "NAME_INVALID");
    }
}

#[test]
fn pull_head_range() {
    let server = server("");
    let path = format!("/v2/a/blobs/{}", server.push_blob("a", b"content"));
    for (name, value) in [
        ("Range", "bytes=1-2"),
        ("Range", "bytes=100-"),
        ("If-Match", "\"another\""),
    ] {
        let head = server.send(Request::new("HEAD", &path).header(name, value));
        assert_eq!((head.status, head.header("content-length")), (200, "7"));
        assert_eq!(head.header("content-range"), "");
    }
}

#[test]
fn pull_method() {
    let server = server("");
    for path in ["/v2/_catalog", "/v2/a/tags/list"] {
        server
            .send(Request::new("PUT", path))
            .expect(405, "UNSUPPORTED");
    }
}

#[test]
fn pull_bad_digest() {
    let server = server("");
    for kind in ["blobs", "manifests"] {
        let answer = server.get(&format!("/v2/a/{kind}/sha256:x"));
        answer.expect(400, "DIGEST_INVALID");
    }
}

#[test]
fn pull_unknown_manifest() {
    let answer = server("").get("/v2/a/manifests/latest");
    answer.expect(404, "MANIFEST_UNKNOWN");
    let error = &answer.json()["errors"][0];
    assert_eq!(error["message"], "manifest unknown");
    assert_eq!(error["detail"], "unknown tag=latest");
}

#[test]
fn pull_accept() {
    let server = server("");
    let image = image(&server, "a", "layer");
    let digest = server.push_manifest("a", "image", &image);
    let kind = "application/vnd.docker.distribution.manifest.list.v2+json";
    let child = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest,
        "size": image.len(), "platform": {"os": "linux", "architecture": "amd64"},
    });
    let list = json!({"schemaVersion": 2, "mediaType": kind, "manifests": [child]}).to_string();
    server.push_manifest("a", "list", &list);
    for (tag, body) in [("image", image), ("list", list)] {
        for accept in [
            "application/vnd.docker.distribution.manifest.v2+json",
            "*/*",
        ] {
            let get = Request::new("GET", &format!("/v2/a/manifests/{tag}"));
            let answer = server.send(get.header("Accept", accept));
            assert_eq!(
                (answer.status, answer.body),
                (200, body.clone().into_bytes())
            );
        }
    }
}

#[cfg(feature = "fs")]
#[test]
fn pull_schema1() {
    let server = crate::server::Server::start("filesystem");
    let body = br#"{"schemaVersion":1,"name":"a","tag":"old","fsLayers":[]}"#;
    super::store::plant(&server, "a", "old", body);
    for reference in ["old", &crate::server::sha256(body)] {
        let answer = server.get(&format!("/v2/a/manifests/{reference}"));
        assert_eq!((answer.status, &*answer.body), (200, &body[..]));
        let kind = "application/vnd.docker.distribution.manifest.v1+json";
        assert_eq!(answer.header("content-type"), kind);
    }
}

#[cfg(feature = "fs")]
#[test]
fn pull_rotten() {
    let mut server = crate::server::Server::start("filesystem");
    let digest = server.push_manifest("a", "t", &image(&server, "a", "layer"));
    let data = super::store::data(&server, &digest);
    let mut body = std::fs::read(&data).unwrap();
    body[30] ^= 1;
    std::fs::write(&data, body).unwrap();
    server.restart();
    for reference in ["t", &digest] {
        let answer = server.get(&format!("/v2/a/manifests/{reference}"));
        assert_eq!(answer.status, 500, "{answer:?}");
    }
}
