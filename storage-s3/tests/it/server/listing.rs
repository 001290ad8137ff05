//! Listings of objects.

use futures_util::TryStreamExt as _;
use object_store::list::{PaginatedListOptions, PaginatedListStore as _};
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use storage_s3::testing::{Operation, Options, S3Server};

/// With pages of three.
fn server() -> S3Server {
    let mut options = Options::default();
    options.page = 3;
    let server = S3Server::with(options);
    for key in ["a-b/1", "a", "a/1", "a/2", "a/b/1", "a0", "b/1"] {
        server.put(key, "x");
    }
    server
}

/// Entries as the pages have them, and how many pages there were.
async fn list(
    server: &S3Server,
    prefix: &str,
    delimiter: bool,
    after: Option<&str>,
    most: Option<usize>,
) -> (Vec<String>, usize) {
    let (store, mut entries, mut pages) = (server.object_store(), Vec::new(), 0);
    let mut options = PaginatedListOptions {
        delimiter: delimiter.then_some("/".into()),
        offset: after.map(str::to_owned),
        max_keys: most,
        ..PaginatedListOptions::default()
    };
    loop {
        let page = store
            .list_paginated(Some(prefix), options.clone())
            .await
            .unwrap();
        pages += 1;
        let mut found: Vec<String> = page
            .result
            .objects
            .iter()
            .map(|one| one.location.to_string())
            .collect();
        found.extend(
            page.result
                .common_prefixes
                .iter()
                .map(|one| format!("{one}/")),
        );
        found.sort();
        entries.extend(found);
        match page.page_token {
            Some(token) => options.page_token = Some(token),
            None => return (entries, pages),
        }
        assert!(pages < 10, "{entries:?}");
    }
}

#[tokio::test]
async fn keys_come_in_the_order_of_their_bytes_by_pages() {
    let server = server();
    let all = ["a", "a-b/1", "a/1", "a/2", "a/b/1", "a0", "b/1"];
    let (found, pages) = list(&server, "", false, None, None).await;
    assert_eq!(
        (found.as_slice(), pages),
        (all.map(String::from).as_slice(), 3)
    );
    let (found, pages) = list(&server, "", false, None, Some(1)).await;
    assert_eq!((found.len(), pages), (7, 7));
    let (found, _) = list(&server, "", false, None, Some(1_000)).await;
    assert_eq!(found, all);
    assert_eq!(
        list(&server, "a/", false, None, None).await.0,
        ["a/1", "a/2", "a/b/1"]
    );
    assert_eq!(list(&server, "c", false, None, None).await, (Vec::new(), 1));
}

#[tokio::test]
async fn what_has_a_delimiter_comes_as_one() {
    let server = server();
    let (found, pages) = list(&server, "", true, None, None).await;
    assert_eq!(found, ["a", "a-b/", "a/", "a0", "b/"]);
    assert_eq!(pages, 2);
    let (found, pages) = list(&server, "", true, None, Some(1)).await;
    assert_eq!((found.len(), pages), (5, 5));
    assert_eq!(
        list(&server, "a/", true, None, None).await.0,
        ["a/1", "a/2", "a/b/"]
    );
    assert_eq!(
        list(&server, "a", true, None, None).await.0,
        ["a", "a-b/", "a/", "a0"]
    );
}

#[tokio::test]
async fn a_listing_begins_behind_a_key() {
    let server = server();
    let after = async |delimiter, key| list(&server, "", delimiter, Some(key), None).await.0;
    assert_eq!(after(false, "a/1").await, ["a/2", "a/b/1", "a0", "b/1"]);
    assert_eq!(after(false, "a/11").await, ["a/2", "a/b/1", "a0", "b/1"]);
    assert_eq!(after(false, "b/1").await, [""; 0]);
    // A directory is there as long as something in it lies behind the key.
    assert_eq!(after(true, "a/").await, ["a/", "a0", "b/"]);
    assert_eq!(after(true, "a/1").await, ["a/", "a0", "b/"]);
    assert_eq!(after(true, "a/c").await, ["a0", "b/"]);
    let below = list(&server, "a/", false, Some("a"), None).await.0;
    assert_eq!(below, ["a/1", "a/2", "a/b/1"]);
    // Where the token and the key differ, the token counts.
    let (found, pages) = list(&server, "", false, Some("a"), Some(2)).await;
    assert_eq!((found.len(), pages), (6, 3));
}

#[tokio::test]
async fn what_a_client_lists_is_all_there_is() {
    let server = server();
    let store = server.object_store();
    let found: Vec<_> = store
        .list(Some(&Path::from("a")))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!(found[0].size, 1);
    let stat = store.head(&found[0].location).await.unwrap();
    assert_eq!(stat.e_tag, found[0].e_tag);
    assert_eq!(
        stat.last_modified.timestamp(),
        found[0].last_modified.timestamp()
    );
    // A page that is full to the brim, and nothing behind it.
    assert_eq!(server.count(Operation::ListObjectsV2), 1);
}
