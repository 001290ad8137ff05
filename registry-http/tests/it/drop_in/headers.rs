//! The headers of answers.

use serde_json::json;

use super::{proved_on_a_server_by, server};
use crate::client::{Answer, Request};
use crate::manifests::image;
use crate::robustness;
use crate::server::{Server, sha256, sha512};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
proved_on_a_server_by! {
    header_names: robustness::header_names_are_written_as_scripts_look_for_them;
}

const BROWSER: &str = "default-src 'none'; sandbox";

/// A server with a blob and an image, and what their digests are.
fn filled() -> (Server, String, String) {
    let server = server("");
    let manifest = server.push_manifest("a", "t", &image(&server, "a", "layer"));
    (server, sha256(b"layer"), manifest)
}

fn blob(server: &Server, digest: &str) -> Answer {
    server.get(&format!("/v2/a/blobs/{digest}"))
}

/// Answers of every kind.
fn answers() -> Vec<Answer> {
    let (server, layer, _) = filled();
    let paths = [
        "/",
        "/v2/",
        "/nowhere",
        "/v2/A/tags/list",
        "/v2/a/tags/list",
    ];
    let mut answers: Vec<Answer> = paths.iter().map(|path| server.get(path)).collect();
    answers.push(blob(&server, &layer));
    answers.push(server.get("/v2/a/manifests/t"));
    answers.push(server.get("/v2/a/manifests/nothing"));
    answers.push(server.send(Request::new("POST", "/v2/a/blobs/uploads/")));
    answers.push(server.delete("/v2/a/tags/list"));
    answers
}

#[test]
fn header_api_version() {
    for answer in answers() {
        let version = answer.header("docker-distribution-api-version");
        assert_eq!(version, "registry/2.0", "{answer:?}");
    }
}

#[test]
fn header_nosniff() {
    for answer in answers() {
        assert_eq!(
            answer.header("x-content-type-options"),
            "nosniff",
            "{answer:?}"
        );
    }
}

#[test]
fn header_content_security() {
    for answer in answers() {
        assert_eq!(
            answer.header("content-security-policy"),
            BROWSER,
            "{answer:?}"
        );
    }
    let (server, layer, _) = filled();
    assert_eq!(
        blob(&server, &layer).header("content-disposition"),
        "attachment"
    );
}

#[test]
fn header_content_length() {
    for answer in answers() {
        let length = answer.body.len().to_string();
        assert_eq!(answer.header("content-length"), length, "{answer:?}");
        assert_eq!(answer.header("transfer-encoding"), "");
    }
}

#[test]
fn header_content_digest() {
    let (server, layer, manifest) = filled();
    assert_eq!(blob(&server, &layer).header("docker-content-digest"), layer);
    for reference in ["t", &manifest] {
        let answer = server.head(&format!("/v2/a/manifests/{reference}"));
        assert_eq!(answer.header("docker-content-digest"), manifest);
    }
    let wide = sha512(b"wide");
    let post = Request::new("POST", &format!("/v2/a/blobs/uploads/?digest={wide}"));
    let pushed = server.send(post.body(b"wide"));
    for answer in [pushed, blob(&server, &wide)] {
        assert_eq!(answer.header("docker-content-digest"), wide, "{answer:?}");
    }
}

#[test]
fn header_etag() {
    let (server, layer, manifest) = filled();
    for (path, digest) in [
        (format!("/v2/a/blobs/{layer}"), &layer),
        ("/v2/a/manifests/t".to_owned(), &manifest),
    ] {
        let etag = format!("\"{digest}\"");
        assert_eq!(server.get(&path).header("etag"), etag);
        let get = Request::new("GET", &path).header("If-None-Match", &etag);
        let unchanged = server.send(get);
        assert_eq!((unchanged.status, unchanged.header("etag")), (304, &*etag));
        assert_eq!(unchanged.header("docker-content-digest"), digest);
    }
}

#[test]
fn header_cache_control() {
    let (server, layer, _) = filled();
    assert_eq!(
        blob(&server, &layer).header("cache-control"),
        "max-age=31536000"
    );
    assert_eq!(server.get("/").header("cache-control"), "no-cache");
    assert_eq!(server.get("/v2/a/manifests/t").header("cache-control"), "");
}

#[test]
fn header_accept_ranges() {
    let (server, layer, _) = filled();
    assert_eq!(blob(&server, &layer).header("accept-ranges"), "bytes");
}

#[test]
fn header_content_type() {
    let (server, layer, _) = filled();
    let of = |answer: Answer| answer.header("content-type").to_owned();
    assert_eq!(of(blob(&server, &layer)), "application/octet-stream");
    assert_eq!(of(server.get("/v2/a/manifests/t")), OCI);
    for path in ["/v2/", "/v2/_catalog", "/v2/a/tags/list"] {
        assert_eq!(of(server.get(path)), "application/json", "{path}");
    }
}

