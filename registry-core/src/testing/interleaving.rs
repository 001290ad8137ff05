//! A push of a manifest stands between any two of its steps while a collector goes on: what was
//! accepted never misses a blob, and what was refused has moved no tag.

#![allow(missing_docs, reason = "the name of a race is the sentence it tests")]
#![allow(clippy::unwrap_used, reason = "these are the bodies of tests")]

mod deletes;

pub use deletes::a_referrer_is_listed_where_its_revision_is;
use futures_util::StreamExt;

use super::faults::Faulty;
use super::image::{Image, repository, tag, tagged};
use crate::layout::{Dir, Key};
use crate::storage::{Durability, ListQuery, PutMode, Retired, Storage, StorageError};
use crate::{Digest, RegistryError};

/// One step of a collector.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Into the trash, if it is there.
    Retire(Digest),
    /// Out of the trash.
    Restore(Digest),
    /// Looks whether there is a revision that needs what was retired.
    Mark,
    /// Purges what was unreferenced at the last mark, and its layer link if it has gone for good;
    /// restores what was referenced.
    Purge,
    /// Looks whether the tag holds the revision.
    MarkTag,
    /// Takes away the revision that no tag held at the last mark.
    DeleteRevision,
    /// Looks once more, and puts the revision back that a tag holds now.
    LookOnceMore,
}

/// A collector whose steps are made by hand, on the store itself.
struct Collector {
    store: Storage,
    image: Image,
    retired: Option<Retired>,
    referenced: bool,
    deleted: bool,
}

impl Collector {
    fn revision(&self) -> Key {
        Key::Revision("library/image".parse().unwrap(), self.image.digest())
    }

    async fn has(&self, key: &Key) -> bool {
        self.store.records.get(&key.path()).await.unwrap().is_some()
    }

    async fn is_tagged(&self) -> bool {
        let key = Key::TagCurrent("library/image".parse().unwrap(), tag());
        let record = self.store.records.get(&key.path()).await.unwrap();
        record.is_some_and(|record| record.value == self.image.digest().to_string())
    }

    async fn delete(&self, key: &Key) {
        let _ = self.store.records.delete(&key.path(), None).await.unwrap();
    }

    async fn go(&mut self, step: Step) {
        match step {
            Step::Retire(digest) => match self.store.blobs.retire(&digest).await {
                Ok(retired) => self.retired = Some(retired),
                Err(StorageError::NotFound) => {}
                Err(error) => panic!("{error}"),
            },
            Step::Restore(digest) => self.restore(&digest).await,
            Step::Mark => self.referenced = self.has(&self.revision()).await,
            Step::Purge => self.purge().await,
            Step::MarkTag => self.referenced = self.is_tagged().await,
            Step::DeleteRevision if !self.referenced && self.has(&self.revision()).await => {
                self.delete(&self.revision()).await;
                self.deleted = true;
            }
            Step::DeleteRevision => {}
            Step::LookOnceMore if self.deleted && self.is_tagged().await => {
                let value = self.image.digest().to_string().into();
                let (path, mode) = (self.revision().path(), PutMode::Replace);
                let put = self
                    .store
                    .records
                    .put(&path, value, mode, Durability::Durable);
                let _ = put.await.unwrap();
            }
            Step::LookOnceMore => {}
        }
    }

    async fn restore(&self, digest: &Digest) {
        match self.store.blobs.restore(digest).await {
            Ok(_) | Err(StorageError::NotFound) => {}
            Err(error) => panic!("{error}"),
        }
    }

    async fn purge(&mut self) {
        let Some(retired) = self.retired.take() else {
            return;
        };
        let digest = retired.digest;
        if self.referenced {
            return self.restore(&digest).await;
        }
        self.store.blobs.purge(&retired).await.unwrap();
        if let Err(StorageError::NotFound) = self.store.blobs.stat(&digest).await {
            let name = "library/image".parse().unwrap();
            self.delete(&Key::Layer(name, digest)).await;
        }
    }
}

/// Steps of the collector, each before a call of the push.
type Schedule = Vec<(usize, Step)>;

fn old() -> Image {
    Image::new(1)
}

fn new() -> Image {
    Image::new(2)
}

/// How many calls of the store a push is stopped before: more than it makes undisturbed, since
/// restoring takes calls as well.
async fn stops<K>(open: &impl AsyncFn() -> (Storage, K)) -> usize {
    let (inner, _keep) = open().await;
    new().push_blobs(&repository(&inner).await).await.unwrap();
    let (storage, control) = Faulty::wrap(inner);
    new().put(&repository(&storage).await).await.unwrap();
    control.calls().len() + 3
}

