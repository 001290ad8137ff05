//! What is the driver's own about blobs; the rest is in the clauses.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use registry_core::layout::Key;
use registry_core::storage::{BlobStore, OpenMode, RedirectRequest, StorageError, UploadHint};
use registry_core::testing::{content, read_to_end, upload_id, verified};
use storage_s3::S3Driver;
use storage_s3::testing::{Failure, Fault, Operation, S3Server, When};

async fn open(server: &S3Server) -> S3Driver {
    let mut config = server.config();
    config.patience = Duration::from_millis(300);
    storage_s3::open(&config, OpenMode::Serve).await.unwrap()
}

fn key(bytes: &Bytes) -> String {
    Key::Blob(*verified(bytes).digest()).path().to_string()
}

#[tokio::test]
async fn a_body_that_breaks_is_taken_up_where_it_broke() {
    let server = S3Server::start();
    let driver = open(&server).await;
    let bytes = content(1, 300_000);
    server.put(&key(&bytes), bytes.clone());
    let digest = *verified(&bytes).digest();
    for fault in [Fault::Cut(100_000), Fault::Stall(100_000), Fault::Cut(0)] {
        // More often than any one request is repeated, since each time some of it has come.
        server.fail(
            Failure::new(When::After, fault.clone())
                .of(Operation::GetObject)
                .times(2),
        );
        let mut reader = driver.read(&digest, None).await.unwrap();
        let found = read_to_end(&mut *reader, 64 * 1024).await.unwrap();
        assert!(found == bytes, "{fault:?}");
        assert_eq!(server.stop_failing(), 0);
    }
}

#[tokio::test]
async fn who_reads_slowly_is_no_fault_of_the_store() {
    let server = S3Server::start();
    let mut config = server.config();
    config.patience = Duration::from_secs(2);
    config.retries = 0;
    let driver = storage_s3::open(&config, OpenMode::Serve).await.unwrap();
    // More than the buffers on the way take.
    let bytes = content(1, 24 * 1024 * 1024);
    server.put(&key(&bytes), bytes.clone());
    let digest = *verified(&bytes).digest();
    let mut reader = driver.read(&digest, None).await.unwrap();
    let first = reader.next(1_000).await.unwrap().unwrap();
    let begun = Instant::now();
    while begun.elapsed() < config.patience * 3 / 2 {
        let now = driver.now().await.unwrap();
        assert!(now > SystemTime::UNIX_EPOCH);
        tokio::task::yield_now().await;
    }
    let mut found = first.to_vec();
    while let Some(piece) = reader.next(1024 * 1024).await.unwrap() {
        found.extend_from_slice(&piece);
    }
    assert!(found == bytes);
    assert_eq!(server.count(Operation::GetObject), 1);
}

#[tokio::test]
async fn a_blob_that_comes_slowly_comes_whole_and_at_once() {
    let server = S3Server::start();
    let mut config = server.config();
    config.patience = Duration::from_secs(2);
    config.retries = 0;
    let driver = storage_s3::open(&config, OpenMode::Serve).await.unwrap();
    let bytes = content(1, 300_000);
    server.put(&key(&bytes), bytes.clone());
    let pace = Duration::from_millis(300);
    server.fail(Failure::new(When::After, Fault::Trickle(pace)).of(Operation::GetObject));
    let begun = Instant::now();
    let mut reader = driver.read(verified(&bytes).digest(), None).await.unwrap();
    let found = read_to_end(&mut *reader, 64 * 1024).await.unwrap();
    assert!(found == bytes);
    assert!(begun.elapsed() > config.patience, "it was not slow");
    assert_eq!(server.count(Operation::GetObject), 1);
}

#[tokio::test]
async fn a_blob_that_became_another_ends_in_an_error() {
    let server = S3Server::start();
    let driver = open(&server).await;
    let bytes = content(1, 300_000);
    server.put(&key(&bytes), bytes.clone());
    server.fail(Failure::new(When::After, Fault::Cut(100_000)).of(Operation::GetObject));
    let digest = *verified(&bytes).digest();
    let mut reader = driver.read(&digest, None).await.unwrap();
    server.put(&key(&bytes), content(2, 300_000));
    assert!(read_to_end(&mut *reader, 64 * 1024).await.is_err());
}

