//! Uploads. The bytes of one are in parts of a multipart upload, in small objects for what fills no
//! part, and in memory as long as its writer lives.
//!
//! If the digest is known from the start, the parts go to where the blob will be; if not, to a
//! staging object that is copied there. Nothing of an upload is in a process alone once a
//! checkpoint was taken, so any process can go on.

mod foreign;
mod staged;
mod sweep;
mod token;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use registry_core::StorageError;
use registry_core::storage::{BlobReader, ByteRange};

pub(crate) use self::staged::{abort, open, read};
pub(crate) use self::sweep::sweep;

use crate::error::broken;
use crate::reader::Reader;
use crate::store::Store;

/// Objects one after the other, as one.
struct Chain {
    store: Arc<Store>,
    /// In reverse; what was opened last is `current`.
    waiting: Vec<(object_store::path::Path, u64)>,
    current: Option<Reader>,
    len: u64,
}

#[async_trait]
impl BlobReader for Chain {
    fn extent(&self) -> (u64, ByteRange) {
        let (start, len) = (0, self.len);
        (self.len, ByteRange { start, len })
    }

    async fn next(&mut self, max: usize) -> Result<Option<Bytes>, StorageError> {
        loop {
            if let Some(current) = &mut self.current
                && let Some(piece) = current.next(max).await?
            {
                return Ok(Some(piece));
            }
            let Some((key, len)) = self.waiting.pop() else {
                self.current = None;
                return Ok(None);
            };
            let reader = crate::reader::open(&self.store, key, None).await?;
            if reader.extent().0 != len {
                return Err(broken(
                    "reading an upload",
                    "a piece of it is of another length",
                ));
            }
            self.current = Some(reader);
        }
    }
}
