//! When the records of referrers may be believed.
//!
//! distribution may have served the same store while we did not. So the records of a repository
//! are valid for one state of its revisions; another state reopens the scan, which reads every
//! manifest and writes the records that lack. On a store that this process has for itself they
//! then stay valid, since every push of ours writes its record. Where nothing may be written, the
//! answer is computed for as long as they are not valid.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use super::super::Repository;
use super::computed::Parts;
use crate::digest::{Algorithm, AnyDigest, Digest};
use crate::layout::{Dir, Key};
use crate::locks::{Held, KeyedLocks};
use crate::manifest::Manifest;
use crate::name::RepositoryName;
use crate::registry::find::read_manifest;
use crate::storage::{Durability, ListQuery, PutMode, StorageError};

/// Repositories remembered as scanned; forgetting one costs a look at its marker.
const REMEMBERED: usize = 100_000;

/// What this process knows of the scans.
#[derive(Debug, Default)]
pub(in crate::registry) struct Scans {
    known: Arc<Mutex<Known>>,
    /// Held while the manifests of a repository are read, so that they are read once for all who
    /// ask at the same time.
    reading: KeyedLocks<RepositoryName>,
    parts: Parts,
}

#[derive(Debug, Default)]
struct Known {
    states: HashMap<RepositoryName, State>,
    /// Pushes of any repository that have come to no end: a scan that has met one may have missed
    /// its revision.
    unfinished: u64,
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
pub(super) struct Marker {
    pub(super) form: u32,
    pub(super) stamps: Stamps,
    /// Where nothing has stamps: all that was linked until then was seen, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<u64>,
}

/// A push between its revision and its record. Dropped before it is done, the records may lack
/// one, and the next listing scans again.
pub(in crate::registry) struct Writing {
    known: Arc<Mutex<Known>>,
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
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.finished {
            known.unfinished += 1;
        }
        let Some(state) = known.states.get_mut(&self.name) else {
            return;
        };
        state.writing = state.writing.saturating_sub(1);
        if !self.finished {
            state.valid = None;
        }
        if state.writing == 0 && state.valid.is_none() {
            known.states.remove(&self.name);
        }
    }
}

/// When a scan began, or a look at its marker.
#[derive(Clone, Copy)]
pub(super) struct Begun(u64);

