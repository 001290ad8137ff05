//! Blobs, the trash and uploads.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::super::{
    BlobEntry, BlobReader, BlobStat, BlobStore, BytesReader, Checkpoint, CommitFailed, RangeSpec,
    RedirectRequest, RedirectUrl, Retired, RetiredId, StorageError, Sweep, UploadHint, UploadId,
    UploadWriter, Verified,
};
use super::{DRIVER, MemoryDriver, PAGE, lock, pages};
use crate::ambient::Ambient;
use crate::digest::Digest;
use crate::layout::Dir;

#[derive(Default)]
pub(super) struct Blobs {
    live: BTreeMap<Digest, Blob>,
    /// `modified` is when it was retired.
    trash: BTreeMap<(Digest, RetiredId), Blob>,
    uploads: BTreeMap<UploadId, Staged>,
}

#[derive(Clone)]
struct Blob {
    bytes: Bytes,
    modified: SystemTime,
}

impl Blob {
    fn stat(&self) -> BlobStat {
        BlobStat {
            size: self.bytes.len() as u64,
            modified: self.modified,
        }
    }
}

struct Staged {
    bytes: Vec<u8>,
    begun: SystemTime,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for MemoryDriver {
    async fn stat(&self, digest: &Digest) -> Result<BlobStat, StorageError> {
        let blobs = lock(&self.blobs)?;
        let blob = blobs.live.get(digest).ok_or(StorageError::NotFound)?;
        Ok(blob.stat())
    }

    async fn read(
        &self,
        digest: &Digest,
        range: Option<RangeSpec>,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        let blobs = lock(&self.blobs)?;
        let blob = blobs.live.get(digest).ok_or(StorageError::NotFound)?;
        let size = blob.bytes.len() as u64;
        let part = match range {
            None => None,
            Some(range) => Some(range.resolve(size).ok_or(StorageError::Range)?),
        };
        Ok(Box::new(BytesReader::new(&blob.bytes, part)?))
    }

    fn list(&self, after: Option<Digest>) -> BoxStream<'_, Result<BlobEntry, StorageError>> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        pages(start, |start| {
            let blobs = lock(&self.blobs)?;
            let page: Vec<_> = blobs
                .live
                .range((start, Bound::Unbounded))
                .take(PAGE)
                .map(|(digest, blob)| BlobEntry {
                    digest: *digest,
                    stat: blob.stat(),
                })
                .collect();
            let next = page.last().map(|entry| Bound::Excluded(entry.digest));
            Ok((page, next))
        })
    }

    async fn open_upload(
        &self,
        id: &UploadId,
        from: Option<Checkpoint>,
        _hint: UploadHint,
    ) -> Result<Box<dyn UploadWriter>, StorageError> {
        let len = from.map_or(0, |checkpoint| checkpoint.len);
        let mut blobs = lock(&self.blobs)?;
        if len == 0 {
            let begun = (self.ambient.now)();
            let bytes = Vec::new();
            blobs.uploads.insert(*id, Staged { bytes, begun });
        } else {
            let staged = blobs.uploads.get_mut(id).ok_or(StorageError::NotFound)?;
            let len = within(len, &staged.bytes)?;
            staged.bytes.truncate(len);
        }
        Ok(Box::new(Writer {
            blobs: Arc::clone(&self.blobs),
            ambient: self.ambient,
            id: *id,
            opened: len,
            len,
        }))
    }

    async fn read_upload(
        &self,
        id: &UploadId,
        at: &mut Checkpoint,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        let blobs = lock(&self.blobs)?;
        let staged = blobs.uploads.get(id).ok_or(StorageError::NotFound)?;
        let len = within(at.len, &staged.bytes)?;
        let held = Bytes::copy_from_slice(&staged.bytes[..len]);
        Ok(Box::new(BytesReader::new(&held, None)?))
    }

    async fn abort_upload(
        &self,
        id: &UploadId,
        _at: Option<Checkpoint>,
    ) -> Result<(), StorageError> {
        lock(&self.blobs)?.uploads.remove(id);
        Ok(())
    }

    async fn sweep_uploads(
        &self,
        before: SystemTime,
        keep: &HashSet<UploadId>,
        mut sweep: Sweep<'_>,
    ) -> Result<u64, StorageError> {
        let mut old: Vec<UploadId> = Vec::new();
        let mut blobs = lock(&self.blobs)?;
        for (id, staged) in &blobs.uploads {
            if staged.begun < before && !keep.contains(id) {
                old.push(*id);
            }
        }
        if sweep.removes() {
            for id in &old {
                blobs.uploads.remove(id);
            }
        }
        drop(blobs);
        for id in &old {
            sweep.found(Dir::Upload(*id).path().as_str());
        }
        Ok(old.len() as u64)
    }

    async fn now(&self) -> Result<SystemTime, StorageError> {
        Ok((self.ambient.now)())
    }

    async fn retire(&self, digest: &Digest) -> Result<Retired, StorageError> {
        let id = RetiredId::new(self.ambient.random_u128());
        let mut blobs = lock(&self.blobs)?;
        let bytes = blobs
            .live
            .remove(digest)
            .ok_or(StorageError::NotFound)?
            .bytes;
        let modified = (self.ambient.now)();
        let blob = Blob { bytes, modified };
        let retired = retired(*digest, id, &blob);
        blobs.trash.insert((*digest, id), blob);
        Ok(retired)
    }

    async fn restore(&self, digest: &Digest) -> Result<BlobStat, StorageError> {
        let mut blobs = lock(&self.blobs)?;
        let newest = blobs
            .trash
            .range((*digest, RetiredId::new(0))..=(*digest, RetiredId::new(u128::MAX)))
            .max_by_key(|(_, blob)| blob.modified)
            .map(|(name, _)| *name);
        if let Some(mut blob) = newest.and_then(|name| blobs.trash.remove(&name)) {
            blob.modified = (self.ambient.now)();
            blobs.live.insert(*digest, blob);
        }
        let blob = blobs.live.get(digest).ok_or(StorageError::NotFound)?;
        Ok(blob.stat())
    }

    async fn read_retired(&self, retired: &Retired) -> Result<Box<dyn BlobReader>, StorageError> {
        let name = (retired.digest, retired.id);
        let blobs = lock(&self.blobs)?;
        let blob = blobs.trash.get(&name).ok_or(StorageError::NotFound)?;
        Ok(Box::new(BytesReader::new(&blob.bytes, None)?))
    }

    async fn purge(&self, retired: &Retired) -> Result<(), StorageError> {
        let name = (retired.digest, retired.id);
        lock(&self.blobs)?.trash.remove(&name);
        Ok(())
    }

    fn list_retired(&self) -> BoxStream<'_, Result<Retired, StorageError>> {
        pages(Bound::Unbounded, |start| {
            let blobs = lock(&self.blobs)?;
            let page: Vec<_> = blobs
                .trash
                .range((start, Bound::Unbounded))
                .take(PAGE)
                .map(|((digest, id), blob)| retired(*digest, *id, blob))
                .collect();
            let next = page
                .last()
                .map(|entry| Bound::Excluded((entry.digest, entry.id)));
            Ok((page, next))
        })
    }

    async fn redirect(
        &self,
        _digest: &Digest,
        _request: &RedirectRequest,
    ) -> Result<Option<RedirectUrl>, StorageError> {
        Ok(None)
    }
}

