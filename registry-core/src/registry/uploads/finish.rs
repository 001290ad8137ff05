//! The end of an upload: its bytes, verified, become a blob of the repository.

use super::{Append, Body, Repository, Upload, UploadUrl};
use crate::digest::{Algorithm, Digest};
use crate::error::RegistryError;
use crate::events::EventAction;
use crate::hasher::Hasher;
use crate::layout::Key;
use crate::registry::pump::{self, Parts};
use crate::storage::{
    Checkpoint, CommitFailed, StorageError, UploadHint, UploadId, UploadWriter, Verified,
};

impl Repository {
    /// Appends what arrives, and makes a blob of everything if it has this digest. An upload that
    /// is gone while its blob is here has been finished before: a retry after a lost answer. A
    /// retry after a fault goes on from wherever that has left the upload.
    ///
    /// # Errors
    /// [`RegistryError::DigestInvalid`] cancels the upload; [`RegistryError::UploadUnknown`] also
    /// when what was received is gone.
    pub async fn finish_upload(
        &self,
        url: &UploadUrl,
        append: Append,
        body: Body<'_>,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        self.must_write()?;
        let (this, url, digest) = (self.clone(), url.clone(), *digest);
        let finished = self.receive(body, |parts| async move {
            let finished = this.finish(&url, append, parts, &digest).await;
            this.unless_busy(&url, finished).await
        });
        finished.await
    }

    async fn finish(
        &self,
        url: &UploadUrl,
        append: Append,
        parts: Parts,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let (_only, upload) = match self.enter(url).await {
            Err(RegistryError::UploadUnknown) => {
                return match self.stat_blob(digest).await {
                    Ok(_) => Ok(()),
                    Err(RegistryError::BlobUnknown(_)) => Err(RegistryError::UploadUnknown),
                    Err(error) => Err(error),
                };
            }
            entered => entered?,
        };
        if !upload.is_all_of(digest) {
            upload.expect(append)?;
        }
        self.finish_open(upload, append, parts, digest).await
    }

    /// An upload begun and finished by one request.
    ///
    /// # Errors
    /// [`RegistryError::DigestInvalid`] when the content has another digest.
    pub async fn push_blob(
        &self,
        append: Append,
        body: Body<'_>,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let new = self.start_upload(digest.algorithm()).await?;
        let url = UploadUrl {
            id: new.id,
            state: Some(new.state),
        };
        self.finish_upload(&url, append, body, digest).await
    }

    async fn finish_open(
        &self,
        mut upload: Upload,
        append: Append,
        parts: Parts,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let taken = self.take_in(&mut upload, append, parts, digest).await;
        let _ending = self.inner.endings.exclusive(&upload.id).await;
        let hashed = match taken {
            Ok((Some(writer), hasher)) => {
                let algorithm = digest.algorithm();
                self.hashed_as(&upload, writer, hasher, algorithm).await
            }
            Ok((None, hasher)) => return self.finish_published(&upload, hasher, digest).await,
            Err(error) => Err(error),
        };
        let (writer, hasher) = match hashed {
            Err(RegistryError::Storage(StorageError::NotFound)) => {
                self.end(&upload).await?;
                return Err(RegistryError::UploadUnknown);
            }
            hashed => hashed?,
        };
        let actual = hasher.clone().finish();
        if actual != *digest {
            writer.abort().await?;
            let at = upload.checkpoint.clone();
            self.inner.blobs.abort_upload(&upload.id, at).await?;
            self.end(&upload).await?;
            return Err(RegistryError::DigestInvalid(format!("content is {actual}")));
        }
        match self.commit(writer, Verified::new(actual, upload.len)).await {
            Ok(()) => self.finished(&upload, digest).await,
            Err(failed) if matches!(failed.source, StorageError::NotFound) => {
                self.finish_published(&upload, hasher, digest).await
            }
            Err(failed) => {
                upload.algorithm = hasher.algorithm();
                upload.hasher = Some(hasher);
                Err(self.keep_after(upload, failed).await.into())
            }
        }
    }

    /// The last bytes of an upload: who holds all of them, and their hash. There is no writer if
    /// the earlier bytes are gone; then the last ones are only hashed.
    async fn take_in(
        &self,
        upload: &mut Upload,
        append: Append,
        mut parts: Parts,
        digest: &Digest,
    ) -> Result<(Option<Box<dyn UploadWriter>>, Hasher), RegistryError> {
        let repeated = upload.is_all_of(digest);
        let (mut writer, before) = self.reopen(upload, append, digest).await?;
        let target = writer.as_deref_mut().filter(|_| !repeated);
        let target = target.map(|writer| writer as &mut dyn UploadWriter);
        let pumped = pump::pump(&mut parts, target, before.clone()).await;
        let len = append.len.filter(|_| !repeated);
        let whole = pumped.map_err(RegistryError::from);
        match (whole.and_then(|pumped| pumped.whole(len)), writer) {
            (Ok(_), writer) if repeated => Ok((writer, before)),
            (Ok(pumped), writer) => {
                upload.len += pumped.received;
                Ok((writer, pumped.hasher))
            }
            (Err(error), writer) => {
                if let Some(writer) = writer {
                    self.give_up(upload, writer).await;
                }
                Err(error)
            }
        }
    }

