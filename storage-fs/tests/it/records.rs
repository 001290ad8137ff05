use std::fs;
use std::os::unix::fs::symlink;

use registry_core::layout::{Dir, Key};
use registry_core::storage::{ListQuery, Outcome, PutMode, StorageError};
use registry_core::{Digest, RepositoryName, Tag};

use crate::store::{DAY, age, open};

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn tag(text: &str) -> Key {
    Key::TagCurrent(name("a/b"), text.parse::<Tag>().unwrap())
}

const DIGEST: Digest = Digest::Sha256([7; 32]);

#[tokio::test]
async fn a_link_is_exactly_the_bytes_that_were_put() {
    let store = open();
    let key = Key::Layer(name("a"), DIGEST);
    let text = DIGEST.to_string();
    let put = store.put(&key, &text, PutMode::Replace).await;
    assert!(matches!(put, Outcome::Done(Some(_))));
    assert_eq!(fs::read(store.path(&key)).unwrap(), text.as_bytes());
}

#[tokio::test]
async fn deleting_removes_the_directories_left_empty_but_what_distribution_would_miss() {
    let store = open();
    let _ = store.put(&tag("v1"), "x", PutMode::Replace).await;
    store.delete(&tag("v1")).await;
    let manifests = "repositories/a/b/_manifests";
    assert!(store.at(&format!("{manifests}/tags")).is_dir());
    assert!(!store.at(&format!("{manifests}/tags/v1")).exists());

    let revision = Key::Revision(name("a/b"), DIGEST);
    let _ = store.put(&revision, "x", PutMode::Replace).await;
    store.delete(&revision).await;
    let revisions = store.at(&format!("{manifests}/revisions/sha256"));
    assert_eq!(fs::read_dir(revisions).unwrap().count(), 0);

    let id = registry_core::testing::upload_id();
    let record = Key::UploadRecord(id);
    let _ = store.put(&record, "x", PutMode::Replace).await;
    store.delete(&record).await;
    assert!(store.at("uploads").is_dir());
    assert!(!store.at(&format!("uploads/{id}")).exists());

    let hint = Key::MediaType(name("a/b"), DIGEST);
    let _ = store.put(&hint, "x", PutMode::Replace).await;
    store.delete(&hint).await;
    assert!(!store.at("repositories/a/b/_mediatypes").exists());
    assert!(store.at("repositories/a/b").is_dir());
}

#[tokio::test]
async fn a_directory_stays_while_it_holds_anything() {
    let store = open();
    let _ = store.put(&tag("v1"), "x", PutMode::Replace).await;
    let foreign = store.plant("repositories/a/b/_manifests/tags/v1/current/note", "");
    store.delete(&tag("v1")).await;
    assert!(foreign.exists());
}

