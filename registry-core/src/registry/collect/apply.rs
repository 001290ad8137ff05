//! The steps of a cycle.

use std::collections::HashSet;
use std::future::ready;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::TryStreamExt;

use super::mark::Marked;
use super::plan::{Fate, Plan};
use super::progress::{purging, retiring, unlinking};
use super::{CollectOptions, Collected, Observer, Seen};
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::layout::Key;
use crate::name::RepositoryName;
use crate::registry::find::link_content;
use crate::registry::{Inner, Registry};
use crate::storage::{Durability, PutMode, Retired, StorageError};

impl Registry {
    /// One cycle: mark, retire, look once more, and destroy what an earlier one has retired.
    ///
    /// # Errors
    /// Faults of the store. Whatever was being marked then keeps everything; what was retired
    /// comes back when it is asked for, and is looked at again by the next cycle.
    pub async fn collect(
        &self,
        options: &CollectOptions,
        observer: &mut Observer<'_>,
    ) -> Result<Collected, RegistryError> {
        let inner = &self.0;
        let now = inner.blobs.now().await?;
        let marked = self.mark(options, now, observer).await?;
        let mut collected = Collected {
            repositories: marked.repositories,
            revisions: marked.revisions,
            unreadable: marked.unreadable,
            marked: marked.marks.len() as u64,
            ..Collected::default()
        };
        let removed = self
            .remove_untagged(&marked, options, &mut collected, observer)
            .await?;
        let plan = Plan {
            marks: &marked.marks,
            now,
            grace: options.grace,
            quarantine: options.quarantine,
        };
        let retired = inner
            .retire_all(&plan, options, &mut collected, observer)
            .await?;
        let changed = !(retired.is_empty() && removed.is_empty());
        if changed && !options.offline {
            self.look_again(options, &removed, &retired, &mut collected, observer)
                .await?;
        }
        self.empty_trash(options, &mut collected, observer).await?;
        if inner.records.guarantees().distant && !options.dry_run {
            if options.offline {
                self.remove_dangling(&marked, options, now, &mut collected, observer)
                    .await?;
            }
            collected.entries = inner.sweep_index(options.offline).await?;
        }
        Ok(collected)
    }

    async fn remove_untagged(
        &self,
        marked: &Marked,
        options: &CollectOptions,
        collected: &mut Collected,
        observer: &mut Observer<'_>,
    ) -> Result<HashSet<(RepositoryName, Digest)>, RegistryError> {
        let mut removed = HashSet::new();
        for (name, digest) in &marked.untagged {
            if options.dry_run || self.0.remove_untagged(name, digest, options).await? {
                observer(Seen::Untagged(name, digest));
                collected.untagged += 1;
                removed.insert((name.clone(), *digest));
            }
        }
        Ok(removed)
    }

    /// Restores what has come to be needed while it was being retired, and puts the revisions
    /// back that a tag or an index has come to need.
    async fn look_again(
        &self,
        options: &CollectOptions,
        removed: &HashSet<(RepositoryName, Digest)>,
        retired: &[Retired],
        collected: &mut Collected,
        observer: &mut Observer<'_>,
    ) -> Result<(), RegistryError> {
        loop {
            let now = self.0.blobs.now().await?;
            let marked = self.mark_again(options, now, observer).await?;
            for copy in retired {
                if marked.marks.why(&copy.digest).is_some() {
                    self.0.bring_back(copy).await?;
                    collected.restored.add(copy.size);
                }
            }
            let mut put_back = false;
            for (name, digest) in marked.dangling.intersection(removed) {
                put_back |= self.0.put_revision_back(name, digest).await?;
            }
            // What came back may itself need others.
            if !put_back {
                return Ok(());
            }
        }
    }

