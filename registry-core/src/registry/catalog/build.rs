//! Building the index: a walk over all directories, several at a time. Processes may do so beside
//! each other, and whoever breaks off leaves nothing wrong.

use std::sync::Arc;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use tracing::Instrument;

use super::SIDE_BY_SIDE;
use crate::layout::{Dir, Key, REPOSITORY_MARKS};
use crate::name::RepositoryName;
use crate::registry::{Inner, Registry};
use crate::storage::{ListQuery, RecordEntry, StorageError};

/// A directory, and what was found in it.
struct Looked {
    directory: Option<RepositoryName>,
    is_repository: bool,
    below: Vec<RepositoryName>,
}

impl Registry {
    /// Waits until no index of repositories is being built by this process.
    pub async fn indexed_or_given_up(&self) {
        drop(self.0.index.next_build().await);
    }

    /// Has the index built in a task of its own, unless that goes on already or nothing may be
    /// written. A process that ends need not wait for it.
    pub(super) fn build_index(&self) {
        if self.0.options.read_only {
            return;
        }
        let Some(building) = self.0.index.build() else {
            return;
        };
        let inner = Arc::clone(&self.0);
        let build = async move {
            tracing::info!("building the index of repositories");
            match inner.enter_all(&mut |_| {}).await {
                Ok(repositories) => {
                    tracing::info!(repositories, "the index of repositories is complete");
                }
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the index of repositories was not completed; the next catalog tries again"
                ),
            }
            drop(building);
        };
        drop(tokio::spawn(build.in_current_span()));
    }
}

impl Inner {
    /// Makes every entry that lacks, and then says that all are there; how many repositories there
    /// are. Is told how many so far.
    pub(in crate::registry) async fn enter_all(
        &self,
        tell: &mut (dyn FnMut(u64) + Send),
    ) -> Result<u64, StorageError> {
        let mut looks = FuturesUnordered::new();
        let mut left = Vec::new();
        let mut repositories = 0;
        looks.push(self.enter_one(None).boxed());
        while let Some(looked) = looks.try_next().await? {
            if looked.is_repository && looked.directory.is_some() {
                repositories += 1;
                tell(repositories);
            }
            left.extend(looked.below);
            // Depth first, so that little waits.
            while looks.len() < SIDE_BY_SIDE
                && let Some(name) = left.pop()
            {
                looks.push(self.enter_one(Some(name)).boxed());
            }
        }
        self.complete_index().await?;
        Ok(repositories)
    }

    async fn enter_one(&self, directory: Option<RepositoryName>) -> Result<Looked, StorageError> {
        let mut looked = Looked {
            directory,
            is_repository: false,
            below: Vec::new(),
        };
        let path = match &looked.directory {
            Some(name) => Dir::Repository(name.clone()).path(),
            None => Dir::Repositories.path(),
        };
        let mut entries = self.records.list(ListQuery::children(path));
        while let Some(entry) = entries.next().await {
            let RecordEntry::Directory { name } = entry? else {
                continue;
            };
            looked.is_repository |= REPOSITORY_MARKS.contains(&name.as_str());
            let name = match &looked.directory {
                Some(above) => format!("{above}/{name}").parse(),
                None => name.parse(),
            };
            looked.below.extend(name);
        }
        if let Some(name) = looked.directory.as_ref().filter(|_| looked.is_repository) {
            let path = Key::CatalogEntry(name.clone()).path();
            if self.records.get(&path).await?.is_none() {
                self.put_entry(name).await?;
            }
        }
        Ok(looked)
    }
}
