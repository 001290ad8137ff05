//! A store in a directory of its own, and what another hand does to it.

use std::fs::{self, FileTimes};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use registry_core::Storage;
use registry_core::layout::{Dir, Key, StorePath};
use registry_core::storage::{
    Durability, ListQuery, OpenMode, Outcome, PutMode, StorageError, Version,
};
use storage_fs::{Config, OpenError};
use tempfile::TempDir;

pub(crate) const V2: &str = "docker/registry/v2";

pub(crate) struct TestStore {
    pub(crate) storage: Storage,
    pub(crate) root: TempDir,
}

pub(crate) fn open() -> TestStore {
    open_in(tempfile::tempdir().unwrap(), OpenMode::Serve)
}

pub(crate) fn open_in(root: TempDir, mode: OpenMode) -> TestStore {
    let storage = try_open(root.path(), mode).unwrap();
    TestStore { storage, root }
}

pub(crate) fn try_open(root: &Path, mode: OpenMode) -> Result<Storage, OpenError> {
    let driver = storage_fs::open(&Config::new(root), mode)?;
    Ok(Storage::from_driver(driver))
}

impl TestStore {
    /// Below `docker/registry/v2`.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(V2).join(path)
    }

    pub(crate) fn path(&self, key: &Key) -> PathBuf {
        self.root.path().join(key.path().as_str())
    }

    /// As another hand would.
    pub(crate) fn plant(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) async fn put(&self, key: &Key, value: &str, mode: PutMode) -> Outcome {
        let value = Bytes::copy_from_slice(value.as_bytes());
        let records = &self.storage.records;
        let durable = Durability::Durable;
        records
            .put(&key.path(), value, mode, durable)
            .await
            .unwrap()
    }

    pub(crate) async fn get(&self, key: &Key) -> Result<Option<String>, StorageError> {
        let record = self.storage.records.get(&key.path()).await?;
        Ok(record.map(|record| String::from_utf8(record.value.to_vec()).unwrap()))
    }

    pub(crate) async fn delete(&self, key: &Key) {
        let deleted = self.storage.records.delete(&key.path(), None).await;
        assert_eq!(deleted.unwrap(), Outcome::Done(None));
    }

    pub(crate) async fn list(&self, query: ListQuery) -> Vec<String> {
        let entries = self.storage.records.list(query);
        let keys = entries.map_ok(|entry| entry.sort_key());
        keys.try_collect().await.unwrap()
    }

    pub(crate) async fn stamp(&self, dir: &Dir) -> Option<Version> {
        let dir: StorePath = dir.path();
        self.storage.records.stamp(&dir).await.unwrap()
    }

    /// A stamp, as soon as there is one.
    pub(crate) async fn settled_stamp(&self, dir: &Dir) -> Version {
        for _ in 0..10_000 {
            if let Some(stamp) = self.stamp(dir).await {
                return stamp;
            }
            tokio::task::yield_now().await;
            // tidy: sleep: between two looks at a condition that has a limit
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("the directory never settles");
    }

    pub(crate) async fn retired(&self) -> Vec<registry_core::storage::Retired> {
        let retired = self.storage.blobs.list_retired();
        retired.map(Result::unwrap).collect().await
    }

    /// Every file below the root that is not a directory.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut dirs = vec![self.at("")];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    dirs.push(entry.path());
                } else {
                    let path = entry.path();
                    let path = path.strip_prefix(self.at("")).unwrap();
                    files.push(path.to_str().unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }
}

/// Makes a file or directory look as if it was last changed so long ago.
pub(crate) fn age(path: &Path, by: Duration) {
    let file = fs::File::open(path).unwrap();
    let time = file.metadata().unwrap().modified().unwrap() - by;
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
}

pub(crate) const DAY: Duration = Duration::from_secs(86_400);
