//! What the process remembers for a while, in bounded memory.

use quick_cache::sync::Cache;

use crate::digest::Digest;
use crate::name::RepositoryName;
use crate::storage::UploadId;

/// Uploads that ended without ever having had a record.
#[derive(Debug)]
pub(super) struct Finished(Cache<UploadId, ()>);

impl Default for Finished {
    fn default() -> Self {
        Self(Cache::new(100_000))
    }
}

impl Finished {
    pub(super) fn add(&self, id: UploadId) {
        self.0.insert(id, ());
    }

    pub(super) fn contains(&self, id: &UploadId) -> bool {
        self.0.get(id).is_some()
    }
}

/// Where digests were seen of late: candidates for a mount that names no source. A hint, never
/// believed without a look at link and rights.
#[derive(Debug)]
pub(super) struct Sightings(Cache<Digest, RepositoryName>);

impl Default for Sightings {
    fn default() -> Self {
        Self(Cache::new(50_000))
    }
}

impl Sightings {
    pub(super) fn add(&self, digest: Digest, repository: &RepositoryName) {
        self.0.insert(digest, repository.clone());
    }

    pub(super) fn last(&self, digest: &Digest) -> Option<RepositoryName> {
        self.0.get(digest)
    }
}