fn retired(digest: Digest, id: RetiredId, blob: &Blob) -> Retired {
    Retired {
        id,
        digest,
        size: blob.bytes.len() as u64,
        since: blob.modified,
    }
}

/// `len` as an index, if that much is staged.
fn within(len: u64, staged: &[u8]) -> Result<usize, StorageError> {
    usize::try_from(len)
        .ok()
        .filter(|len| *len <= staged.len())
        .ok_or(StorageError::NotFound)
}

/// Appends to the staged bytes at once; a checkpoint has only to say how many there are.
struct Writer {
    blobs: Arc<Mutex<Blobs>>,
    ambient: Ambient,
    id: UploadId,
    opened: u64,
    len: u64,
}

impl Writer {
    fn here(&self) -> Checkpoint {
        Checkpoint {
            len: self.len,
            token: Bytes::new(),
        }
    }

    /// The staged bytes, if they are still those that this writer left.
    fn staged<'b>(&self, blobs: &'b mut Blobs) -> Result<&'b mut Staged, StorageError> {
        let staged = blobs
            .uploads
            .get_mut(&self.id)
            .ok_or(StorageError::NotFound)?;
        if staged.bytes.len() as u64 != self.len {
            return Err(StorageError::Busy);
        }
        Ok(staged)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl UploadWriter for Writer {
    async fn write(&mut self, batch: Vec<Bytes>) -> Result<(), StorageError> {
        let blobs = Arc::clone(&self.blobs);
        let mut blobs = lock(&blobs)?;
        let staged = self.staged(&mut blobs)?;
        for bytes in batch {
            staged.bytes.extend_from_slice(&bytes);
        }
        self.len = staged.bytes.len() as u64;
        Ok(())
    }

    async fn checkpoint(self: Box<Self>) -> Result<Checkpoint, StorageError> {
        self.staged(&mut *lock(&self.blobs)?)?;
        Ok(self.here())
    }

    async fn commit(self: Box<Self>, content: Verified) -> Result<(), CommitFailed> {
        let publish = || {
            let mut blobs = lock(&self.blobs)?;
            let staged = self.staged(&mut blobs)?;
            if content.len() != self.len {
                let why = "more or less was staged than was verified";
                return Err(StorageError::backend(DRIVER, "committing", why));
            }
            let bytes = std::mem::take(&mut staged.bytes).into();
            let modified = (self.ambient.now)();
            blobs.uploads.remove(&self.id);
            // Over a blob that is already there too: the same content, its age zero.
            blobs
                .live
                .insert(*content.digest(), Blob { bytes, modified });
            Ok(())
        };
        publish().map_err(|source| CommitFailed::new(Some(self.here()), source))
    }

    async fn abort(self: Box<Self>) -> Result<(), StorageError> {
        let mut blobs = lock(&self.blobs)?;
        let staged = self.staged(&mut blobs)?;
        let len = within(self.opened, &staged.bytes)?;
        staged.bytes.truncate(len);
        if len == 0 {
            blobs.uploads.remove(&self.id);
        }
        Ok(())
    }
}
