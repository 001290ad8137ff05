//! Listings of records: one order, whatever the store.

use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;
use futures_util::stream::{self, StreamExt};

use super::records::{numbered, referrer, referrers, remove, repository, set, tag};
use crate::layout::{CURRENT_LINK, Dir, Key};
use crate::storage::{ListQuery, RecordEntry, Storage};
use crate::testing::upload_id;

async fn list(storage: &Storage, query: ListQuery) -> Vec<RecordEntry> {
    storage.records.list(query).try_collect().await.unwrap()
}

/// What a listing sorts by, of each entry.
async fn keys(storage: &Storage, query: ListQuery) -> Vec<String> {
    let found = list(storage, query).await;
    found.iter().map(RecordEntry::sort_key).collect()
}

/// Repositories whose order as keys is not that of their names.
const NAMES: [&str; 6] = ["a-b", "a.b", "a", "a/b", "a0", "a_b"];

async fn name_them(storage: &Storage) {
    for name in ["a", "a_b", "a0", "a.b", "a/b", "a-b"] {
        set(storage, &tag(name, "v1"), name).await;
    }
}

pub async fn listing_is_in_byte_order_of_the_full_key(storage: &Storage) {
    name_them(storage).await;
    let dir = Dir::Repositories.path();
    let found = keys(storage, ListQuery::children(dir.clone())).await;
    assert_eq!(found, ["a-b/", "a.b/", "a/", "a0/", "a_b/"]);

    let found = keys(storage, ListQuery::recursive(dir.clone())).await;
    let link = format!("_manifests/tags/v1/{CURRENT_LINK}");
    assert_eq!(found, NAMES.map(|name| format!("{name}/{link}")));
    for name in found {
        let path = format!("{dir}/{name}");
        assert!(
            matches!(Key::parse(&path), Some(Key::TagCurrent(..))),
            "{path}"
        );
    }

    // A record and a directory side by side.
    let id = upload_id();
    set(storage, &Key::UploadRecord(id).path(), "x").await;
    set(storage, &Key::UploadSecret.path(), "x").await;
    let found = keys(storage, ListQuery::children(Dir::Uploads.path())).await;
    let mut expected = [format!("{id}/"), "_key".to_owned()];
    expected.sort();
    assert_eq!(found, expected);
}

pub async fn listing_resumes_after_a_name_that_need_not_exist(storage: &Storage) {
    name_them(storage).await;
    let dir = Dir::Repositories.path();
    for children in [true, false] {
        let query = || match children {
            true => ListQuery::children(dir.clone()),
            false => ListQuery::recursive(dir.clone()),
        };
        let all = keys(storage, query()).await;
        let mut afters = all.clone();
        let absent = [
            "", "!", "a", "a-", "a-b", "a-b/~", "a.", "a/", "a/_", "a/b", "a/~", "a0", "a~", "~",
        ];
        afters.extend(absent.map(String::from));
        for after in afters {
            let found = keys(storage, query().after(Some(after.clone()))).await;
            let expected: Vec<_> = all.iter().filter(|key| **key > after).cloned().collect();
            assert_eq!(found, expected, "children: {children}, after {after:?}");
        }
    }
}

pub async fn listing_stops_at_its_limit(storage: &Storage) {
    name_them(storage).await;
    let dir = Dir::Repositories.path();
    for query in [ListQuery::children(dir.clone()), ListQuery::recursive(dir)] {
        let all = keys(storage, query.clone()).await;
        for limit in 0..=all.len() + 1 {
            let found = keys(storage, query.clone().limit(limit)).await;
            assert_eq!(found, all[..limit.min(all.len())]);
        }
        // One by one, as a client pages through it.
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let next = query.clone().limit(1).after(after);
            let Some(key) = keys(storage, next).await.pop() else {
                break;
            };
            assert!(paged.len() < all.len(), "{key} again");
            paged.push(key.clone());
            after = Some(key);
        }
        assert_eq!(paged, all);
    }
}

/// Object stores list a thousand at a time.
pub async fn listing_goes_on_beyond_a_page(storage: &Storage) {
    const MANY: u64 = 1_050;
    let mut puts = stream::iter(1..=MANY)
        .map(|number| async move { set_volatile(storage, number).await })
        .buffer_unordered(16);
    while puts.next().await.is_some() {}
    drop(puts);
    for query in [
        ListQuery::children(referrers()),
        ListQuery::recursive(referrers()),
    ] {
        let found = keys(storage, query.clone()).await;
        assert_eq!(found.len() as u64, MANY);
        assert!(found.is_sorted_by(|a, b| a < b));
        let rest = query.clone().after(Some(found[9].clone()));
        assert_eq!(keys(storage, rest).await, found[10..]);
        let most = keys(storage, query.limit(1_010)).await;
        assert_eq!(most, found[..1_010]);
    }
}

async fn set_volatile(storage: &Storage, number: u64) {
    use crate::storage::{Durability, Outcome, PutMode};
    let (path, mode) = (referrer(number), PutMode::Replace);
    let put = storage
        .records
        .put(&path, "x".into(), mode, Durability::Volatile);
    assert!(matches!(put.await.unwrap(), Outcome::Done(_)));
}

