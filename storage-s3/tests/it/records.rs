//! What is the driver's own about records; the rest is in the clauses.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use registry_core::layout::{Dir, Key, StorePath};
use registry_core::storage::{
    Durability, ListQuery, OpenMode, Outcome, PutMode, RecordEntry, RecordStore,
};
use storage_s3::testing::{Failure, Fault, Operation, Options, S3Server, When};
use storage_s3::{Config, S3Driver};

/// Every way in which an answer can go wrong.
const FAULTS: [Fault; 6] = [
    Fault::INTERNAL,
    Fault::SLOW_DOWN,
    Fault::CONFLICT,
    Fault::PRECONDITION,
    Fault::Reset,
    Fault::Silence,
];

/// Does not wait long for an answer that never comes.
fn hasty(server: &S3Server) -> Config {
    let mut config = server.config();
    config.patience = Duration::from_millis(200);
    config
}

async fn open(config: &Config) -> S3Driver {
    storage_s3::open(config, OpenMode::Serve).await.unwrap()
}

fn tag(name: &str) -> StorePath {
    Key::TagCurrent("app".parse().unwrap(), name.parse().unwrap()).path()
}

async fn put(driver: &S3Driver, path: &StorePath, value: &'static str, mode: PutMode) -> Outcome {
    let value = Bytes::from_static(value.as_bytes());
    let put = driver.put(path, value, mode, Durability::Durable);
    put.await.unwrap()
}

async fn get(driver: &S3Driver, path: &StorePath) -> Option<Bytes> {
    driver.get(path).await.unwrap().map(|record| record.value)
}

#[tokio::test]
async fn records_lie_where_distribution_puts_them() {
    let server = S3Server::start();
    for (root, prefix) in [
        ("", ""),
        ("/", ""),
        ("some/dir/", "some/dir/"),
        ("/dir", "dir/"),
    ] {
        let mut config = server.config();
        config.rootdirectory = root.to_owned();
        let driver = open(&config).await;
        let _ = put(&driver, &tag("v1"), "x", PutMode::Replace).await;
        let key =
            format!("{prefix}docker/registry/v2/repositories/app/_manifests/tags/v1/current/link");
        assert!(
            server.keys().contains(&key),
            "{root:?}: {:?}",
            server.keys()
        );
        assert!(server.remove(&key));
    }
    let mut config = server.config();
    config.rootdirectory = "a//b".to_owned();
    assert!(storage_s3::open(&config, OpenMode::Serve).await.is_err());
}

#[tokio::test]
async fn what_the_store_holds_to_is_tried_and_nothing_stays_of_it() {
    let server = S3Server::start();
    assert!(open(&server.config()).await.guarantees().conditional_writes);
    assert_eq!(server.keys(), [""; 0]);
    assert_eq!(server.take_log().len(), 8);

    let mut options = Options::default();
    options.conditions = false;
    let server = S3Server::with(options);
    assert!(!open(&server.config()).await.guarantees().conditional_writes);
    assert_eq!(server.keys(), [""; 0]);
    let read_only = storage_s3::open(&server.config(), OpenMode::ReadOnly)
        .await
        .unwrap();
    assert!(!read_only.guarantees().conditional_writes);
    server.take_log();
    drop(
        storage_s3::open(&server.config(), OpenMode::ReadOnly)
            .await
            .unwrap(),
    );
    let writes = server
        .take_log()
        .iter()
        .any(|one| one.operation == Operation::PutObject);
    assert!(!writes, "a store that is only read is not written to");
}

