//! What becomes of stored bytes, decided from what is known and from nothing else.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::digest::Digest;
use crate::name::RepositoryName;
use crate::storage::{BlobEntry, Retired};

/// Everything that was found to be needed, and why.
#[derive(Debug, Default)]
pub struct Marks {
    repositories: Vec<RepositoryName>,
    manifests: Vec<Digest>,
    causes: HashMap<Digest, Cause>,
}

/// By number, since there are many of them.
#[derive(Clone, Copy, Debug)]
struct Cause {
    repository: u32,
    /// `None` for a repository that is kept whole.
    manifest: Option<u32>,
}

impl Marks {
    /// Begins with a repository. What is marked from now on is needed there.
    pub fn enter(&mut self, repository: RepositoryName) {
        self.repositories.push(repository);
    }

    /// Begins with a manifest of the repository, and marks its own bytes.
    pub fn manifest(&mut self, digest: Digest) {
        self.manifests.push(digest);
        self.needed(digest);
    }

    /// Something that the manifest needs.
    pub fn needed(&mut self, digest: Digest) {
        let manifest = number(self.manifests.len());
        self.mark(digest, manifest);
    }

    /// Something that may be needed by a manifest which cannot be read.
    pub fn doubtful(&mut self, digest: Digest) {
        self.mark(digest, None);
    }

    fn mark(&mut self, digest: Digest, manifest: Option<u32>) {
        if let Some(repository) = number(self.repositories.len()) {
            let cause = Cause {
                repository,
                manifest,
            };
            self.causes.entry(digest).or_insert(cause);
        }
    }

    /// How many digests are marked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.causes.len()
    }

    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.causes.is_empty()
    }

    /// Why a digest is needed, if it is.
    #[must_use]
    pub fn why(&self, digest: &Digest) -> Option<Need> {
        let cause = self.causes.get(digest)?;
        let at = |number: u32| usize::try_from(number).ok();
        let repository = self.repositories.get(at(cause.repository)?)?.clone();
        let manifest = cause
            .manifest
            .and_then(|number| self.manifests.get(at(number)?).copied());
        Some(Need {
            repository,
            manifest,
        })
    }
}

/// The number of the last of so many.
fn number(len: usize) -> Option<u32> {
    u32::try_from(len.checked_sub(1)?).ok()
}

/// Who needs something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Need {
    /// Where.
    pub repository: RepositoryName,
    /// The manifest; `None` where one of the repository cannot be read, so that everything linked
    /// there is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.manifest {
            Some(manifest) => write!(f, "needed by {}@{manifest}", self.repository),
            None => write!(
                f,
                "linked in {}, which has a manifest that cannot be read",
                self.repository
            ),
        }
    }
}

/// What becomes of a blob, or of a copy in the trash, and why. Ages are in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "fate")]
#[allow(clippy::exhaustive_enums)]
pub enum Fate {
    /// It stays: this needs it.
    Keep(Need),
    /// It stays: nothing needs it, but it came so short a time ago that it may still be.
    Young {
        /// Since its last commit.
        age: u64,
    },
    /// It goes into the trash: nothing needs it.
    Retire {
        /// Since its last commit.
        age: u64,
    },
    /// It comes back from the trash: this needs it.
    Restore(Need),
    /// It stays in the trash for some time more.
    Wait {
        /// Since it was retired.
        age: u64,
    },
    /// It is destroyed: nothing needs it.
    Purge {
        /// Since it was retired.
        age: u64,
    },
}

/// Decides, from marks that were made after what is judged was listed.
#[derive(Debug)]
#[allow(clippy::exhaustive_structs)]
pub struct Plan<'a> {
    /// What is needed.
    pub marks: &'a Marks,
    /// By the store's clock.
    pub now: SystemTime,
    /// How old a blob must be.
    pub grace: Duration,
    /// How long a copy stays in the trash.
    pub quarantine: Duration,
}

impl Plan<'_> {
    /// What becomes of a blob.
    #[must_use]
    pub fn of_blob(&self, blob: &BlobEntry) -> Fate {
        if let Some(need) = self.marks.why(&blob.digest) {
            return Fate::Keep(need);
        }
        let age = self.age(blob.stat.modified);
        match age < self.grace {
            true => Fate::Young { age: age.as_secs() },
            false => Fate::Retire { age: age.as_secs() },
        }
    }

    /// What becomes of a copy in the trash.
    #[must_use]
    pub fn of_copy(&self, copy: &Retired) -> Fate {
        if let Some(need) = self.marks.why(&copy.digest) {
            return Fate::Restore(need);
        }
        let age = self.age(copy.since);
        match age < self.quarantine {
            true => Fate::Wait { age: age.as_secs() },
            false => Fate::Purge { age: age.as_secs() },
        }
    }

    /// What lies in the future is new.
    pub(super) fn age(&self, since: SystemTime) -> Duration {
        self.now.duration_since(since).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;
    use crate::hasher::digest_of;
    use crate::storage::{BlobStat, RetiredId};

    fn digest(text: &str) -> Digest {
        digest_of(Algorithm::Sha256, text.as_bytes())
    }

    fn fates(marks: &Marks, age: u64) -> (Fate, Fate) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let since = now - Duration::from_secs(age);
        let plan = Plan {
            marks,
            now,
            grace: Duration::from_secs(60),
            quarantine: Duration::from_secs(600),
        };
        let stat = BlobStat {
            size: 1,
            modified: since,
        };
        let digest = digest("blob");
        let blob = plan.of_blob(&BlobEntry { digest, stat });
        let copy = plan.of_copy(&Retired {
            id: RetiredId::new(1),
            digest,
            size: 1,
            since,
        });
        (blob, copy)
    }

    #[test]
    fn what_nothing_needs_goes_when_it_is_old_enough() {
        let none = Marks::default();
        assert_eq!(
            fates(&none, 59),
            (Fate::Young { age: 59 }, Fate::Wait { age: 59 })
        );
        assert_eq!(
            fates(&none, 60),
            (Fate::Retire { age: 60 }, Fate::Wait { age: 60 })
        );
        assert_eq!(
            fates(&none, 600),
            (Fate::Retire { age: 600 }, Fate::Purge { age: 600 })
        );
    }

    #[test]
    fn what_something_needs_stays_or_comes_back_however_old_it_is() {
        let mut marks = Marks::default();
        marks.enter("a/b".parse().unwrap());
        marks.manifest(digest("manifest"));
        marks.needed(digest("blob"));
        let need = Need {
            repository: "a/b".parse().unwrap(),
            manifest: Some(digest("manifest")),
        };
        assert_eq!(
            fates(&marks, 600),
            (Fate::Keep(need.clone()), Fate::Restore(need))
        );
        assert_eq!(marks.len(), 2);
    }

    #[test]
    fn what_may_be_needed_names_the_repository_alone() {
        let mut marks = Marks::default();
        marks.enter("a/b".parse().unwrap());
        marks.manifest(digest("manifest"));
        marks.enter("c".parse().unwrap());
        marks.doubtful(digest("blob"));
        let need = marks.why(&digest("blob")).unwrap();
        assert_eq!((need.repository.as_str(), need.manifest), ("c", None));
    }
}
