//! What a store holds to beyond what all do: it is tried, used and said.

use std::time::Duration;

use bytes::Bytes;
use registry_core::layout::Key;
use registry_core::storage::{
    BlobStore, Durability, OpenMode, Outcome, PutMode, RecordStore, UploadHint, Version,
};
use registry_core::testing::{content, upload_id, verified, verified_as};
use storage_s3::S3Driver;
use storage_s3::testing::{Checksums, Failure, Fault, Operation, Options, Request, S3Server, When};

const SUM: &str = "x-amz-checksum-sha256";

async fn open(server: &S3Server) -> S3Driver {
    let mut config = server.config();
    config.storageclass = Some("STANDARD_IA".to_owned());
    config.patience = Duration::from_secs(1);
    let driver = storage_s3::open(&config, OpenMode::Serve).await.unwrap();
    server.take_log();
    driver
}

async fn push(driver: &S3Driver, bytes: &Bytes) -> Result<(), String> {
    let id = upload_id();
    let opened = driver.open_upload(&id, None, UploadHint::default()).await;
    let mut upload = opened.unwrap();
    upload.write(vec![bytes.clone()]).await.unwrap();
    let done = upload.commit(verified(bytes)).await;
    done.map_err(|failed| format!("{:?}", failed.source))
}

fn blob(bytes: &Bytes) -> String {
    Key::Blob(*verified(bytes).digest()).path().to_string()
}

async fn told(server: &S3Server, name: &str) -> String {
    let driver = storage_s3::open(&server.config(), OpenMode::Check).await;
    let facts = driver.unwrap().survey().await.facts;
    let mut facts = facts.into_iter().filter(|(one, _)| *one == name);
    facts.next().unwrap().1
}

#[tokio::test]
async fn a_small_blob_comes_with_its_digest_and_only_where_that_is_compared() {
    for (checksums, sent, said) in [
        (Checksums::Compared, true, "compared"),
        (Checksums::Ignored, false, "passed over"),
        (Checksums::Refused, false, "passed over"),
    ] {
        let mut options = Options::default();
        options.checksums = checksums;
        let server = S3Server::with(options);
        let driver = open(&server).await;
        let bytes = content(1, 1_000);
        push(&driver, &bytes).await.unwrap();
        let log = server.take_log();
        let [put] = &log[..] else {
            panic!("{checksums:?}: {log:?}")
        };
        assert_eq!(put.headers.contains_key(SUM), sent, "{checksums:?}");
        assert_eq!(put.headers["x-amz-storage-class"], "STANDARD_IA");
        assert_eq!(server.object(&blob(&bytes)).unwrap().bytes, bytes);
        let told = told(&server, "checksums of writes").await;
        assert!(told.starts_with(said), "{checksums:?}: {told}");
    }
}

#[tokio::test]
async fn what_came_otherwise_than_it_was_sent_is_sent_again() {
    let server = S3Server::start();
    let driver = open(&server).await;
    let bytes = content(1, 1_000);
    let garbled = Fault::Status(http::StatusCode::BAD_REQUEST, "BadDigest");
    for fault in [garbled, Fault::SLOW_DOWN, Fault::Reset, Fault::Silence] {
        server.fail(Failure::new(When::Before, fault.clone()).of(Operation::PutObject));
        push(&driver, &bytes).await.unwrap();
        assert_eq!(server.stop_failing(), 0);
        assert_eq!(server.object(&blob(&bytes)).unwrap().bytes, bytes);
        let with = |one: &&Request| one.headers.contains_key(SUM);
        assert_eq!(
            server.take_log().iter().filter(with).count(),
            2,
            "{fault:?}"
        );
        server.remove(&blob(&bytes));
    }
}

#[tokio::test]
async fn a_digest_that_is_no_sha256_is_no_checksum_of_the_store() {
    let server = S3Server::start();
    let driver = open(&server).await;
    let (bytes, id) = (content(1, 1_000), upload_id());
    let content = verified_as(registry_core::digest::Algorithm::Sha512, &bytes);
    let opened = driver.open_upload(&id, None, UploadHint::default()).await;
    let mut upload = opened.unwrap();
    upload.write(vec![bytes.clone()]).await.unwrap();
    upload.commit(content).await.unwrap();
    let log = server.take_log();
    assert_eq!(log.len(), 1);
    assert!(!log[0].headers.contains_key(SUM));
}

async fn put(driver: &S3Driver, value: &'static str) -> Version {
    let key = Key::TagCurrent("app".parse().unwrap(), "v1".parse().unwrap()).path();
    let value = Bytes::from_static(value.as_bytes());
    let put = driver.put(&key, value, PutMode::Replace, Durability::Durable);
    match put.await.unwrap() {
        Outcome::Done(Some(version)) => version,
        other => panic!("{other:?}"),
    }
}

async fn delete(driver: &S3Driver, version: &Version) -> bool {
    let key = Key::TagCurrent("app".parse().unwrap(), "v1".parse().unwrap()).path();
    let deleted = driver.delete(&key, Some(version)).await.unwrap();
    matches!(deleted, Outcome::Done(_))
}

#[tokio::test]
async fn a_record_is_deleted_by_its_version_in_one_request_where_the_store_compares() {
    for (held, requests, said) in [(true, 1, "held to"), (false, 2, "passed over")] {
        let mut options = Options::default();
        options.conditional_deletes = held;
        let server = S3Server::with(options);
        let driver = open(&server).await;
        let (old, new) = (put(&driver, "old").await, put(&driver, "new").await);
        assert!(!delete(&driver, &old).await);
        assert_eq!(server.keys().len(), 1);
        server.take_log();
        assert!(delete(&driver, &new).await);
        assert_eq!(server.take_log().len(), requests);
        assert_eq!(server.keys(), [""; 0]);
        assert!(delete(&driver, &new).await, "what is absent is deleted");
        let told = told(&server, "conditions of deletes").await;
        assert!(told.starts_with(said), "{told}");
        assert_eq!(server.keys(), [""; 0]);
    }
}

#[tokio::test]
async fn another_server_does_not_come_between_the_look_and_the_delete() {
    let server = S3Server::start();
    let (one, other) = (open(&server).await, open(&server).await);
    let old = put(&one, "old").await;
    // Nobody looks: the store decides, and by what is there when it is asked.
    server.fail(Failure::new(When::Before, Fault::CONFLICT).of(Operation::DeleteObject));
    let new = put(&other, "new").await;
    assert!(!delete(&one, &old).await);
    assert_eq!(server.stop_failing(), 0);
    assert!(delete(&other, &new).await);
}

#[tokio::test]
async fn a_delete_whose_answer_was_lost_is_done() {
    let server = S3Server::start();
    let driver = open(&server).await;
    for fault in [
        Fault::Reset,
        Fault::INTERNAL,
        Fault::PRECONDITION,
        Fault::CONFLICT,
    ] {
        let version = put(&driver, "x").await;
        server.fail(Failure::new(When::After, fault.clone()).of(Operation::DeleteObject));
        assert!(delete(&driver, &version).await, "{fault:?}");
        assert_eq!(server.keys(), [""; 0]);
    }
}
