//! Retired blobs: copies under names of their own.
//!
//! A delete may be heard late, and then hides a blob that has come again. So none is sent unless
//! its copy is there and young, and none is good for longer than any copy stays.

use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, future};
use object_store::ObjectStoreExt as _;
use registry_core::StorageError;
use registry_core::digest::Digest;
use registry_core::layout::{Dir, Key};
use registry_core::storage::{BlobStat, Retired, RetiredId};

use crate::blobs::stat;
use crate::clock::whole_seconds;
use crate::copy::copy;
use crate::error::{broken, fault};
use crate::listing::Listed;
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
    let retired = Retired {
        id,
        digest: *digest,
        size: meta.size,
        since: whole_seconds(meta.last_modified.into()),
    };
    let now = store.now().await?;
    let age = now.duration_since(retired.since).unwrap_or_default();
    if retired.size != size || age > YOUNG {
        return Err(broken(RETIRE, "its copy is not what was copied"));
    }
    store.send_delete(&delete).await?;
    Ok(retired)
}

/// From the newest copy, which stays until it is purged.
pub(crate) async fn restore(store: &Store, digest: &Digest) -> Result<BlobStat, StorageError> {
    let dir = store.text(&Dir::RetiredCopies(*digest).path());
    let copies = store.list(RESTORE, &dir, None);
    let copies = copies.try_filter_map(|found| future::ready(Ok(parsed(store, &found))));
    let copies: Vec<Retired> = copies.try_collect().await?;
    if let Some(newest) = copies.iter().max_by_key(|copy| copy.since) {
        let from = store.key(&Key::Retired(*digest, newest.id).path())?;
        let to = store.key(&Key::Blob(*digest).path())?;
        match copy(store, &from, &to, newest.size).await {
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
    let dir = store.text(&Dir::Trash.path());
    store
        .list("listing the trash", &dir, None)
        .try_filter_map(move |found| future::ready(Ok(parsed(store, &found))))
        .boxed()
}

/// `None` for what is not ours.
fn parsed(store: &Store, found: &Listed) -> Option<Retired> {
    match Key::parse(store.path_of(&found.key)?)? {
        Key::Retired(digest, id) => Some(Retired {
            id,
            digest,
            size: found.size,
            since: found.modified,
        }),
        _ => None,
    }
}
