//! The reference driver, if it were far away and told nothing of changes: what the semantics promise
//! where core keeps indexes of its own.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use registry_core::layout::StorePath;
use registry_core::storage::{
    Durability, Guarantees, ListQuery, MemoryDriver, Outcome, PutMode, Record, RecordEntry,
    RecordStore, Storage, StorageError, Version,
};
use registry_core::testing::ambient;

#[derive(Debug)]
struct Distant(Arc<MemoryDriver>);

#[async_trait]
impl RecordStore for Distant {
    async fn get(&self, path: &StorePath) -> Result<Option<Record>, StorageError> {
        self.0.get(path).await
    }

    async fn put(
        &self,
        path: &StorePath,
        value: Bytes,
        mode: PutMode,
        durability: Durability,
    ) -> Result<Outcome, StorageError> {
        self.0.put(path, value, mode, durability).await
    }

    async fn delete(
        &self,
        path: &StorePath,
        if_version: Option<&Version>,
    ) -> Result<Outcome, StorageError> {
        self.0.delete(path, if_version).await
    }

    async fn delete_below(&self, dir: &StorePath) -> Result<(), StorageError> {
        self.0.delete_below(dir).await
    }

    fn list(&self, query: ListQuery) -> BoxStream<'_, Result<RecordEntry, StorageError>> {
        self.0.list(query)
    }

    async fn stamp(&self, _dir: &StorePath) -> Result<Option<Version>, StorageError> {
        Ok(None)
    }

    fn guarantees(&self) -> Guarantees {
        let mut guarantees = Guarantees::default();
        guarantees.conditional_writes = true;
        guarantees.distant = true;
        guarantees
    }
}

async fn open() -> (Storage, ()) {
    let driver = Arc::new(MemoryDriver::new(ambient()));
    let records = Arc::new(Distant(Arc::clone(&driver)));
    (Storage::new(driver, records), ())
}

registry_core::storage_lists!(open);
registry_core::storage_collection!(open);
registry_core::storage_faults!(open);
registry_core::storage_interleavings!(open, 100);
