use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use registry_core::storage::{OpenMode, Outcome, PutMode, StorageError, Survey};
use registry_core::testing::{content, publish, upload_id};
use registry_core::{Digest, layout::Key};
use storage_fs::{Config, FsDriver, OpenError};

use crate::store::{open, open_in, try_open};

fn open_driver(root: &Path, mode: OpenMode) -> FsDriver {
    storage_fs::open(&Config::new(root), mode).unwrap()
}

#[tokio::test]
async fn a_second_server_is_refused_and_told_who_has_the_root() {
    let store = open();
    for mode in [OpenMode::Serve, OpenMode::ReadOnly, OpenMode::Collect] {
        let refused = try_open(store.root.path(), mode).unwrap_err();
        assert!(matches!(refused, OpenError::Locked { .. }), "{refused:?}");
        let text = refused.to_string();
        let me = format!("process {}", std::process::id());
        assert!(text.contains(&me), "{text}");
        assert!(text.contains(store.root.path().to_str().unwrap()), "{text}");
    }
    assert!(store.storage.records.guarantees().exclusive);
}

#[tokio::test]
async fn a_read_only_server_and_an_offline_collection_share_the_root() {
    let root = open().root;
    let reader = open_in(root, OpenMode::ReadOnly);
    let collector = try_open(reader.root.path(), OpenMode::Collect).unwrap();
    assert!(!reader.storage.records.guarantees().exclusive);
    assert!(!collector.records.guarantees().exclusive);
    assert!(try_open(reader.root.path(), OpenMode::Serve).is_err());
}

#[test]
fn serving_makes_the_root_and_looking_at_it_does_not() {
    let above = tempfile::tempdir().unwrap();
    let root = above.path().join("a/b");
    assert!(try_open(&root, OpenMode::ReadOnly).is_err());
    let looked = open_driver(&root, OpenMode::Check).survey();
    assert!(looked.serve.is_none(), "{looked:?}");
    let why = looked.read_only.unwrap().to_string();
    assert!(why.contains(root.to_str().unwrap()), "{why}");
    assert!(!above.path().join("a").exists());
    try_open(&root, OpenMode::Serve).unwrap();
    assert!(root.is_dir());
}

