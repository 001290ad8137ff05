//! All repositories, in plain byte order, a page at a time: by a walk of the directories that reads
//! no more than the page needs, or by an index of a store in which walking is dear.

mod build;
mod index;
mod walk;

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};

pub(super) use self::index::Index;
pub(super) use self::walk::Walk;
use super::batches::Batches;
use super::ordered::PlainOrder;
use super::{Page, PageRequest, Registry};
use crate::error::RegistryError;
use crate::layout::{Dir, catalog_name, catalog_start};
use crate::name::RepositoryName;
use crate::rules::Grant;
use crate::storage::{ListQuery, RecordEntry, StorageError};

/// Looks at repositories that run side by side.
const SIDE_BY_SIDE: usize = 16;

impl Registry {
    /// Repositories after `last` that the caller may pull from, at most `n`.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn catalog(
        &self,
        grant: &Grant,
        request: &PageRequest,
    ) -> Result<Page<RepositoryName>, RegistryError> {
        let names = match self.0.records.guarantees().distant {
            false => self.walked(grant, request).await?,
            true => self.indexed(grant, request).await?,
        };
        Ok(Page::cut(names, request.n))
    }

    /// While the index is not complete it is made so, by one task for all who ask meanwhile, and
    /// their answers come from walks, of which there is one at a time.
    async fn indexed(
        &self,
        grant: &Grant,
        request: &PageRequest,
    ) -> Result<Vec<RepositoryName>, StorageError> {
        if self.0.is_index_complete().await? {
            self.0.index.healed().await;
            return self.listed(grant, request).await;
        }
        self.build_index();
        let _walking = self.0.index.walking().await;
        match self.0.is_index_complete().await? {
            true => self.listed(grant, request).await,
            false => self.walked(grant, request).await,
        }
    }

    /// The page, and one name more if there is one, by a walk.
    async fn walked(
        &self,
        grant: &Grant,
        request: &PageRequest,
    ) -> Result<Vec<RepositoryName>, StorageError> {
        let wanted = request.n.map(|n| n.saturating_add(1));
        let mut names: Vec<RepositoryName> = Vec::new();
        let mut order = PlainOrder::new(request.last.clone());
        let mut walk = Walk::new(request.last.as_deref());
        while wanted.is_none_or(|wanted| names.len() < wanted) {
            let Some(directory) = walk.next(self).await? else {
                break;
            };
            let (ask, now) = order.take(directory.as_str());
            let early = ask
                .iter()
                .filter_map(|cut| cut.parse::<RepositoryName>().ok());
            for name in early.chain(now.then_some(directory)) {
                if grant.may_see(&name) && self.0.is_repository(&name).await? {
                    names.push(name);
                }
            }
        }
        Ok(names)
    }

    /// The same by the index, whose order is that of the names. What has gone since is not shown,
    /// so each is looked at.
    async fn listed(
        &self,
        grant: &Grant,
        request: &PageRequest,
    ) -> Result<Vec<RepositoryName>, StorageError> {
        let wanted = request.n.map(|n| n.saturating_add(1));
        let last = request.last.as_deref();
        let query = ListQuery::children(Dir::Catalog.path()).after(last.and_then(catalog_start));
        let mut batches = Batches::new(&*self.0.records, query, wanted);
        let mut names = Vec::new();
        while wanted.is_none_or(|wanted| names.len() < wanted)
            && let Some(batch) = batches.next().await?
        {
            let entries = batch.entries.iter().filter_map(entered);
            let shown = entries
                .filter(|name| last.is_none_or(|last| name.as_str() > last) && grant.may_see(name));
            let left = wanted.map_or(usize::MAX, |wanted| wanted - names.len());
            let looks: Vec<_> = shown.map(|name| self.if_there(name).boxed()).collect();
            let there = stream::iter(looks).buffered(SIDE_BY_SIDE.min(left));
            let there = there.try_filter_map(async |name| Ok(name)).take(left);
            names.extend(there.try_collect::<Vec<_>>().await?);
        }
        Ok(names)
    }

    async fn if_there(&self, name: RepositoryName) -> Result<Option<RepositoryName>, StorageError> {
        Ok(self.0.is_repository(&name).await?.then_some(name))
    }
}

/// The repository of an entry.
fn entered(entry: &RecordEntry) -> Option<RepositoryName> {
    match entry {
        RecordEntry::Record { name, .. } => catalog_name(name),
        RecordEntry::Directory { .. } => None,
    }
}
