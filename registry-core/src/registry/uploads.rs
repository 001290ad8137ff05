//! Uploads: start, append, status, finish, cancel. One writer per upload; the hash state and the
//! offset are one record, so that they cannot disagree.

mod finish;
mod record;
mod sweep;

use bytes::Bytes;
use futures_util::stream::BoxStream;

use self::record::Upload;
use super::signer::Signed;
use super::{Repository, pump};
use crate::BoxError;
use crate::access::{Access, Action};
use crate::digest::{Algorithm, Digest};
use crate::error::{Progress, RegistryError};
use crate::events::EventAction;
use crate::hasher::Hasher;
use crate::layout::Key;
use crate::locks::Held;
use crate::name::RepositoryName;
use crate::storage::{Durability, PutMode, StorageError, UploadHint, UploadId};

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
        let state = self
            .inner
            .signer
            .sign(&self.name, id, &Signed { started, algorithm });
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
        let Some(size) = self.link_present(digest, &target).await? else {
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
        let size = match self.inner.find(target).await {
            Ok(stat) => stat.size,
            Err(StorageError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let beside = self.inner.digests.shared(target).await;
        self.put_layer_link(digest, target).await?;
        drop(beside);
        // The data may have been retired between the look and the link.
        match self.inner.find(target).await {
            Ok(_) => Ok(Some(size)),
            Err(StorageError::NotFound) => Ok(None),
            Err(error) => Err(error),
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
        let (_only, upload) = self.enter(url).await?;
        upload.expect(append)?;
        match self.append(upload, append, body).await {
            Err(RegistryError::Storage(StorageError::NotFound)) => {
                Err(RegistryError::UploadUnknown)
            }
            appended => self.unless_busy(url, appended).await,
        }
    }

    async fn append(
        &self,
        mut upload: Upload,
        append: Append,
        mut body: Body<'_>,
    ) -> Result<Progress, RegistryError> {
        let hint = UploadHint {
            digest: None,
            size: append.declared,
        };
        let from = upload.checkpoint.take();
        let hasher = self.hasher(&upload, from.clone()).await?;
        let mut writer = self.inner.blobs.open_upload(&upload.id, from, hint).await?;
        // A write that fails ends here: the record still tells the older truth.
        let pumped = pump::pump(&mut body, Some(&mut *writer), hasher).await?;
        if pumped.cut.is_ok() && append.len.is_some_and(|len| len != pumped.received) {
            writer.abort().await?;
            return Err(RegistryError::SizeInvalid(format!(
                "received {}",
                pumped.received
            )));
        }
        if pumped.received == 0 {
            drop(writer);
            return pumped.cut.map(|()| upload.progress());
        }
        upload.hasher = Some(pumped.hasher);
        upload.complete = false;
        upload.len += pumped.received;
        upload.checkpoint = Some(writer.checkpoint().await?);
        self.save(&mut upload).await?;
        pumped.cut.map(|()| upload.progress())
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
        let (_only, upload) = self.enter(url).await?;
        let at = upload.checkpoint.clone();
        let aborted = self.inner.blobs.abort_upload(&url.id, at).await;
        self.unless_busy(url, aborted.map_err(Into::into)).await?;
        self.close(&upload).await
    }

    /// A store that sees another writer, of another process, means what `enter` says of one of
    /// this process.
    async fn unless_busy<T>(
        &self,
        url: &UploadUrl,
        done: Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        match done {
            Err(RegistryError::Storage(StorageError::Busy)) => Err(RegistryError::RangeInvalid(
                self.load(url).await?.progress(),
            )),
            done => done,
        }
    }

    /// The upload, for its one writer.
    async fn enter(&self, url: &UploadUrl) -> Result<(Held<UploadId>, Upload), RegistryError> {
        match self.inner.writers.try_exclusive(&url.id) {
            Some(held) => Ok((held, self.load(url).await?)),
            None => Err(RegistryError::RangeInvalid(
                self.load(url).await?.progress(),
            )),
        }
    }

    /// What is known of an upload: its record, else what its URL proves.
    async fn load(&self, url: &UploadUrl) -> Result<Upload, RegistryError> {
        let unknown = || RegistryError::UploadUnknown;
        let verify = |state: &String| self.inner.signer.verify(&self.name, url.id, state);
        let signed = match &url.state {
            Some(state) => Some(verify(state).ok_or(RegistryError::UploadInvalid)?),
            None => None,
        };
        if self.inner.finished.contains(&url.id) {
            return Err(unknown());
        }
        if let Some(record) = self
            .inner
            .records
            .get(&Key::UploadRecord(url.id).path())
            .await?
        {
            return record::parse(url.id, &self.name, &record).ok_or_else(unknown);
        }
        let signed = signed.ok_or_else(unknown)?;
        let age = self
            .inner
            .blobs
            .now()
            .await?
            .duration_since(signed.started)
            .unwrap_or_default();
        if age > self.inner.options.upload_age {
            return Err(unknown());
        }
        Ok(Upload::begun(url.id, signed))
    }

    /// The hash of what the upload holds; read back when its state is lost.
    async fn hasher(
        &self,
        upload: &Upload,
        at: Option<crate::storage::Checkpoint>,
    ) -> Result<Hasher, RegistryError> {
        match (&upload.hasher, at) {
            (Some(hasher), _) => Ok(hasher.clone()),
            (None, Some(mut at)) if upload.len > 0 => {
                self.rehash(&upload.id, &mut at, upload.algorithm).await
            }
            _ => Ok(Hasher::new(upload.algorithm)),
        }
    }

    /// Writes the record over the version that was read; whoever loses has written for nothing.
    async fn save(&self, upload: &mut Upload) -> Result<(), RegistryError> {
        use crate::storage::Outcome;
        let mode = upload
            .version
            .take()
            .map_or(PutMode::Create, PutMode::IfVersion);
        let path = Key::UploadRecord(upload.id).path();
        let value = upload.render(&self.name);
        match self
            .inner
            .records
            .put(&path, value, mode, Durability::Volatile)
            .await?
        {
            Outcome::Done(version) => {
                upload.version = version;
                Ok(())
            }
            Outcome::Conflict => {
                let now = self.inner.records.get(&path).await?;
                let now = now.and_then(|record| record::parse(upload.id, &self.name, &record));
                Err(now.map_or(RegistryError::UploadUnknown, |now| {
                    RegistryError::RangeInvalid(now.progress())
                }))
            }
        }
    }

    /// Leaves a tombstone in the place of the record.
    async fn close(&self, upload: &Upload) -> Result<(), RegistryError> {
        self.inner.finished.add(upload.id);
        let path = Key::UploadRecord(upload.id).path();
        let value = record::tombstone(&self.name);
        let _ = self
            .inner
            .records
            .put(&path, value, PutMode::Replace, Durability::Volatile)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
