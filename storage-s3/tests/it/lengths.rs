//! Heads that lack what they should have, and heads and bodies that contradict each other: never is
//! a wrong blob acknowledged or served.

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderValue, StatusCode, header};
use registry_core::storage::{
    BlobStore, Durability, Outcome, PutMode, RangeSpec, RecordStore, StorageError, UploadHint,
};
use registry_core::testing::{content, read_to_end, upload_id, verified};
use storage_s3::testing::{Failure, Fault, Operation, When};

use crate::answers::{PART, is_temporary, key, open, reads, server, staged, tag};

fn without_tag(parts: &mut Parts, _: &mut Bytes) {
    parts.headers.remove(header::ETAG);
}

#[tokio::test]
async fn a_part_without_an_entity_tag_is_no_part() {
    let server = server();
    let driver = open(&server, 0).await;
    let bytes = content(1, 3 * PART);
    for skip in 0..3 {
        let id = upload_id();
        let nameless = Failure::new(When::After, Fault::Changed(without_tag));
        server.fail(nameless.of(Operation::UploadPart).skip(skip));
        let mut writer = driver
            .open_upload(&id, None, UploadHint::default())
            .await
            .unwrap();
        let written = match writer.write(vec![bytes.clone()]).await {
            Ok(()) => writer.checkpoint().await.map(drop),
            Err(error) => Err(error),
        };
        assert!(is_temporary(&written.unwrap_err()));
        assert_eq!(server.stop_failing(), 0);
        driver.abort_upload(&id, None).await.unwrap();
    }
    assert!(server.pending().is_empty());
    assert_eq!(server.keys(), [""; 0]);
}

#[tokio::test]
async fn a_record_without_an_entity_tag_is_put_and_not_read() {
    let server = server();
    let driver = open(&server, 1).await;
    let nameless = Failure::new(When::After, Fault::Changed(without_tag));
    server.fail(nameless.clone().of(Operation::PutObject));
    let value = Bytes::from_static(b"x");
    let path = tag();
    let put = driver.put(&path, value.clone(), PutMode::Create, Durability::Durable);
    assert!(matches!(put.await.unwrap(), Outcome::Done(Some(_))));
    server.fail(nameless.of(Operation::GetObject));
    assert!(driver.get(&tag()).await.is_err());
    assert_eq!(driver.get(&tag()).await.unwrap().unwrap().value, value);
}

fn shorter(_: &mut Parts, body: &mut Bytes) {
    body.truncate(body.len() / 2);
}

fn longer(_: &mut Parts, body: &mut Bytes) {
    *body = [&body[..], b"more"].concat().into();
}

/// Without a length, too.
fn endless(parts: &mut Parts, body: &mut Bytes) {
    longer(parts, body);
    parts.headers.remove(header::CONTENT_LENGTH);
}

fn elsewhere(parts: &mut Parts, _: &mut Bytes) {
    let range = HeaderValue::from_static("bytes 5-14/1000");
    parts.headers.insert(header::CONTENT_RANGE, range);
}

fn whole(parts: &mut Parts, _: &mut Bytes) {
    parts.status = StatusCode::OK;
    parts.headers.remove(header::CONTENT_RANGE);
}

#[tokio::test]
async fn a_part_of_a_blob_is_that_part_or_an_error() {
    let server = server();
    let driver = open(&server, 1).await;
    let bytes = content(1, 1_000);
    server.put(&key(&bytes), bytes.clone());
    let digest = *verified(&bytes).digest();
    let range = RangeSpec::Between(10, 19);
    for (change, resumed) in [
        (shorter as fn(&mut Parts, &mut Bytes), true),
        (longer, false),
        (endless, false),
        (elsewhere, false),
        (whole, false),
        (without_tag, true),
    ] {
        server.fail(Failure::new(When::After, Fault::Changed(change)).of(Operation::GetObject));
        let read = async {
            let mut reader = driver.read(&digest, Some(range)).await?;
            read_to_end(&mut *reader, 1_000).await
        };
        match read.await {
            Ok(found) => {
                assert!(resumed);
                assert_eq!(found, bytes.slice(10..20));
            }
            Err(error) => assert!(!resumed, "{error:?}"),
        }
        assert_eq!(server.stop_failing(), 0);
    }
}

#[tokio::test]
async fn what_breaks_in_the_middle_is_never_taken_up_as_something_else() {
    let server = server();
    let driver = open(&server, 3).await;
    let bytes = content(1, 300_000);
    server.put(&key(&bytes), bytes.clone());
    for change in [shorter as fn(&mut Parts, &mut Bytes), longer, elsewhere] {
        server.fail(Failure::new(When::After, Fault::Cut(100_000)).of(Operation::GetObject));
        server.fail(Failure::new(When::After, Fault::Changed(change)).of(Operation::GetObject));
        match reads(&driver, &bytes).await {
            Ok(found) => assert!(found == bytes),
            Err(error) => assert!(is_temporary(&error), "{error:?}"),
        }
        assert_eq!(server.stop_failing(), 0);
    }
}

fn of_another_length(parts: &mut Parts, _: &mut Bytes) {
    let len = HeaderValue::from_static("7");
    parts.headers.insert(header::CONTENT_LENGTH, len);
}

/// The length that it tells decides whether parts have become what they should.
#[tokio::test]
async fn a_wrong_length_of_what_was_completed_is_no_commit() {
    let server = server();
    let driver = open(&server, 0).await;
    let bytes = content(1, 2 * PART + 10);
    let writer = staged(&driver, &bytes).await;
    let wrong = Failure::new(When::After, Fault::Changed(of_another_length));
    server.fail(wrong.clone().of(Operation::HeadObject));
    let failed = writer.commit(verified(&bytes)).await.unwrap_err();
    assert_eq!(server.stop_failing(), 0);
    assert!(matches!(failed.source, StorageError::Backend { .. }));
    assert!(server.object(&key(&bytes)).is_none());

    // Nor is a blob deleted whose copy seems to be another.
    server.put(&key(&bytes), bytes.clone());
    server.fail(wrong.of(Operation::HeadObject).skip(1));
    assert!(driver.retire(verified(&bytes).digest()).await.is_err());
    assert_eq!(server.stop_failing(), 0);
    assert!(reads(&driver, &bytes).await.unwrap() == bytes);
}
