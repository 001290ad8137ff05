//! `registry garbage-collect` on a bucket, which leaves what it leaves on a filesystem.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::run;
use crate::manifests::image;
use crate::server::{Server, sha256};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What is distribution's, by its path in the tree.
type Tree = BTreeMap<String, Vec<u8>>;

fn is_ours(path: &str) -> bool {
    ["_index/", "uploads/", "gc/"]
        .iter()
        .any(|dir| path.starts_with(dir))
        || path.contains("/_referrers/")
}

fn files(dir: &Path, below: &str, tree: &mut Tree) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => files(&entry.path(), &format!("{name}/"), tree),
            false => {
                tree.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
}

fn tree(server: &Server, kind: &str) -> Tree {
    let mut tree = Tree::new();
    if kind == "s3" {
        for key in server.bucket().keys() {
            let bytes = server.bucket().object(&key).unwrap().bytes;
            let path = key.strip_prefix("docker/registry/v2/").unwrap();
            tree.insert(path.to_owned(), bytes.to_vec());
        }
    } else {
        files(&server.at(""), "", &mut tree);
    }
    tree.retain(|path, _| !is_ours(path));
    tree
}

/// Images of all kinds, some of them deleted or without a tag.
fn fill(server: &Server) {
    let by_digest =
        |repo: &str, body: &str| server.push_manifest(repo, &sha256(body.as_bytes()), body);
    for repo in ["app", "team/app"] {
        let child = by_digest(repo, &image(server, repo, "child"));
        let entry = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": child, "size": 1});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
        let tagged = server.push_manifest(repo, "v1", &index.to_string());
        let mut signature: Value = serde_json::from_str(&image(server, repo, "signature")).unwrap();
        signature["subject"] = json!({"mediaType": INDEX, "digest": tagged, "size": 1});
        by_digest(repo, &signature.to_string());
        by_digest(repo, &image(server, repo, "untagged"));
        let gone = server.push_manifest(repo, "gone", &image(server, repo, "gone"));
        let deleted = server.delete(&format!("/v2/{repo}/manifests/{gone}"));
        assert_eq!(deleted.status, 202);
        server.push_manifest(repo, "moved", &image(server, repo, "before"));
        server.push_manifest(repo, "moved", &image(server, repo, "after"));
    }
    server.push_blob("app", b"orphan");
}

#[test]
fn a_collection_leaves_the_same_in_a_bucket_as_on_a_filesystem() {
    let flags: [&[&str]; 4] = [&["--now"], &["--now", "-m"], &[], &["-m"]];
    for flags in flags {
        let [bucket, files] = ["s3", "filesystem"].map(|kind| {
            let mut server = Server::start(kind);
            fill(&server);
            server.process.signal("TERM");
            assert!(server.process.end().success());
            let before = tree(&server, kind);
            let words = |more: &'static [&str]| [&["garbage-collect"], flags, more].concat();
            let dry = run(&server, &words(&["-d"]));
            assert!(dry.status.success(), "{dry:?}");
            assert_eq!(tree(&server, kind), before);
            let done = run(&server, &words(&[]));
            assert!(done.status.success(), "{done:?}");
            let after = tree(&server, kind);
            assert_ne!(after, before);
            server.restart();
            for repo in ["app", "team/app"] {
                for reference in ["v1", "moved"] {
                    let found = server.get(&format!("/v2/{repo}/manifests/{reference}"));
                    assert_eq!(found.status, 200, "{found:?}");
                }
                let layer = sha256(b"signature");
                let found = server.get(&format!("/v2/{repo}/blobs/{layer}"));
                assert_eq!(found.body, b"signature");
            }
            after
        });
        let of = |one: &Tree, other: &Tree| {
            let only = one.keys().filter(|path| !other.contains_key(*path));
            only.cloned().collect::<Vec<_>>()
        };
        assert_eq!(
            (of(&bucket, &files), of(&files, &bucket)),
            (vec![], vec![]),
            "{flags:?}"
        );
        assert!(bucket == files, "{flags:?}");
    }
}
