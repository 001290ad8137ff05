//! What an upload costs, where its bytes are, and what is left of it.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use registry_core::layout::{Dir, Key};
use registry_core::storage::{
    BlobStore, Checkpoint, OpenMode, Sweep, UploadHint, UploadId, UploadWriter,
};
use registry_core::testing::{content, read_to_end, upload_id, verified};
use storage_s3::testing::{Failure, Fault, Operation, Options, S3Server, When};
use storage_s3::{Config, S3Driver};

const PART: usize = 100_000;

fn server() -> S3Server {
    let mut options = Options::default();
    options.part = PART;
    options.equal_parts = true;
    S3Server::with(options)
}

fn config(server: &S3Server) -> Config {
    let mut config = server.config();
    config.chunksize = PART as u64;
    config.patience = Duration::from_secs(1);
    config
}

async fn open(server: &S3Server) -> S3Driver {
    let driver = storage_s3::open(&config(server), OpenMode::Serve)
        .await
        .unwrap();
    server.take_log();
    driver
}

async fn begin(
    driver: &S3Driver,
    id: &UploadId,
    from: Option<Checkpoint>,
    digest: Option<&Bytes>,
) -> Box<dyn UploadWriter> {
    let digest = digest.map(|bytes| *verified(bytes).digest());
    let hint = UploadHint { digest, size: None };
    driver.open_upload(id, from, hint).await.unwrap()
}

fn asked(server: &S3Server) -> Vec<Operation> {
    server.take_log().iter().map(|one| one.operation).collect()
}

fn blob_key(bytes: &Bytes) -> String {
    Key::Blob(*verified(bytes).digest()).path().to_string()
}

