//! Pushing.

use serde_json::json;

#[cfg(feature = "fs")]
use super::proved_by;
use super::{proved_on_a_server_by, server};
use crate::client::Request;
use crate::manifests::{self, image};
use crate::server::{Server, sha256};
use crate::{blobs, lists, uploads};

proved_on_a_server_by! {
    push_upload: uploads::an_upload_goes_through_post_patch_and_put;
    push_at_once: uploads::one_post_is_enough;
    push_chunks: uploads::chunks_must_follow_each_other;
    push_no_digest: uploads::a_missing_digest_leaves_the_upload_usable;
    push_cancel: uploads::a_cancelled_upload_is_gone_for_good;
    push_forged_state: uploads::an_upload_belongs_to_its_repository;
    push_again: uploads::a_finish_may_be_repeated;
    push_cut: uploads::what_arrived_before_a_cut_is_kept;
    push_two_writers: uploads::a_second_writer_is_told_where_the_upload_stands;
    push_sha512: uploads::sha512_is_as_good_as_sha256;
    push_manifest: manifests::a_manifest_comes_back_as_pushed_by_tag_and_digest,
        manifests::a_tag_moves_and_the_old_manifest_stays;
    push_manifest_tags: manifests::a_manifest_by_a_digest_takes_tags_with_it;
    push_manifest_needs: manifests::what_a_manifest_needs_must_be_here;
    push_index_of_blobs: manifests::an_index_may_list_manifests_and_blobs;
    push_subject: lists::a_subject_need_not_exist;
    push_manifest_large: manifests::a_manifest_that_is_too_large_is_refused;
}

#[cfg(feature = "fs")]
proved_by! {
    push_restart: uploads::an_upload_survives_the_death_of_the_server;
}

/// Where an upload goes on of which these bytes have come, and where it began.
fn begun(server: &Server, content: &[u8]) -> (String, String) {
    let begun = server.send(Request::new("POST", "/v2/a/blobs/uploads/"));
    let first = begun.header("location").to_owned();
    let patched = server.send(Request::new("PATCH", &first).body(content));
    assert_eq!(patched.status, 202, "{patched:?}");
    (patched.header("location").to_owned(), first)
}

#[test]
fn push_status() {
    let server = server("");
    let (url, _) = begun(&server, b"hello");
    for answer in [server.get(&url), server.head(&url)] {
        assert_eq!((answer.status, answer.header("range")), (204, "0-4"));
        assert!(
            answer
                .header("location")
                .starts_with("/v2/a/blobs/uploads/")
        );
    }
}

#[test]
fn push_stale_url() {
    let server = server("");
    let (_, first) = begun(&server, b"hello ");
    let more = Request::new("PATCH", &first).body(b"world");
    assert_eq!(server.send(more).header("range"), "0-10");
    let finish = format!("{first}&digest={}", sha256(b"hello world"));
    assert_eq!(server.send(Request::new("PUT", &finish)).status, 201);
}

#[test]
fn push_wrong_digest() {
    uploads::a_wrong_digest_is_refused_and_nothing_is_kept(&server(""));
    let server = server("");
    let (url, _) = begun(&server, b"hello");
    let finish = format!("{url}&digest={}", sha256(b"other"));
    let refused = server.send(Request::new("PUT", &finish));
    refused.expect(400, "DIGEST_INVALID");
    server.get(&url).expect(404, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn push_bad_range() {
    let server = server("");
    let (url, _) = begun(&server, b"hello");
    for range in ["x", "5", "5-y", "-1-2"] {
        let patch = Request::new("PATCH", &url).header("Content-Range", range);
        let refused = server.send(patch.body(b"world"));
        refused.expect(400, "BLOB_UPLOAD_INVALID");
    }
    assert_eq!(server.get(&url).header("range"), "0-4");
}

fn mount(server: &Server, query: &str) -> u16 {
    let post = format!("/v2/target/blobs/uploads/?{query}");
    server.send(Request::new("POST", &post)).status
}

#[test]
fn push_mount() {
    blobs::a_mount_makes_a_blob_visible_and_a_miss_begins_an_upload(&server(""));
    let server = server("");
    let digest = server.push_blob("a", b"content");
    assert_eq!(mount(&server, &format!("mount={digest}&from=b")), 202);
    assert_eq!(mount(&server, &format!("mount={digest}&from=a")), 201);
}

#[test]
fn push_mount_from_anywhere() {
    let server = server("");
    let digest = server.push_blob("a", b"content");
    assert_eq!(mount(&server, &format!("mount={digest}")), 201);
    let nowhere = sha256(b"nowhere");
    assert_eq!(mount(&server, &format!("mount={nowhere}")), 202);
}

#[test]
fn push_manifest_digest() {
    let server = server("");
    let body = image(&server, "a", "layer");
    for reference in [&*sha256(b"other"), "sha256:x"] {
        let refused = server.put_manifest("a", reference, &body);
        refused.expect(400, "DIGEST_INVALID");
    }
}

#[test]
fn push_bad_tag() {
    let server = server("");
    let body = image(&server, "a", "layer");
    for tag in [".x", "-x", "a+b", &"a".repeat(129)] {
        server
            .put_manifest("a", tag, &body)
            .expect(400, "TAG_INVALID");
    }
}

#[test]
fn push_ambiguous() {
    let server = server("");
    let body = image(&server, "a", "layer");
    let other = json!({"layers": []}).to_string();
    let twice = format!("{},{}", &body[..body.len() - 1], &other[1..]);
    server
        .put_manifest("a", "t", &twice)
        .expect(400, "MANIFEST_INVALID");
}

#[test]
fn push_schema1() {
    let put = Request::new("PUT", "/v2/a/manifests/t").header(
        "Content-Type",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    );
    let body = br#"{"schemaVersion":1,"name":"a","tag":"t","fsLayers":[]}"#;
    let refused = server("").send(put.body(body));
    refused.expect(400, "MANIFEST_INVALID");
    let detail = refused.json()["errors"][0]["detail"].to_string();
    assert!(detail.contains("schema 1"), "{detail}");
}
