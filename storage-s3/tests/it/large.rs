//! Uploads beyond what one request, or one upload in parts, may have. The limits are those of S3, made
//! small.

use bytes::Bytes;
use http::StatusCode;
use registry_core::layout::Key;
use registry_core::storage::{BlobStore, OpenMode, UploadHint, UploadWriter};
use registry_core::testing::{content, upload_id, verified};
use storage_s3::S3Driver;
use storage_s3::testing::{Operation, Options, S3Server};

const PART: usize = 20_000;

/// As S3 is, with 10 parts for 10,000, and 400 kB for 5 GiB.
fn server() -> S3Server {
    let mut options = Options::default();
    options.part = PART / 4;
    options.copy = 20 * PART;
    options.put = 20 * PART;
    options.parts = 10;
    options.equal_parts = true;
    S3Server::with(options)
}

async fn open(server: &S3Server) -> S3Driver {
    let mut config = server.config();
    config.chunksize = PART as u64;
    config.parts = 10;
    config.multipartcopythresholdsize = 20 * PART as u64;
    config.multipartcopychunksize = PART as u64 / 2;
    storage_s3::open(&config, OpenMode::Serve).await.unwrap()
}

async fn begin(driver: &S3Driver, bytes: &Bytes, known: bool, said: bool) -> Box<dyn UploadWriter> {
    let hint = UploadHint {
        digest: known.then(|| *verified(bytes).digest()),
        size: said.then_some(bytes.len() as u64),
    };
    driver.open_upload(&upload_id(), None, hint).await.unwrap()
}

fn stored(server: &S3Server, bytes: &Bytes) -> Option<Bytes> {
    let key = Key::Blob(*verified(bytes).digest()).path();
    Some(server.object(key.as_str())?.bytes)
}

/// Statuses that are no success, of all that was asked.
fn refused(server: &S3Server) -> Vec<(Operation, Option<StatusCode>)> {
    let log = server.take_log().into_iter();
    let refused = log.filter(|one| !one.status.is_some_and(|status| status.is_success()));
    refused.map(|one| (one.operation, one.status)).collect()
}

#[tokio::test]
async fn parts_grow_where_nobody_said_how_many_there_would_be() {
    let server = server();
    let bytes = content(1, 70 * PART + 10);
    // In one go, and in many requests to processes of which each knows what the record says.
    for len in [bytes.len(), 4 * PART + 77, PART] {
        let (id, mut checkpoint) = (upload_id(), None);
        let mut pieces = bytes.chunks(len).peekable();
        while let Some(piece) = pieces.next() {
            let driver = open(&server).await;
            server.take_log();
            let opened = driver.open_upload(&id, checkpoint.take(), UploadHint::default());
            let mut writer = opened.await.unwrap();
            let batch = piece.chunks(3_000).map(Bytes::copy_from_slice).collect();
            writer.write(batch).await.unwrap();
            match pieces.peek() {
                Some(_) => checkpoint = Some(writer.checkpoint().await.unwrap()),
                None => writer.commit(verified(&bytes)).await.unwrap(),
            }
            assert_eq!(refused(&server), []);
        }
        assert!(stored(&server, &bytes).unwrap() == bytes, "by {len}");
        assert_eq!(server.keys().len(), 1, "nothing else is left");
        assert!(server.pending().is_empty());
        server.remove(&server.keys()[0]);
    }
}

#[tokio::test]
async fn what_ends_between_sizes_of_parts_is_whole() {
    let server = server();
    let driver = open(&server).await;
    let all = content(2, 50 * PART);
    for len in [
        9 * PART - 1,
        9 * PART,
        9 * PART + 1,
        10 * PART,
        12 * PART,
        36 * PART,
        37 * PART,
    ] {
        let bytes = all.slice(..len);
        let mut writer = begin(&driver, &bytes, false, false).await;
        writer.write(vec![bytes.clone()]).await.unwrap();
        writer.commit(verified(&bytes)).await.unwrap();
        assert!(stored(&server, &bytes).unwrap() == bytes, "{len}");
        assert!(server.pending().is_empty());
    }
}

