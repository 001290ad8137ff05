//! Who may do what, over a real port, where nobody can say who it is.

use crate::client::Request;
use crate::manifests::image;
use crate::server::{Server, Setup};

const RULES: &str = "\
extensions:
  access:
    rules:
      - {who: [anonymous], repositories: ['public/**'], actions: [pull, push, delete]}
      - {who: [anonymous], repositories: ['shelf/*'], actions: [pull, create]}
      - {who: [anonymous], actions: [catalog]}
";

fn start(driver: &str, more: &str) -> Server {
    let setup = Setup {
        more,
        ..Setup::default()
    };
    Server::with(driver, setup)
}

#[cfg(feature = "fs")]
pub(crate) fn what_no_rule_gives_is_denied_and_looks_the_same_whether_it_is_there_or_not() {
    let mut server = start("filesystem", "");
    let digest = server.push_blob("private/a", b"content");
    server.push_manifest("private/a", "t", &image(&server, "private/a", "p"));
    server.restart_with(Setup {
        more: RULES,
        ..Setup::default()
    });
    for path in [
        "/v2/private/a/tags/list".to_owned(),
        "/v2/private/b/tags/list".to_owned(),
        "/v2/private/a/manifests/t".to_owned(),
        "/v2/private/a/manifests/u".to_owned(),
        format!("/v2/private/a/blobs/{digest}"),
        format!("/v2/private/b/blobs/{digest}"),
        format!("/v2/private/a/referrers/{digest}"),
    ] {
        server.get(&path).expect(403, "DENIED");
        assert_eq!(server.head(&path).status, 403, "{path}");
        assert_eq!(server.get(&path).body, server.get("/v2/x/tags/list").body);
    }
    server
        .delete("/v2/private/a/manifests/t")
        .expect(403, "DENIED");
    let begin = Request::new("POST", "/v2/private/a/blobs/uploads/");
    server.send(begin).expect(403, "DENIED");
    assert_eq!(server.get("/v2/").status, 200);
}

#[test]
fn a_mount_from_what_may_not_be_pulled_is_a_mount_of_nothing() {
    let server = start("inmemory", RULES);
    let digest = server.push_blob("public/a", b"content");
    for (from, status) in [("&from=public/a", 201), ("&from=private/a", 202)] {
        let path = format!("/v2/public/b{status}/blobs/uploads/?mount={digest}{from}");
        assert_eq!(server.send(Request::new("POST", &path)).status, status);
    }
}

pub(crate) fn who_may_create_moves_no_tag() {
    let server = start("inmemory", RULES);
    let first = image(&server, "shelf/a", "first");
    let digest = server.push_manifest("shelf/a", "latest", &first);
    server.push_manifest("shelf/a", "latest", &first);
    let second = image(&server, "shelf/a", "second");
    let refused = server.put_manifest("shelf/a", "latest", &second);
    refused.expect(403, "DENIED");
    let told = refused.json()["errors"][0]["message"].to_string();
    assert!(told.contains("latest") && told.contains(&digest), "{told}");
    let by_digest = crate::server::sha256(second.as_bytes());
    let beside = format!("{by_digest}?tag=latest");
    server
        .put_manifest("shelf/a", &beside, &second)
        .expect(403, "DENIED");
    server.push_manifest("shelf/a", "second", &second);
    let latest = server.head("/v2/shelf/a/manifests/latest");
    assert_eq!(latest.header("docker-content-digest"), digest);
    server
        .delete("/v2/shelf/a/manifests/latest")
        .expect(403, "DENIED");
}

pub(crate) fn an_immutable_tag_is_moved_by_nobody_and_may_be_deleted() {
    let server = start(
        "inmemory",
        "extensions: {immutable: [{repositories: ['**'], tags: ['v*']}]}\n",
    );
    let (one, two) = (image(&server, "a", "one"), image(&server, "a", "two"));
    server.push_manifest("a", "v1", &one);
    server.push_manifest("a", "latest", &one);
    server.put_manifest("a", "v1", &two).expect(403, "DENIED");
    server.push_manifest("a", "latest", &two);
    assert_eq!(server.delete("/v2/a/manifests/v1").status, 202);
    server.push_manifest("a", "v1", &two);
}

#[cfg(feature = "fs")]
#[test]
fn the_catalog_has_what_may_be_pulled_and_its_pages_are_full() {
    let mut server = start("filesystem", "");
    for name in ["a", "b", "public/a", "public/b", "shelf/c", "z"] {
        server.push_manifest(name, "t", &image(&server, name, name));
    }
    server.restart_with(Setup {
        more: RULES,
        ..Setup::default()
    });
    let page = server.get("/v2/_catalog?n=2");
    assert_eq!(
        page.json()["repositories"],
        serde_json::json!(["public/a", "public/b"])
    );
    assert!(
        page.header("link").contains("last=public%2Fb&n=2")
            || page.header("link").contains("last=public/b&n=2"),
        "{page:?}"
    );
    let rest = server.get("/v2/_catalog?n=2&last=public/b");
    assert_eq!(rest.json()["repositories"], serde_json::json!(["shelf/c"]));
    assert!(rest.all("link").is_empty(), "{rest:?}");
}