#[tokio::test]
async fn without_a_bucket_there_is_no_store() {
    let server = S3Server::start();
    let mut config = server.config();
    config.bucket = "another".to_owned();
    config.retries = 0;
    assert!(storage_s3::open(&config, OpenMode::Serve).await.is_err());
    let mut config = server.config();
    config.secretkey = Some("another".to_owned());
    assert!(storage_s3::open(&config, OpenMode::ReadOnly).await.is_err());
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_no_conflict_of_ones_own_write() {
    let server = S3Server::start();
    let driver = open(&hasty(&server)).await;
    for fault in FAULTS {
        for when in [When::Before, When::After] {
            let path = tag("v1");
            let fails = || Failure::new(when, fault.clone()).of(Operation::PutObject);
            server.fail(fails());
            let created = put(&driver, &path, "first", PutMode::Create).await;
            let Outcome::Done(Some(first)) = created else {
                panic!("{when:?} {fault:?}: {created:?}");
            };
            assert_eq!(get(&driver, &path).await.as_deref(), Some(&b"first"[..]));
            server.fail(fails());
            let over = PutMode::IfVersion(first.clone());
            let updated = put(&driver, &path, "second", over.clone()).await;
            assert!(
                matches!(updated, Outcome::Done(Some(_))),
                "{when:?} {fault:?}: {updated:?}"
            );
            assert_eq!(get(&driver, &path).await.as_deref(), Some(&b"second"[..]));
            // And a conflict stays one.
            for mode in [PutMode::Create, over] {
                server.fail(fails());
                assert_eq!(put(&driver, &path, "third", mode).await, Outcome::Conflict);
            }
            assert_eq!(server.stop_failing(), 0);
            assert!(matches!(
                driver.delete(&path, None).await.unwrap(),
                Outcome::Done(_)
            ));
        }
    }
}

#[tokio::test]
async fn equal_bytes_of_another_are_no_write_of_ones_own() {
    let server = S3Server::start();
    let driver = open(&server.config()).await;
    let path = tag("v1");
    let _ = put(&driver, &path, "same", PutMode::Create).await;
    server.fail(Failure::new(When::Before, Fault::CONFLICT).of(Operation::PutObject));
    let again = put(&driver, &path, "same", PutMode::Create).await;
    assert_eq!(again, Outcome::Conflict);
}

#[tokio::test]
async fn a_store_that_fails_for_good_is_a_fault_that_may_pass() {
    let server = S3Server::start();
    let mut config = hasty(&server);
    config.retries = 1;
    let driver = open(&config).await;
    let fails = Failure::new(When::Before, Fault::SLOW_DOWN).times(usize::MAX);
    server.fail(fails);
    let temporary = |error| {
        matches!(
            error,
            registry_core::StorageError::Backend {
                temporary: true,
                ..
            }
        )
    };
    let path = tag("v1");
    assert!(temporary(driver.get(&path).await.unwrap_err()));
    let put = driver.put(&path, Bytes::new(), PutMode::Create, Durability::Durable);
    assert!(temporary(put.await.unwrap_err()));
    assert!(temporary(driver.delete(&path, None).await.unwrap_err()));
    let listed: Result<Vec<_>, _> = driver
        .list(ListQuery::children(Dir::Uploads.path()))
        .try_collect()
        .await;
    assert!(temporary(listed.unwrap_err()));
}

#[tokio::test]
async fn conditions_hold_within_a_process_where_the_store_passes_over_them() {
    let mut options = Options::default();
    options.conditions = false;
    let server = S3Server::with(options);
    let driver = open(&server.config()).await;
    let path = tag("v1");
    let created =
        futures_util::future::join_all((0..8).map(|_| put(&driver, &path, "x", PutMode::Create)));
    let done = created
        .await
        .iter()
        .filter(|one| matches!(one, Outcome::Done(_)))
        .count();
    assert_eq!(done, 1);
}

#[tokio::test]
async fn a_listing_asks_once_for_each_page() {
    let mut options = Options::default();
    options.page = 5;
    let server = S3Server::with(options);
    let driver = open(&server.config()).await;
    for number in 10..33 {
        server.put(tag(&format!("v{number}")).as_str(), "x");
        // Many records in a directory are still one entry.
        server.put(
            &format!(
                "{}/more",
                Dir::Tag(
                    "app".parse().unwrap(),
                    format!("v{number}").parse().unwrap()
                )
                .path()
            ),
            "x",
        );
    }
    let tags = || ListQuery::children(Dir::Tags("app".parse().unwrap()).path());
    let list = async |query: ListQuery| -> Vec<RecordEntry> {
        server.take_log();
        driver.list(query).try_collect().await.unwrap()
    };
    assert_eq!(list(tags()).await.len(), 23);
    assert_eq!(server.count(Operation::ListObjectsV2), 5);
    let page = list(tags().after(Some("v20/".into())).limit(4)).await;
    let names: Vec<&str> = page.iter().map(RecordEntry::name).collect();
    assert_eq!(names, ["v21", "v22", "v23", "v24"]);
    let log = server.take_log();
    assert_eq!(log.len(), 1, "{log:?}");
}
