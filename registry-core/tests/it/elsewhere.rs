//! A store that sends clients elsewhere, and that moves the bytes of an upload to read them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use registry_core::access::Identity;
use registry_core::hasher::digest_of;
use registry_core::layout::Key;
use registry_core::registry::{Append, BlobContent, Body, Options, Repository, UploadUrl};
use registry_core::storage::{
    BlobEntry, BlobReader, BlobStat, BlobStore, Checkpoint, Durability, MemoryDriver, PutMode,
    RangeSpec, RedirectRequest, RedirectUrl, Retired, Storage, StorageError, Sweep, UploadHint,
    UploadId, UploadWriter,
};
use registry_core::testing::{ambient, content};
use registry_core::{Algorithm, Digest, Registry, RegistryError, Rules};

#[derive(Debug)]
struct Elsewhere(Arc<MemoryDriver>);

/// Where the bytes of an upload are once they were read.
const MOVED: Bytes = Bytes::from_static(b"moved");

#[async_trait]
impl BlobStore for Elsewhere {
    async fn stat(&self, digest: &Digest) -> Result<BlobStat, StorageError> {
        self.0.stat(digest).await
    }

    async fn read(
        &self,
        digest: &Digest,
        range: Option<RangeSpec>,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        self.0.read(digest, range).await
    }

    fn list(&self, after: Option<Digest>) -> BoxStream<'_, Result<BlobEntry, StorageError>> {
        BlobStore::list(&*self.0, after)
    }

    async fn open_upload(
        &self,
        id: &UploadId,
        from: Option<Checkpoint>,
        hint: UploadHint,
    ) -> Result<Box<dyn UploadWriter>, StorageError> {
        // Where they were before, they are no more.
        if from.as_ref().is_some_and(|from| from.token != MOVED) {
            return Err(StorageError::NotFound);
        }
        self.0.open_upload(id, from, hint).await
    }

    async fn read_upload(
        &self,
        id: &UploadId,
        at: &mut Checkpoint,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        at.token = MOVED;
        self.0.read_upload(id, at).await
    }

    async fn abort_upload(
        &self,
        id: &UploadId,
        at: Option<Checkpoint>,
    ) -> Result<(), StorageError> {
        self.0.abort_upload(id, at).await
    }

    async fn sweep_uploads(
        &self,
        before: SystemTime,
        keep: &HashSet<UploadId>,
        sweep: Sweep<'_>,
    ) -> Result<u64, StorageError> {
        self.0.sweep_uploads(before, keep, sweep).await
    }

    async fn now(&self) -> Result<SystemTime, StorageError> {
        self.0.now().await
    }

    async fn retire(&self, digest: &Digest) -> Result<Retired, StorageError> {
        self.0.retire(digest).await
    }

    async fn restore(&self, digest: &Digest) -> Result<BlobStat, StorageError> {
        self.0.restore(digest).await
    }

    async fn read_retired(&self, retired: &Retired) -> Result<Box<dyn BlobReader>, StorageError> {
        self.0.read_retired(retired).await
    }

    async fn purge(&self, retired: &Retired) -> Result<(), StorageError> {
        self.0.purge(retired).await
    }

    fn list_retired(&self) -> BoxStream<'_, Result<Retired, StorageError>> {
        self.0.list_retired()
    }

    async fn redirect(
        &self,
        digest: &Digest,
        _request: &RedirectRequest,
    ) -> Result<Option<RedirectUrl>, StorageError> {
        let url = format!("https://elsewhere.test/{digest}");
        Ok(Some(RedirectUrl::new(url)))
    }
}

async fn open() -> (Storage, Repository) {
    let driver = Arc::new(MemoryDriver::new(ambient()));
    let blobs = Arc::new(Elsewhere(Arc::clone(&driver)));
    let storage = Storage::new(blobs, driver);
    let registry = Registry::open(storage.clone(), Options::new(ambient()));
    let rules = Arc::new(Rules::everything());
    let grant = rules.authorize(Identity::anonymous(), &[], &[]).unwrap();
    let name = "library/image".parse().unwrap();
    (storage, registry.await.unwrap().repository(name, grant))
}

fn body(bytes: &Bytes) -> Body<'static> {
    stream::iter([Ok(bytes.clone())]).boxed()
}

#[tokio::test]
async fn nobody_is_sent_to_a_blob_that_is_in_the_trash() {
    let (storage, repository) = open().await;
    let blob = content(1, 100);
    let digest = digest_of(Algorithm::Sha256, &blob);
    let pushed = repository.push_blob(Append::default(), body(&blob), &digest);
    pushed.await.unwrap();
    let retired = storage.blobs.retire(&digest).await.unwrap();
    // It comes back.
    let found = repository.open_blob(&digest, None).await.unwrap();
    assert!(matches!(found, BlobContent::Redirect(_)), "{found:?}");
    storage.blobs.stat(&digest).await.unwrap();
    storage.blobs.purge(&retired).await.unwrap();
    let retired = storage.blobs.retire(&digest).await.unwrap();
    storage.blobs.purge(&retired).await.unwrap();
    let gone = repository.open_blob(&digest, None).await;
    assert!(matches!(gone, Err(RegistryError::BlobUnknown(_))));
}

#[tokio::test]
async fn an_upload_that_was_moved_to_be_read_goes_on_from_where_it_is() {
    let (storage, repository) = open().await;
    let blob = content(1, 100);
    let digest = digest_of(Algorithm::Sha256, &blob);
    let begun = repository.start_upload(Algorithm::Sha256).await.unwrap();
    let url = UploadUrl {
        id: begun.id,
        state: Some(begun.state),
    };
    let first = body(&blob.slice(..60));
    let appended = repository.append_upload(&url, Append::default(), first);
    appended.await.unwrap();
    // Another release's hash state is not believed: the bytes are read again.
    let path = Key::UploadRecord(url.id).path();
    let record = storage.records.get(&path).await.unwrap().unwrap();
    let text = String::from_utf8(record.value.to_vec()).unwrap();
    let other = text.replace(r#""form":1"#, r#""form":2"#);
    assert_ne!(text, other);
    let (mode, durability) = (PutMode::Replace, Durability::Volatile);
    let put = storage.records.put(&path, other.into(), mode, durability);
    let _ = put.await.unwrap();
    // A request that brings nothing leaves the record of where they are now.
    let nothing = body(&Bytes::new());
    let told = repository.append_upload(&url, Append::default(), nothing);
    assert_eq!(told.await.unwrap().len, 60);
    let record = storage.records.get(&path).await.unwrap().unwrap();
    assert_ne!(record.value, text);
    let rest = body(&blob.slice(60..));
    let finished = repository.finish_upload(&url, Append::default(), rest, &digest);
    finished.await.unwrap();
}
