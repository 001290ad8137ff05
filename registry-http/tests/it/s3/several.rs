//! Servers that share a bucket and nothing else: what every suite says of one is said of them by
//! `on_each_driver!`, and what they alone are asked is here.

use std::sync::Barrier;
use std::thread;

use storage_s3::testing::S3Server;

use crate::client::Request;
use crate::manifests::image;
use crate::process::{Process, wait_for};
use crate::server::{REPLICAS, Server, Setup, command, sha256};

fn pieces(len: usize) -> Vec<Vec<u8>> {
    let piece = |n: usize| (0..len + n).map(|at| (at * 7 + n) as u8).collect();
    (0..7).map(piece).collect()
}

fn an_upload_goes_on_at_another_server_with_every_piece(len: usize) {
    let server = Server::start("replicas");
    let pieces = pieces(len);
    let whole = pieces.concat();
    let digest = sha256(&whole);
    let begun = server.send(Request::new("POST", "/v2/app/blobs/uploads/"));
    assert_eq!(begun.status, 202);
    let mut url = begun.header("location").to_owned();
    let mut sent = 0;
    for piece in &pieces {
        let patch = Request::new("PATCH", &url).body(piece);
        let answer = server.send(patch);
        sent += piece.len();
        assert_eq!(answer.status, 202, "{answer:?}");
        let range = format!("0-{}", sent - 1);
        assert_eq!(answer.header("range"), range);
        url = answer.header("location").to_owned();
        let status = server.get(&url);
        assert_eq!((status.status, status.header("range")), (204, &*range));
    }
    let put = Request::new("PUT", &format!("{url}&digest={digest}"));
    let answer = server.send(put);
    assert_eq!(answer.status, 201, "{answer:?}");
    for _ in 0..REPLICAS {
        assert!(server.get(&format!("/v2/app/blobs/{digest}")).body == whole);
    }
    // What nobody needs any more is removed a while later.
    wait_for(|| {
        let keys = server.bucket().keys();
        (!keys.iter().any(|key| key.contains("/piece-"))).then_some(())
    });
    assert!(server.bucket().pending().is_empty());
}

#[test]
pub(crate) fn servers_take_turns_at_an_upload() {
    an_upload_goes_on_at_another_server_with_every_piece(1_000);
}

#[test]
pub(crate) fn servers_take_turns_at_an_upload_of_several_parts() {
    // Seven of these are two parts and a bit.
    an_upload_goes_on_at_another_server_with_every_piece(3_200_000);
}

