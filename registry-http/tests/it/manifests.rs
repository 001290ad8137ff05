//! Manifests: push, pull, tags, what is refused, delete.

use serde_json::json;

use crate::client::Request;
use crate::server::{Server, sha256, sha512};

crate::on_each_driver![
    a_manifest_comes_back_as_pushed_by_tag_and_digest,
    a_tag_moves_and_the_old_manifest_stays,
    what_a_manifest_needs_must_be_here,
    an_index_may_list_manifests_and_blobs,
    what_we_cannot_compute_is_unknown_but_not_malformed,
    a_manifest_by_a_digest_takes_tags_with_it,
    what_is_no_manifest_is_refused,
    deleting_a_tag_leaves_the_manifest,
    deleting_a_manifest_takes_its_tags,
    a_manifest_that_is_too_large_is_refused,
    a_condition_that_holds_saves_the_bytes,
];

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An image of one layer, whose blobs are pushed.
pub(crate) fn image(server: &Server, repo: &str, mark: &str) -> String {
    let config = server.push_blob(repo, b"{}");
    let layer = server.push_blob(repo, mark.as_bytes());
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2});
    let layer = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": mark.len()});
    json!({"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": [layer]}).to_string()
}

pub(crate) fn a_manifest_comes_back_as_pushed_by_tag_and_digest(server: &Server) {
    let body = format!(" {}\n", image(server, "a/b", "layer"));
    let path = "/v2/a/b/manifests/v1";
    let put = Request::new("PUT", path)
        .header("Content-Type", OCI)
        .chunked(body.as_bytes());
    let answer = server.send(put);
    let digest = sha256(body.as_bytes());
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(
        answer.header("location"),
        format!("/v2/a/b/manifests/{digest}")
    );
    assert_eq!(answer.header("docker-content-digest"), digest);
    for path in [path.to_owned(), format!("/v2/a/b/manifests/{digest}")] {
        let get = server.get(&path);
        assert_eq!(get.body, body.as_bytes());
        for answer in [get, server.head(&path)] {
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("content-type"), OCI);
            assert_eq!(answer.header("content-length"), body.len().to_string());
            assert_eq!(answer.header("docker-content-digest"), digest);
            assert_eq!(answer.header("etag"), format!("\"{digest}\""));
        }
    }
}

pub(crate) fn a_tag_moves_and_the_old_manifest_stays(server: &Server) {
    let old = server.push_manifest("a", "t", &image(server, "a", "old"));
    let new = server.push_manifest("a", "t", &image(server, "a", "new"));
    assert_eq!(
        server
            .head("/v2/a/manifests/t")
            .header("docker-content-digest"),
        new
    );
    assert_eq!(server.head(&format!("/v2/a/manifests/{old}")).status, 200);
}

pub(crate) fn what_a_manifest_needs_must_be_here(server: &Server) {
    let body = image(server, "elsewhere", "layer");
    let answer = server.put_manifest("a", "t", &body);
    answer.expect(400, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(answer.json()["errors"].as_array().unwrap().len(), 2);
    assert_eq!(answer.json()["errors"][0]["detail"], sha256(b"{}"));
    assert_eq!(server.head("/v2/a/manifests/t").status, 404);
    assert_eq!(
        server
            .head(&format!("/v2/a/manifests/{}", sha256(body.as_bytes())))
            .status,
        404
    );
}

pub(crate) fn an_index_may_list_manifests_and_blobs(server: &Server) {
    let child = image(server, "a", "child");
    let digest = server.push_manifest("a", &sha256(child.as_bytes()), &child);
    let blob = server.push_blob("a", b"a layer of a cache");
    let index = |digests: &[&str]| {
        let children: Vec<_> = digests
            .iter()
            .map(|digest| json!({"mediaType": OCI, "digest": digest, "size": 1}))
            .collect();
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}).to_string()
    };
    server.push_manifest("a", "index", &index(&[&digest, &blob]));
    assert_eq!(
        server.head("/v2/a/manifests/index").header("content-type"),
        INDEX
    );
    server.push_manifest("a", "empty", &index(&[]));
    let missing = sha256(b"missing");
    server
        .put_manifest("a", "sparse", &index(&[&missing]))
        .expect(400, "MANIFEST_BLOB_UNKNOWN");
}

