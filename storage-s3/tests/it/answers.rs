//! Answers that are not what they seem: errors behind a good status, conflicts that nobody asked
//! for, and those that are lost.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::response::Parts;
use http::{HeaderValue, StatusCode, header};
use registry_core::layout::{Dir, Key, StorePath};
use registry_core::storage::{
    BlobStore, Checkpoint, Durability, ListQuery, OpenMode, PutMode, RecordStore, StorageError,
    Sweep, UploadHint, UploadWriter,
};
use registry_core::testing::{content, read_to_end, upload_id, verified};
use storage_s3::S3Driver;
use storage_s3::testing::{Failure, Fault, Operation, Options, S3Server, When};

pub(crate) const PART: usize = 100_000;

pub(crate) fn server() -> S3Server {
    let mut options = Options::default();
    options.part = PART;
    S3Server::with(options)
}

/// One that copies in ranges what has more than three parts.
pub(crate) async fn open(server: &S3Server, retries: usize) -> S3Driver {
    let mut config = server.config();
    config.chunksize = PART as u64;
    config.multipartcopychunksize = PART as u64;
    config.multipartcopythresholdsize = 3 * PART as u64;
    config.patience = Duration::from_secs(5);
    config.retries = retries;
    let driver = storage_s3::open(&config, OpenMode::Serve).await.unwrap();
    server.take_log();
    driver
}

pub(crate) fn key(bytes: &Bytes) -> String {
    Key::Blob(*verified(bytes).digest()).path().to_string()
}

pub(crate) fn tag() -> StorePath {
    Key::TagCurrent("app".parse().unwrap(), "v1".parse().unwrap()).path()
}

/// Holds all of these bytes, and knows no digest.
pub(crate) async fn staged(driver: &S3Driver, bytes: &Bytes) -> Box<dyn UploadWriter> {
    let id = upload_id();
    let open = async |at: Option<Checkpoint>| {
        let opened = driver.open_upload(&id, at, UploadHint::default()).await;
        opened.unwrap()
    };
    let mut writer = open(None).await;
    writer.write(vec![bytes.clone()]).await.unwrap();
    let at = writer.checkpoint().await.unwrap();
    open(Some(at)).await
}

pub(crate) fn is_temporary(error: &StorageError) -> bool {
    matches!(
        error,
        StorageError::Backend {
            temporary: true,
            ..
        }
    )
}

pub(crate) async fn reads(driver: &S3Driver, bytes: &Bytes) -> Result<Bytes, StorageError> {
    let mut reader = driver.read(verified(bytes).digest(), None).await?;
    read_to_end(&mut *reader, 64 * 1024).await
}

#[tokio::test]
async fn a_conflict_that_nobody_asked_for_may_pass() {
    let server = server();
    let driver = open(&server, 0).await;
    let bytes = content(1, 1_000);
    server.put(&key(&bytes), bytes.clone());
    let digest = *verified(&bytes).digest();
    for fault in [Fault::CONFLICT, Fault::PRECONDITION] {
        let fail = || server.fail(Failure::new(When::Before, fault.clone()));
        fail();
        let stat = driver.stat(&digest).await.unwrap_err();
        fail();
        let read = driver.read(&digest, None).await.err().unwrap();
        fail();
        let got = driver.get(&tag()).await.unwrap_err();
        fail();
        let path = tag();
        let put = driver.put(&path, Bytes::new(), PutMode::Replace, Durability::Durable);
        let put = put.await.unwrap_err();
        fail();
        let deleted = driver.delete(&tag(), None).await.unwrap_err();
        fail();
        let retired = driver.retire(&digest).await.unwrap_err();
        fail();
        let query = ListQuery::children(Dir::Uploads.path());
        let listed: Result<Vec<_>, _> = RecordStore::list(&driver, query).try_collect().await;
        for error in [stat, read, got, put, deleted, retired, listed.unwrap_err()] {
            assert!(is_temporary(&error), "{fault:?}: {error:?}");
        }
        assert_eq!(server.stop_failing(), 0);
    }
}