    /// A writer, if there is what it is to go on from, and the hash of that.
    async fn reopen(
        &self,
        upload: &mut Upload,
        append: Append,
        digest: &Digest,
    ) -> Result<(Option<Box<dyn UploadWriter>>, Hasher), RegistryError> {
        if upload.len == 0 {
            // Nothing hashed yet: hash with what is asked for.
            upload.algorithm = digest.algorithm();
        }
        let hasher = self.hasher(upload).await?;
        let from = upload.checkpoint.clone();
        let size = match append.declared {
            Some(declared) => Some(declared.checked_add(upload.len).ok_or_else(|| {
                RegistryError::SizeInvalid(format!("Content-Length is {declared}"))
            })?),
            None => None,
        };
        let hint = UploadHint {
            digest: (upload.len == 0).then_some(*digest),
            size,
        };
        let resumed = from.is_some();
        match self.inner.blobs.open_upload(&upload.id, from, hint).await {
            Ok(writer) => Ok((Some(writer), hasher)),
            Err(StorageError::NotFound) if resumed => Ok((None, hasher)),
            Err(error) => Err(error.into()),
        }
    }

    /// The end of an upload whose bytes are gone: published by a request that came no further, or
    /// lost. That whoever asks had them is proven by the hash, made of all that came; without
    /// that proof, naming a digest would give access to any blob of the store.
    async fn finish_published(
        &self,
        upload: &Upload,
        hasher: Hasher,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        if hasher.algorithm() == digest.algorithm() {
            let actual = hasher.finish();
            if actual != *digest {
                self.end(upload).await?;
                return Err(RegistryError::DigestInvalid(format!("content is {actual}")));
            }
            if self.link_present(digest, digest).await?.is_some() {
                return self.finished(upload, digest).await;
            }
        }
        self.end(upload).await?;
        Err(RegistryError::UploadUnknown)
    }

    async fn finished(&self, upload: &Upload, digest: &Digest) -> Result<(), RegistryError> {
        self.end(upload).await?;
        self.inner.sightings.add(*digest, &self.name);
        self.emit(
            self.event(EventAction::Push)
                .target(*digest, Some(upload.len), None),
        );
        Ok(())
    }

    /// Blob, then link, under the digest's lock, so that no collector comes between.
    async fn commit(
        &self,
        writer: Box<dyn UploadWriter>,
        content: Verified,
    ) -> Result<(), CommitFailed> {
        let digest = *content.digest();
        let _beside = self.inner.digests.shared(&digest).await;
        writer.commit(content).await?;
        let link = Key::Layer(self.name.clone(), digest);
        let linked = self.put_link(&link, &digest).await;
        linked.map_err(|error| CommitFailed::new(None, error))?;
        Ok(())
    }

    /// The hash that is asked for: the one made on the way, or, for another algorithm, one over
    /// the bytes read back. Rare: the client named neither digest nor algorithm beforehand.
    async fn hashed_as(
        &self,
        upload: &Upload,
        writer: Box<dyn UploadWriter>,
        hasher: Hasher,
        algorithm: Algorithm,
    ) -> Result<(Box<dyn UploadWriter>, Hasher), RegistryError> {
        if hasher.algorithm() == algorithm {
            return Ok((writer, hasher));
        }
        let mut at = writer.checkpoint().await?;
        let hasher = self.rehash(&upload.id, &mut at, algorithm).await?;
        let hint = UploadHint::default();
        let writer = self
            .inner
            .blobs
            .open_upload(&upload.id, Some(at), hint)
            .await?;
        Ok((writer, hasher))
    }

    pub(super) async fn rehash(
        &self,
        id: &UploadId,
        at: &mut Checkpoint,
        algorithm: Algorithm,
    ) -> Result<Hasher, RegistryError> {
        let mut reader = self.inner.blobs.read_upload(id, at).await?;
        let mut hasher = Hasher::new(algorithm);
        while let Some(piece) = reader.next(1 << 20).await? {
            hasher = pump::hash(hasher, vec![piece]).await?;
        }
        Ok(hasher)
    }

    /// A failed commit says from where the upload can go on; its record must say the same.
    async fn keep_after(&self, mut upload: Upload, failed: CommitFailed) -> StorageError {
        if let Some(checkpoint) = failed.checkpoint {
            upload.checkpoint = Some(checkpoint);
            upload.complete = true;
            if let Err(error) = self.save(&mut upload).await {
                tracing::warn!(%error, upload = %upload.id, "upload lost after a failed commit");
            }
        }
        self.discard(&upload).await;
        failed.source
    }

    /// An upload that had a record leaves a tombstone; of another the process remembers the id.
    async fn end(&self, upload: &Upload) -> Result<(), RegistryError> {
        if upload.version.is_some() {
            self.close(upload).await
        } else {
            self.inner.finished.add(upload.id);
            Ok(())
        }
    }
}