#[test]
pub(crate) fn what_one_server_is_told_all_know() {
    let server = Server::start("replicas");
    let manifest = image(&server, "app", "layer");
    let tags = || server.get("/v2/app/tags/list").json()["tags"].to_string();
    for tag in ["a", "b", "c", "d"] {
        assert_eq!(server.put_manifest("app", tag, &manifest).status, 201);
        for _ in 0..REPLICAS {
            let found = server.get(&format!("/v2/app/manifests/{tag}"));
            assert_eq!(found.body, manifest.as_bytes());
        }
    }
    assert_eq!(tags(), r#"["a","b","c","d"]"#);
    assert_eq!(server.delete("/v2/app/manifests/b").status, 202);
    for _ in 0..REPLICAS {
        assert_eq!(server.get("/v2/app/manifests/b").status, 404);
        assert_eq!(tags(), r#"["a","c","d"]"#);
    }
    let digest = sha256(manifest.as_bytes());
    let path = format!("/v2/app/manifests/{digest}");
    assert_eq!(server.delete(&path).status, 202);
    for _ in 0..REPLICAS {
        for reference in ["a", &digest] {
            let path = format!("/v2/app/manifests/{reference}");
            assert_eq!(server.get(&path).status, 404);
        }
    }
}

/// All have served it, and hold it in memory if they hold anything: who may not have it any more
/// is refused by all at once.
#[test]
pub(crate) fn what_is_deleted_at_one_server_no_other_serves_from_memory() {
    let server = Server::start("replicas");
    let manifest = image(&server, "app", "layer");
    let digest = server.push_manifest("app", "latest", &manifest);
    image(&server, "other", "layer");
    let elsewhere = server.push_manifest("other", "latest", &manifest);
    let layer = sha256(b"layer");
    let all = |repo: &str, status: u16| {
        for path in ["manifests/latest", &format!("manifests/{digest}")] {
            for _ in 0..REPLICAS {
                let answer = server.get(&format!("/v2/{repo}/{path}"));
                assert_eq!(answer.status, status, "{repo}: {path}");
            }
        }
    };
    let blobs = |repo: &str, status: u16| {
        for _ in 0..REPLICAS {
            let answer = server.get(&format!("/v2/{repo}/blobs/{layer}"));
            assert_eq!(answer.status, status, "{repo}");
            let head = server.head(&format!("/v2/{repo}/blobs/{layer}"));
            assert_eq!(head.status, status, "{repo}");
        }
    };
    assert_eq!(digest, elsewhere);
    all("app", 200);
    blobs("app", 200);
    let deleted = server.delete(&format!("/v2/app/manifests/{digest}"));
    assert_eq!(deleted.status, 202);
    all("app", 404);
    let deleted = server.delete(&format!("/v2/app/blobs/{layer}"));
    assert_eq!(deleted.status, 202);
    blobs("app", 404);
    all("other", 200);
    blobs("other", 200);
    let needs = server.put_manifest("app", "latest", &manifest);
    needs.expect(400, "MANIFEST_BLOB_UNKNOWN");
}

#[test]
pub(crate) fn a_server_that_is_killed_leaves_its_upload_to_the_others() {
    let mut server = Server::start("s3");
    let begun = server.send(Request::new("POST", "/v2/app/blobs/uploads/"));
    let patch = Request::new("PATCH", begun.header("location")).body(b"one half, ");
    let url = server.send(patch).header("location").to_owned();
    let other = server.beside(Setup::default()).unwrap();
    server.process.kill();
    let digest = sha256(b"one half, and the other");
    let put = Request::new("PUT", &format!("{url}&digest={digest}")).body(b"and the other");
    assert_eq!(put.send(other.address).status, 201);
    let found = Request::new("GET", &format!("/v2/app/blobs/{digest}")).send(other.address);
    assert_eq!(found.body, b"one half, and the other");
}

/// So many of them at the same moment on one bucket.
fn start_at_once(bucket: &S3Server, count: usize) -> Vec<Process> {
    let root = tempfile::tempdir().unwrap();
    let section = super::section(bucket, true);
    let text = format!("version: 0.1\nstorage:\n{section}");
    std::fs::write(root.path().join("c.yml"), text).unwrap();
    let barrier = Barrier::new(count);
    let start = || {
        let mut serve = command(&[]);
        serve.args(["serve", "c.yml"]).current_dir(root.path());
        serve.env_clear().env("REGISTRY_HTTP_ADDR", "127.0.0.1:0");
        barrier.wait();
        Process::start(serve).unwrap()
    };
    thread::scope(|scope| {
        let started: Vec<_> = (0..count).map(|_| scope.spawn(start)).collect();
        let started = started.into_iter().map(|one| one.join().unwrap());
        started.collect()
    })
}

#[test]
pub(crate) fn servers_that_start_at_once_on_an_empty_bucket_sign_with_one_key() {
    for _ in 0..4 {
        let bucket = S3Server::start();
        let servers = start_at_once(&bucket, 4);
        let keys = bucket.keys();
        let made = keys.iter().filter(|key| key.ends_with("uploads/_key"));
        assert_eq!(made.count(), 1, "{keys:?}");
        for one in &servers {
            let begun = Request::new("POST", "/v2/app/blobs/uploads/").send(one.address);
            let url = begun.header("location").to_owned();
            for other in &servers {
                let status = Request::new("GET", &url).send(other.address);
                assert_eq!(status.status, 204, "{status:?}");
            }
        }
    }
}
