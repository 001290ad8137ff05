//! Blobs of a repository: look at them, open them, take them away.

use super::Repository;
use super::find::is_hollow;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::events::EventAction;
use crate::layout::Key;
use crate::storage::{
    BlobReader, BlobStat, ByteRange, Outcome, RangeSpec, RedirectRequest, RedirectUrl, StorageError,
};

/// What is told of a blob without its bytes.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)]
pub struct BlobInfo {
    /// As it was asked for.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
}

/// Where the bytes of a blob come from.
#[allow(clippy::exhaustive_enums)]
pub enum BlobContent {
    /// From here.
    Reader {
        /// Size of the whole blob.
        size: u64,
        /// The part that the reader yields.
        range: ByteRange,
        /// Its bytes.
        reader: Box<dyn BlobReader>,
    },
    /// From elsewhere.
    Redirect(RedirectUrl),
}

impl std::fmt::Debug for BlobContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reader { size, range, .. } => f
                .debug_struct("Reader")
                .field("size", size)
                .field("range", range)
                .finish(),
            Self::Redirect(url) => f.debug_tuple("Redirect").field(url).finish(),
        }
    }
}

impl Repository {
    /// Size of a blob that is visible here.
    ///
    /// # Errors
    /// [`RegistryError::BlobUnknown`]; faults of the store are never that.
    pub async fn stat_blob(&self, digest: &Digest) -> Result<BlobInfo, RegistryError> {
        let stat = self
            .linked(digest)
            .await?
            .ok_or(RegistryError::BlobUnknown(*digest))?;
        self.inner.heal_catalog(&self.name);
        Ok(BlobInfo {
            digest: *digest,
            size: stat.1.size,
        })
    }

    /// Where the link of a blob leads, and what is there; `None` when link or data are missing.
    pub(super) async fn linked(
        &self,
        digest: &Digest,
    ) -> Result<Option<(Digest, BlobStat)>, StorageError> {
        let Some((target, _)) = self
            .inner
            .link(&Key::Layer(self.name.clone(), *digest))
            .await?
        else {
            return Ok(None);
        };
        let stat = self.inner.look_for(&target).await?;
        Ok(stat.map(|stat| (target, stat)))
    }

    /// Opens a blob that is visible here, or one range of it. It is told as a pull.
    ///
    /// # Errors
    /// [`RegistryError::BlobUnknown`], or [`StorageError::Range`] when nothing of the range lies
    /// inside.
    pub async fn open_blob(
        &self,
        digest: &Digest,
        range: Option<RangeSpec>,
    ) -> Result<BlobContent, RegistryError> {
        let target = self.target(digest).await?;
        let content = match self.elsewhere(digest, &target, range).await? {
            Some(url) => BlobContent::Redirect(url),
            None => self.open_target(digest, &target, range).await?,
        };
        self.inner.sightings.add(*digest, &self.name);
        self.inner.heal_catalog(&self.name);
        self.emit(self.event(EventAction::Pull).target(*digest, None, None));
        Ok(content)
    }

    /// The same from here, wherever else the bytes may be: for who needs several ranges of them.
    ///
    /// # Errors
    /// As of [`open_blob`](Self::open_blob).
    pub async fn open_blob_here(
        &self,
        digest: &Digest,
        range: Option<RangeSpec>,
    ) -> Result<BlobContent, RegistryError> {
        let content = self.reopen_blob(digest, range).await?;
        self.emit(self.event(EventAction::Pull).target(*digest, None, None));
        Ok(content)
    }

    /// Opens a further range of a blob from here, for an answer that is one pull already.
    ///
    /// # Errors
    /// As of [`open_blob`](Self::open_blob).
    pub async fn reopen_blob(
        &self,
        digest: &Digest,
        range: Option<RangeSpec>,
    ) -> Result<BlobContent, RegistryError> {
        let target = self.target(digest).await?;
        let content = self.open_target(digest, &target, range).await?;
        self.inner.sightings.add(*digest, &self.name);
        Ok(content)
    }

    async fn open_target(
        &self,
        digest: &Digest,
        target: &Digest,
        range: Option<RangeSpec>,
    ) -> Result<BlobContent, RegistryError> {
        let unknown = || RegistryError::BlobUnknown(*digest);
        let reader = match self.inner.open(target, range).await {
            Ok(reader) => reader,
            Err(StorageError::NotFound) => return Err(unknown()),
            Err(error) => return Err(error.into()),
        };
        let (size, range) = reader.extent();
        if is_hollow(target, size) {
            return Err(unknown());
        }
        Ok(BlobContent::Reader {
            size,
            range,
            reader,
        })
    }

    /// Where else a blob may be fetched.
    async fn elsewhere(
        &self,
        digest: &Digest,
        target: &Digest,
        range: Option<RangeSpec>,
    ) -> Result<Option<RedirectUrl>, RegistryError> {
        if !self.inner.options.redirect {
            return Ok(None);
        }
        let request = RedirectRequest::new(range);
        let Some(url) = self.inner.blobs.redirect(target, &request).await? else {
            return Ok(None);
        };
        // Elsewhere nobody looks into the trash.
        match self.inner.look_for(target).await? {
            Some(_) => Ok(Some(url)),
            None => Err(RegistryError::BlobUnknown(*digest)),
        }
    }

    /// Where the link of a blob leads.
    async fn target(&self, digest: &Digest) -> Result<Digest, RegistryError> {
        let link = Key::Layer(self.name.clone(), *digest);
        let link = self.inner.link(&link).await?;
        let (target, _) = link.ok_or(RegistryError::BlobUnknown(*digest))?;
        Ok(target)
    }

    /// Takes a blob out of this repository. Whether a manifest needs it is not asked, as in
    /// distribution; its bytes are left to the collection.
    ///
    /// # Errors
    /// [`RegistryError::BlobUnknown`], or [`RegistryError::Unsupported`] where deletion is off.
    pub async fn delete_blob(&self, digest: &Digest) -> Result<(), RegistryError> {
        self.must_delete()?;
        let (this, digest) = (self.clone(), *digest);
        let deleting = async move { this.unlink_blob(&digest).await };
        self.inner.finish(deleting).await
    }

    async fn unlink_blob(&self, digest: &Digest) -> Result<(), RegistryError> {
        let key = Key::Layer(self.name.clone(), *digest);
        let Some((target, _)) = self.inner.link(&key).await? else {
            return Err(RegistryError::BlobUnknown(*digest));
        };
        let _alone = self.inner.digests.exclusive(&target).await;
        let Outcome::Done(_) = self.inner.records.delete(&key.path(), None).await? else {
            return Err(RegistryError::BlobUnknown(*digest));
        };
        self.emit(self.event(EventAction::Delete).target(*digest, None, None));
        Ok(())
    }
}
