//! Conditions hold, and of several at once one.

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, StatusCode};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion,
};
use storage_s3::testing::{Operation, Options, S3Server};

use super::{NOTHING, ask};

const STALE: &str = "\"00000000000000000000000000000000\"";

fn over(e_tag: &str) -> PutOptions {
    PutOptions::from(PutMode::Update(UpdateVersion {
        e_tag: Some(e_tag.to_owned()),
        version: None,
    }))
}

#[tokio::test]
async fn an_object_is_created_once() {
    let server = S3Server::start();
    let (store, path) = (server.object_store(), Path::from("a"));
    let create = || PutOptions::from(PutMode::Create);
    let puts = (0..8).map(|number: u8| store.put_opts(&path, vec![number].into(), create()));
    let puts = join_all(puts).await;
    let done: Vec<usize> = (0..8).filter(|at| puts[*at].is_ok()).collect();
    assert_eq!(done.len(), 1, "{puts:?}");
    assert_eq!(server.object("a").unwrap().bytes[0] as usize, done[0]);
    for put in puts {
        assert!(
            matches!(put, Ok(_) | Err(Error::AlreadyExists { .. })),
            "{put:?}"
        );
    }
    store.delete(&path).await.unwrap();
    store.put_opts(&path, "x".into(), create()).await.unwrap();
}

#[tokio::test]
async fn an_object_is_replaced_where_the_entity_tag_is_its_own() {
    let server = S3Server::start();
    let (store, path) = (server.object_store(), Path::from("a"));
    let absent = store.put_opts(&path, "x".into(), over(STALE)).await;
    assert!(
        matches!(absent, Err(Error::Precondition { .. })),
        "{absent:?}"
    );
    let first = store
        .put(&path, "first".into())
        .await
        .unwrap()
        .e_tag
        .unwrap();
    let puts = (0..8).map(|number: u8| store.put_opts(&path, vec![number].into(), over(&first)));
    let puts = join_all(puts).await;
    assert_eq!(puts.iter().filter(|put| put.is_ok()).count(), 1, "{puts:?}");
    let late = store.put_opts(&path, "late".into(), over(&first)).await;
    assert!(matches!(late, Err(Error::Precondition { .. })), "{late:?}");
}

#[tokio::test]
async fn an_upload_is_completed_under_a_condition() {
    let server = S3Server::start();
    server.put("a", "there");
    let complete = async |key: &str, header: (&'static str, &str)| {
        let begun = ask(
            &server,
            Method::POST,
            key,
            &[("uploads", "")],
            &[],
            &NOTHING,
        )
        .await;
        let id = begun.element("UploadId").unwrap();
        let part = [("partNumber", "1"), ("uploadId", id.as_str())];
        let part = ask(&server, Method::PUT, key, &part, &[], &Bytes::from("part")).await;
        let named = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part>\
             </CompleteMultipartUpload>",
            part.header("etag")
        );
        let query = [("uploadId", id.as_str())];
        let answer = ask(&server, Method::POST, key, &query, &[header], &named.into()).await;
        answer.status
    };
    let e_tag = format!("\"{}\"", server.object("a").unwrap().e_tag);
    let refused = StatusCode::PRECONDITION_FAILED;
    assert_eq!(complete("a", ("if-none-match", "*")).await, refused);
    assert_eq!(complete("a", ("if-match", STALE)).await, refused);
    assert_eq!(server.object("a").unwrap().bytes, "there");
    assert_eq!(server.pending().len(), 2, "a refused upload stays");
    assert_eq!(complete("a", ("if-match", &e_tag)).await, StatusCode::OK);
    assert_eq!(complete("b", ("if-none-match", "*")).await, StatusCode::OK);
    assert_eq!(server.object("a").unwrap().bytes, "part");
}

#[tokio::test]
async fn a_copy_looks_at_both_ends() {
    let server = S3Server::start();
    server.put("from", "content");
    server.put("there", "there");
    let copy = async |to: &str, header: (&'static str, &str)| {
        let source = ("x-amz-copy-source", "/registry/from");
        let headers = [source, header];
        ask(&server, Method::PUT, to, &[], &headers, &NOTHING)
            .await
            .status
    };
    let refused = StatusCode::PRECONDITION_FAILED;
    assert_eq!(copy("there", ("if-none-match", "*")).await, refused);
    assert_eq!(copy("there", ("if-match", STALE)).await, refused);
    assert_eq!(
        copy("to", ("x-amz-copy-source-if-match", STALE)).await,
        refused
    );
    assert_eq!(server.keys(), ["from", "there"]);
    assert_eq!(copy("to", ("if-none-match", "*")).await, StatusCode::OK);
    let e_tag = format!("\"{}\"", server.object("from").unwrap().e_tag);
    assert_eq!(
        copy("there", ("x-amz-copy-source-if-match", &e_tag)).await,
        StatusCode::OK
    );
    assert_eq!(server.object("there").unwrap().bytes, "content");
    assert_eq!(server.count(Operation::CopyObject), 5);
}

#[tokio::test]
async fn a_delete_may_want_what_is_there() {
    let server = S3Server::start();
    server.put("a", "there");
    let delete = async |e_tag: &str| {
        let header = [("if-match", e_tag)];
        ask(&server, Method::DELETE, "a", &[], &header, &NOTHING)
            .await
            .status
    };
    assert_eq!(delete(STALE).await, StatusCode::PRECONDITION_FAILED);
    let e_tag = format!("\"{}\"", server.object("a").unwrap().e_tag);
    assert_eq!(delete(&e_tag).await, StatusCode::NO_CONTENT);
    assert_eq!(server.keys(), [""; 0]);
    // Without a condition nothing need be there.
    server
        .object_store()
        .delete(&Path::from("a"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_look_may_want_what_is_there_or_what_is_not() {
    let server = S3Server::start();
    let (store, path) = (server.object_store(), Path::from("a"));
    let put = store.put(&path, "content".into()).await.unwrap();
    let (e_tag, head) = (put.e_tag.unwrap(), true);
    let look = async |options: GetOptions| store.get_opts(&path, options).await.map(|_| ());
    for head in [head, false] {
        let none = GetOptions {
            if_none_match: Some(e_tag.clone()),
            head,
            ..GetOptions::default()
        };
        let same = look(none).await;
        assert!(matches!(same, Err(Error::NotModified { .. })), "{same:?}");
        let wanted = GetOptions {
            if_match: Some(STALE.into()),
            head,
            ..GetOptions::default()
        };
        let other = look(wanted).await;
        assert!(
            matches!(other, Err(Error::Precondition { .. })),
            "{other:?}"
        );
        let wanted = GetOptions {
            if_match: Some(e_tag.clone()),
            head,
            ..GetOptions::default()
        };
        look(wanted).await.unwrap();
    }
    let modified = store.head(&path).await.unwrap().last_modified;
    let since = GetOptions {
        if_modified_since: Some(modified),
        ..GetOptions::default()
    };
    assert!(matches!(look(since).await, Err(Error::NotModified { .. })));
    let since = GetOptions {
        if_unmodified_since: Some(modified),
        ..GetOptions::default()
    };
    look(since).await.unwrap();
}

#[tokio::test]
async fn conditions_may_be_passed_over() {
    let mut options = Options::default();
    options.conditions = false;
    let server = S3Server::with(options);
    let (store, path) = (server.object_store(), Path::from("a"));
    for _ in 0..2 {
        let create = PutOptions::from(PutMode::Create);
        store.put_opts(&path, "x".into(), create).await.unwrap();
    }
    store
        .put_opts(&path, "x".into(), over(STALE))
        .await
        .unwrap();
}
