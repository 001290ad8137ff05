//! Objects in one piece.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{Method, StatusCode};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetRange, ObjectStore as _, ObjectStoreExt as _, PutOptions,
};
use registry_core::testing::content;
use storage_s3::testing::{Operation, Options, S3Server};

use super::{NOTHING, ask};

#[tokio::test]
async fn what_is_put_is_there_and_what_is_deleted_is_not() {
    let server = S3Server::start();
    let (store, path) = (server.object_store(), Path::from("dir/ü &"));
    let bytes = content(1, 100_000);
    let options = PutOptions {
        attributes: Attributes::from_iter([(Attribute::Metadata("one".into()), "two")]),
        ..PutOptions::default()
    };
    let put = store
        .put_opts(&path, bytes.clone().into(), options)
        .await
        .unwrap();
    assert_eq!(server.keys(), [path.to_string()]);
    let object = server.object(path.as_ref()).unwrap();
    assert_eq!(object.bytes, bytes);
    assert_eq!(object.metadata, [("one".to_owned(), "two".to_owned())]);
    let got = store.get(&path).await.unwrap();
    assert_eq!(got.meta.e_tag, put.e_tag);
    assert_eq!(
        got.attributes
            .get(&Attribute::Metadata("one".into()))
            .unwrap()
            .as_ref(),
        "two"
    );
    assert_eq!(got.bytes().await.unwrap(), bytes);
    assert_eq!(store.head(&path).await.unwrap().size, 100_000);
    let log = server.take_log();
    let keys: Vec<&str> = log.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, [path.as_ref(); 3]);
    assert_eq!(
        (log[0].operation, log[0].len),
        (Operation::PutObject, 100_000)
    );
    assert_eq!(log[2].status, Some(StatusCode::OK));

    store.delete(&path).await.unwrap();
    let gone = store.get(&path).await.map(|_| ());
    assert!(
        matches!(gone, Err(object_store::Error::NotFound { .. })),
        "{gone:?}"
    );
    let gone = store.head(&path).await;
    assert!(
        matches!(gone, Err(object_store::Error::NotFound { .. })),
        "{gone:?}"
    );
}

#[tokio::test]
async fn many_are_deleted_at_once() {
    let server = S3Server::start();
    for key in ["a", "b", "c"] {
        server.put(key, "x");
    }
    let paths = ["a", "absent", "c"].map(|key| Ok(Path::from(key)));
    let deleted = server
        .object_store()
        .delete_stream(stream::iter(paths).boxed());
    let deleted: Vec<Path> = deleted.try_collect().await.unwrap();
    assert_eq!(deleted.len(), 3);
    assert_eq!(server.keys(), ["b"]);
    assert_eq!(server.count(Operation::DeleteObjects), 1);
}

#[tokio::test]
async fn a_part_can_be_read() {
    let server = S3Server::start();
    let (store, path) = (server.object_store(), Path::from("a"));
    let bytes = content(1, 1_000);
    server.put("a", bytes.clone());
    for (range, expected) in [
        (GetRange::Bounded(0..1), 0..1),
        (GetRange::Bounded(990..2_000), 990..1_000),
        (GetRange::Offset(999), 999..1_000),
        (GetRange::Suffix(10), 990..1_000),
        (GetRange::Suffix(2_000), 0..1_000),
    ] {
        let options = object_store::GetOptions {
            range: Some(range.clone()),
            ..Default::default()
        };
        let got = store.get_opts(&path, options).await.unwrap();
        assert_eq!(got.meta.size, 1_000);
        assert_eq!(
            got.bytes().await.unwrap(),
            bytes.slice(expected),
            "{range:?}"
        );
    }
    let beyond = [("range", "bytes=1000-")];
    let answer = ask(&server, Method::GET, "a", &[], &beyond, &NOTHING).await;
    assert_eq!(answer.status, StatusCode::RANGE_NOT_SATISFIABLE);
}

#[tokio::test]
async fn a_copy_is_an_object_of_its_own() {
    let mut options = Options::default();
    options.copy = 100;
    let server = S3Server::with(options);
    server.put("a", "content");
    server.put("large", content(1, 101));
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    server.set_modified("a", old);
    let store = server.object_store();
    store
        .copy(&Path::from("a"), &Path::from("b"))
        .await
        .unwrap();
    let copy = server.object("b").unwrap();
    assert_eq!(copy.bytes, "content");
    assert!(copy.modified > old);
    assert_eq!(
        store
            .head(&Path::from("a"))
            .await
            .unwrap()
            .last_modified
            .timestamp(),
        1_000_000_000
    );
    let large = store.copy(&Path::from("large"), &Path::from("b")).await;
    assert!(large.is_err(), "more than one copy may take");
    let onto_itself = store.copy(&Path::from("a"), &Path::from("a")).await;
    assert!(onto_itself.is_err(), "as AWS has it");
    let absent = store.copy(&Path::from("absent"), &Path::from("b")).await;
    assert!(
        matches!(absent, Err(object_store::Error::NotFound { .. })),
        "{absent:?}"
    );
    // It changes nothing but the time, if the metadata is said to be new.
    let headers = [
        ("x-amz-copy-source", "registry/a"),
        ("x-amz-metadata-directive", "REPLACE"),
    ];
    let answer = ask(&server, Method::PUT, "a", &[], &headers, &NOTHING).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert!(server.object("a").unwrap().modified > old);
}

#[tokio::test]
async fn a_wrong_checksum_is_refused() {
    let server = S3Server::start();
    // Of "content".
    let right = [
        ("content-md5", "mgNkuembtIDdJeHwKEyFVQ=="),
        (
            "x-amz-checksum-sha256",
            "7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=",
        ),
    ];
    let put = async |headers: &[(&'static str, &str)], body: &'static str| {
        let body = Bytes::from_static(body.as_bytes());
        ask(&server, Method::PUT, "a", &[], headers, &body)
            .await
            .status
    };
    for header in right {
        assert_eq!(
            put(&[header], "content").await,
            StatusCode::OK,
            "{header:?}"
        );
        assert_eq!(
            put(&[header], "Content").await,
            StatusCode::BAD_REQUEST,
            "{header:?}"
        );
    }
    assert_eq!(server.object("a").unwrap().bytes, "content");
}

#[tokio::test]
async fn buckets_are_made_and_looked_at() {
    let mut options = Options::default();
    options.region = "eu-central-1".into();
    let server = S3Server::with(options);
    let head = ask(&server, Method::HEAD, "", &[], &[], &NOTHING).await;
    assert_eq!(head.status, StatusCode::OK, "{head:?}");
    assert_eq!(head.header("x-amz-bucket-region"), "eu-central-1");
    let query = [("location", "")];
    let location = ask(&server, Method::GET, "", &query, &[], &NOTHING).await;
    let text = String::from_utf8(location.body.to_vec()).unwrap();
    assert!(text.contains(">eu-central-1<"), "{text}");
    let again = ask(&server, Method::PUT, "", &[], &[], &NOTHING).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "it is there");
}

#[tokio::test]
async fn dates_are_true() {
    let server = S3Server::start();
    server.put("a", "x");
    let seconds = |answer: &super::Answer, name| {
        let date = httpdate::parse_http_date(answer.header(name)).unwrap();
        date.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    let answer = ask(&server, Method::GET, "a", &[], &[], &NOTHING).await;
    let written = server.object("a").unwrap().modified;
    let written = written
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert_eq!(seconds(&answer, "last-modified"), written);
    assert!(seconds(&answer, "date") >= written);
    assert!(seconds(&answer, "date") <= written + 60);
}
