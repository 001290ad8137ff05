//! When the records of referrers may be believed.
//!
//! distribution may have served the same store while we did not. So the records of a repository
//! are valid for one state of its revisions; another state reopens the scan, which reads every
//! manifest and writes the records that lack. On a store that this process has for itself they
//! then stay valid, since every push of ours writes its record.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::super::Repository;
use crate::digest::Algorithm;
use crate::layout::{Dir, Key};
use crate::manifest::Manifest;
use crate::name::RepositoryName;
use crate::storage::{Durability, ListQuery, PutMode, RecordEntry, StorageError};

/// Repositories remembered as scanned; forgetting one costs a look at its marker.
const REMEMBERED: usize = 100_000;

/// What this process knows of the scans.
#[derive(Debug, Default)]
pub(in crate::registry) struct Scans(Arc<Mutex<HashMap<RepositoryName, State>>>);

#[derive(Debug, Default)]
struct State {
    /// The stamps for which the records are complete; any, when the store is ours alone.
    valid: Option<Stamps>,
    /// Pushes that have written a revision and not yet its record.
    writing: usize,
}

type Stamps = Vec<Option<String>>;

/// The marker of a finished scan.
#[derive(Serialize, Deserialize)]
struct Marker {
    form: u32,
    stamps: Stamps,
}

/// A push between its revision and its record. Dropped before it is done, the records may lack
/// one, and the next listing scans again.
pub(in crate::registry) struct Writing {
    scans: Arc<Mutex<HashMap<RepositoryName, State>>>,
    name: RepositoryName,
    finished: bool,
}

impl Writing {
    pub(in crate::registry) fn done(mut self) {
        self.finished = true;
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = scans.get_mut(&self.name) {
            state.writing = state.writing.saturating_sub(1);
            if !self.finished {
                state.valid = None;
            }
        }
    }
}

impl Scans {
    pub(in crate::registry) fn writing(&self, name: &RepositoryName) -> Writing {
        let mut scans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        scans.entry(name.clone()).or_default().writing += 1;
        Writing {
            scans: Arc::clone(&self.0),
            name: name.clone(),
            finished: false,
        }
    }

    fn valid(&self, name: &RepositoryName) -> Option<Stamps> {
        let scans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        scans.get(name).and_then(|state| state.valid.clone())
    }

    fn set_valid(&self, name: &RepositoryName, stamps: Stamps) {
        let mut scans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if scans.len() > REMEMBERED {
            scans.retain(|_, state| state.writing > 0);
        }
        scans.entry(name.clone()).or_default().valid = Some(stamps);
    }
}

impl Repository {
    /// Makes sure that every manifest with a subject has its record.
    pub(super) async fn settle_referrers(&self) -> Result<(), StorageError> {
        let exclusive = self.inner.records.guarantees().exclusive;
        let known = self.inner.scans.valid(&self.name);
        if known.is_some() && exclusive {
            return Ok(());
        }
        let stamps = self.stamps().await?;
        let settled = stamps.iter().all(Option::is_some);
        if settled && (known.as_ref() == Some(&stamps) || self.marked(&stamps).await?) {
            self.inner.scans.set_valid(&self.name, stamps);
            return Ok(());
        }
        self.scan().await?;
        let after = self.stamps().await?;
        if exclusive || settled && after == stamps {
            self.inner.scans.set_valid(&self.name, after.clone());
        }
        if settled && after == stamps && !self.inner.options.read_only {
            self.mark(after).await?;
        }
        Ok(())
    }

    async fn stamps(&self) -> Result<Stamps, StorageError> {
        let mut stamps = Vec::new();
        for algorithm in Algorithm::ALL {
            let dir = Dir::Revisions(self.name.clone(), algorithm).path();
            let stamp = self.inner.records.stamp(&dir).await?;
            stamps.push(stamp.map(|stamp| stamp.as_str().to_owned()));
        }
        Ok(stamps)
    }

    async fn marked(&self, stamps: &Stamps) -> Result<bool, StorageError> {
        let path = Key::ReferrersScanned(self.name.clone()).path();
        let record = self.inner.records.get(&path).await?;
        let marker = record.and_then(|record| serde_json::from_slice::<Marker>(&record.value).ok());
        Ok(marker.is_some_and(|marker| marker.form == 1 && marker.stamps == *stamps))
    }

    /// Where there is nothing scanned, nothing is marked: a question must not make a repository.
    async fn mark(&self, stamps: Stamps) -> Result<(), StorageError> {
        if !self.inner.is_repository(&self.name).await? {
            return Ok(());
        }
        let path = Key::ReferrersScanned(self.name.clone()).path();
        let value = serde_json::to_vec(&Marker { form: 1, stamps }).unwrap_or_default();
        let (mode, durability) = (PutMode::Replace, Durability::Volatile);
        let _ = self
            .inner
            .records
            .put(&path, Bytes::from(value), mode, durability)
            .await?;
        Ok(())
    }

    async fn scan(&self) -> Result<(), StorageError> {
        for algorithm in Algorithm::ALL {
            let dir = Dir::Revisions(self.name.clone(), algorithm).path();
            let mut entries = self.inner.records.list(ListQuery::recursive(dir.clone()));
            while let Some(entry) = entries.try_next().await? {
                let RecordEntry::Record { name, .. } = entry else {
                    continue;
                };
                if let Some(Key::Revision(_, digest)) = Key::parse(&format!("{dir}/{name}")) {
                    self.scan_one(digest).await?;
                }
            }
        }
        Ok(())
    }

    async fn scan_one(&self, digest: crate::digest::Digest) -> Result<(), StorageError> {
        let key = Key::Revision(self.name.clone(), digest);
        let Some((target, _)) = self.inner.link(&key).await? else {
            return Ok(());
        };
        let bytes = match self.inner.manifest_bytes(&target).await {
            Ok(bytes) => bytes,
            Err(StorageError::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        };
        let Ok(manifest) = Manifest::load(bytes, digest) else {
            return Ok(());
        };
        let Some(subject) = manifest.subject().copied() else {
            return Ok(());
        };
        let (repository, referrer) = (self.name.clone(), digest);
        let path = Key::Referrer {
            repository,
            subject,
            referrer,
        }
        .path();
        if self.inner.records.get(&path).await?.is_none() {
            self.put_referrer(&manifest, &subject).await?;
        }
        Ok(())
    }
}