#[tokio::test]
async fn a_foreign_directory_at_the_path_is_no_record_and_a_fifo_is_a_fault() {
    let store = open();
    let path = store.path(&tag("v1"));
    fs::create_dir_all(&path).unwrap();
    assert_eq!(store.get(&tag("v1")).await.unwrap(), None);
    let path = store.path(&tag("v2"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let fault = store.get(&tag("v2")).await;
    assert!(matches!(fault, Err(StorageError::Backend { .. })));
}

#[tokio::test]
async fn a_file_where_a_directory_should_be_means_there_is_no_record() {
    let store = open();
    store.plant("repositories/a/b", "");
    assert_eq!(store.get(&tag("v1")).await.unwrap(), None);
    store.delete(&tag("v1")).await;
}

#[tokio::test]
async fn an_endless_symbolic_link_is_a_fault_and_not_absence() {
    let store = open();
    let path = store.path(&tag("v1"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(&path, &path).unwrap();
    let fault = store.get(&tag("v1")).await;
    assert!(matches!(fault, Err(StorageError::Backend { .. })));
}

#[tokio::test]
async fn every_put_makes_another_version_even_of_the_same_bytes() {
    let store = open();
    let mut seen = std::collections::HashSet::new();
    for round in 0..200 {
        let put = store.put(&tag("v1"), "x", PutMode::Replace).await;
        let Outcome::Done(Some(version)) = put else {
            panic!("{put:?}");
        };
        let path = tag("v1").path();
        let record = store.storage.records.get(&path).await.unwrap().unwrap();
        assert_eq!(record.version, version);
        assert!(seen.insert(version), "round {round}");
    }
}

#[tokio::test]
async fn a_record_that_another_hand_replaced_has_another_version() {
    let store = open();
    let put = store.put(&tag("v1"), "x", PutMode::Replace).await;
    let Outcome::Done(Some(version)) = put else {
        panic!("{put:?}");
    };
    store.plant("repositories/a/b/_manifests/tags/v1/current/link", "y");
    let put = store
        .put(&tag("v1"), "z", PutMode::IfVersion(version))
        .await;
    assert_eq!(put, Outcome::Conflict);
    assert_eq!(store.get(&tag("v1")).await.unwrap().as_deref(), Some("y"));
}

#[tokio::test]
async fn a_listing_sees_what_another_hand_changed() {
    let store = open();
    // Enough that the list is kept.
    for i in 0..100 {
        store.plant(
            &format!("repositories/a/b/_manifests/tags/t{i:03}/current/link"),
            "",
        );
    }
    let dir = Dir::Tags(name("a/b"));
    age(&store.at("repositories/a/b/_manifests/tags"), DAY);
    let tags = || ListQuery::children(dir.path());
    assert_eq!(store.list(tags()).await.len(), 100);
    fs::remove_dir_all(store.at("repositories/a/b/_manifests/tags/t050")).unwrap();
    store.plant("repositories/a/b/_manifests/tags/new/current/link", "");
    let found = store.list(tags()).await;
    assert_eq!(found.len(), 100);
    assert_eq!(found[0], "new/");
    assert!(!found.contains(&"t050/".to_owned()));
    fs::remove_dir_all(store.at("repositories/a/b/_manifests/tags")).unwrap();
    assert_eq!(store.list(tags()).await, [""; 0]);
}

/// A whole one, to whatever.
const LINK: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[tokio::test]
async fn a_listing_goes_on_over_many_pages_and_after_any_name() {
    let store = open();
    let paths: Vec<String> = (0..700).map(|i| format!("t{i:03}/current/link")).collect();
    for path in &paths {
        store.plant(&format!("repositories/a/b/_manifests/tags/{path}"), LINK);
    }
    fs::create_dir(store.at("repositories/a/b/_manifests/tags/t0005")).unwrap();
    let dir = Dir::Tags(name("a/b")).path();
    assert_eq!(store.list(ListQuery::recursive(dir.clone())).await, paths);
    for after in ["t300/current/link", "t300/current/", "t300/", "t300", "t3"] {
        let query = ListQuery::recursive(dir.clone()).after(Some(after.into()));
        let expected: Vec<_> = paths.iter().filter(|path| path.as_str() > after).collect();
        assert_eq!(
            store.list(query).await,
            expected.into_iter().cloned().collect::<Vec<_>>()
        );
    }
    let holding = ListQuery::children(dir.clone()).holding("current/link");
    assert_eq!(store.list(holding.clone()).await.len(), 700);
    let page = holding.after(Some("t299/".into())).limit(300);
    let found = store.list(page).await;
    assert_eq!((found.len(), found[0].as_str()), (300, "t300/"));
    assert_eq!(store.list(ListQuery::children(dir)).await.len(), 701);
}

#[tokio::test]
async fn links_in_the_tree_are_not_followed_by_a_listing() {
    let store = open();
    let _ = store.put(&tag("v1"), "x", PutMode::Replace).await;
    let tags = store.at("repositories/a/b/_manifests/tags");
    symlink(&tags, tags.join("v0")).unwrap();
    let query = ListQuery::recursive(Dir::Repositories.path());
    let found = store.list(query).await;
    assert_eq!(found, ["a/b/_manifests/tags/v1/current/link"]);
}

#[tokio::test]
async fn a_stamp_changes_with_the_entries_and_only_then() {
    let store = open();
    let dir = Dir::Tags(name("a/b"));
    let absent = store.settled_stamp(&dir).await;
    let _ = store.put(&tag("v1"), "x", PutMode::Replace).await;
    let first = store.settled_stamp(&dir).await;
    assert_ne!(absent, first);
    let _ = store.put(&tag("v1"), "y", PutMode::Replace).await;
    assert_eq!(store.settled_stamp(&dir).await, first);
    store.plant("repositories/a/b/_manifests/tags/v2/current/link", "");
    assert_ne!(store.settled_stamp(&dir).await, first);
}

#[tokio::test]
async fn there_is_no_stamp_while_a_change_might_not_show() {
    let store = open();
    let _ = store.put(&tag("v1"), "x", PutMode::Replace).await;
    // As if it had changed this moment, for as long as the test takes.
    let tags = store.at("repositories/a/b/_manifests/tags");
    let file = fs::File::open(tags).unwrap();
    let later = file.metadata().unwrap().modified().unwrap() + DAY;
    file.set_times(fs::FileTimes::new().set_modified(later))
        .unwrap();
    assert_eq!(store.stamp(&Dir::Tags(name("a/b"))).await, None);
}

#[tokio::test]
async fn a_tag_whose_link_a_crash_has_left_empty_is_not_held() {
    let store = open();
    let _ = store.put(&tag("v1"), LINK, PutMode::Replace).await;
    store.plant("repositories/a/b/_manifests/tags/v2/current/link", "");
    let tags = ListQuery::children(Dir::Tags(name("a/b")).path());
    let holding = tags.clone().holding("current/link");
    assert_eq!(store.list(holding).await, ["v1/"]);
    assert_eq!(store.list(tags).await, ["v1/", "v2/"]);
}

#[tokio::test]
async fn what_is_deleted_below_a_directory_is_whatever_lies_there() {
    let store = open();
    for text in ["v1", "v2"] {
        let _ = store.put(&tag(text), "x", PutMode::Replace).await;
        assert!(store.get(&tag(text)).await.unwrap().is_some());
    }
    store.plant("repositories/a/b/_manifests/tags/v1/current/link.1.tmp", "");
    store.plant("repositories/a/b/_manifests/tags/v1/index/odd/x/y", "");
    let elsewhere = store.plant("elsewhere/file", "");
    let v1 = store.at("repositories/a/b/_manifests/tags/v1");
    symlink(elsewhere.parent().unwrap(), v1.join("link")).unwrap();
    let dir = Dir::Tag(name("a/b"), "v1".parse().unwrap()).path();
    for _ in 0..2 {
        store.storage.records.delete_below(&dir).await.unwrap();
        assert!(!v1.exists());
        assert_eq!(store.get(&tag("v1")).await.unwrap(), None);
        assert!(store.get(&tag("v2")).await.unwrap().is_some());
        assert!(elsewhere.exists());
    }
    let dir = Dir::Tag(name("a/b"), "v2".parse().unwrap()).path();
    store.storage.records.delete_below(&dir).await.unwrap();
    assert!(store.at("repositories/a/b/_manifests/tags").is_dir());
}
