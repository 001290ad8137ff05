//! The semantics of a registry, once for every driver.

mod aside;
mod batches;
mod blobs;
mod catalog;
mod changes;
mod check;
mod collect;
mod find;
mod fsck;
mod manifests;
mod ordered;
mod page;
mod pump;
mod push;
mod recent;
mod referrers;
mod removal;
mod signer;
mod tags;
mod uploads;
mod walk;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Weighter};

pub use self::blobs::{BlobContent, BlobInfo};
use self::changes::Changes;
pub use self::check::{Checked, Trace, TraceKind};
pub use self::collect::{
    Amount, CollectOptions, Collected, Fate, Marks, Need, Observer, Plan, Progress, Seen,
};
pub use self::fsck::{FsckSeen, Fscked, Reindexed};
pub use self::manifests::ServedManifest;
pub use self::page::{Page, PageRequest};
pub use self::push::{PushedManifest, PutManifest};
use self::recent::{Finished, Sightings};
pub use self::referrers::ReferrersPage;
use self::signer::Signer;
pub use self::uploads::{Append, Body, Mounted, NewUpload, UploadUrl};
use crate::access::Secret;
use crate::ambient::Ambient;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::events::{Event, EventAction, EventSink, NoEvents};
use crate::locks::KeyedLocks;
use crate::manifest::{BodyTypes, Demands};
use crate::name::{RepositoryName, Tag};
use crate::rules::{Grant, Immutable};
use crate::storage::{BlobStore, RecordStore, Storage, UploadId};

/// What the configuration decides about the semantics.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Clock and randomness.
    pub ambient: Ambient,
    /// Whether blobs, manifests and tags may be deleted (`storage.delete.enabled`).
    pub delete: bool,
    /// Signs the state of uploads (`http.secret`); without one a key is kept in the store.
    pub secret: Option<Secret<String>>,
    /// How long an unfinished upload lives (`storage.maintenance.uploadpurging.age`).
    pub upload_age: Duration,
    /// What is asked of manifests that are pushed (`validation`).
    pub demands: Demands,
    /// Tags that stay what they are, whoever pushes (`extensions.immutable`).
    pub immutable: Vec<Immutable>,
    /// Whether nothing may be written (`storage.maintenance.readonly.enabled`).
    pub read_only: bool,
    /// Whether clients may be sent to the store for blobs, where it has a place for them
    /// (`storage.redirect.disable`).
    pub redirect: bool,
    /// Told about what happens.
    pub events: Arc<dyn EventSink>,
}

impl Options {
    /// distribution's defaults.
    #[must_use]
    pub fn new(ambient: Ambient) -> Self {
        Self {
            ambient,
            delete: false,
            secret: None,
            upload_age: Duration::from_secs(168 * 3600),
            demands: Demands::default(),
            immutable: Vec::new(),
            read_only: false,
            redirect: true,
            events: Arc::new(NoEvents),
        }
    }
}

/// A registry over a store: the entry point of all semantics. Clones share everything.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Inner>);

struct Inner {
    blobs: Arc<dyn BlobStore>,
    records: Arc<dyn RecordStore>,
    options: Options,
    signer: Signer,
    digests: KeyedLocks<Digest>,
    repositories: KeyedLocks<RepositoryName>,
    /// Held by a push from its tags to its last look, so that no two take back each other's.
    tags: KeyedLocks<(RepositoryName, Tag)>,
    writers: KeyedLocks<UploadId>,
    /// Uploads of which all that comes has come: who wants to write to one waits.
    endings: KeyedLocks<UploadId>,
    changes: Changes,
    finished: Finished,
    sightings: Sightings,
    manifests: ManifestCache,
    types: Cache<Digest, Arc<BodyTypes>>,
    scans: referrers::Scans,
    index: catalog::Index,
}

/// Bytes of manifests kept in memory.
const MANIFEST_CACHE: u64 = 64 << 20;

