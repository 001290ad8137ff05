//! Looking for data and links: a miss is not believed before the trash was looked at.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::Inner;
use super::aside::aside;
use crate::digest::Digest;
use crate::hasher::digest_of;
use crate::layout::{Key, parse_link};
use crate::manifest::{BodyTypes, MAX_BYTES, Manifest};
use crate::storage::{BlobReader, BlobStat, RangeSpec, Record, StorageError};

impl Inner {
    /// The blob's size and age. Data, then a copy in the trash, then data again, and all of that
    /// twice, before it is believed to be absent: two collectors can meet (design, section 5).
    pub(super) async fn find(self: &Arc<Self>, digest: &Digest) -> Result<BlobStat, StorageError> {
        let stat = self.find_any(digest).await?;
        match is_hollow(digest, stat.size) {
            true => Err(StorageError::NotFound),
            false => Ok(stat),
        }
    }

    async fn find_any(self: &Arc<Self>, digest: &Digest) -> Result<BlobStat, StorageError> {
        for _ in 0..2 {
            match self.blobs.stat(digest).await {
                Err(StorageError::NotFound) => {}
                other => return other,
            }
            match self.restore(digest).await {
                Err(StorageError::NotFound) => {}
                other => return other,
            }
        }
        Err(StorageError::NotFound)
    }

