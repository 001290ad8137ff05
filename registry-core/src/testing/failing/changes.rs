//! Pushes and deletes.

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::{MISHAPS, Mishap, Trial, is_fault, new, old, settle};
use crate::layout::{CURRENT_LINK, Dir, Key};
use crate::name::RepositoryName;
use crate::registry::{PageRequest, Repository};
use crate::storage::{Durability, ListQuery, Outcome, PutMode, RecordEntry, Storage};
use crate::testing::faults::Fault;
use crate::testing::image::{by_tag, repository, tag, tagged};
use crate::{Digest, Reference, RegistryError};

/// Something that changes the repository.
#[derive(Clone, Copy, Debug)]
enum Work {
    /// The first image of a store.
    Push,
    /// Another image under the tag that there is.
    Move,
    /// The same image once more.
    Again,
    /// Deleting the tag.
    Untag,
    /// Deleting the manifest.
    Delete,
}

impl Work {
    /// What the tag points to before and after.
    fn tag(self) -> (Option<Digest>, Option<Digest>) {
        let (old, new) = (Some(old().digest()), Some(new().digest()));
        match self {
            Self::Push => (None, new),
            Self::Move => (old, new),
            Self::Again => (new, new),
            Self::Untag | Self::Delete => (old, None),
        }
    }

    /// A tag that is to be deleted has a history.
    async fn prepare(self, repository: &Repository) {
        match self {
            Self::Push => {}
            Self::Again => new().push(repository).await.unwrap(),
            Self::Move => old().push(repository).await.unwrap(),
            Self::Untag | Self::Delete => {
                new().push(repository).await.unwrap();
                old().push(repository).await.unwrap();
            }
        }
    }

    async fn run(self, repository: &Repository) -> Result<(), RegistryError> {
        match self {
            Self::Push | Self::Move | Self::Again => new().push(repository).await,
            Self::Untag => repository.delete_manifest(&by_tag()).await,
            Self::Delete => {
                let digest = Reference::Digest(old().digest());
                repository.delete_manifest(&digest).await
            }
        }
    }

    /// The work again, which a delete may find done.
    async fn retry(self, repository: &Repository, context: &str) {
        let retried = self.run(repository).await;
        let done = match self {
            Self::Push | Self::Move | Self::Again => retried.is_ok(),
            Self::Untag | Self::Delete => {
                matches!(retried, Ok(()) | Err(RegistryError::ManifestUnknown(_)))
            }
        };
        assert!(done, "{context}: a retry said {retried:?}");
    }

    /// The tag points to what it should, and that is whole.
    async fn assert_tag(self, allowed: &[Option<Digest>], inner: &Storage, context: &str) {
        let clean = repository(inner).await;
        // A change whose caller has left may still be going on, between one look and the next.
        let (tag, listed) = loop {
            let tag = tagged(&clean, context).await;
            let listed = match clean.tags(&PageRequest::default()).await {
                Ok(page) => page.items.len(),
                Err(RegistryError::NameUnknown(_)) => 0,
                Err(error) => panic!("{context}: {error}"),
            };
            if tagged(&clean, context).await == tag {
                break (tag, listed);
            }
        };
        assert!(allowed.contains(&tag), "{context}: the tag is at {tag:?}");
        if listed != usize::from(tag.is_some()) {
            // Half a tag may be shown, where the store cannot tell.
            let half = tag.is_none() && !Self::left_of_tag(inner).await.is_empty();
            let tells = leaves_out_halves(inner).await;
            assert!(half && !tells, "{context}: {listed} tags listed");
        }
        for image in [old(), new()] {
            if tag == Some(image.digest()) {
                image.assert_whole(&clean, context).await;
            }
        }
    }

    /// The records of the tag.
    async fn left_of_tag(inner: &Storage) -> Vec<RecordEntry> {
        let dir = Dir::Tag("library/image".parse().unwrap(), tag()).path();
        let left = inner.records.list(ListQuery::recursive(dir));
        left.try_collect().await.unwrap()
    }

    async fn assert_done(self, inner: &Storage, context: &str) {
        self.assert_tag(&[self.tag().1], inner, context).await;
        let clean = repository(inner).await;
        let digest = Reference::Digest(old().digest());
        let left = Self::left_of_tag(inner).await;
        match self {
            Self::Push | Self::Again => {}
            Self::Move => old().assert_whole(&clean, context).await,
            Self::Untag => {
                old().assert_whole(&clean, context).await;
                assert_eq!(left, [], "{context}");
            }
            Self::Delete => {
                assert_eq!(left, [], "{context}");
                let gone = clean.manifest(&digest).await;
                let gone = matches!(gone, Err(RegistryError::ManifestUnknown(_)));
                assert!(gone, "{context}: the manifest is there");
            }
        }
    }
}

