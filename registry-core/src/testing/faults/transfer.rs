//! Readers and writers of the decorated store.

use std::fs::File;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::control::{Passage, Shared};
use crate::storage::{
    BlobReader, ByteRange, Checkpoint, CommitFailed, StorageError, UploadWriter, Verified,
};

pub(super) struct Reader {
    inner: Box<dyn BlobReader>,
    shared: Arc<Shared>,
    subject: String,
    end: End,
}

/// How a reader ends before its time.
enum End {
    Open,
    /// After half of the next piece.
    Armed(StorageError),
    /// Now.
    Cut(&'static str),
}

impl Reader {
    pub(super) fn new(inner: Box<dyn BlobReader>, shared: Arc<Shared>, subject: String) -> Self {
        Self {
            inner,
            shared,
            subject,
            end: End::Open,
        }
    }

    pub(super) fn truncate(&mut self, failure: StorageError) {
        self.end = End::Armed(failure);
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobReader for Reader {
    fn extent(&self) -> (u64, ByteRange) {
        self.inner.extent()
    }

    async fn next(&mut self, max: usize) -> Result<Option<Bytes>, StorageError> {
        match self.shared.enter("reader.next", &self.subject).await? {
            Passage::Clear => {}
            Passage::FailAfter(failure) => {
                self.inner.next(max).await?;
                return Err(failure);
            }
            Passage::StallAfter(gate) => {
                let piece = self.inner.next(max).await;
                gate.pass().await;
                return piece;
            }
            Passage::Truncate(failure) => self.truncate(failure),
        }
        match std::mem::replace(&mut self.end, End::Open) {
            End::Open => self.inner.next(max).await,
            End::Armed(failure) => {
                self.end = End::Cut("ended early before");
                let piece = self.inner.next(max).await?.unwrap_or_default();
                let half = piece.slice(..piece.len() / 2);
                if half.is_empty() {
                    return Err(failure);
                }
                Ok(Some(half))
            }
            End::Cut(why) => {
                self.end = End::Cut(why);
                Err(StorageError::backend("faulty", "reader.next", why))
            }
        }
    }

    /// Never, or bytes could be had without a call that is counted.
    fn as_file(&self) -> Option<(Arc<File>, u64)> {
        None
    }
}

pub(super) struct Writer {
    inner: Box<dyn UploadWriter>,
    shared: Arc<Shared>,
    subject: String,
}

impl Writer {
    pub(super) fn new(inner: Box<dyn UploadWriter>, shared: Arc<Shared>, subject: String) -> Self {
        Self {
            inner,
            shared,
            subject,
        }
    }
}

/// The first half of the bytes of a batch.
fn half(mut batch: Vec<Bytes>) -> Vec<Bytes> {
    let mut left = batch.iter().map(Bytes::len).sum::<usize>() / 2;
    for bytes in &mut batch {
        bytes.truncate(left);
        left -= bytes.len();
    }
    batch
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl UploadWriter for Writer {
    async fn write(&mut self, batch: Vec<Bytes>) -> Result<(), StorageError> {
        match self.shared.enter("writer.write", &self.subject).await? {
            Passage::Clear => self.inner.write(batch).await,
            Passage::FailAfter(failure) => {
                self.inner.write(batch).await?;
                Err(failure)
            }
            Passage::StallAfter(gate) => {
                let written = self.inner.write(batch).await;
                gate.pass().await;
                written
            }
            Passage::Truncate(failure) => {
                self.inner.write(half(batch)).await?;
                Err(failure)
            }
        }
    }

    async fn checkpoint(self: Box<Self>) -> Result<Checkpoint, StorageError> {
        let call = self.inner.checkpoint();
        self.shared
            .call("writer.checkpoint", &self.subject, call)
            .await
    }

    async fn commit(self: Box<Self>, content: Verified) -> Result<(), CommitFailed> {
        let failure = match self.shared.enter("writer.commit", &self.subject).await {
            Ok(Passage::Clear) => return self.inner.commit(content).await,
            Ok(Passage::FailAfter(failure)) => {
                self.inner.commit(content).await?;
                return Err(CommitFailed::new(None, failure));
            }
            Ok(Passage::StallAfter(gate)) => {
                let committed = self.inner.commit(content).await;
                gate.pass().await;
                return committed;
            }
            Ok(Passage::Truncate(failure)) | Err(failure) => failure,
        };
        // Nothing was published, and the upload can go on from where it stood.
        let here = self.inner.checkpoint().await.ok();
        Err(CommitFailed::new(here, failure))
    }

    async fn abort(self: Box<Self>) -> Result<(), StorageError> {
        let call = self.inner.abort();
        self.shared.call("writer.abort", &self.subject, call).await
    }
}