#[tokio::test]
async fn a_fault_is_no_absence() {
    let server = S3Server::start();
    let mut config = server.config();
    config.retries = 0;
    let driver = storage_s3::open(&config, OpenMode::Serve).await.unwrap();
    let digest = *verified(b"absent").digest();
    for fault in [Fault::INTERNAL, Fault::SLOW_DOWN, Fault::Reset] {
        server.fail(Failure::new(When::Before, fault.clone()).times(3));
        let stat = driver.stat(&digest).await.unwrap_err();
        let read = driver.read(&digest, None).await.err().unwrap();
        let restore = driver.restore(&digest).await.unwrap_err();
        for error in [stat, read, restore] {
            let temporary = matches!(
                error,
                StorageError::Backend {
                    temporary: true,
                    ..
                }
            );
            assert!(temporary, "{fault:?}: {error:?}");
        }
        assert_eq!(server.stop_failing(), 0);
    }
}

#[tokio::test]
async fn what_is_too_large_for_one_copy_is_copied_in_ranges() {
    let mut options = storage_s3::testing::Options::default();
    options.copy = 100_000;
    options.part = 50_000;
    let server = S3Server::with(options);
    let mut config = server.config();
    config.rootdirectory = "a dir & more".to_owned();
    config.multipartcopychunksize = 70_000;
    config.multipartcopythresholdsize = 100_000;
    let driver = storage_s3::open(&config, OpenMode::Serve).await.unwrap();
    let bytes = content(1, 300_001);
    let hint = UploadHint {
        digest: Some(*verified(&bytes).digest()),
        size: None,
    };
    let mut writer = driver.open_upload(&upload_id(), None, hint).await.unwrap();
    writer.write(vec![bytes.clone()]).await.unwrap();
    writer.commit(verified(&bytes)).await.unwrap();
    let digest = *verified(&bytes).digest();
    server.fail(
        Failure::new(When::Before, Fault::ErrorInBody("InternalError"))
            .of(Operation::UploadPartCopy),
    );
    let _ = server.take_log();
    let retired = driver.retire(&digest).await.unwrap();
    assert_eq!(server.count(Operation::UploadPartCopy), 6);
    assert_eq!(server.count(Operation::CopyObject), 0);
    assert_eq!(server.keys().len(), 1);
    driver.restore(&digest).await.unwrap();
    driver.purge(&retired).await.unwrap();
    let mut reader = driver.read(&digest, None).await.unwrap();
    assert!(read_to_end(&mut *reader, 64 * 1024).await.unwrap() == bytes);
    assert!(server.pending().is_empty());
}

#[tokio::test]
async fn a_copy_that_is_not_there_deletes_nothing() {
    let server = S3Server::start();
    let mut config = server.config();
    config.retries = 0;
    let driver = storage_s3::open(&config, OpenMode::Serve).await.unwrap();
    let bytes = content(1, 1_000);
    server.put(&key(&bytes), bytes.clone());
    // A store that says that it has copied, and has not: the second look finds out.
    server.fail(
        Failure::new(When::Before, Fault::ErrorInBody("AccessDenied")).of(Operation::CopyObject),
    );
    assert!(driver.retire(verified(&bytes).digest()).await.is_err());
    assert_eq!(server.object(&key(&bytes)).unwrap().bytes, bytes);
    assert_eq!(
        server.count(Operation::DeleteObject),
        2,
        "those of the probe"
    );
}

#[tokio::test]
async fn a_redirect_is_good_without_a_key() {
    let server = S3Server::start();
    let driver = open(&server).await;
    let bytes = content(1, 1_000);
    server.put(&key(&bytes), bytes.clone());
    let request = RedirectRequest::new(None);
    let url = driver
        .redirect(verified(&bytes).digest(), &request)
        .await
        .unwrap()
        .unwrap();
    assert!(url.as_str().contains("X-Amz-Expires=1200"), "20 minutes");
    let range = [("range", "bytes=10-19")];
    let answer = crate::server::send(http::Method::GET, url.as_str(), &range, &Bytes::new()).await;
    assert_eq!(answer.status, http::StatusCode::PARTIAL_CONTENT);
    assert_eq!(answer.body, bytes.slice(10..20));
}
