//! Records: whole, and under conditions that hold.

use bytes::Bytes;
use futures_util::future::join_all;

use super::past;
use crate::digest::{Algorithm, Digest};
use crate::hasher::digest_of;
use crate::layout::{Dir, Key, StorePath};
use crate::name::RepositoryName;
use crate::storage::{Durability, Outcome, PutMode, Record, Storage, Version};
use crate::testing::content;

pub(super) fn repository(name: &str) -> RepositoryName {
    name.parse().unwrap()
}

pub(super) fn numbered(number: u64) -> Digest {
    digest_of(Algorithm::Sha256, &number.to_be_bytes())
}

/// A tag, whose name anyone may read in a failure.
pub(super) fn tag(name: &str, tag: &str) -> StorePath {
    Key::TagCurrent(repository(name), tag.parse().unwrap()).path()
}

/// One of many records directly in one directory.
pub(super) fn referrer(number: u64) -> StorePath {
    let referrer = Key::Referrer {
        repository: repository("app"),
        subject: numbered(0),
        referrer: numbered(number),
    };
    referrer.path()
}

pub(super) fn referrers() -> StorePath {
    Dir::Referrers(repository("app"), numbered(0)).path()
}

pub(super) async fn set(storage: &Storage, path: &StorePath, value: &'static str) {
    let (mode, durability) = (PutMode::Replace, Durability::Durable);
    let put = storage.records.put(path, value.into(), mode, durability);
    assert!(matches!(put.await.unwrap(), Outcome::Done(_)), "{path}");
}

pub(super) async fn remove(storage: &Storage, path: &StorePath) {
    let outcome = storage.records.delete(path, None).await.unwrap();
    assert!(matches!(outcome, Outcome::Done(_)), "{path}");
}

async fn put(storage: &Storage, path: &StorePath, value: &str, mode: PutMode) -> Outcome {
    let value = Bytes::copy_from_slice(value.as_bytes());
    let put = storage.records.put(path, value, mode, Durability::Durable);
    put.await.unwrap()
}

async fn get(storage: &Storage, path: &StorePath) -> Option<Record> {
    storage.records.get(path).await.unwrap()
}

async fn value(storage: &Storage, path: &StorePath) -> Option<String> {
    let record = get(storage, path).await?;
    Some(String::from_utf8(record.value.to_vec()).unwrap())
}

async fn version(storage: &Storage, path: &StorePath) -> Version {
    get(storage, path).await.unwrap().version
}

/// That it is done, and that a version given is the one that is there now.
async fn is_done(storage: &Storage, path: &StorePath, outcome: Outcome) {
    match outcome {
        Outcome::Conflict => panic!("{path}: a conflict"),
        Outcome::Done(Some(put)) => assert_eq!(put, version(storage, path).await),
        Outcome::Done(None) => {}
    }
}

pub async fn a_record_reads_back_whatever_its_size(storage: &Storage) {
    let path = tag("app", "v1");
    assert!(get(storage, &path).await.is_none());
    let durabilities = [Durability::Durable, Durability::Volatile];
    for (seed, len) in [0, 1, 71, 4096, 1024 * 1024, 0].into_iter().enumerate() {
        let bytes = content(seed as u64, len);
        let durability = durabilities[seed % 2];
        let put = storage
            .records
            .put(&path, bytes.clone(), PutMode::Replace, durability);
        is_done(storage, &path, put.await.unwrap()).await;
        let found = get(storage, &path).await.unwrap();
        assert!(found.value == bytes, "{len} bytes");
        assert!(found.modified <= storage.blobs.now().await.unwrap());
    }
    assert!(get(storage, &tag("app", "v2")).await.is_none());
}

pub async fn create_is_refused_over_a_record(storage: &Storage) {
    let path = tag("app", "v1");
    let created = put(storage, &path, "first", PutMode::Create).await;
    is_done(storage, &path, created).await;
    let again = put(storage, &path, "second", PutMode::Create).await;
    assert_eq!(again, Outcome::Conflict);
    let same = put(storage, &path, "first", PutMode::Create).await;
    assert_eq!(same, Outcome::Conflict);
    assert_eq!(value(storage, &path).await.as_deref(), Some("first"));
    remove(storage, &path).await;
    let anew = put(storage, &path, "third", PutMode::Create).await;
    is_done(storage, &path, anew).await;
    assert_eq!(value(storage, &path).await.as_deref(), Some("third"));
}

pub async fn a_conditional_put_needs_the_version_that_is_there(storage: &Storage) {
    let path = tag("app", "v1");
    set(storage, &path, "first").await;
    let first = version(storage, &path).await;
    assert_eq!(version(storage, &path).await, first, "reading is no change");
    let over_first = || PutMode::IfVersion(first.clone());
    let second = put(storage, &path, "second", over_first()).await;
    is_done(storage, &path, second).await;
    assert_ne!(version(storage, &path).await, first);
    let late = put(storage, &path, "late", over_first()).await;
    assert_eq!(late, Outcome::Conflict);
    assert_eq!(value(storage, &path).await.as_deref(), Some("second"));
    let replaced = put(storage, &path, "third", PutMode::Replace).await;
    is_done(storage, &path, replaced).await;
    assert_eq!(value(storage, &path).await.as_deref(), Some("third"));
    let third = version(storage, &path).await;
    remove(storage, &path).await;
    let gone = put(storage, &path, "fourth", PutMode::IfVersion(third)).await;
    assert_eq!(gone, Outcome::Conflict, "a version of what is absent");
    assert!(get(storage, &path).await.is_none());
}

