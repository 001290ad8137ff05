//! The spooling adaptor, over the least that a store can be.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use registry_core::layout::{Dir, Key, StorePath};
use registry_core::storage::{
    BlobName, BlobReader, BlobStat, ByteRange, BytesReader, Durability, Guarantees, ListQuery,
    MemoryDriver, Outcome, PutMode, Record, RecordEntry, RecordStore, Storage, StorageError,
    UploadHint, Version, WholeBlobs,
};
use registry_core::testing::{ambient, append, content, publish, read, upload_id, verified};

type Shelf = Arc<Mutex<BTreeMap<BlobName, (Bytes, SystemTime)>>>;

#[derive(Debug)]
struct Simple {
    blobs: Shelf,
    records: MemoryDriver,
}

#[async_trait]
impl WholeBlobs for Simple {
    async fn store(
        &self,
        name: &BlobName,
        mut content: Box<dyn BlobReader>,
    ) -> Result<(), StorageError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = content.next(64 * 1024).await? {
            whole.extend_from_slice(&piece);
        }
        let stored = (whole.freeze(), (ambient().now)());
        self.blobs.lock().unwrap().insert(*name, stored);
        Ok(())
    }

    async fn load(
        &self,
        name: &BlobName,
        range: Option<ByteRange>,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        let blobs = self.blobs.lock().unwrap();
        let (bytes, _) = blobs.get(name).ok_or(StorageError::NotFound)?;
        Ok(Box::new(BytesReader::new(bytes, range)?))
    }

    async fn stat(&self, name: &BlobName) -> Result<BlobStat, StorageError> {
        let blobs = self.blobs.lock().unwrap();
        blobs.get(name).map(stat).ok_or(StorageError::NotFound)
    }

    async fn remove(&self, name: &BlobName) -> Result<(), StorageError> {
        self.blobs.lock().unwrap().remove(name);
        Ok(())
    }

    fn list(
        &self,
        after: Option<BlobName>,
    ) -> BoxStream<'_, Result<(BlobName, BlobStat), StorageError>> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let blobs = self.blobs.lock().unwrap();
        let found: Vec<_> = blobs
            .range((start, Bound::Unbounded))
            .map(|(name, stored)| Ok((*name, stat(stored))))
            .collect();
        stream::iter(found).boxed()
    }
}

fn stat((bytes, modified): &(Bytes, SystemTime)) -> BlobStat {
    BlobStat {
        size: bytes.len() as u64,
        modified: *modified,
    }
}

#[async_trait]
impl RecordStore for Simple {
    async fn get(&self, path: &StorePath) -> Result<Option<Record>, StorageError> {
        self.records.get(path).await
    }

    /// Like a store that does not tell what it has written.
    async fn put(
        &self,
        path: &StorePath,
        value: Bytes,
        mode: PutMode,
        durability: Durability,
    ) -> Result<Outcome, StorageError> {
        let put = self.records.put(path, value, mode, durability).await?;
        Ok(match put {
            Outcome::Done(_) => Outcome::Done(None),
            Outcome::Conflict => Outcome::Conflict,
        })
    }

    async fn delete(
        &self,
        path: &StorePath,
        if_version: Option<&Version>,
    ) -> Result<Outcome, StorageError> {
        self.records.delete(path, if_version).await
    }

    async fn delete_below(&self, dir: &StorePath) -> Result<(), StorageError> {
        self.records.delete_below(dir).await
    }

    /// Like a store whose listings tell no times.
    fn list(&self, query: ListQuery) -> BoxStream<'_, Result<RecordEntry, StorageError>> {
        RecordStore::list(&self.records, query)
            .map_ok(|entry| match entry {
                RecordEntry::Record { name, .. } => RecordEntry::Record {
                    name,
                    modified: None,
                },
                directory @ RecordEntry::Directory { .. } => directory,
            })
            .boxed()
    }

    async fn stamp(&self, _dir: &StorePath) -> Result<Option<Version>, StorageError> {
        Ok(None)
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::default()
    }
}

fn simple() -> (Shelf, Storage) {
    let driver = Simple {
        blobs: Arc::default(),
        records: MemoryDriver::new(ambient()),
    };
    let shelf = Arc::clone(&driver.blobs);
    (shelf, Storage::spooled(driver, ambient()))
}

async fn open() -> (Storage, ()) {
    (simple().1, ())
}

registry_core::storage_conformance!(open);
registry_core::storage_faults!(open);
registry_core::storage_collection!(open);

