//! The spooling adaptor: a full `BlobStore` from "store this whole stream, read this range".

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::{BlobReader, BlobStat, BlobStore, ByteRange, RecordStore, RetiredId, StorageError};
use crate::ambient::Ambient;
use crate::digest::Digest;

/// What a whole blob is called in a simple store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_enums)]
pub enum BlobName {
    /// One that is visible.
    Live(Digest),
    /// One in the trash.
    Retired(Digest, RetiredId),
}

/// The least a store must do to hold blobs; [`Spooled`] makes a [`BlobStore`] of it.
#[async_trait]
pub trait WholeBlobs: fmt::Debug + Send + Sync + 'static {
    /// Takes all of `content`, or leaves what was under `name` as it was.
    async fn store(
        &self,
        name: &BlobName,
        content: Box<dyn BlobReader>,
    ) -> Result<(), StorageError>;

    /// Opens it, or a range that lies inside it.
    async fn load(
        &self,
        name: &BlobName,
        range: Option<ByteRange>,
    ) -> Result<Box<dyn BlobReader>, StorageError>;

    /// Size and time of the last `store`.
    async fn stat(&self, name: &BlobName) -> Result<BlobStat, StorageError>;

    /// Removes it; absent ones are no error.
    async fn remove(&self, name: &BlobName) -> Result<(), StorageError>;

    /// Everything after `after`, in the order of [`BlobName`].
    fn list(
        &self,
        after: Option<BlobName>,
    ) -> BoxStream<'_, Result<(BlobName, BlobStat), StorageError>>;
}

/// Keeps the pieces of an upload as records, of a bounded size each, until the digest is
/// verified; retires and restores by storing again.
#[derive(Debug)]
pub struct Spooled {
    blobs: Arc<dyn WholeBlobs>,
    records: Arc<dyn RecordStore>,
    ambient: Ambient,
}
impl Spooled {
    /// Over two halves.
    pub fn new(
        blobs: Arc<dyn WholeBlobs>,
        records: Arc<dyn RecordStore>,
        ambient: Ambient,
    ) -> Self {
        Self {
            blobs,
            records,
            ambient,
        }
    }
}
