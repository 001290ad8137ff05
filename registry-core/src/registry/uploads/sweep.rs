//! Abandoned uploads are purged by age.

use std::collections::HashSet;

use futures_util::StreamExt;

use super::record;
use crate::error::RegistryError;
use crate::layout::{Dir, Key};
use crate::registry::Registry;
use crate::storage::{ListQuery, Outcome, RecordEntry, Sweep};

impl Registry {
    /// Removes what is left of uploads older than [`upload_age`]: their bytes, their records and
    /// tombstones, and distribution's own unfinished uploads. Says how many.
    ///
    /// [`upload_age`]: super::super::Options::upload_age
    ///
    /// # Errors
    /// Faults of the store; what was removed before stays removed.
    pub async fn purge_uploads(&self) -> Result<u64, RegistryError> {
        self.sweep_uploads(Sweep::Remove).await
    }

    /// Tells the path of everything that [`purge_uploads`](Self::purge_uploads) would remove now,
    /// and removes nothing. Says how many.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn find_abandoned_uploads(
        &self,
        tell: &mut (dyn FnMut(&str) + Send),
    ) -> Result<u64, RegistryError> {
        self.sweep_uploads(Sweep::Tell(tell)).await
    }

    async fn sweep_uploads(&self, mut sweep: Sweep<'_>) -> Result<u64, RegistryError> {
        let inner = &self.0;
        let now = inner.blobs.now().await?;
        let Some(before) = now.checked_sub(inner.options.upload_age) else {
            return Ok(0);
        };
        let (mut purged, mut keep) = (0, HashSet::new());
        let dir = Dir::Uploads.path();
        let mut entries = inner.records.list(ListQuery::recursive(dir.clone()));
        while let Some(entry) = entries.next().await {
            let RecordEntry::Record { name, .. } = entry? else {
                continue;
            };
            let Some(Key::UploadRecord(id)) = Key::parse(&format!("{dir}/{name}")) else {
                continue;
            };
            // Whoever is writing to it keeps it alive.
            let Some(_only) = inner.writers.try_exclusive(&id) else {
                keep.insert(id);
                continue;
            };
            let path = Key::UploadRecord(id).path();
            match inner.records.get(&path).await? {
                Some(record) if record.modified < before && !sweep.removes() => {
                    sweep.found(Dir::Upload(id).path().as_str());
                    // It is told once.
                    keep.insert(id);
                    purged += 1;
                }
                Some(record) if record.modified < before => {
                    let at = record::checkpoint(&record);
                    inner.blobs.abort_upload(&id, at).await?;
                    if let Outcome::Done(_) =
                        inner.records.delete(&path, Some(&record.version)).await?
                    {
                        purged += 1;
                    }
                }
                Some(_) => {
                    keep.insert(id);
                }
                None => {}
            }
        }
        Ok(purged + inner.blobs.sweep_uploads(before, &keep, sweep).await?)
    }
}