/// Parts of that memory, each with a lock of its own. By itself the cache has four for each
/// processor, and with many of those none would have room for a large manifest; so few still leave
/// readers, who share a lock, alone.
const MANIFEST_SHARDS: usize = 8;

#[derive(Clone)]
struct BytesWeight;

impl Weighter<Digest, Bytes> for BytesWeight {
    fn weight(&self, _digest: &Digest, bytes: &Bytes) -> u64 {
        bytes.len() as u64 + 128
    }
}

type ManifestCache = Cache<Digest, Bytes, BytesWeight>;

fn manifest_cache() -> ManifestCache {
    let options = quick_cache::OptionsBuilder::new()
        .shards(MANIFEST_SHARDS)
        .estimated_items_capacity(20_000)
        .weight_capacity(MANIFEST_CACHE)
        .build();
    let Ok(options) = options else {
        // Both capacities are given.
        return Cache::with_weighter(20_000, MANIFEST_CACHE, BytesWeight);
    };
    let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
    Cache::with_options(options, BytesWeight, hasher, lifecycle)
}

impl Registry {
    /// Over this store.
    ///
    /// # Errors
    /// When the key that signs uploads can be neither read nor made.
    pub async fn open(storage: Storage, options: Options) -> Result<Self, RegistryError> {
        let signer = Signer::open(&*storage.records, &options).await?;
        Ok(Self(Arc::new(Inner {
            blobs: storage.blobs,
            records: storage.records,
            signer,
            digests: KeyedLocks::default(),
            repositories: KeyedLocks::default(),
            tags: KeyedLocks::default(),
            writers: KeyedLocks::default(),
            endings: KeyedLocks::default(),
            changes: Changes::default(),
            finished: Finished::default(),
            sightings: Sightings::default(),
            manifests: manifest_cache(),
            types: Cache::new(20_000),
            scans: referrers::Scans::default(),
            index: catalog::Index::default(),
            options,
        })))
    }

    /// A repository, for someone who was granted what the request wants of it.
    #[must_use]
    pub fn repository(&self, name: RepositoryName, grant: Grant) -> Repository {
        Repository {
            inner: Arc::clone(&self.0),
            name,
            grant,
        }
    }
}

/// One repository, as one caller may use it.
#[derive(Clone, Debug)]
pub struct Repository {
    inner: Arc<Inner>,
    name: RepositoryName,
    grant: Grant,
}

impl Repository {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// The registry that it belongs to.
    #[must_use]
    pub fn registry(&self) -> Registry {
        Registry(Arc::clone(&self.inner))
    }

    fn must_write(&self) -> Result<(), RegistryError> {
        if self.inner.options.read_only {
            return Err(RegistryError::Unsupported("the registry is read-only"));
        }
        Ok(())
    }

    fn must_delete(&self) -> Result<(), RegistryError> {
        self.must_write()?;
        if !self.inner.options.delete {
            return Err(RegistryError::Unsupported(
                "deletion is disabled (storage.delete.enabled)",
            ));
        }
        Ok(())
    }

    fn event(&self, action: EventAction) -> Event {
        Event::new(action, &self.name, self.grant.who().actor())
    }

    fn emit(&self, event: Event) {
        self.inner.options.events.emit(event);
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("blobs", &self.blobs)
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hasher::digest_of;
    use crate::manifest::MAX_BYTES;

    #[test]
    fn the_largest_manifest_stays_in_memory_on_any_machine() {
        let cache = manifest_cache();
        let bytes = Bytes::from(vec![0; MAX_BYTES]);
        let digest = digest_of(crate::digest::Algorithm::Sha256, b"its address");
        cache.insert(digest, bytes);
        assert_eq!(cache.get(&digest).map(|bytes| bytes.len()), Some(MAX_BYTES));
        assert_eq!(cache.num_shards(), MANIFEST_SHARDS);
    }
}
