use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use registry_core::layout::Key;
use registry_core::storage::{Checkpoint, StorageError, Sweep, UploadHint};
use registry_core::testing::{append, content, upload_id, verified};

use crate::store::{DAY, TestStore, age, open};

async fn sweep(store: &TestStore, keep: &HashSet<registry_core::storage::UploadId>) -> u64 {
    let blobs = &store.storage.blobs;
    let before = blobs.now().await.unwrap() - DAY;
    let mut told = 0;
    let mut tell = |path: &str| {
        assert!(store.root.path().join(path).is_dir(), "{path}");
        told += 1;
    };
    let found = blobs.sweep_uploads(before, keep, Sweep::Tell(&mut tell));
    let found = found.await.unwrap();
    assert_eq!(found, told);
    let swept = blobs.sweep_uploads(before, keep, Sweep::Remove);
    assert_eq!(swept.await.unwrap(), found, "what was told is what goes");
    found
}

#[tokio::test]
async fn distributions_uploads_are_swept_by_when_they_began() {
    let store = open();
    let uploads = "repositories/team/app/_uploads";
    let begun = |id: &str, text: &str| {
        store.plant(&format!("{uploads}/{id}/data"), "bytes");
        store.plant(&format!("{uploads}/{id}/hashstates/sha256/0"), "");
        store.plant(&format!("{uploads}/{id}/startedat"), text);
    };
    begun("old", "2020-01-02T03:04:05Z");
    begun("offset", "2020-01-02T03:04:05+02:00");
    begun("young", "2999-01-02T03:04:05Z");
    begun("garbled", "yesterday");
    begun("garbled-old", "");
    age(&store.at(&format!("{uploads}/garbled-old")), 2 * DAY);
    // What is no upload, however old.
    let manifests = store.plant(
        "repositories/team/app/_manifests/x/startedat",
        "2020-01-02T03:04:05Z",
    );
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("startedat"), "2020-01-02T03:04:05Z").unwrap();
    symlink(outside.path(), store.at(&format!("{uploads}/link"))).unwrap();
    symlink(outside.path(), store.at(&format!("{uploads}/old/link"))).unwrap();

    assert_eq!(sweep(&store, &HashSet::new()).await, 3);
    let is_there = |id: &str| store.at(&format!("{uploads}/{id}")).exists();
    assert!(is_there("young") && is_there("garbled"));
    assert!(!is_there("old") && !is_there("offset") && !is_there("garbled-old"));
    assert!(manifests.exists() && outside.path().join("startedat").exists());
}

#[tokio::test]
async fn an_upload_is_as_old_as_its_newest_file_and_one_being_written_is_not_swept() {
    let store = open();
    let (old, named, touched, open) = (upload_id(), upload_id(), upload_id(), upload_id());
    for id in [old, named, touched] {
        append(&store.storage, &id, None, &content(1, 10)).await;
        age(&store.path(&Key::UploadData(id)), 2 * DAY);
        age(&store.at(&format!("uploads/{id}")), 2 * DAY);
    }
    store.plant(&format!("uploads/{touched}/record"), "");
    let hint = UploadHint::default();
    let writer = store.storage.blobs.open_upload(&open, None, hint).await;
    let mut writer = writer.unwrap();
    writer.write(vec![content(1, 10)]).await.unwrap();
    age(&store.path(&Key::UploadData(open)), 2 * DAY);
    age(&store.at(&format!("uploads/{open}")), 2 * DAY);
    let foreign = store.plant("uploads/foreign/data", "");
    age(foreign.parent().unwrap(), 2 * DAY);

    assert_eq!(sweep(&store, &HashSet::from([named])).await, 1);
    let is_there = |id| store.path(&Key::UploadData(id)).exists();
    assert!(!is_there(old));
    assert!(is_there(named) && is_there(touched) && is_there(open));
    assert!(foreign.exists());
    drop(writer);
    assert_eq!(sweep(&store, &HashSet::from([named])).await, 1);
}

#[tokio::test]
async fn an_upload_begins_without_a_file() {
    let store = open();
    let id = upload_id();
    let blobs = &store.storage.blobs;
    let hint = UploadHint::default();
    let writer = blobs.open_upload(&id, None, hint).await.unwrap();
    let checkpoint = writer.checkpoint().await.unwrap();
    assert_eq!(checkpoint, Checkpoint::default());
    assert_eq!(store.files(), [""; 0]);
    let mut at = checkpoint.clone();
    let mut reader = blobs.read_upload(&id, &mut at).await.unwrap();
    assert_eq!(reader.next(10).await.unwrap(), None);
    let next = append(&store.storage, &id, Some(checkpoint), &content(1, 10)).await;
    assert_eq!(next.len, 10);
}

