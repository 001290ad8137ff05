//! Deleting manifests and tags: the order of a push, backwards.

use std::sync::Arc;

use futures_util::{FutureExt, TryStreamExt};

use super::find::side_by_side;
use super::{Inner, Repository};
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::events::EventAction;
use crate::layout::{Dir, Key, parse_link};
use crate::name::{RepositoryName, Tag};
use crate::reference::Reference;
use crate::storage::{ListQuery, Outcome, Record, StorageError};

/// Tags read side by side when a manifest is deleted.
const SIDE_BY_SIDE: usize = 32;

/// Tags looked at before the next are listed.
const BATCH: usize = 1024;

impl Repository {
    /// Deletes a tag, or a manifest with every tag that points to it. A tag is gone at once, and
    /// with its history; a delete that failed in between is finished by the next one.
    ///
    /// # Errors
    /// [`RegistryError::ManifestUnknown`], or [`RegistryError::Unsupported`] where deletion is
    /// off.
    pub async fn delete_manifest(&self, reference: &Reference) -> Result<(), RegistryError> {
        self.must_delete()?;
        let (this, reference) = (self.clone(), reference.clone());
        let deleting = async move { this.delete(&reference).await };
        self.inner.finish(deleting).await
    }

    async fn delete(&self, reference: &Reference) -> Result<(), RegistryError> {
        let _alone = self.inner.repositories.exclusive(&self.name).await;
        match reference {
            Reference::Tag(tag) => {
                let tagged = self.current(tag).await?.is_some();
                if tagged {
                    let path = Key::TagCurrent(self.name.clone(), tag.clone()).path();
                    let _ = self.inner.records.delete(&path, None).await?;
                }
                if !self.delete_history(tag, tagged).await? {
                    return Err(self.unknown(reference));
                }
                Ok(())
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
        self.inner
            .delete_side_data(&self.name, &target, digest)
            .await?;
        let _ = self.inner.records.delete(&key.path(), None).await?;
        if !self.inner.records.guarantees().exclusive {
            // Another process may have tagged it in between.
            self.delete_tags_of(digest).await?;
        }
        self.emit(self.event(EventAction::Delete).target(*digest, None, None));
        Ok(())
    }

    /// Every tag that points to this digest, each deleted only while it does; and what is left of
    /// tags whose delete failed midway.
    async fn delete_tags_of(&self, digest: &Digest) -> Result<(), RegistryError> {
        let query = ListQuery::children(Dir::Tags(self.name.clone()).path());
        let mut batches = self.inner.records.list(query).try_ready_chunks(BATCH);
        while let Some(entries) = batches.try_next().await.map_err(|error| error.1)? {
            let tags: Vec<Tag> = entries
                .iter()
                .filter_map(|entry| entry.name().parse().ok())
                .collect();
            let looks = tags.iter().map(|tag| self.current(tag).boxed());
            let found = side_by_side(SIDE_BY_SIDE, looks).await?;
            for (tag, current) in tags.iter().zip(found) {
                self.delete_tag_of(tag, current, digest).await?;
            }
        }
        Ok(())
    }

    /// A link that holds no digest stays: it may be what a crash has left of one to another
    /// manifest.
    async fn delete_tag_of(
        &self,
        tag: &Tag,
        current: Option<Record>,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        if let Some(current) = &current {
            let path = Key::TagCurrent(self.name.clone(), tag.clone()).path();
            let (records, version) = (&self.inner.records, Some(&current.version));
            if parse_link(&current.value) != Some(*digest)
                || records.delete(&path, version).await? == Outcome::Conflict
            {
                return Ok(());
            }
        }
        self.delete_history(tag, current.is_some()).await?;
        Ok(())
    }

    async fn current(&self, tag: &Tag) -> Result<Option<Record>, StorageError> {
        let path = Key::TagCurrent(self.name.clone(), tag.clone()).path();
        self.inner.records.get(&path).await
    }

    /// All that is left of a tag once the tag itself is gone, by this delete or by one that came
    /// no further: what it ever pointed to, and what a crash of distribution has left there, for
    /// which distribution would list it. Says whether there was any of it.
    async fn delete_history(&self, tag: &Tag, tagged: bool) -> Result<bool, StorageError> {
        let dir = Dir::Tag(self.name.clone(), tag.clone()).path();
        let query = ListQuery::children(dir.clone()).limit(1);
        let left = self.inner.records.list(query).try_next().await?;
        if left.is_some() {
            self.inner.records.delete_below(&dir).await?;
        }
        let found = tagged || left.is_some();
        if found {
            self.emit(self.event(EventAction::Delete).tag(tag));
        }
        Ok(found)
    }
}

impl Inner {
    /// The records of ours that tell of a manifest.
    pub(super) async fn delete_side_data(
        self: &Arc<Self>,
        name: &RepositoryName,
        target: &Digest,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        // Of what cannot be read the record goes unread: a listing passes over what has no revision.
        let manifest = self.load(target, *digest).await.ok().flatten();
        let subject = manifest.and_then(|manifest| manifest.subject()?.known().copied());
        if let Some(subject) = subject {
            let path = Key::Referrer {
                repository: name.clone(),
                subject,
                referrer: *digest,
            }
            .path();
            let _ = self.records.delete(&path, None).await?;
        }
        let hint = Key::MediaType(name.clone(), *digest).path();
        let _ = self.records.delete(&hint, None).await?;
        Ok(())
    }
}