fn what_we_cannot_compute_is_unknown_but_not_malformed(server: &Server) {
    let body = image(server, "a", "layer");
    let layer = sha256(b"layer");
    for unknown in ["foo+bar:abc_DEF=", "blake3:ab"] {
        let answer = server.put_manifest("a", "t", &body.replace(&layer, unknown));
        answer.expect(400, "MANIFEST_BLOB_UNKNOWN");
        assert_eq!(answer.json()["errors"][0]["detail"], unknown);
        let index = json!({"schemaVersion": 2, "mediaType": INDEX,
            "manifests": [{"mediaType": OCI, "digest": unknown, "size": 1}]});
        server
            .put_manifest("a", "t", &index.to_string())
            .expect(400, "MANIFEST_BLOB_UNKNOWN");
        let foreign = body.replace(&layer, unknown).replace(
            "vnd.oci.image.layer.v1.tar",
            r#"vnd.oci.image.layer.nondistributable.v1.tar","urls":["https://example.com/"],"x":""#,
        );
        assert_eq!(server.put_manifest("a", "foreign", &foreign).status, 201);
        let subject = json!({"mediaType": OCI, "digest": unknown, "size": 1});
        let referring = body.replacen('{', &format!(r#"{{"subject":{subject},"#), 1);
        let answer = server.put_manifest("a", "referring", &referring);
        assert_eq!(
            (answer.status, answer.header("oci-subject")),
            (201, unknown)
        );
        server
            .get(&format!("/v2/a/referrers/{unknown}"))
            .expect(400, "DIGEST_INVALID");
        assert_eq!(server.delete("/v2/a/manifests/referring").status, 202);
    }
    for malformed in ["sha256:abc", "foo++bar:abc", "foo"] {
        server
            .put_manifest("a", "t", &body.replace(&layer, malformed))
            .expect(400, "DIGEST_INVALID");
    }
}

pub(crate) fn a_manifest_by_a_digest_takes_tags_with_it(server: &Server) {
    let body = image(server, "a", "layer");
    for digest in [sha256(body.as_bytes()), sha512(body.as_bytes())] {
        let answer = server.put_manifest("a", &format!("{digest}?tag=one&tag=two"), &body);
        assert_eq!((answer.status, answer.header("oci-tag")), (201, "one, two"));
        for tag in ["one", "two"] {
            let head = server.head(&format!("/v2/a/manifests/{tag}"));
            assert_eq!(head.header("docker-content-digest"), digest);
        }
    }
    let answer = server.put_manifest(
        "a",
        &format!("{}?tag=fine&tag=.bad", sha256(body.as_bytes())),
        &body,
    );
    answer.expect(400, "TAG_INVALID");
    assert_eq!(server.head("/v2/a/manifests/fine").status, 404);
}

fn what_is_no_manifest_is_refused(server: &Server) {
    let body = image(server, "a", "layer");
    server
        .put_manifest("a", &sha256(b"other"), &body)
        .expect(400, "DIGEST_INVALID");
    let zeros = format!("sha256:{}", "0".repeat(64));
    server
        .put_manifest("a", &zeros, "hello")
        .expect(400, "DIGEST_INVALID");
    server
        .put_manifest("a", &format!("t?digest={zeros}"), "hello")
        .expect(400, "DIGEST_INVALID");
    server
        .put_manifest("a", &sha256(b"hello"), "hello")
        .expect(400, "MANIFEST_INVALID");
    server
        .put_manifest("a", "sha256:baddigeststring", &body)
        .expect(400, "DIGEST_INVALID");
    server
        .put_manifest("a", "t", "not json")
        .expect(400, "MANIFEST_INVALID");
    let put = |kind: &str, body: &str| {
        server.send(
            Request::new("PUT", "/v2/a/manifests/t")
                .header("Content-Type", kind)
                .body(body.as_bytes()),
        )
    };
    put(INDEX, &body).expect(400, "MANIFEST_INVALID");
    let both = body.replacen('{', r#"{"manifests":[],"#, 1);
    put(OCI, &both).expect(400, "MANIFEST_INVALID");
    let schema1 = r#"{"schemaVersion":1,"name":"a","tag":"t","fsLayers":[]}"#;
    let refused = put(
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        schema1,
    );
    refused.expect(400, "MANIFEST_INVALID");
    assert!(
        refused.json()["errors"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("schema 1")
    );
    let encoded = Request::new("PUT", "/v2/a/manifests/t").header("Content-Encoding", "gzip");
    assert_eq!(server.send(encoded.body(body.as_bytes())).status, 415);
    assert_eq!(server.head("/v2/a/manifests/t").status, 404);
}

pub(crate) fn deleting_a_tag_leaves_the_manifest(server: &Server) {
    let digest = server.push_manifest("a", "one", &image(server, "a", "layer"));
    server.push_manifest("a", "two", &image(server, "a", "layer"));
    assert_eq!(server.delete("/v2/a/manifests/one").status, 202);
    server
        .get("/v2/a/manifests/one")
        .expect(404, "MANIFEST_UNKNOWN");
    server
        .delete("/v2/a/manifests/one")
        .expect(404, "MANIFEST_UNKNOWN");
    assert_eq!(server.head("/v2/a/manifests/two").status, 200);
    assert_eq!(
        server.head(&format!("/v2/a/manifests/{digest}")).status,
        200
    );
    assert_eq!(server.delete("/v2/a/manifests/two").status, 202);
    let tags = server.get("/v2/a/tags/list");
    assert_eq!((tags.status, &tags.json()["tags"]), (200, &json!([])));
}

pub(crate) fn deleting_a_manifest_takes_its_tags(server: &Server) {
    let digest = server.push_manifest("a", "one", &image(server, "a", "layer"));
    server.push_manifest("a", "two", &image(server, "a", "layer"));
    server.push_manifest("a", "other", &image(server, "a", "another layer"));
    assert_eq!(
        server.delete(&format!("/v2/a/manifests/{digest}")).status,
        202
    );
    for gone in ["one", "two", digest.as_str()] {
        assert_eq!(
            server.head(&format!("/v2/a/manifests/{gone}")).status,
            404,
            "{gone}"
        );
    }
    assert_eq!(
        server.get("/v2/a/tags/list").json()["tags"],
        json!(["other"])
    );
    server
        .delete(&format!("/v2/a/manifests/{digest}"))
        .expect(404, "MANIFEST_UNKNOWN");
    server.push_manifest("a", "one", &image(server, "a", "layer"));
    assert_eq!(
        server.head(&format!("/v2/a/manifests/{digest}")).status,
        200
    );
}

pub(crate) fn a_manifest_that_is_too_large_is_refused(server: &Server) {
    let body = image(server, "a", "layer");
    let padded = |len: usize| {
        let mut bytes = body.clone().into_bytes();
        bytes.resize(len, b' ');
        bytes
    };
    let limit = 4 << 20;
    let put = || Request::new("PUT", "/v2/a/manifests/t").header("Content-Type", OCI);
    server
        .send(put().body(&padded(limit + 1)))
        .expect(413, "MANIFEST_INVALID");
    server
        .send(put().chunked(&padded(limit + 1)))
        .expect(413, "MANIFEST_INVALID");
    assert_eq!(server.send(put().body(&padded(limit))).status, 201);
}

fn a_condition_that_holds_saves_the_bytes(server: &Server) {
    let digest = server.push_manifest("a", "t", &image(server, "a", "layer"));
    let ask = |tag: &str| {
        server
            .send(Request::new("GET", "/v2/a/manifests/t").header("If-None-Match", tag))
            .status
    };
    assert_eq!(ask(&format!("\"{digest}\"")), 304);
    assert_eq!(ask(&digest), 304);
    assert_eq!(ask("\"other\""), 200);
}