pub async fn a_conditional_delete_needs_the_version_that_is_there(storage: &Storage) {
    let path = tag("app", "v1");
    set(storage, &path, "first").await;
    let first = version(storage, &path).await;
    set(storage, &path, "second").await;
    let late = storage.records.delete(&path, Some(&first)).await.unwrap();
    assert_eq!(late, Outcome::Conflict);
    assert_eq!(value(storage, &path).await.as_deref(), Some("second"));
    let second = version(storage, &path).await;
    let gone = storage.records.delete(&path, Some(&second)).await.unwrap();
    assert!(matches!(gone, Outcome::Done(_)));
    assert!(get(storage, &path).await.is_none());
}

pub async fn deleting_an_absent_record_is_done(storage: &Storage) {
    let path = tag("app", "v1");
    remove(storage, &path).await;
    set(storage, &path, "x").await;
    remove(storage, &path).await;
    assert!(get(storage, &path).await.is_none());
    remove(storage, &path).await;
}

pub async fn replacing_a_record_refreshes_its_time(storage: &Storage) {
    let path = tag("app", "v1");
    set(storage, &path, "same").await;
    let first = get(storage, &path).await.unwrap().modified;
    past(storage, first).await;
    set(storage, &path, "same").await;
    let second = get(storage, &path).await.unwrap().modified;
    assert!(second > first, "{second:?} after {first:?}");
    assert!(second <= storage.blobs.now().await.unwrap());
}

/// Of many at once, which were done; whose value is there then.
async fn race(storage: &Storage, path: &StorePath, mode: PutMode) {
    let tasks = (0..16).map(|number| {
        let (storage, path, mode) = (storage.clone(), path.clone(), mode.clone());
        tokio::spawn(async move { put(&storage, &path, &format!("writer {number}"), mode).await })
    });
    let mut done = Vec::new();
    for (number, outcome) in join_all(tasks).await.into_iter().enumerate() {
        if let Outcome::Done(_) = outcome.unwrap() {
            done.push(format!("writer {number}"));
        }
    }
    assert_eq!(done.len(), 1, "{done:?}");
    assert_eq!(value(storage, path).await, done.pop());
}

pub async fn of_concurrent_creates_one_wins(storage: &Storage) {
    for round in 0..5 {
        let path = tag("app", &format!("v{round}"));
        race(storage, &path, PutMode::Create).await;
    }
}

pub async fn of_concurrent_conditional_puts_one_wins(storage: &Storage) {
    let path = tag("app", "v1");
    for _ in 0..5 {
        set(storage, &path, "before").await;
        let before = version(storage, &path).await;
        race(storage, &path, PutMode::IfVersion(before)).await;
    }
}

pub async fn a_record_is_never_torn(storage: &Storage) {
    let path = tag("app", "v1");
    // Of different lengths, so that neither a mixture nor a piece passes for one of them.
    let values = [content(1, 100_000), content(2, 64_000)];
    let write = async |value: &Bytes| {
        let (mode, durability) = (PutMode::Replace, Durability::Volatile);
        let put = storage.records.put(&path, value.clone(), mode, durability);
        assert!(matches!(put.await.unwrap(), Outcome::Done(_)));
    };
    write(&values[0]).await;
    let reader = {
        let (storage, path, values) = (storage.clone(), path.clone(), values.clone());
        tokio::spawn(async move {
            for _ in 0..200 {
                let found = get(&storage, &path).await.expect("never absent");
                assert!(values.contains(&found.value), "{} bytes", found.value.len());
            }
        })
    };
    for round in 0..100 {
        write(&values[round % 2]).await;
        tokio::task::yield_now().await;
    }
    reader.await.unwrap();
    assert!(get(storage, &path).await.unwrap().value == values[1]);
}

pub async fn a_put_beside_the_removal_of_its_directory_succeeds(storage: &Storage) {
    let tasks = (1..=4).map(|number| {
        let storage = storage.clone();
        tokio::spawn(async move {
            let path = referrer(number);
            for _ in 0..25 {
                set(&storage, &path, "x").await;
                assert_eq!(value(&storage, &path).await.as_deref(), Some("x"));
                remove(&storage, &path).await;
                assert!(get(&storage, &path).await.is_none());
            }
            set(&storage, &path, "kept").await;
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    for number in 1..=4 {
        let kept = value(storage, &referrer(number)).await;
        assert_eq!(kept.as_deref(), Some("kept"));
    }
}

pub async fn a_stamp_differs_after_an_entry_came_or_went(storage: &Storage) {
    set(storage, &referrer(1), "x").await;
    let mut seen: Vec<Version> = Vec::new();
    for round in 0..5 {
        // A store may have no stamps, or none at this moment; one it gives must tell.
        let stamp = storage.records.stamp(&referrers()).await.unwrap();
        if let Some(stamp) = stamp {
            assert!(!seen.contains(&stamp), "round {round}: {stamp:?}");
            seen.push(stamp);
        }
        match round % 2 {
            0 => set(storage, &referrer(2), "x").await,
            _ => remove(storage, &referrer(2)).await,
        }
    }
}