#[tokio::test]
async fn parts_are_as_large_as_a_length_that_was_said_needs_them() {
    let server = server();
    let driver = open(&server).await;
    let bytes = content(3, 50 * PART + 1);
    for known in [true, false] {
        server.take_log();
        let mut writer = begin(&driver, &bytes, known, true).await;
        writer.write(vec![bytes.clone()]).await.unwrap();
        writer.commit(verified(&bytes)).await.unwrap();
        assert_eq!(server.count(Operation::UploadPart), 9);
        assert_eq!(refused(&server), []);
        assert!(stored(&server, &bytes).unwrap() == bytes);
        server.remove(&server.keys()[0]);
    }
}

#[tokio::test]
async fn a_blob_that_is_sent_to_its_place_without_its_length_has_an_end() {
    let server = server();
    let driver = open(&server).await;
    let bytes = content(4, 11 * PART);
    let mut writer = begin(&driver, &bytes, true, false).await;
    let error = writer.write(vec![bytes.clone()]).await.unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("`chunksize` is larger"), "{why}");
    writer.abort().await.unwrap();
    assert!(server.pending().is_empty());
    assert_eq!(stored(&server, &bytes), None);
}

#[tokio::test]
async fn who_leaves_after_parts_have_grown_leaves_nothing_under_way() {
    let server = server();
    let driver = open(&server).await;
    let (bytes, id) = (content(5, 14 * PART), upload_id());
    let opened = driver.open_upload(&id, None, UploadHint::default());
    let mut writer = opened.await.unwrap();
    writer.write(vec![bytes.slice(..2 * PART)]).await.unwrap();
    let at = writer.checkpoint().await.unwrap();
    let opened = driver.open_upload(&id, Some(at), UploadHint::default());
    let mut writer = opened.await.unwrap();
    writer.write(vec![bytes.slice(2 * PART..)]).await.unwrap();
    writer.abort().await.unwrap();
    assert!(server.pending().is_empty());
}

#[tokio::test]
async fn the_trash_takes_and_gives_back_what_no_request_copies() {
    let server = server();
    let driver = open(&server).await;
    let bytes = content(6, 30 * PART + 1);
    let digest = *verified(&bytes).digest();
    let mut writer = begin(&driver, &bytes, false, false).await;
    writer.write(vec![bytes.clone()]).await.unwrap();
    writer.commit(verified(&bytes)).await.unwrap();
    server.take_log();
    let retired = driver.retire(&digest).await.unwrap();
    assert_eq!(
        (stored(&server, &bytes), retired.size),
        (None, bytes.len() as u64)
    );
    driver.restore(&digest).await.unwrap();
    assert!(stored(&server, &bytes).unwrap() == bytes);
    // Ten parts are all there are, so they are larger than was asked for.
    assert_eq!(server.count(Operation::UploadPartCopy), 20);
    assert_eq!(server.count(Operation::CopyObject), 0);
    assert_eq!(refused(&server), []);
}

#[tokio::test]
async fn the_server_of_these_tests_refuses_what_s3_refuses() {
    let server = server();
    let mut config = server.config();
    config.chunksize = 21 * PART as u64;
    config.retries = 0;
    // Copies that are not cut into ranges.
    config.multipartcopythresholdsize = u64::MAX;
    let driver = storage_s3::open(&config, OpenMode::Serve).await.unwrap();
    let bytes = content(7, 20 * PART + 1);
    let mut writer = begin(&driver, &bytes, true, false).await;
    writer.write(vec![bytes.clone()]).await.unwrap();
    server.take_log();
    assert!(writer.commit(verified(&bytes)).await.is_err());
    let large = (Operation::PutObject, Some(StatusCode::BAD_REQUEST));
    assert!(refused(&server).contains(&large));
    let key = Key::Blob(*verified(&bytes).digest()).path();
    server.put(key.as_str(), bytes.clone());
    assert!(driver.retire(verified(&bytes).digest()).await.is_err());
    assert_eq!(
        refused(&server),
        [(Operation::CopyObject, Some(StatusCode::BAD_REQUEST))]
    );
    assert!(stored(&server, &bytes).unwrap() == bytes);
}