#[test]
fn header_content_type_errors() {
    let server = server("");
    for path in ["/v2/a/manifests/t", "/v2/a/tags/list", "/v2/_catalog?n=x"] {
        let kind = "application/json; charset=utf-8";
        assert_eq!(server.get(path).header("content-type"), kind, "{path}");
    }
}

#[test]
fn header_location() {
    let server = server("");
    let begun = server.send(Request::new("POST", "/v2/a/blobs/uploads/"));
    let url = begun.header("location");
    assert!(url.starts_with("/v2/a/blobs/uploads/"), "{url}");
    let digest = sha256(b"content");
    let put = Request::new("PUT", &format!("{url}&digest={digest}")).body(b"content");
    let done = server.send(put);
    assert_eq!(done.header("location"), format!("/v2/a/blobs/{digest}"));
    let body = image(&server, "a", "layer");
    let pushed = server.put_manifest("a", "t", &body);
    let by_digest = format!("/v2/a/manifests/{}", sha256(body.as_bytes()));
    assert_eq!(pushed.header("location"), by_digest);
}

/// What POST, PATCH, GET, DELETE of an upload and its end say under this name.
fn of_upload(name: &str) -> [String; 5] {
    let server = server("");
    let begin = || server.send(Request::new("POST", "/v2/a/blobs/uploads/"));
    let begun = begin();
    let url = begun.header("location").to_owned();
    let patched = server.send(Request::new("PATCH", &url).body(b"content"));
    let status = server.get(&url);
    let finish = format!("{url}&digest={}", sha256(b"content"));
    let done = server.send(Request::new("PUT", &finish));
    let cancelled = server.delete(begin().header("location"));
    [begun, patched, status, done, cancelled].map(|answer| answer.header(name).to_owned())
}

#[test]
fn header_upload_uuid() {
    let [begun, patched, status, done, cancelled] = of_upload("docker-upload-uuid");
    assert_eq!((begun.len(), cancelled.len()), (36, 36));
    assert!(patched == begun && status == begun && done.is_empty());
}

#[test]
fn header_range() {
    let ranges = of_upload("range");
    assert_eq!(ranges, ["0-0", "0-6", "0-6", "", ""]);
}

#[test]
fn header_link() {
    let (server, ..) = filled();
    server.push_manifest("b", "two", &image(&server, "b", "layer"));
    server.push_manifest("a", "u", &image(&server, "a", "layer"));
    for (path, next) in [
        (
            "/v2/_catalog?n=1",
            r#"</v2/_catalog?last=a&n=1>; rel="next""#,
        ),
        ("/v2/_catalog?n=1&last=a", ""),
        ("/v2/_catalog?n=2", ""),
        (
            "/v2/a/tags/list?x=y&n=1",
            r#"</v2/a/tags/list?last=t&n=1>; rel="next""#,
        ),
        ("/v2/a/tags/list?n=2", ""),
        ("/v2/a/tags/list", ""),
    ] {
        assert_eq!(server.get(path).header("link"), next, "{path}");
    }
}

#[test]
fn header_allow() {
    let server = server("");
    let refused = server.delete("/v2/a/tags/list");
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, "GET, HEAD")
    );
    let options = server.send(Request::new("OPTIONS", "/v2/a/tags/list"));
    assert_eq!(
        (options.status, options.header("allow")),
        (200, "GET, HEAD")
    );
}

#[test]
fn header_oci_subject() {
    let (server, _, manifest) = filled();
    let mut body: serde_json::Value =
        serde_json::from_str(&image(&server, "a", "signature")).unwrap();
    body["subject"] = json!({"mediaType": OCI, "digest": manifest, "size": 1});
    let pushed = server.put_manifest("a", "signature", &body.to_string());
    assert_eq!(pushed.header("oci-subject"), manifest);
}

#[test]
fn header_oci_filters() {
    let (server, _, manifest) = filled();
    let list = format!("/v2/a/referrers/{manifest}");
    let filtered = server.get(&format!("{list}?artifactType=a/b"));
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    assert_eq!(server.get(&list).header("oci-filters-applied"), "");
}

#[test]
fn header_oci_tag() {
    let server = server("");
    let body = image(&server, "a", "layer");
    let reference = format!("{}?tag=one&tag=two", sha256(body.as_bytes()));
    let pushed = server.put_manifest("a", &reference, &body);
    assert_eq!(pushed.header("oci-tag"), "one, two");
}