/// Waits until these are all objects that there are: what nobody needs is removed a little later.
async fn until_nothing_is_left_but(server: &S3Server, keys: &[String]) {
    for _ in 0..1_000 {
        if server.keys() == keys {
            return;
        }
        // tidy: sleep: nobody tells when the store has been asked
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(server.keys(), keys);
}

#[tokio::test]
async fn a_small_blob_is_one_request() {
    let server = server();
    let driver = open(&server).await;
    let bytes = content(1, PART - 1);
    let mut writer = begin(&driver, &upload_id(), None, Some(&bytes)).await;
    writer.write(vec![bytes.clone()]).await.unwrap();
    writer.commit(verified(&bytes)).await.unwrap();
    assert_eq!(asked(&server), [Operation::PutObject]);
    assert_eq!(server.keys(), [blob_key(&bytes)]);
}

#[tokio::test]
async fn a_blob_whose_digest_is_known_is_not_copied() {
    let server = server();
    let driver = open(&server).await;
    let bytes = content(1, 3 * PART + 10);
    let mut writer = begin(&driver, &upload_id(), None, Some(&bytes)).await;
    for piece in bytes.chunks(30_000) {
        let piece = Bytes::copy_from_slice(piece);
        writer.write(vec![piece]).await.unwrap();
    }
    assert_eq!(
        server.keys(),
        [""; 0],
        "nothing is there before it is verified"
    );
    writer.commit(verified(&bytes)).await.unwrap();
    let mut asked = asked(&server);
    asked.sort();
    let mut expected = vec![Operation::UploadPart; 4];
    expected.extend([
        Operation::CreateMultipartUpload,
        Operation::CompleteMultipartUpload,
    ]);
    expected.sort();
    assert_eq!(asked, expected);
    assert_eq!(server.object(&blob_key(&bytes)).unwrap().bytes, bytes);
    assert_eq!(server.keys().len(), 1);
}

#[tokio::test]
async fn no_answer_waits_for_what_nobody_needs_any_more() {
    let server = server();
    let driver = open(&server).await;
    let uploads: Vec<Bytes> = (1..4).map(|seed| content(seed, 1_000)).collect();
    for bytes in &uploads {
        let id = upload_id();
        let mut writer = begin(&driver, &id, None, None).await;
        writer.write(vec![bytes.clone()]).await.unwrap();
        let at = writer.checkpoint().await.unwrap();
        let writer = begin(&driver, &id, Some(at), None).await;
        writer.commit(verified(bytes)).await.unwrap();
        let expected = [
            Operation::PutObject,
            Operation::GetObject,
            Operation::PutObject,
        ];
        assert_eq!(asked(&server), expected);
    }
    let mut blobs: Vec<String> = uploads.iter().map(blob_key).collect();
    blobs.sort();
    until_nothing_is_left_but(&server, &blobs).await;
    assert_eq!(asked(&server), [Operation::DeleteObjects]);
}

#[tokio::test]
async fn another_process_goes_on_where_one_was() {
    let server = server();
    let bytes = content(1, 5 * PART + 10);
    for digest in [None, Some(&bytes)] {
        let (id, mut at, mut checkpoint) = (upload_id(), 0, None);
        for len in [10, 2 * PART, 50, PART - 50] {
            let driver = open(&server).await;
            let mut writer = begin(&driver, &id, checkpoint, digest).await;
            writer.write(vec![bytes.slice(at..at + len)]).await.unwrap();
            at += len;
            checkpoint = Some(writer.checkpoint().await.unwrap());
        }
        let driver = open(&server).await;
        let mut writer = begin(&driver, &id, checkpoint, digest).await;
        writer.write(vec![bytes.slice(at..)]).await.unwrap();
        writer.commit(verified(&bytes)).await.unwrap();
        let stored = server.object(&blob_key(&bytes)).unwrap();
        assert!(stored.bytes == bytes);
        until_nothing_is_left_but(&server, &[blob_key(&bytes)]).await;
        assert!(server.pending().is_empty());
        server.remove(&blob_key(&bytes));
    }
}

#[tokio::test]
async fn parts_that_were_for_one_blob_become_no_other() {
    let server = server();
    let driver = open(&server).await;
    let (wanted, other) = (content(1, 2 * PART), content(2, 2 * PART));
    let id = upload_id();
    let mut writer = begin(&driver, &id, None, Some(&wanted)).await;
    writer.write(vec![other.clone()]).await.unwrap();
    let mut at = writer.checkpoint().await.unwrap();
    assert!(driver.read_upload(&id, &mut at).await.is_err());
    let writer = begin(&driver, &id, Some(at.clone()), None).await;
    let failed = writer.commit(verified(&other)).await.unwrap_err();
    assert!(failed.checkpoint.is_none(), "{failed:?}");
    assert_eq!(server.keys(), [""; 0]);
    driver.abort_upload(&id, Some(at)).await.unwrap();
    assert!(server.pending().is_empty());
}

#[tokio::test]
async fn what_was_read_is_gone_on_with() {
    let server = server();
    let driver = open(&server).await;
    let bytes = content(1, 6 * PART + 10);
    for held in [PART + 10, 2 * PART, 3 * PART + 7] {
        let id = upload_id();
        let mut writer = begin(&driver, &id, None, None).await;
        writer.write(vec![bytes.slice(..held)]).await.unwrap();
        let mut at = writer.checkpoint().await.unwrap();
        for _ in 0..2 {
            let mut reader = driver.read_upload(&id, &mut at).await.unwrap();
            let found = read_to_end(&mut *reader, 64 * 1024).await.unwrap();
            assert!(found == bytes.slice(..held));
        }
        // With a tail behind it, and then parts.
        let mut writer = begin(&driver, &id, Some(at), None).await;
        writer
            .write(vec![bytes.slice(held..held + 20)])
            .await
            .unwrap();
        let mut at = writer.checkpoint().await.unwrap();
        let mut reader = driver.read_upload(&id, &mut at).await.unwrap();
        let found = read_to_end(&mut *reader, 64 * 1024).await.unwrap();
        assert!(found == bytes.slice(..held + 20));
        let mut writer = begin(&driver, &id, Some(at), None).await;
        writer.write(vec![bytes.slice(held + 20..)]).await.unwrap();
        writer.commit(verified(&bytes)).await.unwrap();
        assert!(
            server.object(&blob_key(&bytes)).unwrap().bytes == bytes,
            "{held}"
        );
        until_nothing_is_left_but(&server, &[blob_key(&bytes)]).await;
    }
}

#[tokio::test]
async fn a_commit_that_failed_is_gone_on_with() {
    let server = server();
    let mut config = config(&server);
    config.retries = 0;
    let driver = storage_s3::open(&config, OpenMode::Serve).await.unwrap();
    let bytes = content(1, 3 * PART + 10);
    for operation in [
        Operation::UploadPart,
        Operation::CompleteMultipartUpload,
        Operation::HeadObject,
        Operation::CopyObject,
    ] {
        for when in [When::Before, When::After] {
            let id = upload_id();
            let mut writer = begin(&driver, &id, None, None).await;
            writer.write(vec![bytes.slice(..3 * PART)]).await.unwrap();
            let at = writer.checkpoint().await.unwrap();
            let mut writer = begin(&driver, &id, Some(at), None).await;
            writer.write(vec![bytes.slice(3 * PART..)]).await.unwrap();
            server.fail(Failure::new(when, Fault::INTERNAL).of(operation));
            let failed = writer.commit(verified(&bytes)).await.unwrap_err();
            assert_eq!(server.stop_failing(), 0, "{operation}");
            let at = failed.checkpoint.unwrap();
            assert_eq!(at.len, bytes.len() as u64, "{when:?} {operation}");
            let writer = begin(&driver, &id, Some(at), None).await;
            writer.commit(verified(&bytes)).await.unwrap();
            assert!(server.object(&blob_key(&bytes)).unwrap().bytes == bytes);
            server.remove(&blob_key(&bytes));
            until_nothing_is_left_but(&server, &[]).await;
        }
    }
}

#[tokio::test]
async fn uploads_share_one_memory() {
    let server = server();
    let mut config = config(&server);
    config.uploadmemory = 1;
    let driver = storage_s3::open(&config, OpenMode::Serve).await.unwrap();
    let uploads = (0..6).map(|seed| {
        let driver = driver.clone();
        tokio::spawn(async move {
            let bytes = content(seed, 3 * PART + 10);
            let mut writer = begin(&driver, &upload_id(), None, None).await;
            for piece in bytes.chunks(30_000) {
                let piece = Bytes::copy_from_slice(piece);
                writer.write(vec![piece]).await.unwrap();
            }
            writer.commit(verified(&bytes)).await.unwrap();
            bytes
        })
    });
    let mut blobs = Vec::new();
    for upload in futures_util::future::join_all(uploads).await {
        let bytes = upload.unwrap();
        assert!(server.object(&blob_key(&bytes)).unwrap().bytes == bytes);
        blobs.push(blob_key(&bytes));
    }
    blobs.sort();
    until_nothing_is_left_but(&server, &blobs).await;
}

#[tokio::test]
async fn a_part_that_goes_out_slowly_is_no_silence() {
    let server = server();
    let mut config = config(&server);
    config.patience = Duration::from_secs(2);
    config.retries = 0;
    // More than the buffers on the way take at once.
    let bytes = content(1, 24 * 1024 * 1024);
    config.chunksize = bytes.len() as u64 + 1;
    let driver = storage_s3::open(&config, OpenMode::Serve).await.unwrap();
    let pace = Duration::from_millis(60);
    server.fail(Failure::new(When::Before, Fault::Slow(pace)).of(Operation::PutObject));
    let mut writer = begin(&driver, &upload_id(), None, Some(&bytes)).await;
    writer.write(vec![bytes.clone()]).await.unwrap();
    let begun = Instant::now();
    writer.commit(verified(&bytes)).await.unwrap();
    assert!(begun.elapsed() > config.patience, "it was not slow");
    assert_eq!(server.stop_failing(), 0);
}

#[tokio::test]
async fn an_upload_goes_on_after_silence() {
    let server = server();
    let mut config = config(&server);
    config.patience = Duration::from_millis(300);
    config.retries = 0;
    let driver = storage_s3::open(&config, OpenMode::Serve).await.unwrap();
    server.fail(Failure::new(When::After, Fault::Silence).of(Operation::PutObject));
    let (id, bytes) = (upload_id(), content(1, 10));
    let mut writer = begin(&driver, &id, None, Some(&bytes)).await;
    writer.write(vec![bytes.clone()]).await.unwrap();
    let failed = writer.commit(verified(&bytes)).await.unwrap_err();
    let at = failed.checkpoint.unwrap();
    assert_eq!(at.len, 10);
    let writer = begin(&driver, &id, Some(at), None).await;
    writer.commit(verified(&bytes)).await.unwrap();
    until_nothing_is_left_but(&server, &[blob_key(&bytes)]).await;
}

#[tokio::test]
async fn old_parts_at_the_place_of_a_blob_are_swept() {
    let server = server();
    let driver = open(&server).await;
    let bytes = content(1, 2 * PART);
    let mut writer = begin(&driver, &upload_id(), None, Some(&bytes)).await;
    writer.write(vec![bytes.clone()]).await.unwrap();
    let _ = writer.checkpoint().await.unwrap();
    let later = driver.now().await.unwrap() + Duration::from_secs(60);
    let keep = HashSet::new();
    let mut told = Vec::new();
    let mut tell = |path: &str| told.push(path.to_owned());
    let found = driver
        .sweep_uploads(later, &keep, Sweep::Tell(&mut tell))
        .await
        .unwrap();
    assert_eq!((found, told), (1, vec![blob_key(&bytes)]));
    assert_eq!(server.pending().len(), 1);
    assert_eq!(
        driver
            .sweep_uploads(later, &keep, Sweep::Remove)
            .await
            .unwrap(),
        1
    );
    assert!(server.pending().is_empty());
    assert!(
        !server
            .keys()
            .iter()
            .any(|key| key.starts_with(Dir::Uploads.path().as_str()))
    );
}

#[tokio::test]
async fn what_distribution_has_not_finished_is_swept() {
    let server = server();
    let driver = open(&server).await;
    let now = driver.now().await.unwrap();
    let (old, before) = (
        now - Duration::from_secs(7_200),
        now - Duration::from_secs(3_600),
    );
    let dir = |name: &str| Dir::ForeignUploads(name.parse().unwrap()).path();
    for (dir, modified) in [
        (format!("{}/one", dir("app")), old),
        (format!("{}/two", dir("app")), now),
        (format!("{}/three", dir("group/sub/app")), old),
    ] {
        for file in ["startedat", "data", "hashstates/sha256/0"] {
            server.put(&format!("{dir}/{file}"), "x");
            server.set_modified(&format!("{dir}/{file}"), modified);
        }
    }
    // One that is still written to, however long ago it was begun.
    server.set_modified(&format!("{}/two/startedat", dir("app")), old);
    let link = Key::TagCurrent("app".parse().unwrap(), "v1".parse().unwrap()).path();
    server.put(link.as_str(), "x");
    server.set_modified(link.as_str(), old);

    let (keep, mut told) = (HashSet::new(), Vec::new());
    let mut tell = |path: &str| told.push(path.to_owned());
    let found = driver
        .sweep_uploads(before, &keep, Sweep::Tell(&mut tell))
        .await
        .unwrap();
    told.sort();
    let expected = [
        format!("{}/one", dir("app")),
        format!("{}/three", dir("group/sub/app")),
    ];
    assert_eq!((found, told.as_slice()), (2, expected.as_slice()));
    assert_eq!(server.keys().len(), 10);
    assert_eq!(
        driver
            .sweep_uploads(before, &keep, Sweep::Remove)
            .await
            .unwrap(),
        2
    );
    let left = server.keys();
    assert_eq!(left.len(), 4, "{left:?}");
    assert!(left.contains(&link.to_string()));
}

/// As MinIO, which lists multipart uploads by their whole keys alone.
#[tokio::test]
async fn what_no_prefix_lists_is_ended_all_the_same() {
    let mut options = Options::default();
    options.part = PART;
    options.uploads_by_prefix = false;
    let server = S3Server::with(options);
    let driver = open(&server).await;
    let (swept, aborted) = (upload_id(), upload_id());
    let bytes = content(1, 2 * PART + 10);
    for id in [&swept, &aborted] {
        let mut writer = begin(&driver, id, None, None).await;
        writer.write(vec![bytes.clone()]).await.unwrap();
        let _ = writer.checkpoint().await.unwrap();
    }
    let dir = Dir::ForeignUploads("app".parse().unwrap()).path();
    server.put(&format!("{dir}/one/startedat"), "x");
    server.begin(&format!("{dir}/one/data"));
    assert_eq!(server.pending().len(), 3);

    driver.abort_upload(&aborted, None).await.unwrap();
    assert_eq!(server.pending().len(), 2);
    let later = driver.now().await.unwrap() + Duration::from_secs(60);
    let keep = HashSet::new();
    let removed = driver.sweep_uploads(later, &keep, Sweep::Remove).await;
    assert_eq!(removed.unwrap(), 2);
    assert!(server.pending().is_empty(), "{:?}", server.pending());
    assert_eq!(server.keys(), [""; 0]);
}
