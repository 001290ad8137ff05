//! Storage in a bucket: what is not the same on every driver.

pub(crate) mod catalog;
#[cfg(feature = "fs")]
mod collecting;
pub(crate) mod contended;
pub(crate) mod credentials;
mod down;
pub(crate) mod killed;
mod lane;
mod matrix;
mod odd;
#[cfg(feature = "fs")]
mod page;
mod pages;
mod requests;
pub(crate) mod roles;
pub(crate) mod secure;
pub(crate) mod several;

use std::process::Output;

use storage_s3::testing::{Failure, Fault, Operation, S3Server, When};

use crate::blobs::several_ranges_come_as_parts;
use crate::client::{Answer, Request, exchange, parse};
use crate::health;
use crate::manifests::image;
use crate::process::wait_for;
use crate::server::{Server, Setup, command, sha256};

/// The section of the driver, and whether blobs are to come from the registry alone.
pub(crate) fn section(bucket: &S3Server, here: bool) -> String {
    let (name, region, endpoint) = (bucket.bucket(), bucket.region(), bucket.endpoint());
    let (access, secret) = (S3Server::ACCESS_KEY, S3Server::SECRET_KEY);
    format!(
        "  s3: {{ bucket: {name}, region: {region}, regionendpoint: '{endpoint}', \
         accesskey: {access}, secretkey: '{secret}' }}\n  redirect: {{ disable: {here} }}\n"
    )
}

/// What a client does that is sent elsewhere.
pub(crate) fn follow(answer: &Answer, range: Option<&str>) -> Answer {
    assert_eq!(answer.status, 307, "{answer:?}");
    let url = answer.header("location");
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let request = Request::new("GET", path).host(host);
    let request = match range {
        Some(range) => request.header("Range", range),
        None => request,
    };
    parse(&exchange(host.parse().unwrap(), &request.wire())).unwrap()
}

/// A server that sends clients to its bucket.
pub(crate) fn sending(variables: &[(&str, &str)]) -> Server {
    let mut server = Server::start("s3");
    let file = server.root.path().join("storage.yml");
    let storage = format!(
        "version: 0.1\nstorage:\n{}  delete: {{ enabled: true }}\n",
        section(server.bucket(), false)
    );
    std::fs::write(file, storage).unwrap();
    server.restart_with(Setup {
        variables,
        ..Setup::default()
    });
    server
}

fn run(server: &Server, words: &[&str]) -> Output {
    let mut command = command(&[]);
    command.args(words).arg("config.yml").env_clear();
    command.env("REGISTRY_HTTP_ADDR", "127.0.0.1:0");
    command.current_dir(server.root.path()).output().unwrap()
}

#[test]
pub(crate) fn a_blob_is_fetched_from_the_bucket_and_nothing_else_is() {
    let server = sending(&[]);
    let digest = server.push_blob("app", b"some content");
    let path = format!("/v2/app/blobs/{digest}");
    let sent = server.get(&path);
    assert_eq!(sent.header("docker-content-digest"), digest);
    let there = format!("{}/registry/", server.bucket().endpoint());
    assert!(sent.header("location").starts_with(&there), "{sent:?}");
    assert_eq!(follow(&sent, None).body, b"some content");
    let range = "bytes=5-";
    let sent = server.send(Request::new("GET", &path).header("Range", range));
    let part = follow(&sent, Some(range));
    assert_eq!((part.status, part.body), (206, b"content".to_vec()));

    let head = server.head(&path);
    assert_eq!((head.status, head.header("content-length")), (200, "12"));
    several_ranges_come_as_parts(&server);
    let manifest = image(&server, "app", "layer");
    let digest = server.push_manifest("app", "latest", &manifest);
    for reference in ["latest", &digest] {
        let found = server.get(&format!("/v2/app/manifests/{reference}"));
        assert_eq!(found.body, manifest.as_bytes());
    }
    // Nobody is sent to what is not there, or to what another repository has.
    let absent = sha256(b"absent");
    server
        .get(&format!("/v2/app/blobs/{absent}"))
        .expect(404, "BLOB_UNKNOWN");
    let layer = sha256(b"layer");
    server
        .get(&format!("/v2/other/blobs/{layer}"))
        .expect(404, "BLOB_UNKNOWN");
}

#[test]
pub(crate) fn clients_that_must_not_be_sent_elsewhere_are_not() {
    let server = sending(&[("REGISTRY_STORAGE_REDIRECT_DISABLE", "true")]);
    let path = format!("/v2/app/blobs/{}", server.push_blob("app", b"some content"));
    let found = server.get(&path);
    assert_eq!((found.status, &found.body[..]), (200, &b"some content"[..]));
}

#[test]
pub(crate) fn while_the_store_is_down_clients_are_told_to_come_back() {
    let server = Server::start("s3");
    let digest = server.push_blob("app", b"some content");
    let manifest = image(&server, "app", "layer");
    server.push_manifest("app", "latest", &manifest);
    let down = Fault::Status(http::StatusCode::SERVICE_UNAVAILABLE, "SlowDown");
    server
        .bucket()
        .fail(Failure::new(When::Before, down).times(10_000));
    let blob = format!("/v2/app/blobs/{digest}");
    for path in ["/v2/app/manifests/latest", &blob, "/v2/app/tags/list"] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.header("retry-after")), (503, "5"));
        let text = String::from_utf8(answer.body).unwrap();
        assert!(
            !text.contains("SlowDown") && !text.contains("X-Amz"),
            "{text}"
        );
    }
    assert_eq!(server.get("/v2/").status, 200);
    assert!(server.bucket().stop_failing() > 0);
    assert_eq!(server.get(&blob).body, b"some content");
    assert_eq!(server.get("/v2/app/manifests/latest").status, 200);
}

