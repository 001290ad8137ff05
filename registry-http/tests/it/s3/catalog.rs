//! The index of repositories in a bucket, and what reads all of one.

use serde_json::{Value, json};
use storage_s3::testing::S3Server;

use super::run;
use crate::manifests::image;
use crate::process::wait_for;
use crate::server::{Server, sha256};

const V2: &str = "docker/registry/v2";

fn catalog(server: &Server, query: &str) -> Value {
    server.get(&format!("/v2/_catalog{query}")).json()["repositories"].clone()
}

fn is_complete(server: &Server) -> bool {
    let mark = format!("{V2}/_index/_complete");
    server.bucket().object(&mark).is_some()
}

/// As distribution writes an image with the tag `v1`.
fn plant(bucket: &S3Server, repository: &str, body: &str) -> String {
    let digest = sha256(body.as_bytes());
    let hex = &digest[7..];
    let manifests = format!("{V2}/repositories/{repository}/_manifests");
    bucket.put(
        &format!("{V2}/blobs/sha256/{}/{hex}/data", &hex[..2]),
        body.to_owned(),
    );
    for link in [
        format!("revisions/sha256/{hex}/link"),
        format!("tags/v1/index/sha256/{hex}/link"),
        "tags/v1/current/link".to_owned(),
    ] {
        bucket.put(&format!("{manifests}/{link}"), digest.clone());
    }
    digest
}

#[test]
pub(crate) fn what_distribution_has_written_is_listed_from_the_first_request() {
    let server = Server::start("s3");
    let names = ["a", "a-b", "a.b/c", "a/b", "a0", "team/app"];
    let body = image(&server, "first", "layer");
    for name in names {
        plant(server.bucket(), name, &body);
    }
    let mut all = names.to_vec();
    all.insert(5, "first");
    assert_eq!(catalog(&server, ""), json!(all));
    wait_for(|| is_complete(&server).then_some(()));
    assert_eq!(catalog(&server, ""), json!(all));
    let mut paged: Vec<Value> = Vec::new();
    let mut path = "/v2/_catalog?n=2".to_owned();
    loop {
        let page = server.get(&path);
        paged.extend(page.json()["repositories"].as_array().unwrap().clone());
        let link = page.header("link");
        let Some(next) = link.strip_prefix('<').and_then(|link| link.split_once('>')) else {
            break;
        };
        path = next.0.to_owned();
    }
    assert_eq!(json!(paged), json!(all));
}

#[test]
pub(crate) fn a_repository_that_only_distribution_knows_is_listed_after_an_access_or_a_reindex() {
    let server = Server::start("s3");
    let body = image(&server, "ours", "layer");
    server.push_manifest("ours", "v1", &body);
    assert_eq!(catalog(&server, ""), json!(["ours"]));
    wait_for(|| is_complete(&server).then_some(()));
    plant(server.bucket(), "accessed", &body);
    plant(server.bucket(), "made/again", &body);
    assert_eq!(catalog(&server, ""), json!(["ours"]));
    assert_eq!(
        server.get("/v2/accessed/manifests/v1").body,
        body.as_bytes()
    );
    assert_eq!(catalog(&server, ""), json!(["accessed", "ours"]));
    // Beside the server.
    let done = run(&server, &["fsck", "--reindex"]);
    let told = String::from_utf8(done.stdout).unwrap();
    assert!(
        done.status.success() && told.contains("3 repositories"),
        "{told}"
    );
    assert_eq!(
        catalog(&server, ""),
        json!(["accessed", "made/again", "ours"])
    );
    let keys = server.bucket().keys();
    let index: Vec<&str> = keys
        .iter()
        .filter_map(|key| key.strip_prefix("docker/registry/v2/_index/"))
        .collect();
    assert_eq!(
        index,
        [
            "_complete",
            "catalog/accessed",
            "catalog/made.again",
            "catalog/ours"
        ]
    );
    // What has gone is not listed, whatever the index says.
    for key in keys.iter().filter(|key| key.contains("/accessed/")) {
        assert!(server.bucket().remove(key));
    }
    assert_eq!(catalog(&server, ""), json!(["made/again", "ours"]));
}

#[test]
pub(crate) fn a_bucket_is_read_whole_and_what_is_wrong_in_it_is_told() {
    let server = Server::start("s3");
    let body = image(&server, "app", "some layer");
    server.push_manifest("app", "v1", &body);
    let before = server.bucket().keys();
    let done = run(&server, &["fsck"]);
    let told = String::from_utf8(done.stdout).unwrap();
    assert!(
        done.status.success() && told.contains("3 blobs read"),
        "{told}"
    );
    assert_eq!(server.bucket().keys(), before);
    let layer = sha256(b"some layer");
    let key = format!("{V2}/blobs/sha256/{}/{}/data", &layer[7..9], &layer[7..]);
    server.bucket().put(&key, "some");
    let done = run(&server, &["fsck"]);
    let told = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(
        told.contains(&format!("a blob that was cut short: {key} (4 of 10 bytes)")),
        "{told}"
    );
    assert!(server.bucket().remove(&key));
    let done = run(&server, &["fsck"]);
    let told = String::from_utf8(done.stdout).unwrap();
    assert!(
        !done.status.success() && told.contains("without its bytes"),
        "{told}"
    );
}
