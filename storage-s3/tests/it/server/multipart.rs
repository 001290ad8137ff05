//! Uploads in parts.

use bytes::Bytes;
use http::{Method, StatusCode};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use registry_core::testing::content;
use storage_s3::testing::{Options, S3Server};

use super::{Answer, NOTHING, ask};

/// With parts of a kilobyte.
fn server() -> S3Server {
    let mut options = Options::default();
    options.part = 1_000;
    options.page = 2;
    S3Server::with(options)
}

#[tokio::test]
async fn parts_in_any_order_become_an_object() {
    let server = server();
    let (store, path) = (server.object_store(), Path::from("dir/a"));
    let whole = content(1, 2_500);
    let id = store.create_multipart(&path).await.unwrap();
    let mut parts = Vec::new();
    for at in [2, 0, 1, 1] {
        let part = whole.slice(at * 1_000..whole.len().min(at * 1_000 + 1_000));
        let part = store.put_part(&path, &id, at, part.into()).await.unwrap();
        parts.push((at, part));
    }
    assert_eq!(server.keys(), [""; 0]);
    let pending = server.pending();
    assert_eq!((pending[0].key.as_str(), &pending[0].id), ("dir/a", &id));
    assert_eq!(pending[0].parts, [(1, 1_000), (2, 1_000), (3, 500)]);
    parts.remove(2);
    parts.sort_by_key(|(at, _)| *at);
    let parts = parts.into_iter().map(|(_, part)| part).collect();
    let put = store.complete_multipart(&path, &id, parts).await.unwrap();
    let object = server.object("dir/a").unwrap();
    assert_eq!(object.bytes, whole);
    assert!(object.e_tag.ends_with("-3"), "{object:?}");
    assert_eq!(put.e_tag.unwrap(), format!("\"{}\"", object.e_tag));
    assert!(server.pending().is_empty());
    let gone = store.put_part(&path, &id, 0, "x".into()).await;
    assert!(
        matches!(gone, Err(object_store::Error::NotFound { .. })),
        "{gone:?}"
    );
}

#[tokio::test]
async fn a_completion_names_the_parts_that_are_there() {
    let server = server();
    let (store, path) = (server.object_store(), Path::from("a"));
    let id = store.create_multipart(&path).await.unwrap();
    let old = store
        .put_part(&path, &id, 0, content(1, 1_000).into())
        .await
        .unwrap();
    let first = store
        .put_part(&path, &id, 0, content(2, 1_000).into())
        .await
        .unwrap();
    let short = store
        .put_part(&path, &id, 1, content(3, 999).into())
        .await
        .unwrap();
    let last = store
        .put_part(&path, &id, 2, content(4, 1).into())
        .await
        .unwrap();
    let stranger = PartId {
        content_id: "\"00000000000000000000000000000000\"".into(),
    };
    for (named, code) in [
        (vec![old, short.clone()], "InvalidPart"),
        (vec![stranger], "InvalidPart"),
        (vec![first.clone(), short.clone(), last], "EntityTooSmall"),
    ] {
        let refused = store
            .complete_multipart(&path, &id, named)
            .await
            .unwrap_err();
        let text = format!("{refused:?}");
        assert!(text.contains(&format!("<Code>{code}</Code>")), "{text}");
    }
    let named = vec![first, short];
    store.complete_multipart(&path, &id, named).await.unwrap();
    assert_eq!(server.object("a").unwrap().bytes.len(), 1_999);

    let id = store.create_multipart(&path).await.unwrap();
    for body in ["", &one(2, "x"), &format!("{0}{0}", one(1, "x"))] {
        let body = format!("<CompleteMultipartUpload>{body}</CompleteMultipartUpload>");
        let query = [("uploadId", id.as_str())];
        let refused = ask(&server, Method::POST, "a", &query, &[], &body.into()).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
    }
}

fn one(number: u32, e_tag: &str) -> String {
    format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{e_tag}\"</ETag></Part>")
}

