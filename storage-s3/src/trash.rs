//! Retired blobs: copies under names of their own.
//!
//! A delete may be heard late, and then hides a blob that has come again. So none is sent unless
//! its copy is there and young, and none is good for longer than any copy stays.

use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, future};
use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt as _};
use registry_core::StorageError;
use registry_core::digest::Digest;
use registry_core::layout::{Dir, Key};
use registry_core::storage::{BlobStat, Retired, RetiredId};

use crate::blobs::stat;
use crate::clock::whole_seconds;
use crate::copy::copy;
use crate::error::{broken, fault};
use crate::random;
use crate::store::Store;

const RETIRE: &str = "retiring a blob";
const RESTORE: &str = "restoring a blob";

/// A copy that is older when its blob is about to be deleted is no copy to rely on.
const YOUNG: Duration = Duration::from_secs(60 * 60);

pub(crate) async fn retire(store: &Store, digest: &Digest) -> Result<Retired, StorageError> {
    let from = store.key(&Key::Blob(*digest).path())?;
    let size = stat(store, digest).await?.size;
    let id = RetiredId::new(random::bits()?);
    let to = store.key(&Key::Retired(*digest, id).path())?;
    copy(store, &from, &to, size).await?;
    let delete = store.signed_delete(&from).await?;
    let meta = store.s3.head(&to).await.map_err(fault(RETIRE))?;
    let (retired, now) = (retired(*digest, id, &meta), store.now().await?);
    let age = now.duration_since(retired.since).unwrap_or_default();
    if retired.size != size || age > YOUNG {
        return Err(broken(RETIRE, "its copy is not what was copied"));
    }
    store.send_delete(&delete).await?;
    Ok(retired)
}

/// From the newest copy, which stays until it is purged.
pub(crate) async fn restore(store: &Store, digest: &Digest) -> Result<BlobStat, StorageError> {
    let dir = store.key(&Dir::RetiredCopies(*digest).path())?;
    let copies: Vec<ObjectMeta> = store
        .s3
        .list(Some(&dir))
        .try_collect()
        .await
        .map_err(fault(RESTORE))?;
    let newest = copies.iter().max_by_key(|copy| copy.last_modified);
    if let Some(newest) = newest {
        let to = store.key(&Key::Blob(*digest).path())?;
        match copy(store, &newest.location, &to, newest.size).await {
            // Purged meanwhile: then it is here, or nobody needs it.
            Ok(()) | Err(StorageError::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    stat(store, digest).await
}

pub(crate) async fn purge(store: &Store, copy: &Retired) -> Result<(), StorageError> {
    let key = store.key(&Key::Retired(copy.digest, copy.id).path())?;
    store.delete(&key).await
}

pub(crate) fn list(store: &Store) -> BoxStream<'_, Result<Retired, StorageError>> {
    let dir = match store.key(&Dir::Trash.path()) {
        Ok(dir) => dir,
        Err(error) => return futures_util::stream::once(future::ready(Err(error))).boxed(),
    };
    let found = store.s3.list(Some(&dir));
    found
        .map_err(fault("listing the trash"))
        .try_filter_map(move |meta| future::ready(Ok(parsed(store, &meta))))
        .boxed()
}

/// `None` for what is not ours.
fn parsed(store: &Store, meta: &ObjectMeta) -> Option<Retired> {
    match Key::parse(store.path_of(&meta.location)?)? {
        Key::Retired(digest, id) => Some(retired(digest, id, meta)),
        _ => None,
    }
}

fn retired(digest: Digest, id: RetiredId, meta: &ObjectMeta) -> Retired {
    Retired {
        id,
        digest,
        size: meta.size,
        since: whole_seconds(meta.last_modified.into()),
    }
}
