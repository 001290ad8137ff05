//! Reading: a range of an object as it comes, taken up where it broke.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectStore as _, ObjectStoreExt as _};
use registry_core::StorageError;
use registry_core::storage::{BlobReader, ByteRange, RangeSpec};
use std::sync::Arc;

use crate::error::{broken, fault, is_absent, unclear};
use crate::random;
use crate::store::Store;

const READ: &str = "reading a blob";

/// Opens an object, or a part of it.
pub(crate) async fn open(
    store: &Arc<Store>,
    key: Path,
    range: Option<RangeSpec>,
) -> Result<Reader, StorageError> {
    let asked = match range.map(spelled) {
        None => None,
        Some(Some(range)) => Some(range),
        // Nothing can lie inside; whether there is a blob is asked all the same.
        Some(None) => return Err(outside(store, &key, range).await),
    };
    let options = GetOptions {
        range: asked,
        ..GetOptions::default()
    };
    match store.s3.get_opts(&key, options).await {
        Ok(found) => Ok(Reader::new(Arc::clone(store), key, found)),
        Err(error) if range.is_none() || is_absent(&error) => Err(fault(READ)(error)),
        Err(error) => match outside(store, &key, range).await {
            // It was something else.
            StorageError::Backend { .. } => Err(fault(READ)(error)),
            told => Err(told),
        },
    }
}

/// As a header has it; `None` where it has no way to say that.
fn spelled(range: RangeSpec) -> Option<GetRange> {
    match range {
        RangeSpec::From(start) => Some(GetRange::Offset(start)),
        RangeSpec::Between(start, last) if start <= last => Some(match last.checked_add(1) {
            Some(end) => GetRange::Bounded(start..end),
            None => GetRange::Offset(start),
        }),
        RangeSpec::Last(len) if len > 0 => Some(GetRange::Suffix(len)),
        RangeSpec::Between(..) | RangeSpec::Last(_) => None,
    }
}

/// Why a range was refused: there is nothing, or nothing in it.
async fn outside(store: &Store, key: &Path, range: Option<RangeSpec>) -> StorageError {
    match store.s3.head(key).await {
        Ok(meta) if range.is_none_or(|range| range.resolve(meta.size).is_some()) => {
            broken(READ, "a part that is there was refused")
        }
        Ok(_) => StorageError::Range,
        Err(error) => fault(READ)(error),
    }
}

/// An object that was there when it was opened. What is read is all of that one, or an error.
pub(crate) struct Reader {
    store: Arc<Store>,
    key: Path,
    e_tag: Option<String>,
    size: u64,
    part: ByteRange,
    /// What has not come yet.
    rest: Range<u64>,
    bytes: BoxStream<'static, object_store::Result<Bytes>>,
    piece: Bytes,
    /// Breaks since a byte has come.
    breaks: usize,
}

impl Reader {
    fn new(store: Arc<Store>, key: Path, found: GetResult) -> Self {
        let rest = found.range.clone();
        Self {
            store,
            key,
            e_tag: found.meta.e_tag.clone(),
            size: found.meta.size,
            part: ByteRange {
                start: rest.start,
                len: rest.end - rest.start,
            },
            rest,
            bytes: found.into_stream(),
            piece: Bytes::new(),
            breaks: 0,
        }
    }

    /// The same object again, from where it broke.
    async fn resume(&mut self, why: StorageError) -> Result<(), StorageError> {
        if self.breaks == self.store.retries || self.e_tag.is_none() {
            return Err(why);
        }
        random::pause(self.breaks).await?;
        self.breaks += 1;
        let options = GetOptions {
            range: Some(GetRange::Bounded(self.rest.clone())),
            if_match: self.e_tag.clone(),
            ..GetOptions::default()
        };
        let found = self.store.s3.get_opts(&self.key, options).await;
        self.bytes = found.map_err(fault(READ))?.into_stream();
        Ok(())
    }
}

#[async_trait]
impl BlobReader for Reader {
    fn extent(&self) -> (u64, ByteRange) {
        (self.size, self.part)
    }

    async fn next(&mut self, max: usize) -> Result<Option<Bytes>, StorageError> {
        while self.piece.is_empty() {
            if self.rest.is_empty() {
                return Ok(None);
            }
            match self.bytes.next().await {
                Some(Ok(piece)) => {
                    let left = self.rest.end - self.rest.start;
                    if piece.len() as u64 > left {
                        return Err(unclear(READ, "more has come than was asked for"));
                    }
                    self.rest.start += piece.len() as u64;
                    self.piece = piece;
                    self.breaks = 0;
                }
                Some(Err(error)) => self.resume(fault(READ)(error)).await?,
                None => {
                    let why = "less has come than was promised";
                    self.resume(unclear(READ, why)).await?;
                }
            }
        }
        // At least one byte, since a piece is never empty.
        let len = self.piece.len().min(max.max(1));
        Ok(Some(self.piece.split_to(len)))
    }
}