async fn staged(storage: &Storage) -> Vec<RecordEntry> {
    let query = ListQuery::recursive(Dir::Uploads.path());
    storage.records.list(query).try_collect().await.unwrap()
}

#[tokio::test]
async fn pieces_are_bounded_and_go_with_the_commit() {
    let (_, storage) = simple();
    let bytes = content(1, 5_000_000);
    let id = upload_id();
    let hint = UploadHint::default();
    let mut writer = storage.blobs.open_upload(&id, None, hint).await.unwrap();
    for at in (0..bytes.len()).step_by(1000) {
        writer
            .write(vec![bytes.slice(at..at + 1000)])
            .await
            .unwrap();
    }
    let checkpoint = writer.checkpoint().await.unwrap();
    let pieces = staged(&storage).await;
    assert_eq!(pieces.len(), 5);
    for piece in pieces {
        let key = Key::parse(&format!("{}/{}", Dir::Uploads.path(), piece.name())).unwrap();
        assert!(matches!(key, Key::UploadPiece { upload, .. } if upload == id));
        let record = storage.records.get(&key.path()).await.unwrap().unwrap();
        assert!(record.value.len() <= 1024 * 1024);
    }
    let from = Some(checkpoint);
    let writer = storage.blobs.open_upload(&id, from, hint).await.unwrap();
    writer.commit(verified(&bytes)).await.unwrap();
    assert_eq!(staged(&storage).await, []);
}

#[tokio::test]
async fn what_a_dropped_writer_left_goes_with_the_upload() {
    let (_, storage) = simple();
    let (id, held) = (upload_id(), content(1, 10));
    let checkpoint = append(&storage, &id, None, &held).await;
    append(&storage, &id, Some(checkpoint.clone()), &content(2, 10)).await;
    assert_eq!(staged(&storage).await.len(), 2);
    let hint = UploadHint::default();
    let from = Some(checkpoint);
    let writer = storage.blobs.open_upload(&id, from, hint).await.unwrap();
    writer.commit(verified(&held)).await.unwrap();
    assert_eq!(staged(&storage).await, []);
}

#[tokio::test]
async fn a_commit_of_another_length_publishes_nothing_and_can_go_on() {
    let (_, storage) = simple();
    let (id, held) = (upload_id(), content(1, 10));
    let checkpoint = append(&storage, &id, None, &held).await;
    let hint = UploadHint::default();
    let from = Some(checkpoint);
    let writer = storage.blobs.open_upload(&id, from, hint).await.unwrap();
    let failed = writer.commit(verified(b"other")).await.unwrap_err();
    assert_eq!(failed.checkpoint.as_ref().unwrap().len, 10);
    let from = failed.checkpoint;
    let writer = storage.blobs.open_upload(&id, from, hint).await.unwrap();
    writer.commit(verified(&held)).await.unwrap();
}

#[tokio::test]
async fn a_retired_blob_comes_back_from_its_newest_copy() {
    let (shelf, storage) = simple();
    let bytes = content(1, 10);
    let digest = publish(&storage, &bytes).await;
    let old = storage.blobs.retire(&digest).await.unwrap();
    publish(&storage, &bytes).await;
    let new = storage.blobs.retire(&digest).await.unwrap();
    let later = old.since.max(new.since) + std::time::Duration::from_secs(1);
    for (copy, since) in [(&old, old.since), (&new, later)] {
        let name = BlobName::Retired(digest, copy.id);
        shelf.lock().unwrap().get_mut(&name).unwrap().1 = since;
    }
    storage.blobs.restore(&digest).await.unwrap();
    assert_eq!(read(&storage, &digest, None).await.unwrap(), bytes);
    let left: Vec<_> = storage.blobs.list_retired().try_collect().await.unwrap();
    assert_eq!(left, [old]);
}

#[tokio::test]
async fn an_upload_of_which_a_piece_is_gone_is_not_found() {
    let (_, storage) = simple();
    let id = upload_id();
    let at = append(&storage, &id, None, &content(1, 10)).await;
    let at = append(&storage, &id, Some(at), &content(2, 10)).await;
    let pieces = staged(&storage).await;
    assert_eq!(pieces.len(), 2);
    let path = format!("{}/{}", Dir::Uploads.path(), pieces[0].name());
    let path = Key::parse(&path).unwrap().path();
    let _ = storage.records.delete(&path, None).await.unwrap();
    let hint = UploadHint::default();
    let opened = storage.blobs.open_upload(&id, Some(at), hint).await;
    assert!(matches!(opened.err(), Some(StorageError::NotFound)));
}
