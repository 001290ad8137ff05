//! Keys that no registry writes, among those that it does.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt as _;
use registry_core::layout::{Dir, Key};
use registry_core::storage::{
    BlobStore, Durability, ListQuery, OpenMode, Outcome, PutMode, RecordEntry, RecordStore, Sweep,
    UploadHint,
};
use registry_core::testing::{content, read_to_end, upload_id, verified};
use storage_s3::S3Driver;
use storage_s3::testing::{Options, S3Server};

/// What a console, a backup program or a script may leave below any directory.
const ODD: [&str; 9] = [
    "",
    "/",
    "/double",
    "marker/",
    "../up",
    "./here",
    "with space+and%2F",
    "control\u{1}\u{7f}",
    "schlüssel/\u{1F511}",
];

async fn open(server: &S3Server, root: &str) -> S3Driver {
    let mut config = server.config();
    config.rootdirectory = root.to_owned();
    storage_s3::open(&config, OpenMode::Serve).await.unwrap()
}

/// Small pages, so that odd keys are where pages end, too.
fn server() -> S3Server {
    let mut options = Options::default();
    options.page = 3;
    S3Server::with(options)
}

/// Puts odd keys below each of these, and says which.
fn plant(server: &S3Server, dirs: &[String]) -> Vec<String> {
    let keys = dirs
        .iter()
        .flat_map(|dir| ODD.map(|odd| format!("{dir}/{odd}")));
    let keys: Vec<String> = keys.collect();
    for key in &keys {
        server.put(key, "");
        server.set_modified(key, SystemTime::UNIX_EPOCH);
    }
    keys
}

#[tokio::test]
async fn nothing_fails_over_keys_that_nobody_here_would_write_and_they_stay() {
    let server = server();
    let driver = open(&server, "").await;
    let bytes = content(1, 1_000);
    let digest = *verified(&bytes).digest();
    let first = upload_id();
    let opened = driver.open_upload(&first, None, UploadHint::default());
    let mut upload = opened.await.unwrap();
    upload.write(vec![bytes.clone()]).await.unwrap();
    upload.commit(verified(&bytes)).await.unwrap();
    let blob = Key::Blob(digest).path().to_string();
    let id = upload_id();
    let dirs = [
        "docker/registry/v2".to_owned(),
        Dir::Blobs(digest.algorithm()).path().to_string(),
        blob.strip_suffix("/data").unwrap().to_owned(),
        Dir::Uploads.path().to_string(),
        Dir::Trash.path().to_string(),
        Dir::RetiredCopies(digest).path().to_string(),
        Dir::Repositories.path().to_string(),
        Dir::Tags("app".parse().unwrap()).path().to_string(),
    ];
    let planted = plant(&server, &dirs);

    let found: Vec<_> = BlobStore::list(&driver, None).try_collect().await.unwrap();
    assert_eq!(found.len(), 1);
    let retired = driver.retire(&digest).await.unwrap();
    let trash: Vec<_> = driver.list_retired().try_collect().await.unwrap();
    assert_eq!(trash, [retired]);
    driver.restore(&digest).await.unwrap();
    driver.purge(&retired).await.unwrap();
    let mut read = driver.read(&digest, None).await.unwrap();
    assert_eq!(read_to_end(&mut *read, 1_000).await.unwrap(), bytes);

    let begun = [
        "blobs//x",
        "blobs/a\u{1}",
        "uploads/x",
        "uploads//",
        "repositories/a/_uploads//x",
    ];
    for key in begun {
        server.begin(&format!("docker/registry/v2/{key}"));
    }
    driver.abort_upload(&id, None).await.unwrap();
    let keep = HashSet::new();
    let removed = driver.sweep_uploads(
        SystemTime::UNIX_EPOCH + Duration::from_secs(1),
        &keep,
        Sweep::Remove,
    );
    assert_eq!(removed.await.unwrap(), 0);
    assert_eq!(server.pending().len(), begun.len());
    for key in planted {
        assert!(server.object(&key).is_some(), "{key:?}");
    }
}

#[tokio::test]
async fn odd_keys_do_not_stop_a_listing_by_pages() {
    let server = server();
    let driver = open(&server, "").await;
    let dir = Dir::Tags("app".parse().unwrap()).path();
    let link = Key::TagCurrent("app".parse().unwrap(), "latest".parse().unwrap()).path();
    server.put(link.as_str(), "x");
    plant(&server, &[dir.to_string()]);
    let expected = [
        "control\u{1}\u{7f}",
        "latest/",
        "marker/",
        "schlüssel/",
        "with space+and%2F",
    ];
    for limit in [1, 2, 3, 10] {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let mut query = ListQuery::children(dir.clone()).after(after);
            query.limit = Some(limit);
            let page: Vec<RecordEntry> = driver_list(&driver, query).await;
            let Some(last) = page.last() else { break };
            after = Some(last.sort_key());
            all.extend(page.iter().map(RecordEntry::sort_key));
        }
        assert_eq!(all, expected, "by {limit}");
    }
    let all = driver_list(&driver, ListQuery::recursive(dir)).await;
    let names: Vec<&str> = all.iter().map(RecordEntry::name).collect();
    let expected = [
        "control\u{1}\u{7f}",
        "latest/current/link",
        "schlüssel/\u{1F511}",
        "with space+and%2F",
    ];
    assert_eq!(names, expected);
}

async fn driver_list(driver: &S3Driver, query: ListQuery) -> Vec<RecordEntry> {
    let entries = RecordStore::list(driver, query);
    entries.try_collect().await.unwrap()
}

#[tokio::test]
async fn a_root_may_be_written_with_slashes_around_it_and_have_any_characters() {
    for (root, begins) in [
        ("", ""),
        ("/", ""),
        ("a", "a/"),
        ("/a/", "a/"),
        ("//a/b//", "a/b/"),
        ("a b+c/100%/%2F/ü?#&=", "a b+c/100%/%2F/ü?#&=/"),
    ] {
        let server = server();
        let driver = open(&server, root).await;
        let link = Key::TagCurrent("app".parse().unwrap(), "latest".parse().unwrap()).path();
        let put = driver.put(&link, "x".into(), PutMode::Create, Durability::Durable);
        assert!(matches!(put.await.unwrap(), Outcome::Done(_)), "{root:?}");
        assert_eq!(server.keys(), [format!("{begins}{link}")], "{root:?}");
        let query = ListQuery::recursive(Dir::Repositories.path());
        assert_eq!(driver_list(&driver, query).await.len(), 1, "{root:?}");
        driver
            .delete_below(&Dir::Repositories.path())
            .await
            .unwrap();
        assert_eq!(server.keys(), [""; 0], "{root:?}");
    }
}

#[tokio::test]
async fn a_root_that_no_path_has_is_refused_before_anything_is_asked() {
    let server = server();
    for root in ["a//b", "a/../b", "./a", "a\u{7}"] {
        let mut config = server.config();
        config.rootdirectory = root.to_owned();
        let error = storage_s3::open(&config, OpenMode::Serve)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("rootdirectory"), "{error}");
    }
    assert_eq!(server.take_log().len(), 0);
}
