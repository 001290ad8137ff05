//! The spooling adaptor: a full `BlobStore` from "store this whole stream, read this range".

mod pieces;
mod writer;

use std::collections::HashSet;
use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};

use self::pieces::{Pieces, PiecesReader, Spool};
use self::writer::Writer;
use super::{
    BlobEntry, BlobReader, BlobStat, BlobStore, ByteRange, Checkpoint, RangeSpec, RecordStore,
    RedirectRequest, RedirectUrl, Retired, RetiredId, StorageError, Sweep, UploadHint, UploadId,
    UploadWriter,
};
use crate::ambient::Ambient;
use crate::digest::Digest;
use crate::layout::Dir;
use crate::storage::{ListQuery, RecordEntry};

/// How the adaptor calls itself in errors.
const DRIVER: &str = "spooled";

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
///
/// What is absent is [`StorageError::NotFound`] for `load` and `stat`, and nothing else is.
#[async_trait]
pub trait WholeBlobs: fmt::Debug + Send + Sync + 'static {
    /// Takes all of `content`, over whatever is there, and makes its age zero. When it returns the
    /// blob is as durable as the driver's configuration promises. If `content` fails, so does this,
    /// with that error, and what was under `name` is as it was. Of several stores of one name at
    /// once each succeeds, and one of them is there then, whole.
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
///
/// Its clock is that of the process, which the times of the store must agree with: a simple
/// driver has no clock of its own to ask.
///
/// A piece is written once and never again. What a writer leaves behind that no checkpoint names
/// stays beside the others until the upload ends: another process may still name it.
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

    fn spool(&self, id: &UploadId) -> Spool {
        Spool::new(Arc::clone(&self.records), *id)
    }

    /// Stores what lies under one name under another as well.
    async fn copy(&self, from: &BlobName, to: &BlobName) -> Result<BlobStat, StorageError> {
        let content = self.blobs.load(from, None).await?;
        let (size, _) = content.extent();
        self.blobs.store(to, content).await?;
        let stat = self.blobs.stat(to).await?;
        if stat.size != size {
            // What follows would remove the one whole copy there is.
            let why = "the copy is of another length";
            return Err(StorageError::backend(DRIVER, "copying a blob", why));
        }
        Ok(stat)
    }

    async fn newest_copy(&self, digest: &Digest) -> Result<Option<BlobName>, StorageError> {
        let of_digest = |name: &BlobName| matches!(name, BlobName::Retired(of, _) if of == digest);
        // Before all ids but 0, which no 128 random bits come to.
        let before = BlobName::Retired(*digest, RetiredId::new(0));
        let newest = self
            .blobs
            .list(Some(before))
            .try_take_while(|(name, _)| ready(Ok(of_digest(name))))
            .try_fold(
                None,
                |newest: Option<(SystemTime, BlobName)>, (name, stat)| {
                    ready(Ok(newest.max(Some((stat.modified, name)))))
                },
            );
        Ok(newest.await?.map(|(_, name)| name))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Spooled {
    async fn stat(&self, digest: &Digest) -> Result<BlobStat, StorageError> {
        self.blobs.stat(&BlobName::Live(*digest)).await
    }

    async fn read(
        &self,
        digest: &Digest,
        range: Option<RangeSpec>,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        let name = BlobName::Live(*digest);
        let part = match range {
            None => None,
            Some(range) => {
                let size = self.blobs.stat(&name).await?.size;
                Some(range.resolve(size).ok_or(StorageError::Range)?)
            }
        };
        self.blobs.load(&name, part).await
    }

    fn list(&self, after: Option<Digest>) -> BoxStream<'_, Result<BlobEntry, StorageError>> {
        self.blobs
            .list(after.map(BlobName::Live))
            .try_take_while(|(name, _)| ready(Ok(matches!(name, BlobName::Live(_)))))
            .try_filter_map(|(name, stat)| {
                ready(Ok(match name {
                    BlobName::Live(digest) => Some(BlobEntry { digest, stat }),
                    BlobName::Retired(..) => None,
                }))
            })
            .boxed()
    }

    async fn open_upload(
        &self,
        id: &UploadId,
        from: Option<Checkpoint>,
        _hint: UploadHint,
    ) -> Result<Box<dyn UploadWriter>, StorageError> {
        let spool = self.spool(id);
        let pieces = match &from {
            None => Pieces::default(),
            Some(checkpoint) => Pieces::from_checkpoint(checkpoint)?,
        };
        spool.look_for(&pieces).await?;
        let blobs = Arc::clone(&self.blobs);
        let unique = self.ambient.random_u128();
        Ok(Box::new(Writer::new(blobs, spool, pieces, from, unique)))
    }

    async fn read_upload(
        &self,
        id: &UploadId,
        at: &mut Checkpoint,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        let spool = self.spool(id);
        let pieces = Pieces::from_checkpoint(at)?;
        spool.look_for(&pieces).await?;
        Ok(Box::new(PiecesReader::new(spool, pieces)))
    }

    async fn abort_upload(
        &self,
        id: &UploadId,
        _at: Option<Checkpoint>,
    ) -> Result<(), StorageError> {
        self.spool(id).remove_all().await
    }

    /// An upload was begun when the oldest of its pieces was written.
    async fn sweep_uploads(
        &self,
        before: SystemTime,
        keep: &HashSet<UploadId>,
        mut sweep: Sweep<'_>,
    ) -> Result<u64, StorageError> {
        let mut uploads = self.records.list(ListQuery::children(Dir::Uploads.path()));
        let mut swept = 0;
        while let Some(entry) = uploads.try_next().await? {
            let RecordEntry::Directory { name } = entry else {
                continue;
            };
            let Ok(id) = name.parse() else { continue };
            if keep.contains(&id) {
                continue;
            }
            let spool = self.spool(&id);
            if spool.begun().await?.is_some_and(|begun| begun < before) {
                if sweep.removes() {
                    spool.remove_all().await?;
                }
                sweep.found(Dir::Upload(id).path().as_str());
                swept += 1;
            }
        }
        Ok(swept)
    }

    async fn now(&self) -> Result<SystemTime, StorageError> {
        Ok((self.ambient.now)())
    }

    async fn retire(&self, digest: &Digest) -> Result<Retired, StorageError> {
        let id = RetiredId::new(self.ambient.random_u128());
        let (live, copy) = (BlobName::Live(*digest), BlobName::Retired(*digest, id));
        // The copy first: dropped or failing in between, this leaves the blob where it was.
        let stat = self.copy(&live, &copy).await?;
        self.blobs.remove(&live).await?;
        Ok(Retired {
            id,
            digest: *digest,
            size: stat.size,
            since: stat.modified,
        })
    }

    async fn restore(&self, digest: &Digest) -> Result<BlobStat, StorageError> {
        let live = BlobName::Live(*digest);
        if let Some(copy) = self.newest_copy(digest).await? {
            match self.copy(&copy, &live).await {
                // The blob is back whether or not the copy goes; the next collection sees to it.
                Ok(stat) => {
                    if let Err(error) = self.blobs.remove(&copy).await {
                        tracing::debug!(%digest, ?error, "a restored copy stays in the trash");
                    }
                    return Ok(stat);
                }
                // Another was faster with this copy.
                Err(StorageError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        self.blobs.stat(&live).await
    }

    async fn read_retired(&self, retired: &Retired) -> Result<Box<dyn BlobReader>, StorageError> {
        let name = BlobName::Retired(retired.digest, retired.id);
        self.blobs.load(&name, None).await
    }

    async fn purge(&self, retired: &Retired) -> Result<(), StorageError> {
        let name = BlobName::Retired(retired.digest, retired.id);
        self.blobs.remove(&name).await
    }

    fn list_retired(&self) -> BoxStream<'_, Result<Retired, StorageError>> {
        // After the last digest there can be, so that the live ones need not be listed.
        let last = BlobName::Live(Digest::Sha512([0xff; 64]));
        self.blobs
            .list(Some(last))
            .try_filter_map(|(name, stat)| {
                ready(Ok(match name {
                    BlobName::Live(_) => None,
                    BlobName::Retired(digest, id) => Some(Retired {
                        id,
                        digest,
                        size: stat.size,
                        since: stat.modified,
                    }),
                }))
            })
            .boxed()
    }

    async fn redirect(
        &self,
        _digest: &Digest,
        _request: &RedirectRequest,
    ) -> Result<Option<RedirectUrl>, StorageError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
