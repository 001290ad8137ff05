//! The fault decorator: no hindrance while nothing is to go wrong, and exact when it is.

use bytes::Bytes;
use futures_util::TryStreamExt;
use registry_core::layout::{Dir, Key};
use registry_core::storage::{
    Durability, ListQuery, MemoryDriver, Outcome, PutMode, Storage, StorageError, UploadHint,
};
use registry_core::testing::faults::{Control, Fault, Faulty};
use registry_core::testing::{ambient, content, publish, read, read_to_end, upload_id, verified};

async fn open() -> (Storage, Control) {
    Faulty::wrap(Storage::from_driver(MemoryDriver::new(ambient())))
}

registry_core::storage_conformance!(open);

async fn put(storage: &Storage) -> Result<Outcome, StorageError> {
    let (path, mode) = (Key::UploadSecret.path(), PutMode::Create);
    let put = storage
        .records
        .put(&path, "x".into(), mode, Durability::Durable);
    put.await
}

fn is_injected<T>(result: &Result<T, StorageError>) -> bool {
    matches!(
        result,
        Err(StorageError::Backend {
            driver: "faulty",
            temporary: true,
            ..
        })
    )
}

#[tokio::test]
async fn calls_are_counted_by_name_and_subject() {
    let (storage, control) = open().await;
    let bytes = content(1, 10);
    let digest = publish(&storage, &bytes).await;
    assert_eq!(read(&storage, &digest, None).await.unwrap(), bytes);
    let query = ListQuery::children(Dir::Uploads.path());
    let listed: Vec<_> = storage.records.list(query).try_collect().await.unwrap();
    assert_eq!(listed, []);
    let calls = control.calls();
    let names: Vec<_> = calls.iter().map(|call| call.name).collect();
    let expected = [
        "blobs.open_upload",
        "writer.write",
        "writer.commit",
        "blobs.read",
        "reader.next",
        "reader.next",
        "records.list",
    ];
    assert_eq!(names, expected);
    assert_eq!(calls[0].subject, calls[2].subject);
    assert_eq!(calls[4].subject, digest.to_string());
    assert_eq!(calls[6].subject, Dir::Uploads.path().as_str());
    control.reset();
    assert_eq!(control.calls(), []);
}

#[tokio::test]
async fn a_call_fails_before_or_after_it_is_done() {
    let (storage, control) = open().await;
    let path = Key::UploadSecret.path();
    control.on_call(0, Fault::Fail);
    assert!(is_injected(&put(&storage).await));
    assert!(storage.records.get(&path).await.unwrap().is_none());
    control.on_call(2, Fault::Full);
    assert!(matches!(put(&storage).await, Err(StorageError::Full)));
    assert!(storage.records.get(&path).await.unwrap().is_none());
    control.on_call(4, Fault::FailAfter);
    assert!(is_injected(&put(&storage).await));
    assert!(storage.records.get(&path).await.unwrap().is_some());
    control.from_call(6, Fault::Fail);
    for _ in 0..3 {
        assert!(is_injected(&storage.blobs.now().await));
    }
    control.reset();
    storage.blobs.now().await.unwrap();
}

#[tokio::test]
async fn a_truncated_write_is_done_by_half() {
    let (storage, control) = open().await;
    let (id, bytes) = (upload_id(), content(1, 10));
    let hint = UploadHint::default();
    control.on_call(1, Fault::Truncate);
    let mut writer = storage.blobs.open_upload(&id, None, hint).await.unwrap();
    let batch = vec![bytes.slice(..2), bytes.slice(2..)];
    assert!(is_injected(&writer.write(batch).await));
    let mut at = writer.checkpoint().await.unwrap();
    assert_eq!(at.len, 5);
    let mut reader = storage.blobs.read_upload(&id, &mut at).await.unwrap();
    let held = read_to_end(&mut *reader, 100).await.unwrap();
    assert_eq!(held, bytes.slice(..5));
}

#[tokio::test]
async fn a_truncated_reader_ends_in_an_error_and_never_cleanly() {
    let (storage, control) = open().await;
    let bytes = content(1, 10);
    let digest = publish(&storage, &bytes).await;
    // At the opening, and in the middle.
    for (call, clean) in [(0, Bytes::new()), (2, bytes.slice(..4))] {
        control.reset();
        control.on_call(call, Fault::Truncate);
        let mut reader = storage.blobs.read(&digest, None).await.unwrap();
        let mut found = Vec::new();
        let end = loop {
            match reader.next(4).await {
                Ok(Some(piece)) => found.extend_from_slice(&piece),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        assert!(matches!(end, Some(StorageError::Backend { .. })), "{end:?}");
        assert_eq!(found, bytes[..clean.len() + 2]);
        assert!(reader.next(4).await.is_err());
    }
}

#[tokio::test]
async fn a_truncated_listing_ends_in_an_error() {
    let (storage, control) = open().await;
    for seed in 0..3 {
        publish(&storage, &content(seed, 10)).await;
    }
    for (fault, entries) in [
        (Fault::Fail, 0),
        (Fault::Truncate, 1),
        (Fault::FailAfter, 3),
    ] {
        control.reset();
        control.on_call(0, fault);
        let mut listing = storage.blobs.list(None);
        let mut found = 0;
        let end = loop {
            match listing.try_next().await {
                Ok(Some(_)) => found += 1,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        assert!(is_injected(&end), "{fault:?}");
        assert_eq!(found, entries, "{fault:?}");
    }
}

#[tokio::test]
async fn a_commit_that_fails_says_from_where_to_go_on() {
    let (storage, control) = open().await;
    let (id, bytes) = (upload_id(), content(1, 10));
    let hint = UploadHint::default();
    control.on_call(2, Fault::Full);
    let mut writer = storage.blobs.open_upload(&id, None, hint).await.unwrap();
    writer.write(vec![bytes.clone()]).await.unwrap();
    let failed = writer.commit(verified(&bytes)).await.unwrap_err();
    assert!(matches!(failed.source, StorageError::Full));
    let from = failed.checkpoint;
    assert_eq!(from.as_ref().map(|at| at.len), Some(10));
    control.on_call(4, Fault::FailAfter);
    let writer = storage.blobs.open_upload(&id, from, hint).await.unwrap();
    assert!(writer.commit(verified(&bytes)).await.is_err());
    let digest = *verified(&bytes).digest();
    assert_eq!(read(&storage, &digest, None).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_paused_call_stands_while_others_go_on() {
    let inner = Storage::from_driver(MemoryDriver::new(ambient()));
    let (storage, control) = Faulty::wrap(inner.clone());
    let digest = publish(&inner, &content(1, 10)).await;
    let pause = control.pause_before(1);
    let task = tokio::spawn(async move {
        storage.blobs.stat(&digest).await.unwrap();
        storage.blobs.stat(&digest).await
    });
    pause.reached().await;
    assert!(!task.is_finished());
    inner.blobs.retire(&digest).await.unwrap();
    pause.release();
    let stat = task.await.unwrap();
    assert!(matches!(stat, Err(StorageError::NotFound)), "{stat:?}");
}

#[tokio::test]
async fn a_stalled_call_waits_until_it_is_released() {
    let (storage, control) = open().await;
    control.on_call(0, Fault::Stall);
    let task = tokio::spawn({
        let storage = storage.clone();
        async move { put(&storage).await }
    });
    while control.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    let path = Key::UploadSecret.path();
    assert!(storage.records.get(&path).await.unwrap().is_none());
    assert!(!task.is_finished());
    control.release();
    assert!(matches!(task.await.unwrap(), Ok(Outcome::Done(_))));
}