/// Whether a push was accepted while the collector did this. What it had not come to when the
/// push ended, it does then.
async fn is_accepted(inner: Storage, before: Option<&Image>, schedule: &Schedule) -> bool {
    let tag_before = before.map(Image::digest);
    let context = format!("tag before: {tag_before:?}, {schedule:?}");
    let clean = repository(&inner).await;
    if let Some(before) = before {
        before.push(&clean).await.unwrap();
    }
    new().push_blobs(&clean).await.unwrap();
    let (storage, control) = Faulty::wrap(inner.clone());
    let pushing = repository(&storage).await;
    let mut collector = Collector {
        store: inner.clone(),
        image: new(),
        retired: None,
        referenced: false,
        deleted: false,
    };

    let mut stops: Vec<usize> = schedule.iter().map(|(n, _)| *n).collect();
    stops.dedup();
    let pauses: Vec<_> = stops.iter().map(|n| control.pause_before(*n)).collect();
    let collect = async {
        for (n, pause) in stops.iter().zip(pauses) {
            pause.reached().await;
            for (_, step) in schedule.iter().filter(|(at, _)| at == n) {
                collector.go(*step).await;
            }
            pause.release();
        }
    };
    let push = async {
        let pushed = new().put(&pushing).await;
        // Idle calls, so that every stop is reached.
        while control.calls().len() <= stops.last().copied().unwrap_or_default() {
            let _ = storage.blobs.now().await;
        }
        pushed
    };
    let (pushed, ()) = tokio::join!(push, collect);
    control.reset();

    let clean = repository(&inner).await;
    match pushed {
        Ok(()) => {
            let tag = tagged(&clean, &context).await;
            assert_eq!(tag, Some(new().digest()), "{context}");
            new().assert_whole(&clean, &context).await;
            true
        }
        Err(RegistryError::ManifestBlobUnknown(missing)) => {
            assert!(!missing.is_empty(), "{context}");
            assert_eq!(tagged(&clean, &context).await, tag_before, "{context}");
            if let Some(before) = before {
                before.assert_whole(&clean, &context).await;
            } else {
                // distribution would take a directory for a tag.
                let tags = Dir::Tags(clean.name().clone()).path();
                let tags = inner.records.list(ListQuery::recursive(tags));
                assert_eq!(tags.count().await, 0, "{context}: left of the tag");
            }
            for (at, again) in [("same", &pushing), ("other", &clean)] {
                let context = format!("{context}, pushed again by the {at} process");
                let pushed = new().push(again).await;
                assert!(pushed.is_ok(), "{context}: {pushed:?}");
                let tag = tagged(&repository(&inner).await, &context).await;
                assert_eq!(tag, Some(new().digest()), "{context}");
                new()
                    .assert_whole(&repository(&inner).await, &context)
                    .await;
            }
            false
        }
        Err(error) => panic!("{context}: {error}"),
    }
}

/// Every way in which so many steps, in their order, fall between the calls of a push.
fn schedules(stops: usize, steps: usize) -> Vec<Vec<usize>> {
    let mut all = Vec::new();
    let mut at = vec![0; steps];
    loop {
        all.push(at.clone());
        // The next that does not descend.
        let Some(i) = at.iter().rposition(|n| n + 1 < stops) else {
            return all;
        };
        let next = at[i] + 1;
        at[i..].fill(next);
    }
}

/// Those in which all steps fall between the same two calls, where what goes wrong can hide in a
/// single gap, and of the others evenly as many as make `most`.
fn chosen(all: Vec<Vec<usize>>, most: usize) -> Vec<Vec<usize>> {
    let (mut chosen, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|at| at.first() == at.last());
    let wanted = most.saturating_sub(chosen.len()).max(1);
    let every = others.len().div_ceil(wanted).max(1);
    chosen.extend(others.into_iter().step_by(every));
    chosen
}

/// Lets these steps fall between the calls of a push in all ways, or in `most` of them: how many
/// pushes were accepted, and how many refused.
async fn in_all_orders<K>(
    steps: &[Step],
    most: usize,
    open: impl AsyncFn() -> (Storage, K),
) -> (usize, usize) {
    let (mut accepted, mut refused) = (0, 0);
    let all = schedules(stops(&open).await, steps.len());
    for at in chosen(all, most) {
        let schedule: Schedule = at.iter().copied().zip(steps.iter().copied()).collect();
        for before in [None, Some(old())] {
            let (inner, _keep) = open().await;
            if is_accepted(inner, before.as_ref(), &schedule).await {
                accepted += 1;
            } else {
                refused += 1;
            }
        }
    }
    (accepted, refused)
}

pub async fn a_retired_layer_comes_back<K>(most: usize, open: impl AsyncFn() -> (Storage, K)) {
    let (accepted, refused) = in_all_orders(&[Step::Retire(new().layer())], most, open).await;
    assert!(accepted > 20 && refused == 0, "{accepted}, {refused}");
}

pub async fn a_layer_restored_by_the_collector_is_not_missed<K>(
    most: usize,
    open: impl AsyncFn() -> (Storage, K),
) {
    let layer = new().layer();
    let steps = [Step::Retire(layer), Step::Restore(layer)];
    let (accepted, refused) = in_all_orders(&steps, most, open).await;
    assert!(accepted > 20 && refused == 0, "{accepted}, {refused}");
}

pub async fn a_purged_layer_refuses_the_push_or_was_not_needed<K>(
    most: usize,
    open: impl AsyncFn() -> (Storage, K),
) {
    let steps = [Step::Retire(new().layer()), Step::Mark, Step::Purge];
    let (accepted, refused) = in_all_orders(&steps, most, open).await;
    assert!(accepted > 20 && refused > 5, "{accepted}, {refused}");
}

pub async fn the_bytes_of_the_manifest_come_back<K>(
    most: usize,
    open: impl AsyncFn() -> (Storage, K),
) {
    let (accepted, refused) = in_all_orders(&[Step::Retire(new().digest())], most, open).await;
    assert!(accepted > 20 && refused == 0, "{accepted}, {refused}");
}

pub async fn purged_bytes_of_the_manifest_refuse_the_push_or_were_not_needed<K>(
    most: usize,
    open: impl AsyncFn() -> (Storage, K),
) {
    let steps = [Step::Retire(new().digest()), Step::Mark, Step::Purge];
    let (accepted, refused) = in_all_orders(&steps, most, open).await;
    assert!(accepted > 20 && refused > 0, "{accepted}, {refused}");
}

pub async fn a_revision_taken_for_untagged_is_put_back<K>(
    most: usize,
    open: impl AsyncFn() -> (Storage, K),
) {
    let steps = [Step::MarkTag, Step::DeleteRevision, Step::LookOnceMore];
    let (accepted, refused) = in_all_orders(&steps, most, open).await;
    assert!(accepted > 20 && refused == 0, "{accepted}, {refused}");
}
