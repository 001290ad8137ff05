//! Tags, catalog, referrers; paged.

use serde_json::json;

use crate::manifests::image;
use crate::server::{Server, sha256};

crate::on_each_driver![
    tags_are_listed_in_byte_order_and_by_page,
    the_catalog_lists_repositories_in_byte_order_and_by_page,
    referrers_are_found_by_subject_type_and_page,
    a_subject_need_not_exist,
];

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

pub(crate) fn tags_are_listed_in_byte_order_and_by_page(server: &Server) {
    let tags = ["1", "1-a", "1.0", "A", "_x", "a", "a-b", "a.b", "ab", "b"];
    let body = image(server, "r", "layer");
    for tag in tags {
        server.push_manifest("r", tag, &body);
    }
    assert_eq!(
        server.get("/v2/r/tags/list").json(),
        json!({"name": "r", "tags": tags})
    );
    for n in 1..=tags.len() {
        let (mut seen, mut path) = (Vec::new(), format!("/v2/r/tags/list?n={n}"));
        loop {
            let page = server.get(&path);
            let part = page.json()["tags"].as_array().unwrap().clone();
            assert!(part.len() <= n);
            seen.extend(part.iter().map(|tag| tag.as_str().unwrap().to_owned()));
            let Some(next) = page.header("link").strip_suffix(">; rel=\"next\"") else {
                break;
            };
            path = next.strip_prefix('<').unwrap().to_owned();
        }
        assert_eq!(seen, tags, "n={n}");
    }
    let after =
        |last: &str| server.get(&format!("/v2/r/tags/list?last={last}")).json()["tags"].clone();
    for (at, last) in tags.iter().enumerate() {
        assert_eq!(after(last), json!(tags[at + 1..]), "{last}");
    }
    assert_eq!(after("a-a"), json!(["a-b", "a.b", "ab", "b"]));
    let none = server.get("/v2/r/tags/list?n=0");
    assert_eq!(
        (none.json()["tags"].clone(), none.header("link")),
        (json!([]), "")
    );
    for (n, told) in [("x", 0), ("-1", -1), ("1.5", 0)] {
        let answer = server.get(&format!("/v2/r/tags/list?n={n}"));
        answer.expect(400, "PAGINATION_NUMBER_INVALID");
        assert_eq!(answer.json()["errors"][0]["detail"], json!({ "n": told }));
    }
    server
        .get("/v2/unused/tags/list")
        .expect(404, "NAME_UNKNOWN");
}

pub(crate) fn the_catalog_lists_repositories_in_byte_order_and_by_page(server: &Server) {
    assert_eq!(
        server.get("/v2/_catalog").json(),
        json!({"repositories": []})
    );
    for (n, told) in [
        ("x", json!("x")),
        ("-1", json!("-1")),
        ("1001", json!(1001)),
    ] {
        let answer = server.get(&format!("/v2/_catalog?n={n}"));
        answer.expect(400, "PAGINATION_NUMBER_INVALID");
        assert_eq!(answer.json()["errors"][0]["detail"], json!({ "n": told }));
    }
    let names = [
        "a",
        "a-b",
        "a-b/c",
        "a.b",
        "a/0",
        "a/b",
        "a/b-c",
        "a/b/c",
        "a0",
        "b/deep/er",
    ];
    for name in names {
        server.push_blob(name, b"content");
    }
    assert_eq!(
        server.get("/v2/_catalog").json(),
        json!({"repositories": names})
    );
    for n in 1..=names.len() {
        let (mut seen, mut path) = (Vec::new(), format!("/v2/_catalog?n={n}"));
        loop {
            let page = server.get(&path);
            let part = page.json()["repositories"].as_array().unwrap().clone();
            seen.extend(part.iter().map(|name| name.as_str().unwrap().to_owned()));
            let Some(next) = page.header("link").strip_suffix(">; rel=\"next\"") else {
                break;
            };
            path = next.strip_prefix('<').unwrap().to_owned();
        }
        assert_eq!(seen, names, "n={n}");
    }
    server
        .get("/v2/_catalog?n=1001")
        .expect(400, "PAGINATION_NUMBER_INVALID");
}

/// An artifact that refers to `subject`.
fn artifact(server: &Server, repo: &str, subject: &str, kind: &str, mark: &str) -> String {
    let config = server.push_blob(repo, b"{}");
    let config =
        json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2});
    let subject = json!({"mediaType": OCI, "digest": subject, "size": 1});
    json!({
        "schemaVersion": 2, "mediaType": OCI, "artifactType": kind, "config": config, "layers": [],
        "subject": subject, "annotations": {"mark": mark},
    })
    .to_string()
}

pub(crate) fn referrers_are_found_by_subject_type_and_page(server: &Server) {
    let subject = server.push_manifest("r", "image", &image(server, "r", "layer"));
    let path = format!("/v2/r/referrers/{subject}");
    let list = |query: &str| server.get(&format!("{path}{query}"));
    assert_eq!(list("").json()["manifests"], json!([]));
    let mut digests = Vec::new();
    for (mark, kind) in [("1", "application/x+json"), ("2", "b/c"), ("3", "b/c")] {
        let body = artifact(server, "r", &subject, kind, mark);
        let answer = server.put_manifest("r", &sha256(body.as_bytes()), &body);
        assert_eq!(
            (answer.status, answer.header("oci-subject")),
            (201, subject.as_str())
        );
        digests.push(sha256(body.as_bytes()));
    }
    let all = list("");
    assert_eq!(
        all.header("content-type"),
        "application/vnd.oci.image.index.v1+json"
    );
    assert_eq!(all.header("oci-filters-applied"), "");
    assert_eq!(all.json()["manifests"].as_array().unwrap().len(), 3);
    let filtered = list("?artifactType=application/x+json");
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    let entry = &filtered.json()["manifests"][0];
    assert_eq!(entry["digest"], digests[0]);
    assert_eq!(
        (&entry["annotations"]["mark"], &entry["mediaType"]),
        (&json!("1"), &json!(OCI))
    );
    assert_eq!(
        list("?artifactType=none/such").json()["manifests"],
        json!([])
    );
    let (mut seen, mut next) = (Vec::new(), format!("{path}?n=1&artifactType=b%2Fc"));
    loop {
        let page = server.get(&next);
        let part = page.json()["manifests"].as_array().unwrap().clone();
        seen.extend(
            part.iter()
                .map(|entry| entry["digest"].as_str().unwrap().to_owned()),
        );
        let Some(link) = page.header("link").strip_suffix(">; rel=\"next\"") else {
            break;
        };
        next = link.strip_prefix('<').unwrap().to_owned();
    }
    let mut expected = digests[1..].to_vec();
    expected.sort();
    assert_eq!(seen, expected);
    assert_eq!(
        server
            .delete(&format!("/v2/r/manifests/{}", digests[0]))
            .status,
        202
    );
    assert_eq!(list("").json()["manifests"].as_array().unwrap().len(), 2);
}

pub(crate) fn a_subject_need_not_exist(server: &Server) {
    let subject = sha256(b"not there");
    let body = artifact(server, "r", &subject, "a/b", "1");
    server.push_manifest("r", "signature", &body);
    let list = server.get(&format!("/v2/r/referrers/{subject}")).json();
    assert_eq!(list["manifests"][0]["digest"], sha256(body.as_bytes()));
    let empty = server.get(&format!("/v2/unused/referrers/{subject}"));
    assert_eq!(
        (empty.status, empty.json()["manifests"].clone()),
        (200, json!([]))
    );
    server
        .get("/v2/r/referrers/sha256:x")
        .expect(400, "DIGEST_INVALID");
}
