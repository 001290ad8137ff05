//! Where a mark finds the bytes of manifests. What lies in the trash comes back when it is asked for,
//! but for a dry run, which reads it there.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::CollectOptions;
use crate::digest::Digest;
use crate::registry::Inner;
use crate::storage::{Retired, StorageError};

/// The copies of each digest, the newest first.
type Trash = HashMap<Digest, Vec<Retired>>;

#[derive(Debug)]
pub(super) struct Source {
    /// Nothing is to be changed.
    looks: bool,
    /// What is in the trash, once something was missed.
    trash: Option<Trash>,
}

impl Source {
    pub(super) fn new(options: &CollectOptions) -> Self {
        Self {
            looks: options.dry_run,
            trash: None,
        }
    }

    /// The bytes of a manifest, as they would be found if they were asked for.
    pub(super) async fn manifest_bytes(
        &mut self,
        inner: &Arc<Inner>,
        digest: &Digest,
    ) -> Result<Bytes, StorageError> {
        if !self.looks {
            return inner.manifest_bytes(digest).await;
        }
        match inner.peek_manifest_bytes(digest).await {
            Err(StorageError::NotFound) => {}
            other => return other,
        }
        for copy in self.copies(inner, digest).await? {
            match inner.blobs.read_retired(copy).await {
                Err(StorageError::NotFound) => {}
                opened => return inner.read_manifest_bytes(digest, opened?).await,
            }
        }
        // Another may have brought it back.
        inner.peek_manifest_bytes(digest).await
    }

    async fn copies(&mut self, inner: &Inner, digest: &Digest) -> Result<&[Retired], StorageError> {
        let trash = match self.trash.take() {
            Some(trash) => trash,
            None => trash(inner).await?,
        };
        let copies = self.trash.insert(trash).get(digest);
        Ok(copies.map(Vec::as_slice).unwrap_or_default())
    }
}

async fn trash(inner: &Inner) -> Result<Trash, StorageError> {
    let mut trash = Trash::new();
    let mut retired = inner.blobs.list_retired();
    while let Some(copy) = retired.try_next().await? {
        trash.entry(copy.digest).or_default().push(copy);
    }
    for copies in trash.values_mut() {
        copies.sort_by_key(|copy| Reverse(copy.since));
    }
    Ok(trash)
}