#[tokio::test]
async fn a_part_can_be_a_range_of_an_object() {
    let server = server();
    let whole = content(1, 2_500);
    server.put("from", whole.clone());
    let (store, path) = (server.object_store(), Path::from("to"));
    let id = store.create_multipart(&path).await.unwrap();
    let copy = async |number: &str, range: Option<&str>| -> Answer {
        let mut headers = vec![("x-amz-copy-source", "/registry/from")];
        headers.extend(range.map(|range| ("x-amz-copy-source-range", range)));
        let query = [("partNumber", number), ("uploadId", id.as_str())];
        ask(&server, Method::PUT, "to", &query, &headers, &NOTHING).await
    };
    let mut parts = Vec::new();
    for (number, range) in [("1", "bytes=0-999"), ("2", "bytes=1000-2499")] {
        let copied = copy(number, Some(range)).await;
        assert_eq!(copied.status, StatusCode::OK, "{copied:?}");
        let content_id = copied.element("ETag").unwrap();
        parts.push(PartId { content_id });
    }
    for (number, range) in [("1", "bytes=0-2500"), ("1", "bytes=5-"), ("0", "bytes=0-1")] {
        let refused = copy(number, Some(range)).await;
        assert!(refused.status.is_client_error(), "{range}: {refused:?}");
    }
    store.complete_multipart(&path, &id, parts).await.unwrap();
    assert_eq!(server.object("to").unwrap().bytes, whole);
}

#[tokio::test]
async fn an_aborted_upload_is_gone() {
    let server = server();
    let (store, path) = (server.object_store(), Path::from("a"));
    let id = store.create_multipart(&path).await.unwrap();
    store.put_part(&path, &id, 0, "x".into()).await.unwrap();
    store.abort_multipart(&path, &id).await.unwrap();
    assert!(server.pending().is_empty());
    let again = store.abort_multipart(&path, &id).await;
    assert!(
        matches!(again, Err(object_store::Error::NotFound { .. })),
        "{again:?}"
    );
}

#[tokio::test]
async fn uploads_and_parts_are_listed_by_pages() {
    let server = server();
    let store = server.object_store();
    let mut begun = Vec::new();
    for key in ["b", "a/2", "a/1", "a/1", "a/1"] {
        let id = store.create_multipart(&Path::from(key)).await.unwrap();
        begun.push((key.to_owned(), id));
    }
    begun.sort();
    let mut query = vec![("uploads".to_owned(), String::new())];
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let page = listed(&server, "", &query).await;
        let text = String::from_utf8(page.body.to_vec()).unwrap();
        for upload in text.split("<Upload>").skip(1) {
            let upload = Answer {
                body: upload.to_owned().into(),
                ..answer(&page)
            };
            found.push((
                upload.element("Key").unwrap(),
                upload.element("UploadId").unwrap(),
            ));
        }
        pages += 1;
        assert!(pages <= 3, "{text}");
        if page.element("IsTruncated").unwrap() == "false" {
            break;
        }
        query.truncate(1);
        query.push(("key-marker".into(), page.element("NextKeyMarker").unwrap()));
        query.push((
            "upload-id-marker".into(),
            page.element("NextUploadIdMarker").unwrap(),
        ));
    }
    assert_eq!((found, pages), (begun.clone(), 3));
    let below = [
        ("uploads".to_owned(), String::new()),
        ("prefix".into(), "b".into()),
    ];
    let below = listed(&server, "", &below).await;
    assert_eq!(below.element("UploadId"), Some(begun[4].1.clone()));
    assert!(below.element("Initiated").is_some());

    let (path, id) = (Path::from("b"), &begun[4].1);
    for part in 0..3 {
        store
            .put_part(&path, id, part, content(9, 10 + part).into())
            .await
            .unwrap();
    }
    let mut query = vec![("uploadId".to_owned(), id.clone())];
    let first = listed(&server, "b", &query).await;
    assert_eq!(first.element("Size").as_deref(), Some("10"));
    assert_eq!(first.element("NextPartNumberMarker").as_deref(), Some("2"));
    query.push(("part-number-marker".into(), "2".into()));
    let second = listed(&server, "b", &query).await;
    assert_eq!(second.element("PartNumber").as_deref(), Some("3"));
    assert_eq!(second.element("IsTruncated").as_deref(), Some("false"));
}

async fn listed(server: &S3Server, key: &str, query: &[(String, String)]) -> Answer {
    let query: Vec<(&str, &str)> = query
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let answer = ask(server, Method::GET, key, &query, &[], &NOTHING).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer
}

fn answer(like: &Answer) -> Answer {
    Answer {
        status: like.status,
        headers: like.headers.clone(),
        body: Bytes::new(),
    }
}
