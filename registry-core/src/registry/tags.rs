//! The tags of a repository, in plain byte order, a page at a time.

use futures_util::StreamExt;

use super::batches::{Batch, Batches};
use super::ordered::PlainOrder;
use super::{Page, PageRequest, Repository};
use crate::error::RegistryError;
use crate::layout::{CURRENT_LINK, Dir, Key, REPOSITORY_MARKS};
use crate::name::Tag;
use crate::storage::{ListQuery, StorageError};

impl Repository {
    /// Tags after `last`, at most `n`.
    ///
    /// # Errors
    /// [`RegistryError::NameUnknown`] for a repository that the catalog would not list.
    pub async fn tags(&self, request: &PageRequest) -> Result<Page<Tag>, RegistryError> {
        let wanted = request.n.map(|n| n.saturating_add(1));
        let mut tags: Vec<Tag> = Vec::new();
        let mut order = PlainOrder::new(request.last.clone());
        let query = ListQuery::children(Dir::Tags(self.name.clone()).path())
            .holding(CURRENT_LINK)
            .after(order.listing_after());
        let mut batches = Batches::new(&*self.inner.records, query, wanted);
        while wanted.is_none_or(|wanted| tags.len() < wanted)
            && let Some(batch) = batches.next().await?
        {
            let listed = batch.directories().filter_map(|name| name.parse().ok());
            for tag in listed {
                if wanted.is_some_and(|wanted| tags.len() >= wanted) {
                    break;
                }
                self.take_tag(tag, &batch, &mut order, &mut tags).await?;
            }
        }
        if tags.is_empty() && !self.exists().await? {
            return Err(RegistryError::NameUnknown(self.name.clone()));
        }
        self.inner.heal_catalog(&self.name);
        Ok(Page::cut(tags, request.n))
    }

    /// The tag, if its turn has come, behind those that the listing brings too late.
    async fn take_tag(
        &self,
        tag: Tag,
        batch: &Batch,
        order: &mut PlainOrder,
        tags: &mut Vec<Tag>,
    ) -> Result<(), StorageError> {
        let (ask, now) = order.take(tag.as_str());
        for cut in ask {
            // Mostly its own turn comes soon, in the same batch.
            let early = match batch.holds(&cut) {
                Some(true) => cut.parse().ok(),
                Some(false) => None,
                None => self.existing_tag(&cut).await?,
            };
            tags.extend(early);
        }
        tags.extend(now.then_some(tag));
        Ok(())
    }

    async fn existing_tag(&self, text: &str) -> Result<Option<Tag>, StorageError> {
        let Ok(tag) = text.parse::<Tag>() else {
            return Ok(None);
        };
        let key = Key::TagCurrent(self.name.clone(), tag.clone());
        Ok(self.inner.link(&key).await?.map(|_| tag))
    }

    /// Whether the catalog would list it.
    async fn exists(&self) -> Result<bool, StorageError> {
        self.inner.is_repository(&self.name).await
    }
}

/// Names with a `_` in front that may come before a mark.
const UNDERSCORED: usize = 16;

impl super::Inner {
    /// Whether a directory has one of the marks of a repository. Only names with a `_` in front
    /// are looked at, of which there are few, and a mark is among the first.
    pub(super) async fn is_repository(
        &self,
        name: &crate::name::RepositoryName,
    ) -> Result<bool, StorageError> {
        let before_marks = Some("_".to_owned());
        let query = ListQuery::children(Dir::Repository(name.clone()).path())
            .after(before_marks)
            .limit(UNDERSCORED);
        let mut listing = self.records.list(query);
        while let Some(entry) = listing.next().await {
            let entry = entry?;
            if REPOSITORY_MARKS.contains(&entry.name()) {
                return Ok(true);
            }
            if !entry.name().starts_with('_') {
                break;
            }
        }
        Ok(false)
    }
}
