use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use bytes::Bytes;
use futures_util::TryStreamExt;
use registry_core::Digest;
use registry_core::layout::Key;
use registry_core::storage::{RangeSpec, StorageError};
use registry_core::testing::{content, publish, read, read_to_end, verified};

use crate::store::{DAY, TestStore, age, open};

async fn listed(store: &TestStore) -> Vec<Digest> {
    let blobs = store.storage.blobs.list(None);
    blobs
        .map_ok(|blob| blob.digest)
        .try_collect()
        .await
        .unwrap()
}

#[tokio::test]
async fn junk_among_the_blobs_is_passed_over() {
    let store = open();
    let blob = publish(&store.storage, &content(1, 10)).await;
    let hex = "ab".repeat(32);
    store.plant("blobs/file", "");
    store.plant("blobs/md5/ab/abab/data", "");
    store.plant("blobs/sha256/zz/file", "");
    store.plant(
        &format!("blobs/sha256/cd/{hex}/data"),
        "in the shard of another",
    );
    store.plant(&format!("blobs/sha256/ab/{hex}/other"), "");
    store.plant(&format!("blobs/sha256/ab/{}/data", &hex[2..]), "");
    let link = store.at(&format!("blobs/sha256/ab/{hex}/data"));
    symlink("/etc/hostname", link).unwrap();
    assert_eq!(listed(&store).await, [blob]);
}

#[tokio::test]
async fn what_is_neither_a_file_nor_absent_is_a_fault() {
    let store = open();
    let digest = Digest::Sha256([1; 32]);
    let absent = store.storage.blobs.stat(&digest).await;
    assert!(matches!(absent, Err(StorageError::NotFound)));
    fs::create_dir_all(store.path(&Key::Blob(digest))).unwrap();
    let stat = store.storage.blobs.stat(&digest).await;
    assert!(matches!(stat, Err(StorageError::Backend { .. })));
    let read = read(&store.storage, &digest, None).await;
    assert!(matches!(read, Err(StorageError::Backend { .. })));
    // A file in place of a directory is a broken tree, not an absent blob.
    let digest = Digest::Sha256([2; 32]);
    let path = store.path(&Key::Blob(digest));
    let dir = path.parent().unwrap();
    fs::create_dir_all(dir.parent().unwrap()).unwrap();
    fs::write(dir, "").unwrap();
    let stat = store.storage.blobs.stat(&digest).await;
    assert!(matches!(stat, Err(StorageError::Backend { .. })));
    let read = registry_core::testing::read(&store.storage, &digest, None).await;
    assert!(matches!(read, Err(StorageError::Backend { .. })));
}

#[tokio::test]
async fn a_blob_cut_while_it_is_read_is_an_error_and_not_an_end() {
    let store = open();
    let bytes = content(1, 300_000);
    let digest = publish(&store.storage, &bytes).await;
    let mut reader = store.storage.blobs.read(&digest, None).await.unwrap();
    let first = reader.next(1000).await.unwrap().unwrap();
    assert_eq!(first, bytes[..first.len()]);
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).open(store.path(&Key::Blob(digest)));
    let file = file.unwrap();
    file.set_len(1000).unwrap();
    let rest = read_to_end_of(&mut *reader).await;
    assert!(matches!(rest, Err(StorageError::Backend { .. })));
}

async fn read_to_end_of(
    reader: &mut dyn registry_core::storage::BlobReader,
) -> Result<(), StorageError> {
    while reader.next(1000).await?.is_some() {}
    Ok(())
}

#[tokio::test]
async fn a_reader_lends_its_file_and_where_the_range_begins() {
    use std::os::unix::fs::FileExt;
    let store = open();
    let bytes = content(1, 200_000);
    let digest = publish(&store.storage, &bytes).await;
    let range = Some(RangeSpec::Between(70_000, 199_998));
    let mut reader = store.storage.blobs.read(&digest, range).await.unwrap();
    let (file, at) = reader.as_file().unwrap();
    let mut lent = vec![0; 1000];
    file.read_exact_at(&mut lent, at).unwrap();
    assert_eq!(lent, bytes[70_000..71_000]);
    let read = read_to_end(&mut *reader, 4096).await.unwrap();
    assert_eq!(read, bytes[70_000..199_999]);
}