#[tokio::test]
async fn a_staged_file_shorter_than_its_checkpoint_is_not_found() {
    let store = open();
    let id = upload_id();
    let at = append(&store.storage, &id, None, &content(1, 100)).await;
    fs::write(store.path(&Key::UploadData(id)), "short").unwrap();
    let blobs = &store.storage.blobs;
    let hint = UploadHint::default();
    let opened = blobs.open_upload(&id, Some(at.clone()), hint).await;
    assert!(matches!(opened.err(), Some(StorageError::NotFound)));
    let read = blobs.read_upload(&id, &mut at.clone()).await;
    assert!(matches!(read.err(), Some(StorageError::NotFound)));
}

#[tokio::test]
async fn room_taken_for_bytes_that_did_not_come_is_given_back() {
    let store = open();
    let id = upload_id();
    let hint = UploadHint {
        digest: None,
        size: Some(64 << 20),
    };
    let mut writer = store
        .storage
        .blobs
        .open_upload(&id, None, hint)
        .await
        .unwrap();
    writer.write(vec![content(1, 4096)]).await.unwrap();
    let path = store.path(&Key::UploadData(id));
    let taken = || fs::metadata(&path).unwrap().blocks() * 512;
    let all = taken();
    if all < 64 << 20 {
        return; // This filesystem cannot.
    }
    drop(writer);
    for _ in 0..10_000 {
        if taken() < 1 << 20 {
            assert_eq!(fs::metadata(&path).unwrap().len(), 4096);
            return;
        }
        // tidy: sleep: between two looks at a condition that has a limit
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    panic!("{} bytes are still taken", taken());
}

#[tokio::test]
async fn an_upload_that_does_not_fit_is_refused_before_a_byte_is_written() {
    let store = open();
    let id = upload_id();
    let hint = UploadHint {
        digest: None,
        size: Some(u64::MAX / 2),
    };
    let mut writer = store
        .storage
        .blobs
        .open_upload(&id, None, hint)
        .await
        .unwrap();
    let refused = writer.write(vec![content(1, 10)]).await;
    assert!(matches!(refused, Err(StorageError::Full)), "{refused:?}");
    assert_eq!(store.files(), [""; 0]);
    // The writer is good for nothing now, and says so.
    assert!(writer.write(vec![content(1, 10)]).await.is_err());
}

#[tokio::test]
async fn fewer_bytes_than_were_verified_are_not_published() {
    let store = open();
    let id = upload_id();
    let bytes = content(1, 100);
    let hint = UploadHint::default();
    let mut writer = store
        .storage
        .blobs
        .open_upload(&id, None, hint)
        .await
        .unwrap();
    writer.write(vec![bytes.slice(..99)]).await.unwrap();
    let failed = writer.commit(verified(&bytes)).await.unwrap_err();
    assert_eq!(failed.checkpoint.unwrap().len, 99);
    let digest = *verified(&bytes).digest();
    assert!(!store.path(&Key::Blob(digest)).exists());
}

#[tokio::test]
async fn a_large_upload_is_written_back_while_it_grows_and_ends_whole() {
    let store = open();
    let id = upload_id();
    let bytes = content(1, 1 << 20);
    let hint = UploadHint {
        digest: None,
        size: Some(70 << 20),
    };
    let mut whole = Vec::new();
    let mut writer = store
        .storage
        .blobs
        .open_upload(&id, None, hint)
        .await
        .unwrap();
    for _ in 0..70 {
        writer.write(vec![bytes.clone()]).await.unwrap();
        whole.extend_from_slice(&bytes);
    }
    let content = verified(&whole);
    let digest = *content.digest();
    writer.commit(content).await.unwrap();
    assert_eq!(fs::read(store.path(&Key::Blob(digest))).unwrap(), whole);
}

#[tokio::test]
async fn an_old_upload_committed_now_is_a_young_blob() {
    let store = open();
    let id = upload_id();
    let bytes = content(1, 100);
    let at = append(&store.storage, &id, None, &bytes).await;
    age(&store.path(&Key::UploadData(id)), 2 * DAY);
    let blobs = &store.storage.blobs;
    let hint = UploadHint::default();
    let before = blobs.now().await.unwrap();
    let writer = blobs.open_upload(&id, Some(at), hint).await.unwrap();
    writer.commit(verified(&bytes)).await.unwrap();
    let stat = blobs.stat(verified(&bytes).digest()).await.unwrap();
    assert!(stat.modified >= before);
}

#[tokio::test]
async fn a_second_writer_of_another_process_is_busy_or_waits_and_never_cuts() {
    let store = open();
    let id = upload_id();
    let at = append(&store.storage, &id, None, &content(1, 100)).await;
    let path = store.path(&Key::UploadData(id));
    let other = fs::File::open(&path).unwrap();
    other.lock().unwrap();
    let opening = {
        let storage = store.storage.clone();
        let at = Checkpoint {
            len: 50,
            ..at.clone()
        };
        tokio::spawn(async move {
            let hint = UploadHint::default();
            let opened = storage.blobs.open_upload(&id, Some(at), hint).await;
            opened.map(drop)
        })
    };
    // tidy: sleep: between two looks at a condition that has a limit
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(fs::metadata(&path).unwrap().len(), 100);
    drop(other);
    opening.await.unwrap().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 50);
}
