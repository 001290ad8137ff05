//! A reader over bytes at hand.

use async_trait::async_trait;
use bytes::Bytes;

use super::{BlobReader, ByteRange, StorageError};

/// Yields bytes that are in memory already.
#[derive(Debug)]
pub struct BytesReader {
    size: u64,
    range: ByteRange,
    rest: Bytes,
}

impl BytesReader {
    /// Over a whole blob, or the given part of it.
    ///
    /// # Errors
    /// [`StorageError::Range`] when the part does not lie inside.
    pub fn new(blob: &Bytes, range: Option<ByteRange>) -> Result<Self, StorageError> {
        let size = blob.len() as u64;
        let range = range.unwrap_or(ByteRange {
            start: 0,
            len: size,
        });
        let end = range.start.checked_add(range.len);
        if end.is_none_or(|end| end > size) {
            return Err(StorageError::Range);
        }
        // Both fit, since they are no more than the length of a slice.
        let (start, len) = (range.start as usize, range.len as usize);
        Ok(Self {
            size,
            range,
            rest: blob.slice(start..start + len),
        })
    }
}

#[async_trait]
impl BlobReader for BytesReader {
    fn extent(&self) -> (u64, ByteRange) {
        (self.size, self.range)
    }

    async fn next(&mut self, max: usize) -> Result<Option<Bytes>, StorageError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        // At least one byte, since a piece is never empty.
        let len = self.rest.len().min(max.max(1));
        Ok(Some(self.rest.split_to(len)))
    }
}
