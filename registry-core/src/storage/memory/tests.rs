//! What the contract leaves open and this driver promises.

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::*;
use crate::digest::Digest;
use crate::layout::{CURRENT_LINK, Dir, Key};
use crate::name::RepositoryName;
use crate::storage::{Durability, ListQuery, Outcome, PutMode, RecordEntry, RecordStore};

fn driver() -> MemoryDriver {
    MemoryDriver::new(Ambient {
        now: || std::time::SystemTime::UNIX_EPOCH,
        random: || [7; 32],
    })
}

async fn put(driver: &MemoryDriver, key: Key) {
    let mode = PutMode::Create;
    let outcome = driver
        .put(&key.path(), "x".into(), mode, Durability::Durable)
        .await;
    assert!(matches!(outcome, Ok(Outcome::Done(Some(_)))));
}

fn digest(number: u16) -> Digest {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    Digest::Sha256(bytes)
}

#[tokio::test]
async fn a_listing_goes_on_over_pages_and_stops_at_its_limit() {
    let driver = driver();
    let name: RepositoryName = "app".parse().unwrap();
    for number in 0..2 * PAGE as u16 + 500 {
        put(&driver, Key::MediaType(name.clone(), digest(number))).await;
    }
    let query = ListQuery::recursive(Dir::Repository(name).path());
    let list = async |query| {
        let found: Vec<RecordEntry> = driver.list(query).try_collect().await.unwrap();
        assert!(found.is_sorted_by(|a, b| a.name() < b.name()));
        found.len()
    };
    assert_eq!(list(query.clone()).await, 2 * PAGE + 500);
    assert_eq!(list(query.limit(PAGE + 1)).await, PAGE + 1);
}

#[tokio::test]
async fn directories_that_lack_the_record_are_left_out() {
    let driver = driver();
    let name: RepositoryName = "app".parse().unwrap();
    let tag = |text: &str| text.parse().unwrap();
    put(&driver, Key::TagIndex(name.clone(), tag("a"), digest(1))).await;
    let whole = digest(1).to_string();
    for (text, link) in [("aa", ""), ("ab", &whole[..9]), ("b", &whole)] {
        let current = Key::TagCurrent(name.clone(), tag(text)).path();
        let link = Bytes::copy_from_slice(link.as_bytes());
        let created = driver.put(&current, link, PutMode::Create, Durability::Durable);
        assert!(matches!(created.await, Ok(Outcome::Done(_))));
    }
    let query = ListQuery::children(Dir::Tags(name).path()).holding(CURRENT_LINK);
    let found: Vec<_> = driver.list(query.limit(1)).try_collect().await.unwrap();
    assert_eq!(found, [RecordEntry::Directory { name: "b".into() }]);
}

#[tokio::test]
async fn a_stamp_changes_with_the_entries_of_its_directory_alone() {
    let driver = driver();
    let stamp = async |dir: Dir| driver.stamp(&dir.path()).await.unwrap();
    let name: RepositoryName = "app".parse().unwrap();
    let tags = Dir::Tags(name.clone());
    let current = Key::TagCurrent(name.clone(), "v1".parse().unwrap());
    put(&driver, Key::Layer(name.clone(), digest(1))).await;
    let (above, first) = (Dir::Repositories, stamp(tags.clone()).await);
    let repositories = stamp(above.clone()).await;
    assert!(first.is_none() && repositories.is_some());
    put(&driver, current.clone()).await;
    let second = stamp(tags.clone()).await;
    assert!(second.is_some());
    assert_eq!(stamp(above).await, repositories);
    let gone = driver.delete(&current.path(), None).await.unwrap();
    assert_eq!(gone, Outcome::Done(None));
    // It stays, and is another; that of a digest goes.
    let third = stamp(tags.clone()).await;
    assert!(third.is_some() && third != second);
    put(&driver, current).await;
    assert!(stamp(tags.clone()).await != second && stamp(tags).await != third);
    let subject = Dir::Referrers(name.clone(), digest(1));
    let referrer = Key::Referrer {
        repository: name,
        subject: digest(1),
        referrer: digest(2),
    };
    put(&driver, referrer.clone()).await;
    assert!(stamp(subject.clone()).await.is_some());
    let _ = driver.delete(&referrer.path(), None).await.unwrap();
    assert_eq!(stamp(subject).await, None);
}

#[tokio::test]
async fn a_repository_stays_one_when_it_is_empty() {
    let driver = driver();
    let name: RepositoryName = "app".parse().unwrap();
    let tag = Key::TagCurrent(name.clone(), "v1".parse().unwrap());
    let list = async |query| {
        let found: Vec<RecordEntry> = driver.list(query).try_collect().await.unwrap();
        let keys = found.iter().map(RecordEntry::sort_key);
        keys.collect::<Vec<_>>()
    };
    put(&driver, Key::Layer(name.clone(), digest(1))).await;
    put(&driver, tag.clone()).await;
    for key in [Key::Layer(name.clone(), digest(1)), tag] {
        let _ = driver.delete(&key.path(), None).await.unwrap();
    }
    let repository = Dir::Repository(name.clone()).path();
    let children = ListQuery::children(repository.clone());
    assert_eq!(list(children).await, ["_layers/", "_manifests/"]);
    let layers = Dir::Layers(name.clone(), crate::Algorithm::Sha256);
    assert_eq!(list(ListQuery::children(layers.path())).await, [""; 0]);
    assert_eq!(
        list(ListQuery::recursive(repository.clone())).await,
        [""; 0]
    );
    driver.delete_below(&repository).await.unwrap();
    let repositories = Dir::Repositories.path();
    assert_eq!(list(ListQuery::children(repositories)).await, [""; 0]);
}
