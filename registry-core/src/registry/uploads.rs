//! Uploads: start, append, status, finish, cancel. One writer per upload; the hash state and the
//! offset are one record, so that they cannot disagree.

mod append;
mod finish;
mod record;
mod state;
mod sweep;

use std::pin::pin;

use bytes::Bytes;
use futures_util::future::{self, Either};
use futures_util::stream::BoxStream;

use self::record::Upload;
use super::Repository;
use super::pump::{self, Parts};
use super::signer::Signed;
use crate::BoxError;
use crate::access::{Access, Action};
use crate::digest::{Algorithm, Digest};
use crate::error::{Progress, RegistryError};
use crate::events::EventAction;
use crate::layout::Key;
use crate::name::RepositoryName;
use crate::storage::{StorageError, UploadId};

/// The body of a request, as it arrives.
pub type Body<'a> = BoxStream<'a, Result<Bytes, BoxError>>;

/// What the URL of an upload names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)]
pub struct UploadUrl {
    /// Which upload.
    pub id: UploadId,
    /// The signed state that came with it.
    pub state: Option<String>,
}

/// An upload that was just begun.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewUpload {
    /// Which.
    pub id: UploadId,
    /// The signed state for its URL.
    pub state: String,
}

/// What a request says of the bytes that it brings.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)]
pub struct Append {
    /// Where they begin, by `Content-Range`.
    pub at: Option<u64>,
    /// How many they are, by `Content-Range`; 0 for a range that ends before it begins.
    pub len: Option<u64>,
    /// The length of the body, by `Content-Length`.
    pub declared: Option<u64>,
}

/// What became of a mount.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_enums)]
pub enum Mounted {
    /// The blob is visible here now.
    Done,
    /// It is not; an upload was begun instead.
    Upload(NewUpload),
}

impl Repository {
    /// Begins an upload. Nothing is written: the state in the URL is all there is of it.
    ///
    /// # Errors
    /// Read-only, or the store's clock cannot be read.
    pub async fn start_upload(&self, algorithm: Algorithm) -> Result<NewUpload, RegistryError> {
        self.must_write()?;
        let id = UploadId::new(self.inner.options.ambient.random_u128());
        let started = self.inner.blobs.now().await?;
        let signer = &self.inner.signer;
        let signed = Signed {
            started,
            algorithm,
            owner: signer.owner(id, self.grant.who()),
        };
        let state = signer.sign(&self.name, id, &signed);
        Ok(NewUpload { id, state })
    }

    /// Makes a blob of another repository visible here, without its bytes. Without a source, one
    /// where it was seen of late. Whatever is lacking, link, data or the right to pull from the
    /// source, the answer is a new upload, in nothing different.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn mount_blob(
        &self,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<Mounted, RegistryError> {
        self.must_write()?;
        let source = from.cloned().or_else(|| self.inner.sightings.last(digest));
        let may = |name: &RepositoryName| self.grant.may(&Access::repository(name, Action::Pull));
        if let Some(source) = source.filter(may)
            && self.mount_from(digest, &source).await?
        {
            return Ok(Mounted::Done);
        }
        Ok(Mounted::Upload(
            self.start_upload(digest.algorithm()).await?,
        ))
    }

    async fn mount_from(
        &self,
        digest: &Digest,
        from: &RepositoryName,
    ) -> Result<bool, RegistryError> {
        let Some((target, _)) = self.inner.link(&Key::Layer(from.clone(), *digest)).await? else {
            return Ok(false);
        };
        let (this, named) = (self.clone(), *digest);
        let linking = async move { this.link_present(&named, &target).await };
        let Some(size) = self.inner.finish(linking).await? else {
            return Ok(false);
        };
        self.inner.sightings.add(*digest, &self.name);
        let mounted = EventAction::Mount { from: from.clone() };
        self.emit(self.event(mounted).target(*digest, Some(size), None));
        Ok(true)
    }

    /// Makes a blob visible here that is in the store, and says how large it is. The caller has
    /// seen that whoever asks may have its bytes, or has them.
    async fn link_present(
        &self,
        digest: &Digest,
        target: &Digest,
    ) -> Result<Option<u64>, StorageError> {
        if self.inner.look_for(target).await?.is_none() {
            return Ok(None);
        }
        let beside = self.inner.digests.shared(target).await;
        if digest != target {
            // distribution serves it by way of this one.
            self.put_link(&Key::Layer(self.name.clone(), *target), target)
                .await?;
        }
        self.put_link(&Key::Layer(self.name.clone(), *digest), target)
            .await?;
        drop(beside);
        // The data may have been retired between the look and the link.
        let stat = self.inner.look_for(target).await?;
        Ok(stat.map(|stat| stat.size))
    }

    /// Lets a change have what a request brings. The request reads its own body, and may leave.
    async fn receive<T, F>(&self, mut body: Body<'_>, change: impl FnOnce(Parts) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (to, parts) = pump::channel();
        let change = pin!(self.inner.finish(change(parts)));
        let feed = pin!(pump::feed(&mut body, to));
        match future::select(change, feed).await {
            Either::Left((done, _)) => done,
            Either::Right(((), change)) => change.await,
        }
    }

    /// Appends what arrives. When the client goes away in the middle, what came is kept, and the
    /// error says that it went.
    ///
    /// # Errors
    /// [`RegistryError::RangeInvalid`] when the bytes begin elsewhere or someone else is writing,
    /// [`RegistryError::UploadUnknown`] also when what was received is gone.
    pub async fn append_upload(
        &self,
        url: &UploadUrl,
        append: Append,
        body: Body<'_>,
    ) -> Result<Progress, RegistryError> {
        self.must_write()?;
        let (this, url) = (self.clone(), url.clone());
        let appended = self.receive(body, |parts| async move {
            match this.append(&url, append, parts).await {
                Err(RegistryError::Storage(StorageError::NotFound)) => {
                    Err(RegistryError::UploadUnknown)
                }
                appended => this.unless_busy(&url, appended).await,
            }
        });
        appended.await
    }

    /// How much has been received.
    ///
    /// # Errors
    /// [`RegistryError::UploadUnknown`].
    pub async fn upload_status(&self, url: &UploadUrl) -> Result<Progress, RegistryError> {
        Ok(self.load(url).await?.progress())
    }

    /// Ends an upload without a blob. A tombstone stays, so that the state in its URL is dead.
    ///
    /// # Errors
    /// [`RegistryError::UploadUnknown`].
    pub async fn cancel_upload(&self, url: &UploadUrl) -> Result<(), RegistryError> {
        self.must_write()?;
        let (this, url) = (self.clone(), url.clone());
        let cancelling = async move { this.cancel(&url).await };
        self.inner.finish(cancelling).await
    }

    /// Whoever is writing finds the tombstone when he has done, and gives up his bytes.
    async fn cancel(&self, url: &UploadUrl) -> Result<(), RegistryError> {
        self.must_own(url).await?;
        let only = self.try_enter(url).await;
        let upload = self.load(url).await?;
        if only.is_some() {
            let at = upload.checkpoint.clone();
            let aborted = self.inner.blobs.abort_upload(&url.id, at).await;
            self.unless_busy(url, aborted.map_err(Into::into)).await?;
        }
        self.close(&upload).await
    }
}

#[cfg(test)]
mod tests;
