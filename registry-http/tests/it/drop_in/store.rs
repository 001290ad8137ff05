//! What lies on the disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{proved_by, registry};
use crate::client::Request;
use crate::manifests::image;
use crate::server::{Server, sha256};
use crate::{checking, lifecycle, order, swapped};

proved_by! {
    store_reads: swapped::what_distribution_accepted_is_served_as_what_it_is,
        swapped::a_subject_counts_whatever_stands_beside_it_and_only_where_it_is_one;
    store_two_digests: swapped::a_blob_under_two_digests_is_mounted_with_both_links;
    store_durable: order::a_push_becomes_durable_in_the_promised_order;
    store_empty_blob: checking::what_has_lost_its_bytes_is_told_absent_for_who_reads_and_brought_by_the_next_push;
    store_locked: lifecycle::one_server_has_the_root_and_the_next_is_told_which;
}

fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap()
}

/// Where the bytes of a digest are.
pub(super) fn data(server: &Server, digest: &str) -> PathBuf {
    let hex = hex(digest);
    server.at(&format!("blobs/sha256/{}/{hex}/data", &hex[..2]))
}

/// The links of a manifest with a tag, as distribution has them.
fn links(repository: &str, tag: &str, digest: &str) -> [String; 3] {
    let manifests = format!("repositories/{repository}/_manifests");
    let hex = hex(digest);
    [
        format!("{manifests}/revisions/sha256/{hex}/link"),
        format!("{manifests}/tags/{tag}/index/sha256/{hex}/link"),
        format!("{manifests}/tags/{tag}/current/link"),
    ]
}

fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Puts a manifest with a tag where distribution would.
pub(super) fn plant(server: &Server, repository: &str, tag: &str, body: &[u8]) {
    let digest = sha256(body);
    write(&data(server, &digest), body);
    for link in links(repository, tag, &digest) {
        write(&server.at(&link), digest.as_bytes());
    }
}

fn layer_link(repository: &str, digest: &str) -> String {
    format!(
        "repositories/{repository}/_layers/sha256/{}/link",
        hex(digest)
    )
}

#[test]
fn store_layout() {
    let server = Server::start("filesystem");
    let body = image(&server, "a/b", "layer");
    let digest = server.push_manifest("a/b", "t", &body);
    let layer = sha256(b"layer");
    assert_eq!(fs::read(data(&server, &layer)).unwrap(), b"layer");
    assert_eq!(fs::read(data(&server, &digest)).unwrap(), body.as_bytes());
    let held = |path: &str| fs::read_to_string(server.at(path)).unwrap();
    assert_eq!(held(&layer_link("a/b", &layer)), layer);
    for link in links("a/b", "t", &digest) {
        assert_eq!(held(&link), digest, "{link}");
    }
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect()
}

#[test]
fn store_own() {
    let server = Server::start("filesystem");
    server.push_manifest("a", "t", &image(&server, "a", "layer"));
    let begun = server.send(Request::new("POST", "/v2/a/blobs/uploads/"));
    let patch = Request::new("PATCH", begun.header("location")).body(b"half");
    assert_eq!(server.send(patch).status, 202);
    server.get(&format!("/v2/a/referrers/{}", sha256(b"subject")));
    let known = |dir: &Path, known: &[&str]| {
        let names = names(dir);
        let all = names.iter().all(|name| known.contains(&&**name));
        assert!(all && !names.is_empty(), "{}: {names:?}", dir.display());
    };
    known(&server.root.path().join("store"), &["docker"]);
    known(&server.at(""), &["blobs", "repositories", "uploads", "gc"]);
    let in_repository = ["_layers", "_manifests", "_mediatypes", "_referrers"];
    known(&server.at("repositories/a"), &in_repository);
    known(&server.at("blobs"), &["sha256"]);
}

fn output(server: &Server, arguments: &[&str]) -> String {
    let output = registry(server.root.path(), arguments, &[])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn store_empty_links() {
    let mut server = Server::start("filesystem");
    let torn = server.push_manifest("a", "torn", &image(&server, "a", "torn"));
    let lost = server.push_manifest("a", "lost", &image(&server, "a", "lost"));
    server.process.signal("TERM");
    server.process.end();
    let [revision, ..] = links("a", "torn", &torn);
    let [.., tag] = links("a", "lost", &lost);
    for link in [revision, tag, layer_link("a", &sha256(b"lost"))] {
        fs::write(server.at(&link), "").unwrap();
    }
    let told = output(&server, &["check", "--json", "config.yml"]);
    for (kind, count) in [("empty-link", 2), ("empty-tag", 1)] {
        let told = told.matches(&format!("\"kind\":\"{kind}\"")).count();
        assert_eq!(told, count, "{kind}");
    }
    output(&server, &["garbage-collect", "--now", "config.yml"]);
    for digest in [&torn, &lost, &sha256(b"torn"), &sha256(b"lost")] {
        assert!(data(&server, digest).exists(), "{digest}");
    }
    server.restart();
    for reference in [&*torn, "torn", "lost"] {
        let answer = server.get(&format!("/v2/a/manifests/{reference}"));
        answer.expect(404, "MANIFEST_UNKNOWN");
    }
    assert_eq!(server.get(&format!("/v2/a/manifests/{lost}")).status, 200);
    let layer = server.get(&format!("/v2/a/blobs/{}", sha256(b"lost")));
    layer.expect(404, "BLOB_UNKNOWN");
    let tags = &server.get("/v2/a/tags/list").json()["tags"];
    assert!(!tags.to_string().contains("lost"), "{tags}");
}

#[test]
fn store_uploads() {
    lifecycle::abandoned_uploads_are_told_or_purged_while_serving();
    let server = Server::start("filesystem");
    server.push_blob("a", b"content");
    let id = "6f0c1a34-7a3e-4e5c-9d1d-0b6a5f2e91c4";
    let folder = server.at(&format!("repositories/a/_uploads/{id}"));
    write(&folder.join("startedat"), b"2026-01-02T03:04:05Z");
    write(&folder.join("data"), b"half");
    let status = server.get(&format!("/v2/a/blobs/uploads/{id}"));
    status.expect(404, "BLOB_UPLOAD_UNKNOWN");
}
