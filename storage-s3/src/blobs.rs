//! Blobs: where they lie, and where they are read from.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _, future};
use http::Method;
use object_store::ObjectStoreExt as _;
use object_store::signer::Signer as _;
use registry_core::StorageError;
use registry_core::digest::{Algorithm, Digest};
use registry_core::layout::{Dir, Key};
use registry_core::storage::{
    BlobEntry, BlobReader, BlobStat, BlobStore, Checkpoint, RangeSpec, RedirectRequest,
    RedirectUrl, Retired, Sweep, UploadHint, UploadId, UploadWriter,
};

use crate::S3Driver;
use crate::clock::whole_seconds;
use crate::error::fault;
use crate::listing::Listed;
use crate::store::Store;
use crate::{reader, trash, upload};

/// For how long a client may fetch a blob elsewhere, as distribution has it.
const REDIRECT: Duration = Duration::from_secs(20 * 60);

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for S3Driver {
    async fn stat(&self, digest: &Digest) -> Result<BlobStat, StorageError> {
        stat(&self.store, digest).await
    }

    async fn read(
        &self,
        digest: &Digest,
        range: Option<RangeSpec>,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        let key = self.store.key(&Key::Blob(*digest).path())?;
        Ok(Box::new(reader::open(&self.store, key, range).await?))
    }

    fn list(&self, after: Option<Digest>) -> BoxStream<'_, Result<BlobEntry, StorageError>> {
        let store = &*self.store;
        let algorithms = Algorithm::ALL.into_iter();
        let algorithms =
            algorithms.filter(move |one| after.is_none_or(|after| *one >= after.algorithm()));
        stream::iter(algorithms)
            .flat_map(move |algorithm| {
                let after = after.filter(|after| after.algorithm() == algorithm);
                blobs(store, algorithm, after)
            })
            .boxed()
    }

    async fn open_upload(
        &self,
        id: &UploadId,
        from: Option<Checkpoint>,
        hint: UploadHint,
    ) -> Result<Box<dyn UploadWriter>, StorageError> {
        Ok(Box::new(upload::open(&self.store, id, from, hint)?))
    }

    async fn read_upload(
        &self,
        id: &UploadId,
        at: &mut Checkpoint,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        upload::read(&self.store, id, at).await
    }

    async fn abort_upload(
        &self,
        id: &UploadId,
        at: Option<Checkpoint>,
    ) -> Result<(), StorageError> {
        upload::abort(&self.store, id, at).await
    }

    async fn sweep_uploads(
        &self,
        before: SystemTime,
        keep: &HashSet<UploadId>,
        sweep: Sweep<'_>,
    ) -> Result<u64, StorageError> {
        upload::sweep(&self.store, before, keep, sweep).await
    }

    async fn now(&self) -> Result<SystemTime, StorageError> {
        self.store.now().await
    }

    async fn retire(&self, digest: &Digest) -> Result<Retired, StorageError> {
        trash::retire(&self.store, digest).await
    }

    async fn restore(&self, digest: &Digest) -> Result<BlobStat, StorageError> {
        trash::restore(&self.store, digest).await
    }

    async fn read_retired(&self, retired: &Retired) -> Result<Box<dyn BlobReader>, StorageError> {
        let path = Key::Retired(retired.digest, retired.id).path();
        let key = self.store.key(&path)?;
        Ok(Box::new(reader::open(&self.store, key, None).await?))
    }

    async fn purge(&self, retired: &Retired) -> Result<(), StorageError> {
        trash::purge(&self.store, retired).await
    }

    fn list_retired(&self) -> BoxStream<'_, Result<Retired, StorageError>> {
        trash::list(&self.store)
    }

    /// The range is in the client's own request.
    async fn redirect(
        &self,
        digest: &Digest,
        _request: &RedirectRequest,
    ) -> Result<Option<RedirectUrl>, StorageError> {
        if !self.store.redirect {
            return Ok(None);
        }
        let key = self.store.key(&Key::Blob(*digest).path())?;
        let signed = self
            .store
            .elsewhere
            .signed_url(Method::GET, &key, REDIRECT)
            .await;
        let url = signed.map_err(fault("signing a URL"))?;
        Ok(Some(RedirectUrl::new(url.into())))
    }
}

pub(crate) async fn stat(store: &Store, digest: &Digest) -> Result<BlobStat, StorageError> {
    let key = store.key(&Key::Blob(*digest).path())?;
    let meta = store
        .s3
        .head(&key)
        .await
        .map_err(fault("looking at a blob"))?;
    Ok(BlobStat {
        size: meta.size,
        modified: whole_seconds(meta.last_modified.into()),
    })
}

/// Of one algorithm; the order of the keys is that of the digests.
fn blobs(
    store: &Store,
    algorithm: Algorithm,
    after: Option<Digest>,
) -> BoxStream<'_, Result<BlobEntry, StorageError>> {
    let dir = store.text(&Dir::Blobs(algorithm).path());
    let after = after.map(|after| store.text(&Key::Blob(after).path()));
    let entry = move |found: Listed| {
        let key = store.path_of(&found.key).and_then(Key::parse);
        let stat = BlobStat {
            size: found.size,
            modified: found.modified,
        };
        future::ready(Ok(match key {
            Some(Key::Blob(digest)) => Some(BlobEntry { digest, stat }),
            _ => None,
        }))
    };
    store
        .list("listing blobs", &dir, after)
        .try_filter_map(entry)
        .boxed()
}