/// Whether a listing of what holds a link leaves out a directory without it, which it need not.
async fn leaves_out_halves(inner: &Storage) -> bool {
    let name: RepositoryName = "library/halves".parse().unwrap();
    let half = Key::TagIndex(name.clone(), tag(), new().digest()).path();
    let link = Bytes::from(new().digest().to_string());
    let put = inner
        .records
        .put(&half, link, PutMode::Replace, Durability::Durable);
    assert!(matches!(put.await.unwrap(), Outcome::Done(_)));
    let query = ListQuery::children(Dir::Tags(name).path()).holding(CURRENT_LINK);
    let shown: Vec<_> = inner.records.list(query).try_collect().await.unwrap();
    let deleted = inner.records.delete(&half, None).await.unwrap();
    assert!(matches!(deleted, Outcome::Done(_)));
    shown.is_empty()
}

async fn every_call_fails_in_turn<K>(work: Work, open: impl AsyncFn() -> (Storage, K)) {
    let trial = Trial::open(&open).await;
    work.prepare(&repository(&trial.inner).await).await;
    work.run(&repository(&trial.storage).await).await.unwrap();
    work.assert_done(&trial.inner, "without a fault").await;
    let calls = trial.control.calls();
    let mut refused = 0;
    for (n, call) in calls.iter().enumerate() {
        for mishap in MISHAPS {
            let context = format!("{work:?}, {mishap:?} at {n}, {}", call.name);
            let trial = Trial::open(&open).await;
            let (inner, control) = (&trial.inner, &trial.control);
            work.prepare(&repository(inner).await).await;
            let repository = repository(&trial.storage).await;
            let told = mishap.befall(control, n, work.run(&repository)).await;
            // Not always the same call, where several are made side by side.
            assert!(control.calls().len() > n, "{context}");
            if let Some(Ok(())) = told {
                work.assert_done(inner, &context).await;
            } else {
                if let Some(Err(error)) = told {
                    assert!(is_fault(&error), "{context}: {error}");
                    assert_ne!(mishap, Mishap::Slow, "{context}: {error}");
                    refused += 1;
                }
                let (before, after) = work.tag();
                work.assert_tag(&[before, after], inner, &context).await;
            }
            settle(control, &repository).await;
            work.retry(&repository, &context).await;
            work.assert_done(inner, &context).await;
        }
    }
    assert!(refused > calls.len(), "{work:?}: {refused} refused");
}

pub async fn a_first_push_is_never_lost<K>(open: impl AsyncFn() -> (Storage, K)) {
    every_call_fails_in_turn(Work::Push, open).await;
}

pub async fn a_moved_tag_is_old_or_new<K>(open: impl AsyncFn() -> (Storage, K)) {
    every_call_fails_in_turn(Work::Move, open).await;
}

pub async fn a_repeated_push_harms_nothing<K>(open: impl AsyncFn() -> (Storage, K)) {
    every_call_fails_in_turn(Work::Again, open).await;
}

pub async fn a_deleted_tag_is_gone_when_it_is_said<K>(open: impl AsyncFn() -> (Storage, K)) {
    every_call_fails_in_turn(Work::Untag, open).await;
}

pub async fn a_deleted_manifest_is_gone_when_it_is_said<K>(open: impl AsyncFn() -> (Storage, K)) {
    every_call_fails_in_turn(Work::Delete, open).await;
}

pub async fn a_half_deleted_tag_goes_with_its_manifest<K>(open: impl AsyncFn() -> (Storage, K)) {
    let mut halves = 0;
    for n in 0.. {
        let context = format!("untagging failed at {n}");
        let trial = Trial::open(&open).await;
        let clean = repository(&trial.inner).await;
        Work::Untag.prepare(&clean).await;
        let faulty = repository(&trial.storage).await;
        trial.control.on_call(n, Fault::Fail);
        let failing = Work::Untag.run(&faulty).await.is_err();
        let left = Work::left_of_tag(&trial.inner).await.len();
        halves += usize::from(left > 0 && tagged(&clean, &context).await.is_none());
        Work::Delete.run(&clean).await.unwrap();
        // Where it was not untagged at all, it points to this manifest.
        Work::Delete.assert_done(&trial.inner, &context).await;
        if !failing {
            break;
        }
    }
    assert!(halves > 1, "{halves} half deleted");
}
