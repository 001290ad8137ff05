//! Both halves of the decorated store.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::Faulty;
use super::control::Passage;
use super::transfer::{Reader, Writer};
use crate::digest::Digest;
use crate::layout::StorePath;
use crate::storage::{
    BlobEntry, BlobReader, BlobStat, BlobStore, Checkpoint, Durability, Guarantees, ListQuery,
    Outcome, PutMode, RangeSpec, Record, RecordEntry, RecordStore, RedirectRequest, RedirectUrl,
    Retired, StorageError, Sweep, UploadHint, UploadId, UploadWriter, Version,
};

impl Faulty {
    /// Opening a reader: a half of that is a reader that ends early.
    async fn reader(
        &self,
        name: &'static str,
        subject: String,
        open: impl Future<Output = Result<Box<dyn BlobReader>, StorageError>>,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        let passage = self.shared.enter(name, &subject).await?;
        let mut reader = Reader::new(open.await?, Arc::clone(&self.shared), subject);
        match passage {
            Passage::Clear => {}
            Passage::FailAfter(failure) => return Err(failure),
            Passage::StallAfter(gate) => gate.pass().await,
            Passage::Truncate(failure) => reader.truncate(failure),
        }
        Ok(Box::new(reader))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Faulty {
    async fn stat(&self, digest: &Digest) -> Result<BlobStat, StorageError> {
        let (subject, call) = (digest.to_string(), self.blobs.stat(digest));
        self.shared.call("blobs.stat", &subject, call).await
    }

    async fn read(
        &self,
        digest: &Digest,
        range: Option<RangeSpec>,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        let open = self.blobs.read(digest, range);
        self.reader("blobs.read", digest.to_string(), open).await
    }

    fn list(&self, after: Option<Digest>) -> BoxStream<'_, Result<BlobEntry, StorageError>> {
        let subject = after.map(|after| after.to_string()).unwrap_or_default();
        let entries = self.blobs.list(after);
        self.shared.listing("blobs.list", subject, entries)
    }

    async fn open_upload(
        &self,
        id: &UploadId,
        from: Option<Checkpoint>,
        hint: UploadHint,
    ) -> Result<Box<dyn UploadWriter>, StorageError> {
        let (subject, call) = (id.to_string(), self.blobs.open_upload(id, from, hint));
        let opened = self.shared.call("blobs.open_upload", &subject, call);
        let writer = Writer::new(opened.await?, Arc::clone(&self.shared), subject.clone());
        Ok(Box::new(writer))
    }

    async fn read_upload(
        &self,
        id: &UploadId,
        at: &mut Checkpoint,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        let open = self.blobs.read_upload(id, at);
        self.reader("blobs.read_upload", id.to_string(), open).await
    }

    async fn abort_upload(
        &self,
        id: &UploadId,
        at: Option<Checkpoint>,
    ) -> Result<(), StorageError> {
        let (subject, call) = (id.to_string(), self.blobs.abort_upload(id, at));
        self.shared.call("blobs.abort_upload", &subject, call).await
    }

    async fn sweep_uploads(
        &self,
        before: SystemTime,
        keep: &HashSet<UploadId>,
        sweep: Sweep<'_>,
    ) -> Result<u64, StorageError> {
        let call = self.blobs.sweep_uploads(before, keep, sweep);
        self.shared.call("blobs.sweep_uploads", "", call).await
    }

    async fn now(&self) -> Result<SystemTime, StorageError> {
        self.shared.call("blobs.now", "", self.blobs.now()).await
    }

    async fn retire(&self, digest: &Digest) -> Result<Retired, StorageError> {
        let (subject, call) = (digest.to_string(), self.blobs.retire(digest));
        self.shared.call("blobs.retire", &subject, call).await
    }

    async fn restore(&self, digest: &Digest) -> Result<BlobStat, StorageError> {
        let (subject, call) = (digest.to_string(), self.blobs.restore(digest));
        self.shared.call("blobs.restore", &subject, call).await
    }

    async fn read_retired(&self, retired: &Retired) -> Result<Box<dyn BlobReader>, StorageError> {
        let (subject, open) = (retired.digest.to_string(), self.blobs.read_retired(retired));
        self.reader("blobs.read_retired", subject, open).await
    }

    async fn purge(&self, retired: &Retired) -> Result<(), StorageError> {
        let (subject, call) = (retired.digest.to_string(), self.blobs.purge(retired));
        self.shared.call("blobs.purge", &subject, call).await
    }

    fn list_retired(&self) -> BoxStream<'_, Result<Retired, StorageError>> {
        let entries = self.blobs.list_retired();
        self.shared
            .listing("blobs.list_retired", String::new(), entries)
    }

    async fn redirect(
        &self,
        digest: &Digest,
        request: &RedirectRequest,
    ) -> Result<Option<RedirectUrl>, StorageError> {
        let (subject, call) = (digest.to_string(), self.blobs.redirect(digest, request));
        self.shared.call("blobs.redirect", &subject, call).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl RecordStore for Faulty {
    async fn get(&self, path: &StorePath) -> Result<Option<Record>, StorageError> {
        let call = self.records.get(path);
        self.shared.call("records.get", path.as_str(), call).await
    }

    async fn put(
        &self,
        path: &StorePath,
        value: Bytes,
        mode: PutMode,
        durability: Durability,
    ) -> Result<Outcome, StorageError> {
        let call = self.records.put(path, value, mode, durability);
        self.shared.call("records.put", path.as_str(), call).await
    }

    async fn delete(
        &self,
        path: &StorePath,
        if_version: Option<&Version>,
    ) -> Result<Outcome, StorageError> {
        let call = self.records.delete(path, if_version);
        self.shared
            .call("records.delete", path.as_str(), call)
            .await
    }

    async fn delete_below(&self, dir: &StorePath) -> Result<(), StorageError> {
        let call = self.records.delete_below(dir);
        self.shared
            .call("records.delete_below", dir.as_str(), call)
            .await
    }

    fn list(&self, query: ListQuery) -> BoxStream<'_, Result<RecordEntry, StorageError>> {
        let subject = query.dir.to_string();
        let entries = self.records.list(query);
        self.shared.listing("records.list", subject, entries)
    }

    async fn stamp(&self, dir: &StorePath) -> Result<Option<Version>, StorageError> {
        let call = self.records.stamp(dir);
        self.shared.call("records.stamp", dir.as_str(), call).await
    }

    fn guarantees(&self) -> Guarantees {
        self.records.guarantees()
    }
}
