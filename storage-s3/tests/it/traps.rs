//! What `object_store` does with writes under a condition, and what becomes of that here.

use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore as _, PutMode as Condition};
use registry_core::layout::{Key, StorePath};
use registry_core::storage::{Durability, OpenMode, Outcome, PutMode, RecordStore};
use storage_s3::testing::{Failure, Fault, Operation, S3Server, When};

fn tag() -> StorePath {
    Key::TagCurrent("app".parse().unwrap(), "v1".parse().unwrap()).path()
}

async fn create(server: &S3Server) -> Outcome {
    let mut config = server.config();
    config.patience = Duration::from_secs(5);
    let driver = storage_s3::open(&config, OpenMode::Serve).await.unwrap();
    let value = Bytes::from_static(b"ours");
    let path = tag();
    let put = driver.put(&path, value, PutMode::Create, Durability::Durable);
    put.await.unwrap()
}

/// A 409 says that another request was in the way, and not that anything is there.
#[tokio::test]
async fn already_exists_is_not_believed_where_nothing_was_written() {
    let server = S3Server::start();
    let conflict = || Failure::new(When::Before, Fault::CONFLICT).of(Operation::PutObject);
    let (key, bytes) = (Path::from(tag().as_str()), Bytes::from_static(b"theirs"));
    server.fail(conflict().at("/current/"));
    let store = server.object_store_that_repeats();
    let put = store.put_opts(&key, bytes.into(), Condition::Create.into());
    assert!(matches!(put.await, Err(Error::AlreadyExists { .. })));
    assert!(server.object(tag().as_str()).is_none(), "that was the trap");

    server.fail(conflict().at("/current/"));
    assert!(matches!(create(&server).await, Outcome::Done(Some(_))));
    assert_eq!(server.object(tag().as_str()).unwrap().bytes, "ours");
    assert_eq!(server.stop_failing(), 0);
}

/// A write that was done, and whose answer was lost, is repeated, and then meets itself.
#[tokio::test]
async fn already_exists_is_not_believed_of_ones_own_write() {
    for fault in [Fault::INTERNAL, Fault::SLOW_DOWN] {
        let server = S3Server::start();
        let lost = || Failure::new(When::After, fault.clone()).of(Operation::PutObject);
        let (key, bytes) = (Path::from(tag().as_str()), Bytes::from_static(b"theirs"));
        server.fail(lost().at("/current/"));
        let store = server.object_store_that_repeats();
        let put = store.put_opts(&key, bytes.into(), Condition::Create.into());
        assert!(matches!(put.await, Err(Error::AlreadyExists { .. })));
        let there = server.object(tag().as_str()).unwrap().bytes;
        assert_eq!(there, "theirs", "that was the trap");

        assert!(server.remove(tag().as_str()));
        server.fail(lost().at("/current/"));
        assert!(matches!(create(&server).await, Outcome::Done(Some(_))));
        assert_eq!(server.object(tag().as_str()).unwrap().bytes, "ours");
        assert_eq!(server.stop_failing(), 0);
        // Of another it is believed.
        assert_eq!(create(&server).await, Outcome::Conflict);
    }
}
