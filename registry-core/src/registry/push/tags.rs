//! The tags of a push: set last of all, and taken back when what they name cannot be had.

use std::collections::BTreeSet;

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::layout::{Key, parse_link};
use crate::locks::Held;
use crate::name::{RepositoryName, Tag};
use crate::registry::Repository;
use crate::registry::find::link_content;
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

    /// Whether the tag stays what it is, once it is something.
    fn is_fixed(&self, tag: &Tag) -> bool {
        let immutable = &self.inner.options.immutable;
        !self.grant.may_move_tags(&self.name)
            || immutable.iter().any(|rule| rule.covers(&self.name, tag))
    }

    /// Says it before anything is written. What counts is what [`Repository::set_tag`] finds.
    pub(super) async fn must_not_move(
        &self,
        tags: &[Tag],
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        for tag in tags.iter().filter(|tag| self.is_fixed(tag)) {
            let current = Key::TagCurrent(self.name.clone(), tag.clone());
            let now = self.inner.link(&current).await?;
            if now.is_some_and(|(now, _)| now != *digest) {
                return Err(self.stays(tag).await?);
            }
        }
        Ok(())
    }

    /// 6: the index link, then the tag itself, last of all.
    pub(super) async fn set_tag(
        &self,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<Tagged, RegistryError> {
        let current = Key::TagCurrent(self.name.clone(), tag.clone());
        let before = self.inner.records.get(&current.path()).await?;
        if self.is_fixed(tag) {
            return self.set_once(tag, digest, before).await;
        }
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

    /// The same for a tag that nobody moves: of several pushes, in whatever processes, one sets it.
    async fn set_once(
        &self,
        tag: &Tag,
        digest: &Digest,
        before: Option<Record>,
    ) -> Result<Tagged, RegistryError> {
        let current = Key::TagCurrent(self.name.clone(), tag.clone());
        let known = before.as_ref().and_then(|record| parse_link(&record.value));
        if known.is_some_and(|known| known != *digest) {
            return Err(self.stays(tag).await?);
        }
        let index = Key::TagIndex(self.name.clone(), tag.clone(), *digest);
        self.put_link(&index, digest).await?;
        let mode = match &before {
            None => PutMode::Create,
            // The same digest again, or what a crash left.
            Some(record) => PutMode::IfVersion(record.version.clone()),
        };
        let (path, value) = (current.path(), link_content(digest));
        let records = &self.inner.records;
        match records.put(&path, value, mode, Durability::Durable).await? {
            Outcome::Done(now) => Ok(Tagged {
                tag: tag.clone(),
                before,
                now,
            }),
            // Someone was faster. With the same digest, both have what they want.
            Outcome::Conflict => match self.inner.link(&current).await? {
                Some((now, record)) if now == *digest => Ok(Tagged {
                    tag: tag.clone(),
                    now: Some(record.version.clone()),
                    before: Some(record),
                }),
                _ => {
                    let _ = records.delete(&index.path(), None).await?;
                    Err(self.stays(tag).await?)
                }
            },
        }
    }

    async fn stays(&self, tag: &Tag) -> Result<RegistryError, StorageError> {
        let current = Key::TagCurrent(self.name.clone(), tag.clone());
        let now = self.inner.link(&current).await?.map(|(now, _)| now);
        let now = now.map_or("another manifest".to_owned(), |now| now.to_string());
        Ok(RegistryError::Denied(format!(
            "tag {tag} is {now} and may not be moved"
        )))
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
