//! Reading everything that is stored, and making again what can be made from it.

use futures_util::TryStreamExt;
use serde::Serialize;

use super::catalog::Walk;
use super::check::{Checked, Found, Look, Trace, TraceKind};
use super::collect::{Amount, Progress};
use super::find::is_hollow;
use super::{Inner, Registry, pump};
use crate::error::RegistryError;
use crate::hasher::Hasher;
use crate::layout::Key;
use crate::rules::Grant;
use crate::storage::{BlobEntry, StorageError};

/// Blobs that are read side by side.
const SIDE_BY_SIDE: usize = 4;

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// What a check of every byte comes across.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum FsckSeen<'a> {
    /// How far it has come.
    Progress(Progress),
    /// Something that is not as it should be.
    Trace(&'a Trace),
}

/// Is told what is seen.
type Observer<'a> = dyn FnMut(FsckSeen<'_>) + Send + 'a;

/// What a check of every byte came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Fscked {
    /// Repositories that were looked at.
    pub repositories: u64,
    /// Manifests that are linked in them.
    pub revisions: u64,
    /// Tags in them.
    pub tags: u64,
    /// Blobs that were read, manifests among them.
    pub read: Amount,
    /// What harms nobody.
    pub traces: u64,
    /// What is missing, cut short or rotten.
    pub damaged: u64,
}

/// What making the indexes again came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reindexed {
    /// Repositories that there are.
    pub repositories: u64,
    /// Entries of repositories that are gone, which were removed.
    pub removed: u64,
    /// Records of referrers that were made.
    pub made: u64,
    /// Records of referrers that were removed.
    pub forgotten: u64,
}

/// What the bytes of a blob were found to be.
enum Bytes {
    Whole,
    Others,
    Unreadable(String),
    /// It has gone since it was listed.
    Gone,
}

impl Registry {
    /// Looks at all repositories, and reads and hashes every blob. Nothing is changed.
    ///
    /// # Errors
    /// Faults of the store, but for blobs that cannot be read whatever is done.
    pub async fn fsck(&self, observer: &mut Observer<'_>) -> Result<Fscked, RegistryError> {
        let mut fscked = Fscked::default();
        let mut tell = |found: Found<'_>| match found {
            Found::Progress(checked) => observer(FsckSeen::Progress(Progress::Looking {
                repositories: checked.repositories,
                manifests: checked.revisions,
            })),
            // It is told with all that is read.
            Found::Trace(trace) if trace.kind == TraceKind::EmptyBlob => {}
            Found::Trace(trace) => fscked.tell(&trace, observer),
        };
        let mut look = Look::new(&mut tell);
        self.look_over(u64::MAX, &mut look).await?;
        let Look {
            checked, larger, ..
        } = look;
        fscked.count(checked);
        let inner = &*self.0;
        let reads = inner.blobs.list(None).map_ok(|blob| inner.read_blob(blob));
        let mut reads = std::pin::pin!(reads.try_buffered(SIDE_BY_SIDE));
        while let Some((blob, bytes)) = reads.try_next().await? {
            let should = larger.get(&blob.digest).copied();
            if let Some(trace) = wrong(&blob, bytes, should) {
                fscked.tell(&trace, observer);
            }
            fscked.read.add(blob.stat.size);
            observer(FsckSeen::Progress(Progress::Reading {
                read: fscked.read,
                damaged: fscked.damaged,
            }));
        }
        Ok(fscked)
    }

    /// Makes the index of repositories and the records of referrers again, from what distribution
    /// has, too. Servers may go on meanwhile.
    ///
    /// # Errors
    /// Faults of the store. What was made until then is right.
    pub async fn reindex(
        &self,
        grant: &Grant,
        observer: &mut Observer<'_>,
    ) -> Result<Reindexed, RegistryError> {
        let mut reindexed = Reindexed::default();
        if self.0.records.guarantees().distant {
            let _building = self.0.index.next_build().await;
            let mut tell =
                |repositories| observer(FsckSeen::Progress(Progress::Entering { repositories }));
            self.0.enter_all(&mut tell).await?;
            reindexed.removed = self.0.sweep_index(false).await?;
        }
        let mut walk = Walk::new(None);
        while let Some(name) = walk.next(self).await? {
            if !self.0.is_repository(&name).await? {
                continue;
            }
            let repository = self.repository(name, grant.clone());
            let (made, forgotten) = repository.rebuild_referrers().await?;
            reindexed.repositories += 1;
            reindexed.made += made;
            reindexed.forgotten += forgotten;
            let repositories = reindexed.repositories;
            observer(FsckSeen::Progress(Progress::Recording { repositories }));
        }
        Ok(reindexed)
    }
}

impl Fscked {
    fn tell(&mut self, trace: &Trace, observer: &mut Observer<'_>) {
        match trace.is_damage() {
            true => self.damaged += 1,
            false => self.traces += 1,
        }
        observer(FsckSeen::Trace(trace));
    }

    fn count(&mut self, checked: Checked) {
        self.repositories = checked.repositories;
        self.revisions = checked.revisions;
        self.tags = checked.tags;
    }
}

impl Inner {
    async fn read_blob(&self, blob: BlobEntry) -> Result<(BlobEntry, Bytes), StorageError> {
        let bytes = match self.hash_blob(&blob).await {
            Ok(bytes) => bytes,
            Err(StorageError::NotFound) => Bytes::Gone,
            // It may be read another time, and nothing is known of it.
            Err(
                error @ StorageError::Backend {
                    temporary: true, ..
                },
            ) => return Err(error),
            Err(error) => Bytes::Unreadable(chain(&error)),
        };
        Ok((blob, bytes))
    }

    async fn hash_blob(&self, blob: &BlobEntry) -> Result<Bytes, StorageError> {
        let mut reader = self.blobs.read(&blob.digest, None).await?;
        let mut hasher = Hasher::new(blob.digest.algorithm());
        while let Some(piece) = reader.next(PIECE).await? {
            hasher = pump::hash(hasher, vec![piece]).await?;
        }
        Ok(match hasher.finish() == blob.digest {
            true => Bytes::Whole,
            false => Bytes::Others,
        })
    }
}

/// What is wrong with a blob, whose size some manifest says to be larger than it is.
fn wrong(blob: &BlobEntry, bytes: Bytes, should: Option<u64>) -> Option<Trace> {
    let size = blob.stat.size;
    let (kind, detail) = match bytes {
        Bytes::Whole | Bytes::Gone => return None,
        Bytes::Unreadable(why) => (TraceKind::Unreadable, Some(why)),
        Bytes::Others if is_hollow(&blob.digest, size) => (TraceKind::EmptyBlob, None),
        Bytes::Others => match should {
            Some(should) => (
                TraceKind::CutShort,
                Some(format!("{size} of {should} bytes")),
            ),
            None => (TraceKind::Rotten, Some(format!("{size} bytes"))),
        },
    };
    Some(Trace {
        kind,
        path: Key::Blob(blob.digest).path().as_str().to_owned(),
        detail,
    })
}

/// An error and all it came from.
fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = sources.map(ToString::to_string).collect();
    texts.join(": ")
}