    /// As [`Inner::find`], where an absence is no failure.
    pub(super) async fn look_for(
        self: &Arc<Self>,
        digest: &Digest,
    ) -> Result<Option<BlobStat>, StorageError> {
        match self.find(digest).await {
            Ok(stat) => Ok(Some(stat)),
            Err(StorageError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the blob, looking for it as [`Inner::find`] does.
    pub(super) async fn open(
        self: &Arc<Self>,
        digest: &Digest,
        range: Option<RangeSpec>,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        for _ in 0..2 {
            match self.blobs.read(digest, range).await {
                Err(StorageError::NotFound) => {}
                other => return other,
            }
            match self.restore(digest).await {
                Err(StorageError::NotFound) => {}
                Ok(_) => return self.blobs.read(digest, range).await,
                Err(error) => return Err(error),
            }
        }
        Err(StorageError::NotFound)
    }

    async fn restore(self: &Arc<Self>, digest: &Digest) -> Result<BlobStat, StorageError> {
        if self.options.read_only {
            return Err(StorageError::NotFound);
        }
        let (this, digest) = (Arc::clone(self), *digest);
        let restoring = async move {
            let _alone = this.digests.exclusive(&digest).await;
            this.blobs.restore(&digest).await
        };
        self.finish(restoring).await
    }

    /// The record and the digest that it holds. An empty or garbled link, which a crash of
    /// distribution can leave, is absent; it is logged, since somebody should know.
    pub(super) async fn link(&self, key: &Key) -> Result<Option<(Digest, Record)>, StorageError> {
        let path = key.path();
        let Some(record) = self.records.get(&path).await? else {
            return Ok(None);
        };
        let digest = parse_link(&record.value);
        if digest.is_none() {
            tracing::warn!(%path, "link holds no digest; taken as absent");
        }
        Ok(digest.map(|digest| (digest, record)))
    }

    /// The bytes of a manifest: from memory, or read and hashed before they are used.
    pub(super) async fn manifest_bytes(
        self: &Arc<Self>,
        digest: &Digest,
    ) -> Result<Bytes, StorageError> {
        if let Some(bytes) = self.manifests.get(digest) {
            return Ok(bytes);
        }
        let reader = self.open(digest, None).await?;
        self.read_manifest_bytes(digest, reader).await
    }

    /// The same for one who only looks: from the trash nothing comes back.
    pub(super) async fn peek_manifest_bytes(&self, digest: &Digest) -> Result<Bytes, StorageError> {
        if let Some(bytes) = self.manifests.get(digest) {
            return Ok(bytes);
        }
        let reader = self.blobs.read(digest, None).await?;
        self.read_manifest_bytes(digest, reader).await
    }

    /// The bytes of a manifest out of this, which are hashed before they are used.
    pub(super) async fn read_manifest_bytes(
        &self,
        digest: &Digest,
        reader: Box<dyn BlobReader>,
    ) -> Result<Bytes, StorageError> {
        let bytes = read_small(digest, reader).await?;
        if is_hollow(digest, bytes.len() as u64) {
            let doing = "reading a manifest";
            return Err(StorageError::backend("registry", doing, Hollow(*digest)));
        }
        let (hashed, algorithm) = (bytes.clone(), digest.algorithm());
        let hashing = move || digest_of(algorithm, &hashed);
        if aside(bytes.len(), "hashing a manifest", hashing).await? != *digest {
            return Err(StorageError::backend(
                "registry",
                "verifying a manifest",
                Rotten(*digest),
            ));
        }
        self.manifests.insert(*digest, bytes.clone());
        Ok(bytes)
    }

    /// What these bytes, whose digest this is, say of their type: read once, since it cannot
    /// change, whichever repository they are in.
    pub(super) async fn types_of(
        &self,
        digest: &Digest,
        bytes: &Bytes,
    ) -> Result<Arc<BodyTypes>, StorageError> {
        if let Some(known) = self.types.get(digest) {
            return Ok(known);
        }
        let read = bytes.clone();
        let reading = move || Arc::new(BodyTypes::of(&read));
        let types = aside(bytes.len(), "reading a manifest", reading).await?;
        self.types.insert(*digest, Arc::clone(&types));
        Ok(types)
    }

    /// The manifest behind a link, as much of it as can be read; `None` when its bytes are missing
    /// or no manifest.
    pub(super) async fn load(
        self: &Arc<Self>,
        target: &Digest,
        digest: Digest,
    ) -> Result<Option<Manifest>, StorageError> {
        let bytes = match self.manifest_bytes(target).await {
            Ok(bytes) => bytes,
            Err(StorageError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        read_manifest(bytes, digest).await
    }
}

async fn read_small(
    digest: &Digest,
    mut reader: Box<dyn BlobReader>,
) -> Result<Bytes, StorageError> {
    let (size, _) = reader.extent();
    if size > MAX_BYTES as u64 {
        return Err(StorageError::backend(
            "registry",
            "reading a manifest",
            TooLarge(*digest),
        ));
    }
    let Some(first) = reader
        .next(usize::try_from(size).unwrap_or(usize::MAX).max(1))
        .await?
    else {
        return Ok(Bytes::new());
    };
    if first.len() as u64 == size {
        return Ok(first);
    }
    let mut bytes = BytesMut::from(&first[..]);
    while let Some(piece) = reader.next(1 << 20).await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// What of a stored manifest can be read; `None` when it is none.
pub(super) async fn read_manifest(
    bytes: Bytes,
    digest: Digest,
) -> Result<Option<Manifest>, StorageError> {
    let len = bytes.len();
    let reading = move || Manifest::load(bytes, digest).ok();
    aside(len, "reading a manifest", reading).await
}

/// Whether the bytes of a manifest were there and are not what they should be, which no other try
/// will change.
pub(super) fn is_unreadable(error: &StorageError) -> bool {
    let StorageError::Backend { source, .. } = error else {
        return false;
    };
    source.is::<Rotten>() || source.is::<TooLarge>() || source.is::<Hollow>()
}

/// Whether a blob without a byte is none: distribution writes in place, and a crash of it leaves
/// an empty file under the name. Like an empty link that is absent for who reads, so that the next
/// push brings the bytes; and like an empty link, no collection takes it for an absence.
pub(super) fn is_hollow(digest: &Digest, size: u64) -> bool {
    let hollow = size == 0 && digest_of(digest.algorithm(), b"") != *digest;
    if hollow {
        tracing::warn!(%digest, "a blob has lost its bytes; taken as absent");
    }
    hollow
}

/// Whether this is what reading a manifest without a byte came to.
pub(super) fn is_of_hollow(error: &StorageError) -> bool {
    matches!(error, StorageError::Backend { source, .. } if source.is::<Hollow>())
}

#[derive(Debug, thiserror::Error)]
#[error("the bytes stored for {0} are gone")]
struct Hollow(Digest);

#[derive(Debug, thiserror::Error)]
#[error("the bytes stored for {0} are others")]
struct Rotten(Digest);

#[derive(Debug, thiserror::Error)]
#[error("{0} is too large to be a manifest")]
struct TooLarge(Digest);

/// Runs futures side by side, at most `limit` at once, and gathers their results in order. They
/// are boxed, so that a caller's future stays `Send` whatever they borrow.
pub(super) async fn side_by_side<'a, T: Send + 'a>(
    limit: usize,
    work: impl Iterator<Item = BoxFuture<'a, Result<T, StorageError>>> + Send,
) -> Result<Vec<T>, StorageError> {
    let work: Vec<_> = work.collect();
    stream::iter(work).buffered(limit).try_collect().await
}

/// A digest as the content of a link: bare, as distribution writes it.
pub(super) fn link_content(digest: &Digest) -> Bytes {
    Bytes::from(digest.to_string())
}