#[test]
pub(crate) fn a_store_that_is_gone_shows_in_health() {
    let more = "health: {storagedriver: {enabled: true, interval: 10ms, threshold: 1}}\n";
    let server = Server::with(
        "s3",
        Setup {
            more,
            ..Setup::default()
        },
    );
    assert_eq!(health::status(&server), 200);
    let down = Fault::Status(http::StatusCode::FORBIDDEN, "AccessDenied");
    server
        .bucket()
        .fail(Failure::new(When::Before, down).times(10_000));
    health::wait_for_status(&server, 503);
    server.bucket().stop_failing();
    health::wait_for_status(&server, 200);
}

#[test]
pub(crate) fn what_was_deleted_is_collected_from_the_bucket() {
    let mut server = Server::start("s3");
    let gone = server.push_manifest("app", "gone", &image(&server, "app", "one"));
    let stays = server.push_manifest("app", "stays", &image(&server, "app", "two"));
    let deleted = server.delete(&format!("/v2/app/manifests/{gone}"));
    assert_eq!(deleted.status, 202);
    server.process.signal("TERM");
    assert!(server.process.end().success());
    let before = server.bucket().keys();
    let lies = |digest: &str| {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let data = format!("blobs/sha256/{}/{hex}/data", &hex[..2]);
        server
            .bucket()
            .keys()
            .iter()
            .any(|key| key.ends_with(&data))
    };
    let dry = run(&server, &["garbage-collect", "--dry-run"]);
    assert!(dry.status.success(), "{dry:?}");
    assert_eq!(server.bucket().keys(), before);
    let collected = run(&server, &["garbage-collect", "--now"]);
    assert!(collected.status.success(), "{collected:?}");
    let told = String::from_utf8(collected.stdout).unwrap();
    assert!(
        told.contains(&format!("blob eligible for deletion: {gone}")),
        "{told}"
    );
    assert!(!lies(&gone) && !lies(&sha256(b"one")));
    assert!(lies(&stays) && lies(&sha256(b"two")));
    server.restart();
    assert_eq!(
        server.get(&format!("/v2/app/manifests/{stays}")).status,
        200
    );
    assert_eq!(server.get(&format!("/v2/app/manifests/{gone}")).status, 404);
}

#[test]
pub(crate) fn a_bucket_is_checked_and_left_as_it_is() {
    let server = Server::start("s3");
    server.push_manifest("app", "latest", &image(&server, "app", "layer"));
    let before = server.bucket().keys();
    let checked = run(&server, &["check"]);
    let told = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success(), "{told}");
    let endpoint = server.bucket().endpoint();
    for fact in [
        "kind: s3",
        "bucket: registry",
        &format!("endpoint: {endpoint}"),
        "credentials: the configuration",
        "conditions of writes: held to",
        "1 repositories, 1 manifests, 1 tags, 0 traces of crashes",
        "this could be served",
    ] {
        assert!(told.contains(fact), "{fact}: {told}");
    }
    assert!(!told.contains(S3Server::SECRET_KEY), "{told}");
    assert!(!told.contains(S3Server::ACCESS_KEY), "{told}");
    assert_eq!(server.bucket().keys(), before);
    let forbidden = Fault::Status(http::StatusCode::FORBIDDEN, "AccessDenied");
    let writes = Failure::new(When::Before, forbidden).of(Operation::PutObject);
    server.bucket().fail(writes.times(10_000));
    let checked = run(&server, &["check"]);
    let told = String::from_utf8(checked.stderr).unwrap();
    assert!(
        !checked.status.success() && told.contains("AccessDenied"),
        "{told}"
    );
}

#[test]
pub(crate) fn what_was_never_finished_is_purged_from_the_bucket() {
    let mut server = Server::start("s3");
    let begun = server.send(Request::new("POST", "/v2/app/blobs/uploads/"));
    let sent = Request::new("PATCH", begun.header("location")).body(b"a part of it");
    assert_eq!(server.send(sent).status, 202);
    let uploads = |server: &Server| {
        let keys = server.bucket().keys();
        let uploads = keys.into_iter().filter(|key| key.contains("/uploads/"));
        uploads.filter(|key| !key.ends_with("/_key")).count()
    };
    assert_ne!(uploads(&server), 0);
    server.restart_with(Setup {
        more: "",
        variables: &[
            ("REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_AGE", "1ms"),
            (
                "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_INTERVAL",
                "10ms",
            ),
        ],
        through: &[],
    });
    wait_for(|| (uploads(&server) == 0).then_some(()));
}

#[test]
pub(crate) fn requests_to_the_store_are_lines_where_that_is_asked_for() {
    let mut server = Server::start("s3");
    let of_store = "the store has answered";
    server.push_blob("app", b"some content");
    assert_eq!(server.process.log.count(of_store), 0);
    server.restart_with(Setup {
        variables: &[
            ("REGISTRY_STORAGE_S3_LOGLEVEL", "debugwithsigning"),
            ("REGISTRY_LOG_LEVEL", "debug"),
        ],
        ..Setup::default()
    });
    server.push_blob("app", b"other content");
    let line = server.process.log.wait(of_store);
    assert!(
        line.contains("method=") && !line.contains("X-Amz"),
        "{line}"
    );
    assert_eq!(server.process.log.count(S3Server::SECRET_KEY), 0);
    assert_eq!(server.process.log.count(S3Server::ACCESS_KEY), 0);
}