#[tokio::test]
async fn a_bucket_that_is_gone_is_no_absence() {
    let server = server();
    let driver = open(&server, 0).await;
    let gone = Fault::Status(StatusCode::NOT_FOUND, "NoSuchBucket");
    server.fail(Failure::new(When::Before, gone).times(4));
    let got = driver.get(&tag()).await.unwrap_err();
    let query = ListQuery::children(Dir::Uploads.path());
    let listed: Result<Vec<_>, _> = RecordStore::list(&driver, query).try_collect().await;
    let read = driver.read(verified(b"a").digest(), None).await;
    let (later, keep) = (driver.now().await.unwrap(), HashSet::new());
    let swept = driver.sweep_uploads(later, &keep, Sweep::Remove).await;
    assert_eq!(server.stop_failing(), 0);
    for error in [
        got,
        listed.unwrap_err(),
        read.err().unwrap(),
        swept.unwrap_err(),
    ] {
        assert!(matches!(error, StorageError::Backend { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_error_behind_a_good_status_is_no_commit() {
    for (operation, parts) in [
        (Operation::CopyObject, 2),
        (Operation::UploadPartCopy, 5),
        (Operation::CompleteMultipartUpload, 2),
    ] {
        for code in ["InternalError", "ServiceUnavailable", "AccessDenied"] {
            let server = server();
            let driver = open(&server, 0).await;
            let bytes = content(1, parts * PART + 10);
            let writer = staged(&driver, &bytes).await;
            let fails = Failure::new(When::Before, Fault::ErrorInBody(code)).of(operation);
            server.fail(fails);
            let failed = writer.commit(verified(&bytes)).await.unwrap_err();
            assert_eq!(server.stop_failing(), 0);
            assert!(
                is_temporary(&failed.source),
                "{operation} {code}: {failed:?}"
            );
            assert!(server.object(&key(&bytes)).is_none());
            assert_eq!(
                failed.checkpoint.unwrap().len,
                bytes.len() as u64,
                "{operation} {code}"
            );
            // And it is asked again, where that is wanted.
            let driver = open(&server, 1).await;
            let writer = staged(&driver, &bytes).await;
            server.fail(Failure::new(When::Before, Fault::ErrorInBody(code)).of(operation));
            let committed = writer.commit(verified(&bytes)).await;
            let complete = operation == Operation::CompleteMultipartUpload;
            // object_store repeats a completion after two codes alone.
            if !complete || code == "InternalError" {
                committed.unwrap();
                assert!(server.object(&key(&bytes)).unwrap().bytes == bytes);
            }
            assert_eq!(server.stop_failing(), 0);
        }
    }
}

#[tokio::test]
async fn a_completion_whose_answer_was_lost_is_done() {
    let server = server();
    let driver = open(&server, 1).await;
    let bytes = content(1, 5 * PART + 10);
    for fault in [Fault::INTERNAL, Fault::Reset] {
        let writer = staged(&driver, &bytes).await;
        // Of the staging object, of the blob, and then of the copy in the trash.
        let lost = Failure::new(When::After, fault).of(Operation::CompleteMultipartUpload);
        server.fail(lost.clone());
        server.fail(lost.clone().at("/blobs/"));
        writer.commit(verified(&bytes)).await.unwrap();
        assert!(server.object(&key(&bytes)).unwrap().bytes == bytes);
        server.fail(lost);
        let retired = driver.retire(verified(&bytes).digest()).await.unwrap();
        assert_eq!(server.stop_failing(), 0);
        assert_eq!(retired.size, bytes.len() as u64);
        driver.restore(&retired.digest).await.unwrap();
        driver.purge(&retired).await.unwrap();
        assert!(reads(&driver, &bytes).await.unwrap() == bytes);
        assert!(server.pending().is_empty());
    }
}

fn asks_to_wait(parts: &mut Parts, body: &mut Bytes) {
    parts.status = StatusCode::SERVICE_UNAVAILABLE;
    let wait = HeaderValue::from_static("1");
    parts.headers.insert(header::RETRY_AFTER, wait);
    *body = "<Error><Code>SlowDown</Code></Error>".into();
}

#[tokio::test]
async fn a_store_that_asks_for_patience_is_asked_again_and_not_for_ever() {
    let server = server();
    let driver = open(&server, 2).await;
    let bytes = content(1, 1_000);
    server.put(&key(&bytes), bytes.clone());
    let digest = *verified(&bytes).digest();
    for fault in [Fault::SLOW_DOWN, Fault::Changed(asks_to_wait)] {
        let slow = Failure::new(When::Before, fault).of(Operation::HeadObject);
        server.fail(slow.clone().times(2));
        driver.stat(&digest).await.unwrap();
        assert_eq!(server.stop_failing(), 0);
        server.take_log();
        server.fail(slow.times(usize::MAX));
        assert!(is_temporary(&driver.stat(&digest).await.unwrap_err()));
        assert_eq!(server.count(Operation::HeadObject), 3);
        server.stop_failing();
    }
}

fn one_was_not(_: &mut Parts, body: &mut Bytes) {
    let text = String::from_utf8_lossy(body);
    let begin = text.find("<Deleted>").unwrap();
    let end = text.find("</Deleted>").unwrap() + "</Deleted>".len();
    let key = text[begin..end].replace("Deleted>", "Error>");
    let key = key.replace(
        "</Error>",
        "<Code>InternalError</Code><Message>no</Message></Error>",
    );
    *body = format!("{}{key}{}", &text[..begin], &text[end..]).into();
}

#[tokio::test]
async fn what_could_not_be_removed_with_others_is_removed_again_or_told() {
    let server = server();
    let dir = Dir::Tag("app".parse().unwrap(), "v1".parse().unwrap()).path();
    let fill = || {
        for name in ["a", "b", "c"] {
            server.put(&format!("{dir}/{name}"), "x");
        }
    };
    let failing = |times| {
        let some = Failure::new(When::After, Fault::Changed(one_was_not));
        server.fail(some.of(Operation::DeleteObjects).times(times));
    };
    fill();
    failing(1);
    open(&server, 1).await.delete_below(&dir).await.unwrap();
    assert_eq!(server.stop_failing(), 0);
    assert_eq!(server.keys(), [""; 0]);
    assert_eq!(server.count(Operation::DeleteObjects), 2);
    fill();
    failing(1);
    let told = open(&server, 0).await.delete_below(&dir).await;
    assert!(is_temporary(&told.unwrap_err()));
}