    /// What an earlier cycle has retired, or this one if there is no quarantine. The trash is
    /// listed before the mark that decides on it.
    async fn empty_trash(
        &self,
        options: &CollectOptions,
        collected: &mut Collected,
        observer: &mut Observer<'_>,
    ) -> Result<(), RegistryError> {
        let copies: Vec<Retired> = self.0.blobs.list_retired().try_collect().await?;
        if copies.is_empty() {
            return Ok(());
        }
        let now = self.0.blobs.now().await?;
        let marked = self.mark_again(options, now, observer).await?;
        let plan = Plan {
            marks: &marked.marks,
            now,
            grace: options.grace,
            quarantine: options.quarantine,
        };
        let mut purged = HashSet::new();
        let of = copies.len() as u64;
        for (copies, copy) in (0..).zip(&copies) {
            observer(purging(copies, of, collected));
            let fate = plan.of_copy(copy);
            observer(Seen::Copy(copy, &fate));
            match fate {
                Fate::Restore(_) => {
                    collected.restored.add(copy.size);
                    if !options.dry_run {
                        self.0.give_back(copy, &plan).await?;
                    }
                }
                Fate::Purge { .. } => {
                    collected.purged.add(copy.size);
                    purged.insert(copy.digest);
                    if !options.dry_run {
                        self.0.purge(copy).await?;
                    }
                }
                _ => collected.waiting.add(copy.size),
            }
        }
        observer(purging(of, of, collected));
        // On an object store a pull must not meet a moment without its link.
        let guarantees = self.0.records.guarantees();
        let alone = guarantees.exclusive || options.offline && !guarantees.distant;
        if alone && !options.dry_run && !purged.is_empty() {
            let gone = |digest: &Digest| purged.contains(digest);
            self.remove_links(&gone, options, now, collected, observer)
                .await?;
        }
        Ok(())
    }

    /// The links of all that is gone for good: collections beside which others wrote have left them.
    async fn remove_dangling(
        &self,
        marked: &Marked,
        options: &CollectOptions,
        now: SystemTime,
        collected: &mut Collected,
        observer: &mut Observer<'_>,
    ) -> Result<(), RegistryError> {
        let copies = self.0.blobs.list_retired().map_ok(|copy| copy.digest);
        let trash: HashSet<Digest> = copies.try_collect().await?;
        let gone = |digest: &Digest| marked.marks.why(digest).is_none() && !trash.contains(digest);
        self.remove_links(&gone, options, now, collected, observer)
            .await
    }

    /// Of these, the links of those that have no bytes.
    async fn remove_links(
        &self,
        gone: &(dyn Fn(&Digest) -> bool + Sync),
        options: &CollectOptions,
        now: SystemTime,
        collected: &mut Collected,
        observer: &mut Observer<'_>,
    ) -> Result<(), RegistryError> {
        let mut walk = crate::registry::catalog::Walk::new(None);
        let mut repositories = 0;
        observer(unlinking(repositories, collected));
        while let Some(name) = walk.next(self).await? {
            let layers = self.0.layers(&name);
            let layers = layers.try_filter(|digest| ready(gone(digest)));
            let digests: Vec<Digest> = layers.try_collect().await?;
            for digest in digests {
                if self.0.remove_link(&name, &digest, options, now).await? {
                    observer(Seen::Link(&name, &digest));
                    collected.links += 1;
                }
            }
            repositories += 1;
            observer(unlinking(repositories, collected));
        }
        Ok(())
    }
}

impl Inner {
    /// Judges every blob, and retires those that have to go.
    async fn retire_all(
        &self,
        plan: &Plan<'_>,
        options: &CollectOptions,
        collected: &mut Collected,
        observer: &mut Observer<'_>,
    ) -> Result<Vec<Retired>, RegistryError> {
        let mut retired = Vec::new();
        let mut blobs = self.blobs.list(None);
        let mut judged = 0;
        observer(retiring(judged, collected));
        while let Some(blob) = blobs.try_next().await? {
            let fate = plan.of_blob(&blob);
            observer(Seen::Blob(&blob, &fate));
            if !matches!(fate, Fate::Retire { .. }) {
                collected.kept.add(blob.stat.size);
            } else if options.dry_run {
                collected.retired.add(blob.stat.size);
            } else if let Some(copy) = self.retire(&blob.digest, plan).await? {
                collected.retired.add(copy.size);
                retired.push(copy);
            }
            judged += 1;
            observer(retiring(judged, collected));
        }
        Ok(retired)
    }