impl Scans {
    pub(in crate::registry) fn writing(&self, name: &RepositoryName) -> Writing {
        let mut known = self.known();
        known.states.entry(name.clone()).or_default().writing += 1;
        Writing {
            known: Arc::clone(&self.known),
            name: name.clone(),
            finished: false,
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(super) async fn reading(&self, name: &RepositoryName) -> Held<RepositoryName> {
        self.reading.exclusive(name).await
    }

    pub(super) fn begin(&self) -> Begun {
        Begun(self.known().unfinished)
    }

    pub(super) fn valid(&self, name: &RepositoryName) -> Option<Stamps> {
        let known = self.known();
        known.states.get(name).and_then(|state| state.valid.clone())
    }

    /// Says whether it is so: not if a push has failed since.
    pub(super) fn set_valid(&self, name: &RepositoryName, stamps: Stamps, begun: Begun) -> bool {
        let mut known = self.known();
        if known.unfinished != begun.0 {
            return false;
        }
        if known.states.len() > REMEMBERED {
            known.states.retain(|_, state| state.writing > 0);
        }
        known.states.entry(name.clone()).or_default().valid = Some(stamps);
        true
    }
}

/// What a look at one revision has found.
pub(super) enum Seen {
    /// No link, or no bytes. Both can come without a change of the directory above, where
    /// distribution has left an empty one.
    Absent,
    /// A manifest without a subject, or none that we understand.
    Other,
    /// A manifest and its subject.
    Refers(Box<Manifest>, Digest),
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
        let Some((_, stamps)) = self.unsettled().await? else {
            return Ok(Source::Records);
        };
        let distant = self.inner.records.guarantees().distant;
        if self.inner.options.read_only {
            return match distant && self.catch_up().await? {
                true => Ok(Source::Records),
                false => Ok(Source::Manifests(stamps)),
            };
        }
        let this = self.clone();
        let settling = async move {
            match distant {
                true => this.catch_up().await.map(drop),
                false => this.settle(stamps.is_some()).await,
            }
        };
        self.inner.finish(settling).await?;
        Ok(Source::Records)
    }

    /// What a scan begins with; `None` when the records may be believed.
    async fn unsettled(&self) -> Result<Option<(Begun, Option<Stamps>)>, StorageError> {
        let scans = &self.inner.scans;
        let known = scans.valid(&self.name);
        let guarantees = self.inner.records.guarantees();
        if known.is_some() && (guarantees.exclusive || guarantees.distant) {
            return Ok(None);
        }
        let begun = scans.begin();
        if guarantees.distant {
            return Ok(Some((begun, None)));
        }
        let stamps = self.settled_stamps().await?;
        if let Some(stamps) = &stamps
            && (known.as_ref() == Some(stamps) || self.marked(stamps).await?)
            && scans.set_valid(&self.name, stamps.clone(), begun)
        {
            return Ok(None);
        }
        Ok(Some((begun, stamps)))
    }

    /// One for all who ask meanwhile, where the result outlasts the question.
    async fn settle(&self, stamped: bool) -> Result<(), StorageError> {
        let exclusive = self.inner.records.guarantees().exclusive;
        let _reading = match exclusive || stamped {
            true => Some(self.inner.scans.reading(&self.name).await),
            false => None,
        };
        let Some((begun, stamps)) = self.unsettled().await? else {
            return Ok(());
        };
        let complete = self.scan().await?;
        let after = self.settled_stamps().await?;
        let unchanged = after.filter(|after| complete && stamps.as_ref() == Some(after));
        if exclusive || unchanged.is_some() {
            let valid = unchanged.clone().unwrap_or_default();
            if !self.inner.scans.set_valid(&self.name, valid, begun) {
                return Ok(());
            }
        }
        match unchanged {
            Some(stamps) => self.mark(stamps).await,
            None => Ok(()),
        }
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
        let marker = self.marker().await?;
        Ok(marker.is_some_and(|marker| marker.until.is_none() && marker.stamps == *stamps))
    }

    pub(super) async fn marker(&self) -> Result<Option<Marker>, StorageError> {
        let path = Key::ReferrersScanned(self.name.clone()).path();
        let record = self.inner.records.get(&path).await?;
        let marker = record.and_then(|record| serde_json::from_slice::<Marker>(&record.value).ok());
        Ok(marker.filter(|marker| marker.form == 1))
    }

    /// Where there is nothing scanned, nothing is marked: a question must not make a repository.
    async fn mark(&self, stamps: Stamps) -> Result<(), StorageError> {
        if !self.inner.is_repository(&self.name).await? {
            return Ok(());
        }
        let marker = Marker {
            form: 1,
            stamps,
            until: None,
        };
        self.put_marker(&marker).await
    }

    pub(super) async fn put_marker(&self, marker: &Marker) -> Result<(), StorageError> {
        let path = Key::ReferrersScanned(self.name.clone()).path();
        let value = serde_json::to_vec(marker).unwrap_or_default();
        let (mode, durability) = (PutMode::Replace, Durability::Volatile);
        let _ = self
            .inner
            .records
            .put(&path, Bytes::from(value), mode, durability)
            .await?;
        Ok(())
    }

    /// Says whether all that is here was seen: what is absent may come unnoticed.
    async fn scan(&self) -> Result<bool, StorageError> {
        let (mut revisions, mut complete) = (self.revisions(), true);
        while let Some(digest) = revisions.try_next().await? {
            match self.see(digest).await? {
                Seen::Absent => complete = false,
                Seen::Other => {}
                Seen::Refers(manifest, subject) => {
                    let path = self.referrer_path(&subject, &digest);
                    if self.inner.records.get(&path).await?.is_none() {
                        self.put_referrer(&manifest, &subject).await?;
                    }
                }
            }
        }
        Ok(complete)
    }

    /// Every manifest of the repository, and every directory in which there was one.
    pub(super) fn revisions(&self) -> BoxStream<'_, Result<Digest, StorageError>> {
        let of_one = |algorithm| {
            let dir = Dir::Revisions(self.name.clone(), algorithm).path();
            let entries = self.inner.records.list(ListQuery::children(dir));
            entries.try_filter_map(move |entry| {
                ready(Ok(Digest::from_hex(algorithm, entry.name()).ok()))
            })
        };
        stream::iter(Algorithm::ALL).flat_map(of_one).boxed()
    }

    pub(super) async fn see(&self, digest: Digest) -> Result<Seen, StorageError> {
        let key = Key::Revision(self.name.clone(), digest);
        let Some((target, _)) = self.inner.link(&key).await? else {
            return Ok(Seen::Absent);
        };
        let bytes = match self.inner.manifest_bytes(&target).await {
            Ok(bytes) => bytes,
            Err(StorageError::NotFound) => return Ok(Seen::Absent),
            Err(error) => return Err(error),
        };
        let manifest = read_manifest(bytes, digest).await?;
        Ok(manifest
            .and_then(|manifest| {
                let subject = manifest.subject().and_then(AnyDigest::known).copied()?;
                Some(Seen::Refers(Box::new(manifest), subject))
            })
            .unwrap_or(Seen::Other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_remembered_of_a_repository_that_was_only_pushed_to() {
        let scans = Scans::default();
        let name: RepositoryName = "app".parse().unwrap();
        let (first, second) = (scans.writing(&name), scans.writing(&name));
        first.done();
        assert_eq!(scans.known().states.len(), 1);
        drop(second);
        assert!(scans.known().states.is_empty());
        let begun = scans.begin();
        assert!(scans.set_valid(&name, Stamps::new(), begun));
        scans.writing(&name).done();
        assert_eq!(scans.valid(&name), Some(Stamps::new()));
        drop(scans.writing(&name));
        assert!(scans.known().states.is_empty());
        assert!(!scans.set_valid(&name, Stamps::new(), begun));
    }
}
