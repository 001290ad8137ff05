//! The tags of a push: set last of all, and taken back when what they name cannot be had.

use std::collections::BTreeSet;

use crate::digest::Digest;
use crate::layout::Key;
use crate::locks::Held;
use crate::name::{RepositoryName, Tag};
use crate::registry::Repository;
use crate::storage::{Durability, Outcome, PutMode, Record, StorageError, Version};

/// A tag that was set, and what it was before.
pub(super) struct Tagged {
    tag: Tag,
    before: Option<Record>,
    now: Option<Version>,
}

impl Repository {
    /// In one order, so that two pushes of the same tags do not wait for each other.
    pub(super) async fn lock_tags(&self, tags: &[Tag]) -> Vec<Held<(RepositoryName, Tag)>> {
        let mut held = Vec::with_capacity(tags.len());
        for tag in tags.iter().collect::<BTreeSet<_>>() {
            let key = (self.name.clone(), tag.clone());
            held.push(self.inner.tags.exclusive(&key).await);
        }
        held
    }

    /// 6: the index link, then the tag itself, last of all.
    pub(super) async fn set_tag(&self, tag: &Tag, digest: &Digest) -> Result<Tagged, StorageError> {
        let current = Key::TagCurrent(self.name.clone(), tag.clone());
        let before = self.inner.records.get(&current.path()).await?;
        self.put_link(
            &Key::TagIndex(self.name.clone(), tag.clone(), *digest),
            digest,
        )
        .await?;
        let now = self.put_link(&current, digest).await?;
        Ok(Tagged {
            tag: tag.clone(),
            before,
            now,
        })
    }

    /// The tags go back to what they were, unless someone has moved them since.
    pub(super) async fn take_back(&self, digest: &Digest, tagged: Vec<Tagged>) {
        for Tagged { tag, before, now } in tagged.into_iter().rev() {
            let path = Key::TagCurrent(self.name.clone(), tag.clone()).path();
            let records = &self.inner.records;
            let back = match (before, now) {
                (Some(before), Some(now)) => {
                    let mode = PutMode::IfVersion(now);
                    records
                        .put(&path, before.value, mode, Durability::Durable)
                        .await
                }
                (Some(before), None) => {
                    records
                        .put(&path, before.value, PutMode::Replace, Durability::Durable)
                        .await
                }
                (None, now) => self.untag(&tag, digest, now.as_ref()).await,
            };
            if let Err(error) = back {
                tracing::error!(%error, %tag, repository = %self.name, "tag not taken back");
            }
        }
    }

    /// Of a tag that there was none of before, nothing stays: distribution lists directories.
    async fn untag(
        &self,
        tag: &Tag,
        digest: &Digest,
        now: Option<&Version>,
    ) -> Result<Outcome, StorageError> {
        let current = Key::TagCurrent(self.name.clone(), tag.clone()).path();
        let gone = self.inner.records.delete(&current, now).await?;
        if gone == Outcome::Conflict {
            return Ok(gone);
        }
        let index = Key::TagIndex(self.name.clone(), tag.clone(), *digest).path();
        self.inner.records.delete(&index, None).await
    }
}
