//! Bytes that are appended to an upload, and what becomes of them when that fails.

use super::record::{self, Upload};
use super::{Append, UploadUrl};
use crate::error::{Progress, RegistryError};
use crate::layout::Key;
use crate::registry::Repository;
use crate::registry::pump::{self, Parts, Pumped};
use crate::storage::{StorageError, UploadHint, UploadWriter};

impl Repository {
    pub(super) async fn append(
        &self,
        url: &UploadUrl,
        append: Append,
        mut parts: Parts,
    ) -> Result<Progress, RegistryError> {
        if url.state.is_some() && self.signed(url).is_none() {
            return Err(RegistryError::UploadInvalid);
        }
        let (_only, mut upload) = self.enter(url).await?;
        upload.expect(append)?;
        let hint = UploadHint {
            digest: None,
            size: append.declared,
        };
        let hasher = self.hasher(&mut upload).await?;
        let from = upload.checkpoint.clone();
        let mut writer = self.inner.blobs.open_upload(&url.id, from, hint).await?;
        // A write that fails ends here: the record still tells the older truth.
        let pumped = pump::pump(&mut parts, Some(&mut *writer), hasher).await;
        let _ending = self.inner.endings.exclusive(&url.id).await;
        let pumped = match pumped {
            Ok(pumped) => pumped,
            Err(error) => {
                self.give_up(&upload, writer).await;
                return Err(error.into());
            }
        };
        if pumped.cut.is_err() && pumped.received > 0 {
            self.keep(&mut upload, writer, &pumped).await?;
            return pumped.cut.map(|()| upload.progress());
        }
        match pumped.whole(append.len) {
            Ok(pumped) if pumped.received > 0 => self.keep(&mut upload, writer, &pumped).await?,
            nothing => {
                self.give_up(&upload, writer).await;
                nothing?;
            }
        }
        Ok(upload.progress())
    }

    /// Makes what came part of the upload.
    async fn keep(
        &self,
        upload: &mut Upload,
        writer: Box<dyn UploadWriter>,
        pumped: &Pumped,
    ) -> Result<(), RegistryError> {
        upload.hasher = Some(pumped.hasher.clone());
        upload.complete = false;
        upload.len += pumped.received;
        let kept = match writer.checkpoint().await {
            Ok(at) => {
                upload.checkpoint = Some(at);
                self.save(upload).await
            }
            Err(error) => Err(error.into()),
        };
        if kept.is_err() {
            self.discard(upload).await;
        }
        kept
    }

    /// Of what a request has brought nothing is kept.
    pub(super) async fn give_up(&self, upload: &Upload, writer: Box<dyn UploadWriter>) {
        if let Err(error) = writer.abort().await {
            tracing::debug!(%error, upload = %upload.id, "a writer could not be aborted");
        }
        self.discard(upload).await;
    }

    /// Staged bytes that no record tells of are of use to nobody, and would stay until the sweep:
    /// a full disk would stay full.
    pub(super) async fn discard(&self, upload: &Upload) {
        let path = Key::UploadRecord(upload.id).path();
        let discarded = async {
            let record = self.inner.records.get(&path).await?;
            if record.as_ref().and_then(record::checkpoint).is_none() {
                let at = upload.checkpoint.clone();
                self.inner.blobs.abort_upload(&upload.id, at).await?;
            }
            Ok::<_, StorageError>(())
        };
        if let Err(error) = discarded.await {
            tracing::debug!(%error, upload = %upload.id, "staged bytes stay until the sweep");
        }
    }
}
