//! Lists of tags and of repositories.

use serde_json::json;

use super::{proved_on_a_server_by, server};
use crate::manifests::image;

proved_on_a_server_by! {
    list_tags: crate::lists::tags_are_listed_in_byte_order_and_by_page;
    list_catalog: crate::lists::the_catalog_lists_repositories_in_byte_order_and_by_page;
}

#[test]
fn list_tags_zero() {
    let server = server("");
    server.push_manifest("a", "t", &image(&server, "a", "layer"));
    let none = server.get("/v2/a/tags/list?n=0");
    assert_eq!(none.json(), json!({"name": "a", "tags": []}));
    assert_eq!(none.header("link"), "");
}

#[test]
fn list_tags_bad_number() {
    let server = server("");
    server.push_manifest("a", "t", &image(&server, "a", "layer"));
    for (n, told) in [("x", 0), ("-1", -1)] {
        let refused = server.get(&format!("/v2/a/tags/list?n={n}"));
        refused.expect(400, "PAGINATION_NUMBER_INVALID");
        assert_eq!(refused.json()["errors"][0]["detail"]["n"], told);
    }
}

#[test]
fn list_tags_none() {
    let server = server("");
    server.push_blob("blobs", b"content");
    server.push_manifest("deleted", "t", &image(&server, "deleted", "layer"));
    assert_eq!(server.delete("/v2/deleted/manifests/t").status, 202);
    for name in ["blobs", "deleted"] {
        let list = server.get(&format!("/v2/{name}/tags/list"));
        assert_eq!(list.json(), json!({"name": name, "tags": []}));
    }
    let unused = server.get("/v2/unused/tags/list");
    unused.expect(404, "NAME_UNKNOWN");
    assert_eq!(unused.json()["errors"][0]["detail"]["name"], "unused");
}

#[cfg(feature = "fs")]
#[test]
fn list_tags_empty_directory() {
    let mut server = crate::server::Server::start("filesystem");
    server.push_manifest("a", "t", &image(&server, "a", "layer"));
    let empty = server.at("repositories/a/_manifests/tags/empty");
    std::fs::create_dir_all(empty).unwrap();
    server.restart();
    assert_eq!(server.get("/v2/a/tags/list").json()["tags"], json!(["t"]));
}

#[test]
fn list_catalog_zero() {
    let server = server("");
    server.push_blob("a", b"content");
    let none = server.get("/v2/_catalog?n=0");
    assert_eq!(none.json(), json!({"repositories": []}));
    assert_eq!((none.status, none.header("link")), (200, ""));
}

#[test]
fn list_catalog_bad_number() {
    let server = server("");
    for n in ["x", "-1"] {
        let refused = server.get(&format!("/v2/_catalog?n={n}"));
        refused.expect(400, "PAGINATION_NUMBER_INVALID");
        assert_eq!(refused.json()["errors"][0]["detail"]["n"], n);
    }
}

#[cfg(feature = "fs")]
#[test]
fn list_catalog_which() {
    let mut server = crate::server::Server::start("filesystem");
    for dir in [
        "two/_layers/sha256",
        "three/_manifests/tags",
        "none/_uploads/x",
    ] {
        std::fs::create_dir_all(server.at(&format!("repositories/{dir}"))).unwrap();
    }
    server.restart();
    let listed = server.get("/v2/_catalog").json();
    assert_eq!(listed, json!({"repositories": ["three", "two"]}));
}
