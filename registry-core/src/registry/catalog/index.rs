//! The index of repositories: an entry for each, and a mark that all have theirs.
//!
//! Whoever writes to a repository makes its entry first, and whoever reads of one makes sure that
//! it has one: distribution may have written it, which knows nothing of entries. Both are
//! remembered for a while. An entry whose repository has gone harms nobody, since a listing looks at
//! each; a collection removes it once nobody can rely on having made it.

use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex as Lock, MutexGuard, OwnedMutexGuard, RwLock};

use super::{SIDE_BY_SIDE, entered};
use crate::layout::{Dir, Key};
use crate::name::RepositoryName;
use crate::registry::Inner;
use crate::storage::{Durability, ListQuery, PutMode, RecordEntry, StorageError};

/// How long an entry is taken to be there without a look.
const REMEMBERED: Duration = Duration::from_secs(30 * 60);

/// How old an entry must be to be removed beside other processes: older than any that they remember
/// to have made.
const UNRELIED: Duration = Duration::from_secs(2 * 30 * 60);

/// Repositories that are remembered.
const REPOSITORIES: usize = 100_000;

/// What this process knows of the index.
pub(in crate::registry) struct Index {
    /// When it has made an entry.
    made: Cache<RepositoryName, SystemTime>,
    /// When it has seen one.
    seen: Cache<RepositoryName, SystemTime>,
    /// When the index was seen to be complete.
    complete: Mutex<Option<SystemTime>>,
    building: Arc<Lock<()>>,
    walking: Lock<()>,
    /// Shared by all that look whether a repository has its entry.
    healing: Arc<RwLock<()>>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            made: Cache::new(REPOSITORIES),
            seen: Cache::new(REPOSITORIES),
            complete: Mutex::default(),
            building: Arc::default(),
            walking: Lock::default(),
            healing: Arc::default(),
        }
    }
}

impl Index {
    /// Held by the one who walks for a page.
    pub(super) async fn walking(&self) -> MutexGuard<'_, ()> {
        self.walking.lock().await
    }

    /// Held by the one who builds; `None` while another does.
    pub(super) fn build(&self) -> Option<OwnedMutexGuard<()>> {
        Arc::clone(&self.building).try_lock_owned().ok()
    }

    /// The same, once nobody else does.
    pub(in crate::registry) async fn next_build(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.building).lock_owned().await
    }

    /// Once all that was read by now has its entry.
    pub(super) async fn healed(&self) {
        drop(self.healing.write().await);
    }

    fn known(&self) -> Option<SystemTime> {
        *self.complete.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn know(&self, now: SystemTime, complete: bool) {
        let mut known = self.complete.lock().unwrap_or_else(PoisonError::into_inner);
        *known = complete.then_some(now);
    }
}

/// What says that every repository has its entry.
#[derive(Serialize, Deserialize)]
struct Complete {
    form: u32,
}

impl Inner {
    fn is_fresh(&self, since: Option<SystemTime>) -> bool {
        let now = (self.options.ambient.now)();
        // What lies in the future was remembered by a clock that has been set back.
        since.is_some_and(|since| now.duration_since(since).is_ok_and(|age| age < REMEMBERED))
    }

    /// Before anything makes a repository of this name.
    pub(in crate::registry) async fn enter_catalog(
        &self,
        name: &RepositoryName,
    ) -> Result<(), StorageError> {
        if !self.records.guarantees().distant || self.is_fresh(self.index.made.get(name)) {
            return Ok(());
        }
        let now = (self.options.ambient.now)();
        self.put_entry(name).await?;
        self.index.made.insert(name.clone(), now);
        Ok(())
    }

    pub(super) async fn put_entry(&self, name: &RepositoryName) -> Result<(), StorageError> {
        let path = Key::CatalogEntry(name.clone()).path();
        let (mode, durability) = (PutMode::Replace, Durability::Durable);
        let _ = self
            .records
            .put(&path, Bytes::new(), mode, durability)
            .await?;
        Ok(())
    }

