//! Collection: what nothing needs goes into the trash, and is destroyed some time later if
//! nothing has come to need it (design, section 5).
//!
//! A cycle marks, retires, looks once more, and then destroys what an earlier cycle has retired.
//! Nothing here waits: the quarantine lies between two cycles.

mod apply;
mod mark;
mod plan;
mod progress;
mod source;

use std::time::Duration;

pub use self::plan::{Fate, Marks, Need, Plan};
pub use self::progress::Progress;
use crate::digest::Digest;
use crate::name::RepositoryName;
use crate::storage::{BlobEntry, Retired};

/// What a cycle does, and how patient it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CollectOptions {
    /// How old a blob must be to be retired. While pushes go on, an hour at least.
    pub grace: Duration,
    /// How long a copy stays in the trash; never less than the grace while pushes go on.
    pub quarantine: Duration,
    /// Whether revisions go that no tag, no index and no subject holds.
    pub untagged: bool,
    /// Only tell: nothing is changed, not even restored.
    pub dry_run: bool,
    /// Nobody writes meanwhile.
    pub offline: bool,
}

impl Default for CollectOptions {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3600);
        Self {
            grace: day,
            quarantine: day,
            untagged: false,
            dry_run: false,
            offline: false,
        }
    }
}

/// What a cycle comes across. All but the progress is told once, though it marks several times.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Seen<'a> {
    /// How far it has come: at the beginning of each part, and whenever that changes.
    Progress(Progress),
    /// A repository whose manifests are read next.
    Repository(&'a RepositoryName),
    /// A manifest that cannot be read as one. Everything linked in its repository is kept.
    Unreadable(&'a RepositoryName, &'a Digest),
    /// A revision that goes, with the record that says of what it is a referrer.
    Untagged(&'a RepositoryName, &'a Digest),
    /// A blob, and what becomes of it.
    Blob(&'a BlobEntry, &'a Fate),
    /// A copy in the trash, and what becomes of it.
    Copy(&'a Retired, &'a Fate),
    /// The link of a blob that was destroyed, which goes, too.
    Link(&'a RepositoryName, &'a Digest),
}

/// Is told what is seen, and how far the cycle has come; often, and the cycle waits meanwhile.
pub type Observer<'a> = dyn FnMut(Seen<'_>) + Send + 'a;

/// How many, and how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl Amount {
    pub(in crate::registry) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// What a cycle came to; of a dry run, what it would have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Collected {
    /// Repositories that were walked.
    pub repositories: u64,
    /// Manifests that were read, or could not be.
    pub revisions: u64,
    /// Those that could not.
    pub unreadable: u64,
    /// Digests that something needs.
    pub marked: u64,
    /// Blobs that stay.
    pub kept: Amount,
    /// Blobs that went into the trash.
    pub retired: Amount,
    /// Copies that stay in the trash for now.
    pub waiting: Amount,
    /// Copies that came back.
    pub restored: Amount,
    /// Copies that were destroyed.
    pub purged: Amount,
    /// Revisions that went because nothing holds them.
    pub untagged: u64,
    /// Links of blobs that were destroyed.
    pub links: u64,
    /// Entries of repositories that are gone, in a store with an index of them.
    pub entries: u64,
}
