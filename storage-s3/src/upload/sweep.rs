//! Uploads that nobody will finish.

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use registry_core::StorageError;
use registry_core::layout::{Dir, Key};
use registry_core::storage::{Sweep, UploadId};

use super::foreign;
use super::staged::end;
use crate::clock::parse_rfc3339;
use crate::error::broken;
use crate::listing::path;
use crate::requests::Pending;
use crate::store::Store;

pub(super) const SWEEP: &str = "sweeping uploads";

/// What there is of one upload.
#[derive(Default)]
struct Remains {
    begun: Option<SystemTime>,
    objects: Vec<Path>,
    multiparts: Vec<Pending>,
}

impl Remains {
    fn seen(&mut self, at: SystemTime) {
        self.begun = Some(self.begun.map_or(at, |begun| begun.min(at)));
    }
}

/// Ours, by the oldest of what there is of each. Multipart uploads to the place of a blob, or of a
/// copy in the trash, are nobody's by name; they, too, go by when they were begun.
pub(crate) async fn sweep(
    store: &Store,
    before: SystemTime,
    keep: &HashSet<UploadId>,
    mut sweep: Sweep<'_>,
) -> Result<u64, StorageError> {
    let mut count = 0;
    for (id, remains) in collect(store).await? {
        let old = remains.begun.is_some_and(|begun| begun < before);
        if !old || keep.contains(&id) {
            continue;
        }
        if sweep.removes() {
            remove(store, id, &remains).await?;
        }
        sweep.found(Dir::Upload(id).path().as_str());
        count += 1;
    }
    let (tree, trash) = (Dir::Tree.path(), Dir::Trash.path());
    for below in [format!("{tree}/blobs/"), format!("{trash}/")] {
        let mut pending = store.pending(format!("{}{below}", store.root));
        while let Some(one) = pending.try_next().await? {
            let becomes = store.path_of(&one.key).and_then(Key::parse);
            let ours = matches!(becomes, Some(Key::Blob(_) | Key::Retired(..)));
            if ours && begun(&one)? < before {
                if sweep.removes() {
                    stop(store, &one).await?;
                }
                sweep.found(one.key.strip_prefix(&store.root).unwrap_or(&one.key));
                count += 1;
            }
        }
    }
    Ok(count + foreign::sweep(store, before, &mut sweep).await?)
}

/// By upload; there are as many as are under way, or were left.
async fn collect(store: &Store) -> Result<BTreeMap<UploadId, Remains>, StorageError> {
    let mut all: BTreeMap<UploadId, Remains> = BTreeMap::new();
    let dir = store.text(&Dir::Uploads.path());
    let of = |key: &str| -> Option<UploadId> {
        let rest = key.strip_prefix(&dir)?.strip_prefix('/')?;
        rest.split_once('/')?.0.parse().ok()
    };
    let mut objects = store.list(SWEEP, &dir, None);
    while let Some(found) = objects.try_next().await? {
        if let (Some(id), Some(path)) = (of(&found.key), found.path()) {
            let remains = all.entry(id).or_default();
            remains.seen(found.modified);
            remains.objects.push(path);
        }
    }
    let mut pending = store.pending(format!("{dir}/"));
    while let Some(one) = pending.try_next().await? {
        if let Some(id) = of(&one.key) {
            let remains = all.entry(id).or_default();
            remains.seen(begun(&one)?);
            remains.multiparts.push(one);
        }
    }
    Ok(all)
}

pub(super) fn begun(pending: &Pending) -> Result<SystemTime, StorageError> {
    let begun = parse_rfc3339(&pending.initiated);
    begun.ok_or_else(|| broken(SWEEP, "the store tells no time of an upload"))
}

async fn remove(store: &Store, id: UploadId, remains: &Remains) -> Result<(), StorageError> {
    let staging = store.text(&Key::UploadData(id).path());
    stop_listed(store, &remains.multiparts, staging).await?;
    store.delete_all(&remains.objects).await
}

/// Ends what was listed of one upload; where that is nothing, what is listed for its very key.
/// MinIO lists multipart uploads by the whole key alone.
pub(super) async fn stop_listed(
    store: &Store,
    listed: &[Pending],
    key: String,
) -> Result<(), StorageError> {
    for one in listed {
        stop(store, one).await?;
    }
    match listed {
        [] => stop_at(store, key).await,
        _ => Ok(()),
    }
}

/// Ends the multipart uploads to this key.
pub(super) async fn stop_at(store: &Store, key: String) -> Result<(), StorageError> {
    let mut pending = store.pending(key);
    while let Some(one) = pending.try_next().await? {
        stop(store, &one).await?;
    }
    Ok(())
}

async fn stop(store: &Store, one: &Pending) -> Result<(), StorageError> {
    match path(&one.key) {
        Some(key) => end(store, &key, &one.upload_id).await,
        // Nobody here has begun it.
        None => Ok(()),
    }
}
