//! Readers, writers and listings of the decorated store.

use std::fs::File;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream, StreamExt};
use registry_core::storage::{
    BlobReader, ByteRange, Checkpoint, CommitFailed, StorageError, UploadWriter, Verified,
};

use super::Metrics;
use super::actions::{Action, Timers};

pub(super) struct Reader {
    inner: Box<dyn BlobReader>,
    metrics: Arc<Metrics>,
}

impl Reader {
    pub(super) fn new(inner: Box<dyn BlobReader>, metrics: &Arc<Metrics>) -> Self {
        let metrics = Arc::clone(metrics);
        Self { inner, metrics }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobReader for Reader {
    fn extent(&self) -> (u64, ByteRange) {
        self.inner.extent()
    }

    async fn next(&mut self, max: usize) -> Result<Option<Bytes>, StorageError> {
        self.metrics.timed(Action::Read, self.inner.next(max)).await
    }

    fn as_file(&self) -> Option<(Arc<File>, u64)> {
        self.inner.as_file()
    }
}

pub(super) struct Writer {
    inner: Box<dyn UploadWriter>,
    metrics: Arc<Metrics>,
}

impl Writer {
    pub(super) fn new(inner: Box<dyn UploadWriter>, metrics: &Arc<Metrics>) -> Self {
        let metrics = Arc::clone(metrics);
        Self { inner, metrics }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl UploadWriter for Writer {
    async fn write(&mut self, batch: Vec<Bytes>) -> Result<(), StorageError> {
        let write = self.inner.write(batch);
        self.metrics.timed(Action::Write, write).await
    }

    async fn checkpoint(self: Box<Self>) -> Result<Checkpoint, StorageError> {
        let checkpoint = self.inner.checkpoint();
        self.metrics.timed(Action::Checkpoint, checkpoint).await
    }

    async fn commit(self: Box<Self>, content: Verified) -> Result<(), CommitFailed> {
        let timers = &self.metrics.store;
        let begun = Instant::now();
        let done = self.inner.commit(content).await;
        timers.took(Action::Commit, begun.elapsed());
        done.inspect_err(|error| timers.saw(Action::Commit, &error.source))
    }

    async fn abort(self: Box<Self>) -> Result<(), StorageError> {
        self.metrics.timed(Action::Abort, self.inner.abort()).await
    }
}

/// Puts a listing behind what counts it.
pub(super) fn listing<'a, T: 'a>(
    metrics: &'a Metrics,
    entries: BoxStream<'a, Result<T, StorageError>>,
) -> BoxStream<'a, Result<T, StorageError>> {
    let listing = Listing {
        entries,
        timers: &metrics.store,
        asked: None,
        took: Duration::ZERO,
    };
    listing.boxed()
}

/// A listing, whose time is what was waited for it. It is counted when it is dropped.
struct Listing<'a, T> {
    entries: BoxStream<'a, Result<T, StorageError>>,
    timers: &'a Timers,
    /// Since when the next entry is waited for.
    asked: Option<Instant>,
    took: Duration,
}

impl<T> Stream for Listing<'_, T> {
    type Item = Result<T, StorageError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let asked = *self.asked.get_or_insert_with(Instant::now);
        let next = ready!(self.entries.poll_next_unpin(cx));
        self.asked = None;
        self.took += asked.elapsed();
        if let Some(Err(error)) = &next {
            self.timers.saw(Action::List, error);
        }
        Poll::Ready(next)
    }
}

impl<T> Drop for Listing<'_, T> {
    fn drop(&mut self) {
        self.timers.took(Action::List, self.took);
    }
}
