//! The tags of a repository, in plain byte order, a page at a time.

use futures_util::StreamExt;

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
        let mut listing = self.inner.records.list(query);
        while wanted.is_none_or(|wanted| tags.len() < wanted) {
            let Some(entry) = listing.next().await else {
                break;
            };
            let entry = entry?;
            let Ok(tag) = entry.name().parse::<Tag>() else {
                continue;
            };
            let (ask, now) = order.take(tag.as_str());
            for cut in ask {
                if let Some(early) = self.existing_tag(&cut).await? {
                    tags.push(early);
                }
            }
            tags.extend(now.then_some(tag));
        }
        if tags.is_empty() && !self.exists().await? {
            return Err(RegistryError::NameUnknown(self.name.clone()));
        }
        Ok(Page::cut(tags, request.n))
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

impl super::Inner {
    /// Whether a directory has one of the marks of a repository. Only names with a `_` in front
    /// are looked at, of which there are few.
    pub(super) async fn is_repository(
        &self,
        name: &crate::name::RepositoryName,
    ) -> Result<bool, StorageError> {
        let before_marks = Some("_".to_owned());
        let query = ListQuery::children(Dir::Repository(name.clone()).path()).after(before_marks);
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