    /// `None` if it has become young, or has gone.
    async fn retire(
        &self,
        digest: &Digest,
        plan: &Plan<'_>,
    ) -> Result<Option<Retired>, StorageError> {
        let _alone = self.digests.exclusive(digest).await;
        let retired = match self.blobs.stat(digest).await {
            Ok(stat) if plan.age(stat.modified) < plan.grace => return Ok(None),
            Ok(_) => self.blobs.retire(digest).await,
            Err(error) => Err(error),
        };
        match retired {
            Ok(copy) => Ok(Some(copy)),
            Err(StorageError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Back to its name, and out of the trash: where restoring makes a copy, the one in the trash
    /// stays.
    async fn bring_back(&self, copy: &Retired) -> Result<(), StorageError> {
        let _alone = self.digests.exclusive(&copy.digest).await;
        match self.blobs.restore(&copy.digest).await {
            Ok(_) | Err(StorageError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The same; and where that leaves the copy in the trash, it goes once no delete that relies on
    /// it can still come.
    async fn give_back(&self, copy: &Retired, plan: &Plan<'_>) -> Result<(), StorageError> {
        let _alone = self.digests.exclusive(&copy.digest).await;
        match self.blobs.restore(&copy.digest).await {
            Ok(_) if plan.age(copy.since) >= plan.quarantine => self.blobs.purge(copy).await,
            Ok(_) | Err(StorageError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn purge(&self, copy: &Retired) -> Result<(), StorageError> {
        let _alone = self.digests.exclusive(&copy.digest).await;
        self.blobs.purge(copy).await
    }

    async fn remove_link(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        options: &CollectOptions,
        now: SystemTime,
    ) -> Result<bool, StorageError> {
        let _alone = self.digests.exclusive(digest).await;
        let path = Key::Layer(name.clone(), *digest).path();
        let Some(record) = self.records.get(&path).await? else {
            return Ok(false);
        };
        // distribution has links of other digests lead to the one that it computed.
        let target = crate::layout::parse_link(&record.value);
        for one in [Some(*digest), target].into_iter().flatten() {
            match self.blobs.stat(&one).await {
                Ok(_) => return Ok(false),
                Err(StorageError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        let age = now.duration_since(record.modified).unwrap_or_default();
        if age < options.grace {
            return Ok(false);
        }
        let _ = self.records.delete(&path, None).await?;
        Ok(true)
    }

    /// Under the lock that pushes share, and only if it is still as old.
    async fn remove_untagged(
        self: &Arc<Self>,
        name: &RepositoryName,
        digest: &Digest,
        options: &CollectOptions,
    ) -> Result<bool, RegistryError> {
        let _alone = self.repositories.exclusive(name).await;
        let path = Key::Revision(name.clone(), *digest).path();
        let Some(record) = self.records.get(&path).await? else {
            return Ok(false);
        };
        let now = self.blobs.now().await?;
        let age = now.duration_since(record.modified).unwrap_or_default();
        if age < options.grace {
            return Ok(false);
        }
        let target = crate::layout::parse_link(&record.value).unwrap_or(*digest);
        self.delete_side_data(name, &target, digest).await?;
        let _ = self.records.delete(&path, None).await?;
        Ok(true)
    }

    async fn put_revision_back(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StorageError> {
        let _beside = self.repositories.shared(name).await;
        let path = Key::Revision(name.clone(), *digest).path();
        if self.records.get(&path).await?.is_some() {
            return Ok(false);
        }
        let (mode, durability) = (PutMode::Create, Durability::Durable);
        let _ = self
            .records
            .put(&path, link_content(digest), mode, durability)
            .await?;
        Ok(true)
    }
}
