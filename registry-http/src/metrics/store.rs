//! What is counted of the store, by a decorator that is there only if anything is.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use registry_core::Digest;
use registry_core::layout::StorePath;
use registry_core::storage::{
    BlobEntry, BlobReader, BlobStat, BlobStore, Checkpoint, Durability, Guarantees, ListQuery,
    Outcome, PutMode, RangeSpec, Record, RecordEntry, RecordStore, RedirectRequest, RedirectUrl,
    Retired, Storage, StorageError, Sweep, UploadHint, UploadId, UploadWriter, Version,
};

use super::Metrics;
use super::actions::Action;
use super::transfer::{Reader, Writer, listing};

/// Puts a store behind what counts and times its calls.
pub(crate) fn measure(storage: Storage, metrics: &Arc<Metrics>) -> Storage {
    Storage::from_driver(Measured {
        blobs: storage.blobs,
        records: storage.records,
        metrics: Arc::clone(metrics),
    })
}

#[derive(Debug)]
struct Measured {
    blobs: Arc<dyn BlobStore>,
    records: Arc<dyn RecordStore>,
    metrics: Arc<Metrics>,
}

impl Measured {
    async fn timed<T>(
        &self,
        action: Action,
        call: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        self.metrics.timed(action, call).await
    }

    async fn reader(
        &self,
        open: impl Future<Output = Result<Box<dyn BlobReader>, StorageError>>,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        let inner = self.timed(Action::Reader, open).await?;
        Ok(Box::new(Reader::new(inner, &self.metrics)))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Measured {
    async fn stat(&self, digest: &Digest) -> Result<BlobStat, StorageError> {
        self.timed(Action::Stat, self.blobs.stat(digest)).await
    }

    async fn read(
        &self,
        digest: &Digest,
        range: Option<RangeSpec>,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        self.reader(self.blobs.read(digest, range)).await
    }

    fn list(&self, after: Option<Digest>) -> BoxStream<'_, Result<BlobEntry, StorageError>> {
        listing(&self.metrics, self.blobs.list(after))
    }

    async fn open_upload(
        &self,
        id: &UploadId,
        from: Option<Checkpoint>,
        hint: UploadHint,
    ) -> Result<Box<dyn UploadWriter>, StorageError> {
        let open = self.blobs.open_upload(id, from, hint);
        let inner = self.timed(Action::Writer, open).await?;
        Ok(Box::new(Writer::new(inner, &self.metrics)))
    }

    async fn read_upload(
        &self,
        id: &UploadId,
        at: &mut Checkpoint,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        self.reader(self.blobs.read_upload(id, at)).await
    }

    async fn abort_upload(
        &self,
        id: &UploadId,
        at: Option<Checkpoint>,
    ) -> Result<(), StorageError> {
        let abort = self.blobs.abort_upload(id, at);
        self.timed(Action::Abort, abort).await
    }

    async fn sweep_uploads(
        &self,
        before: SystemTime,
        keep: &HashSet<UploadId>,
        sweep: Sweep<'_>,
    ) -> Result<u64, StorageError> {
        let swept = self.blobs.sweep_uploads(before, keep, sweep);
        self.timed(Action::Sweep, swept).await
    }

    async fn now(&self) -> Result<SystemTime, StorageError> {
        self.timed(Action::Now, self.blobs.now()).await
    }

    async fn retire(&self, digest: &Digest) -> Result<Retired, StorageError> {
        let retired = self
            .timed(Action::Retire, self.blobs.retire(digest))
            .await?;
        self.metrics.garbage.retired.add(retired.size);
        Ok(retired)
    }

    async fn restore(&self, digest: &Digest) -> Result<BlobStat, StorageError> {
        let restored = self
            .timed(Action::Restore, self.blobs.restore(digest))
            .await?;
        self.metrics.garbage.restored.add(restored.size);
        Ok(restored)
    }

    async fn purge(&self, retired: &Retired) -> Result<(), StorageError> {
        self.timed(Action::Purge, self.blobs.purge(retired)).await?;
        self.metrics.garbage.purged.add(retired.size);
        Ok(())
    }

    async fn read_retired(&self, retired: &Retired) -> Result<Box<dyn BlobReader>, StorageError> {
        self.reader(self.blobs.read_retired(retired)).await
    }

    fn list_retired(&self) -> BoxStream<'_, Result<Retired, StorageError>> {
        listing(&self.metrics, self.blobs.list_retired())
    }

    async fn redirect(
        &self,
        digest: &Digest,
        request: &RedirectRequest,
    ) -> Result<Option<RedirectUrl>, StorageError> {
        let redirect = self.blobs.redirect(digest, request);
        self.timed(Action::UrlFor, redirect).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl RecordStore for Measured {
    async fn get(&self, path: &StorePath) -> Result<Option<Record>, StorageError> {
        self.timed(Action::GetContent, self.records.get(path)).await
    }

    async fn put(
        &self,
        path: &StorePath,
        value: Bytes,
        mode: PutMode,
        durability: Durability,
    ) -> Result<Outcome, StorageError> {
        let put = self.records.put(path, value, mode, durability);
        self.timed(Action::PutContent, put).await
    }

    async fn delete(
        &self,
        path: &StorePath,
        if_version: Option<&Version>,
    ) -> Result<Outcome, StorageError> {
        let delete = self.records.delete(path, if_version);
        self.timed(Action::Delete, delete).await
    }

    async fn delete_below(&self, dir: &StorePath) -> Result<(), StorageError> {
        self.timed(Action::Delete, self.records.delete_below(dir))
            .await
    }

    fn list(&self, query: ListQuery) -> BoxStream<'_, Result<RecordEntry, StorageError>> {
        listing(&self.metrics, self.records.list(query))
    }

    async fn stamp(&self, dir: &StorePath) -> Result<Option<Version>, StorageError> {
        self.timed(Action::Stamp, self.records.stamp(dir)).await
    }

    fn guarantees(&self) -> Guarantees {
        self.records.guarantees()
    }
}
