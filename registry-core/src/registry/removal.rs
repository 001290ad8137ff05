//! Deleting manifests and tags: the order of a push, backwards.

use futures_util::{FutureExt, TryStreamExt};

use super::Repository;
use super::find::side_by_side;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::events::EventAction;
use crate::layout::{Dir, Key};
use crate::name::Tag;
use crate::reference::Reference;
use crate::storage::{ListQuery, RecordEntry, StorageError};

/// Tags read side by side when a manifest is deleted.
const SIDE_BY_SIDE: usize = 32;

/// Tags looked at before the next are listed.
const BATCH: usize = 1024;

impl Repository {
    /// Deletes a tag, or a manifest with every tag that points to it.
    ///
    /// # Errors
    /// [`RegistryError::ManifestUnknown`], or [`RegistryError::Unsupported`] where deletion is
    /// off.
    pub async fn delete_manifest(&self, reference: &Reference) -> Result<(), RegistryError> {
        self.must_delete()?;
        let _alone = self.inner.repositories.exclusive(&self.name).await;
        match reference {
            Reference::Tag(tag) => {
                let path = Key::TagCurrent(self.name.clone(), tag.clone()).path();
                if self.inner.records.get(&path).await?.is_none() {
                    return Err(self.unknown(reference));
                }
                self.delete_tag(tag).await
            }
            Reference::Digest(digest) => self.delete_revision(digest).await,
        }
    }

    async fn delete_revision(&self, digest: &Digest) -> Result<(), RegistryError> {
        let key = Key::Revision(self.name.clone(), *digest);
        let Some((target, _)) = self.inner.link(&key).await? else {
            return Err(self.unknown(&Reference::Digest(*digest)));
        };
        self.delete_tags_of(digest).await?;
        self.delete_side_data(&target, digest).await?;
        let _ = self.inner.records.delete(&key.path(), None).await?;
        if !self.inner.records.guarantees().exclusive {
            // Another process may have tagged it in between.
            self.delete_tags_of(digest).await?;
        }
        self.emit(self.event(EventAction::Delete).target(*digest, None, None));
        Ok(())
    }

    /// The records of ours that tell of a manifest.
    async fn delete_side_data(
        &self,
        target: &Digest,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let subject = match self.inner.manifest_bytes(target).await {
            Ok(bytes) => crate::manifest::Manifest::load(bytes, *digest)
                .ok()
                .and_then(|manifest| manifest.subject().copied()),
            // Its record goes unread: a listing passes over what has no revision.
            Err(_) => None,
        };
        if let Some(subject) = subject {
            let (repository, referrer) = (self.name.clone(), *digest);
            let path = Key::Referrer {
                repository,
                subject,
                referrer,
            }
            .path();
            let _ = self.inner.records.delete(&path, None).await?;
        }
        let hint = Key::MediaType(self.name.clone(), *digest).path();
        let _ = self.inner.records.delete(&hint, None).await?;
        Ok(())
    }

    /// Every tag that points to this digest, each deleted only while it does.
    async fn delete_tags_of(&self, digest: &Digest) -> Result<(), RegistryError> {
        let query = ListQuery::children(Dir::Tags(self.name.clone()).path());
        let mut batches = self.inner.records.list(query).try_ready_chunks(BATCH);
        while let Some(entries) = batches.try_next().await.map_err(|error| error.1)? {
            let tags: Vec<Tag> = entries
                .iter()
                .filter_map(|entry| entry.name().parse().ok())
                .collect();
            let looks = tags.iter().map(|tag| self.points_to(tag, digest).boxed());
            let pointing = side_by_side(SIDE_BY_SIDE, looks).await?;
            for (tag, points) in tags.iter().zip(pointing) {
                if points {
                    self.delete_tag(tag).await?;
                }
            }
        }
        Ok(())
    }

    async fn points_to(&self, tag: &Tag, digest: &Digest) -> Result<bool, StorageError> {
        let key = Key::TagCurrent(self.name.clone(), tag.clone());
        Ok(self
            .inner
            .link(&key)
            .await?
            .is_some_and(|(to, _)| to == *digest))
    }

    /// The tag first, so that it is gone at once; then what it ever pointed to.
    async fn delete_tag(&self, tag: &Tag) -> Result<(), RegistryError> {
        let current = Key::TagCurrent(self.name.clone(), tag.clone()).path();
        let _ = self.inner.records.delete(&current, None).await?;
        let dir = Dir::Tag(self.name.clone(), tag.clone()).path();
        let entries = self.inner.records.list(ListQuery::recursive(dir.clone()));
        let names: Vec<RecordEntry> = entries.try_collect().await?;
        for entry in names {
            if let Some(key) = Key::parse(&format!("{dir}/{}", entry.name())) {
                let _ = self.inner.records.delete(&key.path(), None).await?;
            }
        }
        self.emit(self.event(EventAction::Delete).tag(tag));
        Ok(())
    }
}