#[test]
fn what_would_keep_a_server_from_writing_is_told_without_writing() {
    let above = tempfile::tempdir().unwrap();
    let look = |root| open_driver(root, OpenMode::Check).survey();
    let fact = |survey: &Survey, name| {
        let found = survey.facts.iter().find(|fact| fact.0 == name);
        found.map(|fact| fact.1.clone())
    };
    let survey = look(above.path());
    assert!(survey.serve.is_none() && survey.read_only.is_none());
    assert_eq!(fact(&survey, "durability").unwrap(), "full");
    assert_eq!(fact(&survey, "held by").unwrap(), "nobody else");
    assert!(fact(&survey, "room").unwrap().ends_with(" bytes of blobs"));

    // A file where the tree should begin, and another as the root itself.
    let file = above.path().join("docker");
    fs::write(&file, "").unwrap();
    let survey = look(above.path());
    let why = survey.serve.unwrap().to_string();
    assert!(why.starts_with("making a file below"), "{why}");
    assert!(survey.read_only.is_none());
    let refused = try_open(&file, OpenMode::Check).unwrap_err();
    assert!(matches!(refused, OpenError::Unusable { .. }), "{refused:?}");
    assert_eq!(fs::read_dir(above.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_start_removes_its_temporary_files_and_nothing_else() {
    let store = open();
    let blob = publish(&store.storage, &content(1, 100)).await;
    store.plant("uploads/_tmp-1", "left by a crash");
    store.plant("uploads/foreign", "not ours");
    store.plant("repositories/a/_layers/_tmp-2", "not there");
    let before = store.files();
    let root = store.root;
    drop(store.storage);
    let store = open_in(root, OpenMode::Serve);
    let expected: Vec<_> = before
        .into_iter()
        .filter(|path| path != "uploads/_tmp-1")
        .collect();
    assert_eq!(store.files(), expected);
    assert!(store.path(&Key::Blob(blob)).exists());
}

#[tokio::test]
async fn opening_and_serving_leaves_no_temporary_file() {
    let store = open();
    assert_eq!(store.files(), [""; 0]);
    let put = store.put(&Key::UploadSecret, "key", PutMode::Create).await;
    assert!(matches!(put, Outcome::Done(Some(_))));
    let put = store
        .put(&Key::UploadSecret, "other", PutMode::Create)
        .await;
    assert_eq!(put, Outcome::Conflict);
    publish(&store.storage, &content(1, 10)).await;
    assert_eq!(store.files().len(), 2, "{:?}", store.files());
}

#[tokio::test]
async fn a_read_only_store_refuses_every_change_and_restores_nothing() {
    let store = open();
    let blob = publish(&store.storage, &content(1, 100)).await;
    let gone = publish(&store.storage, &content(2, 100)).await;
    let copy = store.storage.blobs.retire(&gone).await.unwrap();
    let root = store.root;
    drop(store.storage);
    let store = open_in(root, OpenMode::ReadOnly);
    let before = store.files();
    let (blobs, records) = (&store.storage.blobs, &store.storage.records);
    let is_refused = |result: Result<(), StorageError>| {
        assert!(matches!(result, Err(StorageError::ReadOnly)), "{result:?}");
    };
    let id = upload_id();
    is_refused(
        blobs
            .open_upload(&id, None, Default::default())
            .await
            .map(drop),
    );
    is_refused(blobs.abort_upload(&id, None).await);
    is_refused(blobs.retire(&blob).await.map(drop));
    is_refused(blobs.purge(&copy).await);
    let path = Key::UploadSecret.path();
    let put = records.put(
        &path,
        "x".into(),
        PutMode::Replace,
        registry_core::storage::Durability::Durable,
    );
    is_refused(put.await.map(drop));
    is_refused(records.delete(&path, None).await.map(drop));
    let restored = blobs.restore(&gone).await;
    assert!(matches!(restored, Err(StorageError::NotFound)));
    assert!(blobs.stat(&blob).await.is_ok());
    assert_eq!(store.files(), before);
}

#[tokio::test]
async fn blobs_written_by_another_are_served_as_they_are() {
    let store = open();
    let bytes = content(3, 1000);
    let digest = *registry_core::testing::verified(&bytes).digest();
    let root = store.root;
    drop(store.storage);
    let path = root.path().join(Key::Blob(digest).path().as_str());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, &bytes).unwrap();
    let store = open_in(root, OpenMode::Serve);
    let read = registry_core::testing::read(&store.storage, &digest, None).await;
    assert_eq!(read.unwrap(), bytes);
}

#[test]
fn a_root_that_cannot_be_written_is_refused_at_the_start() {
    let root = tempfile::tempdir().unwrap();
    // A file where a directory must be stops everyone, root among them.
    fs::create_dir_all(root.path().join("docker/registry")).unwrap();
    fs::write(root.path().join("docker/registry/v2"), "").unwrap();
    let refused = try_open(root.path(), OpenMode::Serve).unwrap_err();
    assert!(matches!(refused, OpenError::Unusable { .. }), "{refused:?}");
}

#[tokio::test]
async fn modes_of_new_files_and_directories_are_left_to_the_umask() {
    let store = open();
    let probe = store.plant("probe/file", "");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let digest: Digest = publish(&store.storage, &content(1, 10)).await;
    let _ = store.put(&Key::UploadSecret, "x", PutMode::Replace).await;
    let blob = store.path(&Key::Blob(digest));
    assert_eq!(mode(&blob), mode(&probe));
    assert_eq!(mode(&store.path(&Key::UploadSecret)), mode(&probe));
    let (made, expected) = (blob.parent().unwrap(), probe.parent().unwrap());
    assert_eq!(mode(made), mode(expected));
}

#[test]
fn a_configuration_of_more_threads_than_there_can_be_is_taken() {
    let root = tempfile::tempdir().unwrap();
    let mut config = Config::new(root.path());
    config.maxthreads = usize::MAX;
    assert!(storage_fs::open(&config, OpenMode::Serve).is_ok());
}
