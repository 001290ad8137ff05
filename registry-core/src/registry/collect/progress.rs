//! What is told while a cycle goes on, for those who wait for it.

use super::{Amount, Collected, Seen};

/// How far a collection, or a check of every byte, has come. A cycle of a collection marks up to
/// three times, each time from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Walking over all roots.
    Marking {
        /// That were begun.
        repositories: u64,
        /// That were looked at in them.
        manifests: u64,
    },
    /// Judging blobs.
    Retiring {
        /// That were judged.
        blobs: u64,
        /// Those of them that went into the trash.
        retired: Amount,
    },
    /// Judging what is in the trash.
    Purging {
        /// That were judged.
        copies: u64,
        /// That there are.
        of: u64,
        /// Those that were destroyed.
        purged: Amount,
    },
    /// Looking for links of what was destroyed.
    Unlinking {
        /// That were looked through.
        repositories: u64,
        /// That went.
        links: u64,
    },
    /// Looking at what lies in repositories, before every byte is read.
    Looking {
        /// That were begun.
        repositories: u64,
        /// That were looked at in them.
        manifests: u64,
    },
    /// Reading and hashing every blob.
    Reading {
        /// That were read.
        read: Amount,
        /// What is wrong so far.
        damaged: u64,
    },
    /// Making entries of the index of repositories.
    Entering {
        /// That have theirs.
        repositories: u64,
    },
    /// Making records of referrers.
    Recording {
        /// That were gone through.
        repositories: u64,
    },
}

pub(super) fn marking(repositories: u64, manifests: u64) -> Seen<'static> {
    Seen::Progress(Progress::Marking {
        repositories,
        manifests,
    })
}

pub(super) fn retiring(blobs: u64, collected: &Collected) -> Seen<'static> {
    let retired = collected.retired;
    Seen::Progress(Progress::Retiring { blobs, retired })
}

pub(super) fn purging(copies: u64, of: u64, collected: &Collected) -> Seen<'static> {
    let purged = collected.purged;
    Seen::Progress(Progress::Purging { copies, of, purged })
}

pub(super) fn unlinking(repositories: u64, collected: &Collected) -> Seen<'static> {
    let links = collected.links;
    Seen::Progress(Progress::Unlinking {
        repositories,
        links,
    })
}
