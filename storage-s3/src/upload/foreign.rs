//! What distribution has begun and not finished, in the repositories themselves.

use std::collections::BTreeMap;
use std::time::SystemTime;

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use registry_core::StorageError;
use registry_core::layout::Dir;
use registry_core::storage::Sweep;

use super::sweep::{SWEEP, begun, stop_listed};
use crate::error::broken;
use crate::listing::Wanted;
use crate::requests::Pending;
use crate::store::Store;

/// As distribution calls the directory in a repository.
const UPLOADS: &str = "_uploads";

/// What there is of one upload.
struct Remains {
    newest: SystemTime,
    objects: Vec<Path>,
    multiparts: Vec<Pending>,
}

impl Remains {
    fn of<'a>(all: &'a mut BTreeMap<String, Self>, dir: &str, key: &str) -> Option<&'a mut Self> {
        let id = key
            .strip_prefix(dir)?
            .strip_prefix('/')?
            .split('/')
            .next()
            .filter(|id| !id.is_empty())?;
        let remains = all.entry(id.to_owned());
        Some(remains.or_insert_with(|| Self {
            newest: SystemTime::UNIX_EPOCH,
            objects: Vec::new(),
            multiparts: Vec::new(),
        }))
    }
}

/// By the newest of what there is of each: nobody else says whether it is still written to. One
/// request for each directory above repositories, and two for each repository that has uploads.
pub(super) async fn sweep(
    store: &Store,
    before: SystemTime,
    sweep: &mut Sweep<'_>,
) -> Result<u64, StorageError> {
    let mut count = 0;
    let mut waiting = vec![store.text(&Dir::Repositories.path())];
    while let Some(dir) = waiting.pop() {
        let mut wanted = Wanted {
            prefix: format!("{dir}/"),
            children: true,
            ..Wanted::default()
        };
        loop {
            let page = store.page(SWEEP, &mut wanted).await?;
            for below in &page.dirs {
                let below = below.strip_suffix('/').unwrap_or(below);
                match below.rsplit('/').next() {
                    Some(UPLOADS) => count += uploads(store, below, before, sweep).await?,
                    // No component of a name is so.
                    Some(name) if name.is_empty() || name.starts_with('_') => {}
                    _ => waiting.push(below.to_owned()),
                }
            }
            if wanted.token.is_none() {
                break;
            }
        }
    }
    Ok(count)
}

async fn uploads(
    store: &Store,
    dir: &str,
    before: SystemTime,
    sweep: &mut Sweep<'_>,
) -> Result<u64, StorageError> {
    let mut all = BTreeMap::new();
    let mut objects = store.list(SWEEP, dir, None);
    while let Some(found) = objects.try_next().await? {
        if let Some(path) = found.path()
            && let Some(remains) = Remains::of(&mut all, dir, &found.key)
        {
            remains.newest = remains.newest.max(found.modified);
            remains.objects.push(path);
        }
    }
    let mut pending = store.pending(format!("{dir}/"));
    while let Some(one) = pending.try_next().await? {
        if let Some(remains) = Remains::of(&mut all, dir, &one.key) {
            remains.newest = remains.newest.max(begun(&one)?);
            remains.multiparts.push(one);
        }
    }
    let below = dir;
    let dir = store.path_of(dir);
    let dir = dir.ok_or_else(|| broken(SWEEP, "a listing has left its directory"))?;
    let mut count = 0;
    for (id, remains) in all {
        if remains.newest >= before {
            continue;
        }
        if sweep.removes() {
            let data = format!("{below}/{id}/data");
            stop_listed(store, &remains.multiparts, data).await?;
            store.delete_all(&remains.objects).await?;
        }
        sweep.found(&format!("{dir}/{id}"));
        count += 1;
    }
    Ok(count)
}
