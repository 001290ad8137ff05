//! What is known of an upload, from its record or its URL, and by whom it is held.

use super::UploadUrl;
use super::record::{self, Upload};
use crate::error::RegistryError;
use crate::hasher::Hasher;
use crate::layout::Key;
use crate::locks::Held;
use crate::registry::Repository;
use crate::registry::signer::{Owner, Signed};
use crate::storage::{Durability, Outcome, PutMode, StorageError, UploadId};

impl Repository {
    pub(super) async fn try_enter(&self, url: &UploadUrl) -> Option<Held<UploadId>> {
        // A request that nobody waits for any more may be about to end.
        drop(self.inner.endings.shared(&url.id).await);
        self.inner.writers.try_exclusive(&url.id)
    }

    /// The upload, for its one writer.
    pub(super) async fn enter(
        &self,
        url: &UploadUrl,
    ) -> Result<(Held<UploadId>, Upload), RegistryError> {
        self.must_own(url).await?;
        match self.try_enter(url).await {
            Some(held) => Ok((held, self.load(url).await?)),
            None => Err(RegistryError::RangeInvalid(
                self.load(url).await?.progress(),
            )),
        }
    }

    /// A store that sees another writer, of another process, means what `enter` says of one of
    /// this process.
    pub(super) async fn unless_busy<T>(
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

    /// What the state in a URL proves; `None` when it is not of our making, or not of this upload.
    pub(super) fn signed(&self, url: &UploadUrl) -> Option<Signed> {
        let state = url.state.as_ref()?;
        self.inner.signer.verify(&self.name, url.id, state)
    }

    /// Whether whoever asks may go on with an upload of this owner: that one alone, and anybody
    /// with one of nobody.
    fn is_ours(&self, url: &UploadUrl, owner: Option<&Owner>) -> bool {
        let who = self.grant.who();
        owner.is_none_or(|owner| self.inner.signer.is_owner(url.id, who, owner))
    }

    /// To be asked before the upload is held: others would keep its owner out meanwhile. What the
    /// URL proves is enough for that.
    pub(super) async fn must_own(&self, url: &UploadUrl) -> Result<(), RegistryError> {
        match self.signed(url) {
            Some(signed) if self.is_ours(url, signed.owner.as_ref()) => Ok(()),
            Some(_) => Err(RegistryError::UploadUnknown),
            None => self.load(url).await.map(drop),
        }
    }

    /// What is known of an upload: its record, whatever the URL says; else what that proves.
    pub(super) async fn load(&self, url: &UploadUrl) -> Result<Upload, RegistryError> {
        let unknown = || RegistryError::UploadUnknown;
        if self.inner.finished.contains(&url.id) {
            return Err(unknown());
        }
        let path = Key::UploadRecord(url.id).path();
        if let Some(record) = self.inner.records.get(&path).await? {
            let upload = record::parse(url.id, &self.name, &record);
            let upload = upload.filter(|upload| self.is_ours(url, upload.owner.as_ref()));
            return upload.ok_or_else(unknown);
        }
        let signed = self.signed(url).ok_or_else(unknown)?;
        if !self.is_ours(url, signed.owner.as_ref()) {
            return Err(unknown());
        }
        let now = self.inner.blobs.now().await?;
        let age = now.duration_since(signed.started).unwrap_or_default();
        if age > self.inner.options.upload_age {
            return Err(unknown());
        }
        Ok(Upload::begun(url.id, signed))
    }

    /// The hash of what the upload holds; read back when its state is lost. Where the driver has
    /// to move the bytes for that, the record follows.
    pub(super) async fn hasher(&self, upload: &mut Upload) -> Result<Hasher, RegistryError> {
        if let Some(hasher) = &upload.hasher {
            return Ok(hasher.clone());
        }
        let (id, algorithm) = (upload.id, upload.algorithm);
        let Some(at) = upload.checkpoint.as_mut().filter(|_| upload.len > 0) else {
            return Ok(Hasher::new(algorithm));
        };
        let before = at.clone();
        let hasher = self.rehash(&id, at, algorithm).await?;
        if *at != before {
            upload.hasher = Some(hasher.clone());
            self.save(upload).await?;
        }
        Ok(hasher)
    }

    /// Writes the record over the version that was read; whoever loses has written for nothing.
    pub(super) async fn save(&self, upload: &mut Upload) -> Result<(), RegistryError> {
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
                upload.version = match version {
                    Some(version) => Some(version),
                    None => self.inner.records.get(&path).await?.map(|now| now.version),
                };
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
    pub(super) async fn close(&self, upload: &Upload) -> Result<(), RegistryError> {
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
