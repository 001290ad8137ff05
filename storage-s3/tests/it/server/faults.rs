//! It fails as it is told to, and only then.

use std::time::Duration;

use http::StatusCode;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt as _};
use registry_core::testing::content;
use storage_s3::testing::{Failure, Fault, Operation, S3Server, When};
use tokio::time::timeout;

#[tokio::test]
async fn before_means_undone_and_after_means_done() {
    let server = S3Server::start();
    let (store, path) = (server.object_store(), Path::from("a"));
    for fault in [
        Fault::INTERNAL,
        Fault::CONFLICT,
        Fault::PRECONDITION,
        Fault::Reset,
    ] {
        for when in [When::Before, When::After] {
            server.fail(Failure::new(when, fault.clone()));
            let put = store.put(&path, "x".into()).await;
            assert!(put.is_err(), "{when:?} {fault:?}");
            assert_eq!(server.remove("a"), when == When::After, "{fault:?}");
        }
    }
    let statuses: Vec<_> = server.take_log().iter().map(|one| one.status).collect();
    assert_eq!(statuses[..2], [Some(StatusCode::INTERNAL_SERVER_ERROR); 2]);
    assert_eq!(statuses[6..], [None, None]);
    store.put(&path, "x".into()).await.unwrap();
}

#[tokio::test]
async fn it_meets_whom_it_is_meant_for() {
    let server = S3Server::start();
    let store = server.object_store();
    let fails = Failure::new(When::Before, Fault::SLOW_DOWN);
    server.fail(fails.of(Operation::PutObject).at("b").skip(1).times(2));
    let mut failed = Vec::new();
    for (number, key) in ["b", "a", "b", "c/b", "b"].into_iter().enumerate() {
        let path = Path::from(key);
        if store.put(&path, "x".into()).await.is_err() {
            failed.push(number);
        }
        let head = store.head(&path).await;
        assert!(
            matches!(head, Ok(_) | Err(Error::NotFound { .. })),
            "{head:?}"
        );
    }
    assert_eq!(failed, [2, 3]);
    server.fail(Failure::new(When::Before, Fault::Reset).at("nothing"));
    assert_eq!(server.stop_failing(), 1);
}

#[tokio::test]
async fn an_answer_can_end_in_the_middle_or_stay_away() {
    let server = S3Server::start();
    let (store, path) = (server.object_store(), Path::from("a"));
    server.put("a", content(1, 1_000));
    server.fail(Failure::new(When::After, Fault::Cut(500)));
    let cut = store.get(&path).await.unwrap().bytes().await;
    assert!(cut.is_err(), "{cut:?}");
    for fault in [Fault::Silence, Fault::Stall(500)] {
        server.fail(Failure::new(When::After, fault.clone()));
        let reading = async { store.get(&path).await.unwrap().bytes().await };
        let waited = timeout(Duration::from_millis(300), reading).await;
        assert!(waited.is_err(), "{fault:?}");
    }
    assert_eq!(
        store.get(&path).await.unwrap().bytes().await.unwrap(),
        content(1, 1_000)
    );
}

#[tokio::test]
async fn an_error_can_come_with_a_good_status() {
    let server = S3Server::start();
    server.put("a", "x");
    let store = server.object_store();
    server.fail(Failure::new(
        When::Before,
        Fault::ErrorInBody("InternalError"),
    ));
    let copied = store.copy(&Path::from("a"), &Path::from("b")).await;
    assert!(copied.is_err(), "{copied:?}");
    assert_eq!(server.keys(), ["a"]);
}