pub async fn listing_children_shows_each_directory_once(storage: &Storage) {
    for name in ["a/b", "a/b/c", "a", "b"] {
        set(storage, &tag(name, "v1"), "x").await;
        set(storage, &tag(name, "v2"), "x").await;
    }
    let children = async |dir: Dir| list(storage, ListQuery::children(dir.path())).await;
    let directory = |name: &str| RecordEntry::Directory { name: name.into() };
    let found = children(Dir::Repositories).await;
    assert_eq!(found, [directory("a"), directory("b")]);
    let found = children(Dir::Repository(repository("a"))).await;
    assert_eq!(found, [directory("_manifests"), directory("b")]);
    let found = children(Dir::Tags(repository("a/b"))).await;
    assert_eq!(found, [directory("v1"), directory("v2")]);

    set(storage, &referrer(1), "x").await;
    let found = children(Dir::Referrers(repository("app"), numbered(0))).await;
    let [RecordEntry::Record { name, modified }] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(format!("{}/{name}", referrers()), referrer(1).as_str());
    if let Some(listed) = modified {
        // Some stores show whole seconds in one place and parts of them in another.
        let record = storage.records.get(&referrer(1)).await.unwrap().unwrap();
        let apart = |a: SystemTime, b: SystemTime| a.duration_since(b).unwrap_or_default();
        let apart = apart(*listed, record.modified).max(apart(record.modified, *listed));
        assert!(apart < Duration::from_secs(1), "{listed:?}, {record:?}");
    }
}

/// A whole one, to whatever.
const LINK: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub async fn listing_what_holds_a_record_shows_all_that_do(storage: &Storage) {
    let tags = Dir::Tags(repository("app")).path();
    for name in ["v1", "v3", "v5"] {
        set(storage, &tag("app", name), LINK).await;
    }
    for name in ["v0", "v2", "v4", "v6"] {
        let lacks = Key::TagIndex(repository("app"), name.parse().unwrap(), numbered(1));
        set(storage, &lacks.path(), LINK).await;
    }
    let query = ListQuery::children(tags.clone()).holding(CURRENT_LINK);
    let found = keys(storage, query.clone()).await;
    assert!(found.is_sorted_by(|a, b| a < b), "{found:?}");
    // A store that cannot tell may show more, and then shows what is there.
    let all = keys(storage, ListQuery::children(tags)).await;
    assert!(found.iter().all(|key| all.contains(key)), "{found:?}");
    let holds = ["v1/", "v3/", "v5/"].map(String::from);
    assert!(holds.iter().all(|key| found.contains(key)), "{found:?}");
    let rest = keys(storage, query.after(Some("v1/".into()))).await;
    assert!(!rest.contains(&holds[0]), "{rest:?}");
    assert!(holds[1..].iter().all(|key| rest.contains(key)), "{rest:?}");
}

pub async fn listing_an_absent_directory_is_empty(storage: &Storage) {
    let dirs = [Dir::Repositories, Dir::Tags(repository("a")), Dir::Uploads];
    for dir in dirs {
        let (children, below) = (
            ListQuery::children(dir.path()),
            ListQuery::recursive(dir.path()),
        );
        assert_eq!(keys(storage, children).await, [""; 0]);
        assert_eq!(keys(storage, below).await, [""; 0]);
    }
    // Nor is a directory part of one whose name it begins with.
    set(storage, &tag("ab", "v1"), "x").await;
    let found = keys(
        storage,
        ListQuery::recursive(Dir::Repository(repository("a")).path()),
    )
    .await;
    assert_eq!(found, [""; 0]);
}

pub async fn a_directory_left_empty_is_gone(storage: &Storage) {
    set(storage, &tag("c", "v1"), "x").await;
    set(storage, &tag("c", "v2"), "x").await;
    remove(storage, &tag("c", "v1")).await;
    let tags = || ListQuery::children(Dir::Tags(repository("c")).path());
    assert_eq!(keys(storage, tags()).await, ["v2/"]);
    // With something left above it, that stays; and what is gone can come back.
    let repositories = ListQuery::children(Dir::Repositories.path());
    assert_eq!(keys(storage, repositories).await, ["c/"]);
    set(storage, &tag("c", "v1"), "x").await;
    assert_eq!(keys(storage, tags()).await, ["v1/", "v2/"]);
}

pub async fn deleting_below_a_directory_leaves_nothing_and_all_beside_it(storage: &Storage) {
    let below = |name: &str| Dir::Tag(repository("c"), name.parse().unwrap()).path();
    let indexed = |name: &str| {
        let index = Key::TagIndex(repository("c"), name.parse().unwrap(), numbered(1));
        index.path()
    };
    for name in ["v1", "v1.0", "v2"] {
        set(storage, &tag("c", name), "x").await;
        set(storage, &indexed(name), "x").await;
    }
    for _ in 0..2 {
        storage.records.delete_below(&below("v1")).await.unwrap();
        assert!(
            storage
                .records
                .get(&tag("c", "v1"))
                .await
                .unwrap()
                .is_none()
        );
        let tags = ListQuery::children(Dir::Tags(repository("c")).path());
        assert_eq!(keys(storage, tags).await, ["v1.0/", "v2/"]);
        let rest = keys(storage, ListQuery::recursive(below("v2"))).await;
        assert_eq!(rest.len(), 2, "{rest:?}");
    }
    set(storage, &tag("c", "v1"), "again").await;
    let rest = keys(storage, ListQuery::recursive(below("v1"))).await;
    assert_eq!(rest, [CURRENT_LINK]);
}
