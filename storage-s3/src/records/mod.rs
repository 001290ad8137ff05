//! Records: one object each, under the key that distribution gives it.

mod listing;
mod probe;
mod put;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _, future};
use object_store::{ObjectMeta, ObjectStoreExt as _};
use registry_core::StorageError;
use registry_core::layout::StorePath;
use registry_core::storage::{
    Durability, Guarantees, ListQuery, Outcome, PutMode, Record, RecordEntry, RecordStore, Version,
};

pub(crate) use self::probe::{Held, probe};
pub(crate) use self::put::Writers;

use crate::S3Driver;
use crate::clock::whole_seconds;
use crate::error::{broken, fault, is_absent};
use crate::requests::MOST_DELETES;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl RecordStore for S3Driver {
    async fn get(&self, path: &StorePath) -> Result<Option<Record>, StorageError> {
        let reading = fault("reading a record");
        let found = match self.store.s3.get(&self.store.key(path)?).await {
            Err(error) if is_absent(&error) => return Ok(None),
            found => found.map_err(reading)?,
        };
        let (version, modified) = (version(&found.meta)?, found.meta.last_modified.into());
        Ok(Some(Record {
            value: found.bytes().await.map_err(reading)?,
            version,
            modified: whole_seconds(modified),
        }))
    }

    /// Whatever was answered is on stable storage, so `durability` changes nothing.
    async fn put(
        &self,
        path: &StorePath,
        value: Bytes,
        mode: PutMode,
        _durability: Durability,
    ) -> Result<Outcome, StorageError> {
        let key = self.store.key(path)?;
        self.writers.put(&self.store, &key, value, mode).await
    }

    async fn delete(
        &self,
        path: &StorePath,
        if_version: Option<&Version>,
    ) -> Result<Outcome, StorageError> {
        let key = self.store.key(path)?;
        self.writers.delete(&self.store, &key, if_version).await
    }

    async fn delete_below(&self, dir: &StorePath) -> Result<(), StorageError> {
        let dir = self.store.text(dir);
        let below = self.store.list("removing a directory", &dir, None);
        let paths = below.try_filter_map(|found| future::ready(Ok(found.path())));
        let mut pages = paths.try_chunks(MOST_DELETES).boxed();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| error.1)?;
            self.store.delete_all(&page).await?;
        }
        Ok(())
    }

    fn list(&self, query: ListQuery) -> BoxStream<'_, Result<RecordEntry, StorageError>> {
        let pages = listing::Pages::new(&self.store.text(&query.dir), query);
        stream::try_unfold(pages, move |mut pages| async move {
            let page = pages.next(&self.store).await?;
            Ok(page.map(|page| (stream::iter(page.into_iter().map(Ok)), pages)))
        })
        .try_flatten()
        .boxed()
    }

    /// Nothing in a bucket tells of a directory.
    async fn stamp(&self, _dir: &StorePath) -> Result<Option<Version>, StorageError> {
        Ok(None)
    }

    fn guarantees(&self) -> Guarantees {
        self.writers.guarantees()
    }
}

/// The entity tag. It is the same for the same bytes: who needs two states told apart puts something
/// into them that never repeats.
fn version(meta: &ObjectMeta) -> Result<Version, StorageError> {
    let e_tag = meta.e_tag.as_deref();
    let e_tag = e_tag.ok_or_else(|| broken("reading a record", "there is no entity tag"))?;
    Ok(Version::new(e_tag))
}
