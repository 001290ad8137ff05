//! When the records of referrers may be believed.
//!
//! distribution may have served the same store while we did not. So the records of a repository
//! are valid for one state of its revisions; another state reopens the scan, which reads every
//! manifest and writes the records that lack. On a store that this process has for itself they
//! then stay valid, since every push of ours writes its record. Where nothing may be written, the
//! answer is computed for as long as they are not valid.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use super::super::Repository;
use super::computed::Parts;
use crate::digest::{Algorithm, AnyDigest, Digest};
use crate::layout::{Dir, Key};
use crate::manifest::Manifest;
use crate::name::RepositoryName;
use crate::storage::{Durability, ListQuery, PutMode, StorageError};

/// Repositories remembered as scanned; forgetting one costs a look at its marker.
const REMEMBERED: usize = 100_000;

/// What this process knows of the scans.
#[derive(Debug, Default)]
pub(in crate::registry) struct Scans {
    states: Arc<Mutex<HashMap<RepositoryName, State>>>,
    parts: Parts,
}

#[derive(Debug, Default)]
struct State {
    /// The stamps for which the records are complete; any, when the store is ours alone.
    valid: Option<Stamps>,
    /// Pushes that have written a revision and not yet its record.
    writing: usize,
}

pub(super) type Stamps = Vec<String>;

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
        let mut scans = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        scans.entry(name.clone()).or_default().writing += 1;
        Writing {
            scans: Arc::clone(&self.states),
            name: name.clone(),
            finished: false,
        }
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    fn valid(&self, name: &RepositoryName) -> Option<Stamps> {
        let scans = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        scans.get(name).and_then(|state| state.valid.clone())
    }

    fn set_valid(&self, name: &RepositoryName, stamps: Stamps) {
        let mut scans = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if scans.len() > REMEMBERED {
            scans.retain(|_, state| state.writing > 0);
        }
        scans.entry(name.clone()).or_default().valid = Some(stamps);
    }
}

/// Where the referrers of a repository are to be found.
pub(super) enum Source {
    /// Every manifest with a subject has its record.
    Records,
    /// Not all of them have, and none may be written: the manifests tell, for as long as the
    /// revisions are at these stamps.
    Manifests(Option<Stamps>),
}

impl Repository {
    /// Makes sure that every manifest with a subject has its record, if it may.
    pub(super) async fn settle_referrers(&self) -> Result<Source, StorageError> {
        let exclusive = self.inner.records.guarantees().exclusive;
        let known = self.inner.scans.valid(&self.name);
        if known.is_some() && exclusive {
            return Ok(Source::Records);
        }
        let stamps = self.settled_stamps().await?;
        if let Some(stamps) = &stamps
            && (known.as_ref() == Some(stamps) || self.marked(stamps).await?)
        {
            self.inner.scans.set_valid(&self.name, stamps.clone());
            return Ok(Source::Records);
        }
        if self.inner.options.read_only {
            return Ok(Source::Manifests(stamps));
        }
        self.scan().await?;
        let after = self.settled_stamps().await?;
        let unchanged = after.filter(|after| stamps.as_ref() == Some(after));
        if exclusive || unchanged.is_some() {
            let valid = unchanged.clone().unwrap_or_default();
            self.inner.scans.set_valid(&self.name, valid);
        }
        if let Some(stamps) = unchanged {
            self.mark(stamps).await?;
        }
        Ok(Source::Records)
    }

    /// The stamps of the revisions, if they tell of every change after them.
    pub(super) async fn settled_stamps(&self) -> Result<Option<Stamps>, StorageError> {
        let mut stamps = Vec::new();
        for algorithm in Algorithm::ALL {
            let dir = Dir::Revisions(self.name.clone(), algorithm).path();
            let Some(stamp) = self.inner.records.stamp(&dir).await? else {
                return Ok(None);
            };
            stamps.push(stamp.as_str().to_owned());
        }
        Ok(Some(stamps))
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
        let mut revisions = self.revisions();
        while let Some(digest) = revisions.try_next().await? {
            let Some((manifest, subject)) = self.referring(digest).await? else {
                continue;
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
        }
        Ok(())
    }

    /// Every manifest of the repository.
    pub(super) fn revisions(&self) -> BoxStream<'_, Result<Digest, StorageError>> {
        let of_one = |algorithm| {
            let dir = Dir::Revisions(self.name.clone(), algorithm).path();
            let entries = self.inner.records.list(ListQuery::recursive(dir.clone()));
            entries.try_filter_map(move |entry| {
                let key = Key::parse(&format!("{dir}/{}", entry.name()));
                ready(Ok(match key {
                    Some(Key::Revision(_, digest)) => Some(digest),
                    _ => None,
                }))
            })
        };
        stream::iter(Algorithm::ALL).flat_map(of_one).boxed()
    }

    /// The manifest and its subject, if it is there and has one.
    pub(super) async fn referring(
        &self,
        digest: Digest,
    ) -> Result<Option<(Manifest, Digest)>, StorageError> {
        let key = Key::Revision(self.name.clone(), digest);
        let Some((target, _)) = self.inner.link(&key).await? else {
            return Ok(None);
        };
        let manifest = self.inner.load(&target, digest).await?;
        Ok(manifest.and_then(|manifest| {
            let subject = manifest.subject().and_then(AnyDigest::known).copied()?;
            Some((manifest, subject))
        }))
    }
}