#[tokio::test]
async fn a_blob_of_the_right_length_stays_and_another_is_replaced() {
    let store = open();
    let bytes = content(1, 1000);
    let digest = *verified(&bytes).digest();
    let path = store.path(&Key::Blob(digest));
    publish(&store.storage, &bytes).await;
    age(&path, DAY);
    let before = fs::metadata(&path).unwrap();
    publish(&store.storage, &bytes).await;
    let after = fs::metadata(&path).unwrap();
    assert_eq!(after.ino(), before.ino());
    assert!(after.modified().unwrap() > before.modified().unwrap());
    fs::write(&path, &bytes[..999]).unwrap();
    publish(&store.storage, &bytes).await;
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(store.files().len(), 1, "{:?}", store.files());
}

#[tokio::test]
async fn a_retired_blob_lies_in_the_trash_and_leaves_no_empty_directory() {
    let store = open();
    let bytes = content(1, 1000);
    let digest = publish(&store.storage, &bytes).await;
    let retired = store.storage.blobs.retire(&digest).await.unwrap();
    assert_eq!(retired.size, 1000);
    let copy = store.path(&Key::Retired(digest, retired.id));
    assert_eq!(fs::read(&copy).unwrap(), bytes);
    let shard = store.path(&Key::Blob(digest));
    assert!(!shard.ancestors().nth(2).unwrap().exists());
    assert!(store.at("blobs/sha256").is_dir());
    assert_eq!(store.retired().await, [retired]);

    age(&copy, DAY);
    let stat = store.storage.blobs.restore(&digest).await.unwrap();
    let now = store.storage.blobs.now().await.unwrap();
    let old = now.duration_since(stat.modified).unwrap_or_default();
    assert!(old < DAY / 2, "{old:?}");
    assert_eq!(read(&store.storage, &digest, None).await.unwrap(), bytes);
    assert!(store.at("gc").is_dir());
    assert!(!store.at("gc/sha256").exists());
}

#[tokio::test]
async fn the_newest_copy_is_brought_back_and_junk_in_the_trash_is_no_copy() {
    let store = open();
    let bytes = content(1, 1000);
    let digest = publish(&store.storage, &bytes).await;
    let first = store.storage.blobs.retire(&digest).await.unwrap();
    store.plant(&format!("gc/sha256/{}/note", digest.hex()), "");
    store.plant("gc/_cycle", "");
    publish(&store.storage, &bytes).await;
    let second = loop {
        // Until the clock that stamps them has moved on.
        let copy = store.storage.blobs.retire(&digest).await.unwrap();
        if copy.since > first.since {
            break copy;
        }
        store.storage.blobs.purge(&copy).await.unwrap();
        publish(&store.storage, &bytes).await;
    };
    assert_eq!(store.retired().await.len(), 2);
    store.storage.blobs.restore(&digest).await.unwrap();
    assert_eq!(store.retired().await, [first]);
    assert!(second.since > first.since);
}

#[tokio::test]
async fn restoring_does_not_replace_a_blob_that_is_there() {
    let store = open();
    let bytes = content(1, 1000);
    let digest = publish(&store.storage, &bytes).await;
    let copy = store.storage.blobs.retire(&digest).await.unwrap();
    fs::write(
        store.path(&Key::Retired(digest, copy.id)),
        Bytes::from_static(b"rotten"),
    )
    .unwrap();
    publish(&store.storage, &bytes).await;
    store.storage.blobs.restore(&digest).await.unwrap();
    assert_eq!(read(&store.storage, &digest, None).await.unwrap(), bytes);
}