    /// Beside whoever has read of a repository, which is there: that it has its entry. Nobody waits
    /// for it, and if it fails, the next who reads tries again.
    pub(in crate::registry) fn heal_catalog(self: &Arc<Self>, name: &RepositoryName) {
        let index = &self.index;
        if !self.records.guarantees().distant
            || self.options.read_only
            || self.is_fresh(index.made.get(name))
            || self.is_fresh(index.seen.get(name))
        {
            return;
        }
        // Before it has been done, so that it is done once for all who read meanwhile.
        index
            .seen
            .insert(name.clone(), (self.options.ambient.now)());
        let (this, name) = (Arc::clone(self), name.clone());
        // Later ones stand behind a catalog that waits for the earlier ones.
        let healing = Arc::clone(&index.healing);
        let begun = Arc::clone(&healing).try_read_owned();
        self.beside(async move {
            let _healing = match begun {
                Ok(healing) => healing,
                Err(_) => healing.read_owned().await,
            };
            if let Err(error) = this.heal(&name).await {
                this.index.seen.remove(&name);
                tracing::debug!(%error, repository = %name, "the index of repositories was not looked at");
            }
        });
    }

    /// An index that was never made is not mended.
    async fn heal(&self, name: &RepositoryName) -> Result<(), StorageError> {
        let complete = self.is_fresh(self.index.known()) || self.is_index_complete().await?;
        let path = Key::CatalogEntry(name.clone()).path();
        if complete && self.records.get(&path).await?.is_none() && self.is_repository(name).await? {
            self.enter_catalog(name).await?;
        }
        Ok(())
    }

    pub(super) async fn is_index_complete(&self) -> Result<bool, StorageError> {
        let now = (self.options.ambient.now)();
        let record = self.records.get(&Key::CatalogComplete.path()).await?;
        let complete = record.and_then(|record| serde_json::from_slice(&record.value).ok());
        let complete = complete.is_some_and(|complete: Complete| complete.form == 1);
        self.index.know(now, complete);
        Ok(complete)
    }

    pub(super) async fn complete_index(&self) -> Result<(), StorageError> {
        let value = serde_json::to_vec(&Complete { form: 1 }).unwrap_or_default();
        let (mode, durability) = (PutMode::Replace, Durability::Durable);
        let path = Key::CatalogComplete.path();
        let _ = self
            .records
            .put(&path, Bytes::from(value), mode, durability)
            .await?;
        self.index.know((self.options.ambient.now)(), true);
        Ok(())
    }

    /// Removes entries of repositories that have gone, and says how many; where nobody writes
    /// meanwhile, also those that were made of late, and what the index of referrers has left.
    pub(in crate::registry) async fn sweep_index(&self, alone: bool) -> Result<u64, StorageError> {
        let now = self.blobs.now().await?;
        let aged = |entry: &RecordEntry| match entry {
            RecordEntry::Record { modified, .. } => {
                let age = modified.map(|modified| now.duration_since(modified));
                alone || age.is_some_and(|age| age.is_ok_and(|age| age > UNRELIED))
            }
            RecordEntry::Directory { .. } => false,
        };
        let entries = self.records.list(ListQuery::children(Dir::Catalog.path()));
        let old = entries.try_filter_map(move |entry| {
            let name = aged(&entry).then(|| entered(&entry)).flatten();
            ready(Ok(name))
        });
        let sweeps = old.map_ok(|name| async move { self.sweep_entry(&name, alone).await });
        let mut swept = sweeps.try_buffer_unordered(SIDE_BY_SIDE).boxed();
        let mut removed = 0;
        while let Some(gone) = swept.try_next().await? {
            removed += u64::from(gone);
        }
        Ok(removed)
    }

    async fn sweep_entry(&self, name: &RepositoryName, alone: bool) -> Result<bool, StorageError> {
        if self.is_repository(name).await? {
            return Ok(false);
        }
        if alone {
            let referrers = Dir::AllReferrers(name.clone()).path();
            self.records.delete_below(&referrers).await?;
        }
        let path = Key::CatalogEntry(name.clone()).path();
        let _ = self.records.delete(&path, None).await?;
        // Another may have made the repository in between.
        let back = self.is_repository(name).await?;
        if back {
            self.put_entry(name).await?;
        }
        Ok(!back)
    }
}
