//! Removing uploads that nobody will finish: ours without a record, and distribution's.
#![allow(
    clippy::disallowed_methods,
    reason = "this crate is where files are opened and removed"
)]

use std::collections::HashSet;
use std::fs::{self, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use registry_core::StorageError;
use registry_core::layout::Dir;
use registry_core::storage::UploadId;

use crate::error::fault;
use crate::lists::{List, is_absence};
use crate::records;
use crate::store::Store;

const SWEEP: &str = "sweeping uploads";

/// Directories looked at per trip to the blocking pool.
const LOOKS: usize = 256;

/// Removes what was begun before `before`; says how many.
pub(crate) async fn uploads(
    store: &Arc<Store>,
    before: SystemTime,
    keep: &HashSet<UploadId>,
) -> Result<u64, StorageError> {
    let mut removed = 0;
    let mut next = 0;
    let list = store.run(SWEEP, |store| {
        let dir = store.at(Dir::Uploads.path().as_str());
        store.lists.of(&dir).map_err(fault(SWEEP))
    });
    let list = list.await?;
    while list.at(next).is_some() {
        let batch: Vec<UploadId> = (next..next + LOOKS)
            .filter_map(|index| list.at(index)?.strip_suffix('/')?.parse().ok())
            .filter(|id| !keep.contains(id))
            .collect();
        next += LOOKS;
        removed += store
            .run(SWEEP, move |store| ours(store, &batch, before))
            .await?;
    }
    let mut walk = Walk::default();
    while !walk.is_done() {
        let swept = store.run(SWEEP, move |store| {
            let count = walk.trip(store, before).map_err(fault(SWEEP))?;
            Ok((count, walk))
        });
        let count;
        (count, walk) = swept.await?;
        removed += count;
    }
    Ok(removed)
}

fn ours(store: &Store, ids: &[UploadId], before: SystemTime) -> Result<u64, StorageError> {
    let mut removed = 0;
    for id in ids {
        let dir = store.at(Dir::Upload(*id).path().as_str());
        removed += u64::from(sweep_ours(store, &dir, before).map_err(fault(SWEEP))?);
    }
    Ok(removed)
}

fn sweep_ours(store: &Store, dir: &Path, before: SystemTime) -> io::Result<bool> {
    let Some(newest) = absent_as_none(newest(store, dir))? else {
        return Ok(false);
    };
    if newest >= before {
        return Ok(false);
    }
    // A writer that is slow, and not gone.
    if let Ok((file, _)) = records::open(&dir.join("data"))
        && let Err(TryLockError::WouldBlock) = file.try_lock()
    {
        return Ok(false);
    }
    remove_all(dir)
}

fn newest(store: &Store, dir: &Path) -> io::Result<SystemTime> {
    let mut newest = dir.symlink_metadata()?.modified()?;
    for name in store.lists.of(dir)?.names() {
        let modified = dir.join(name).symlink_metadata()?.modified()?;
        newest = newest.max(modified);
    }
    Ok(newest)
}

/// Everything below a directory, through no link.
fn remove_all(dir: &Path) -> io::Result<bool> {
    Ok(absent_as_none(fs::remove_dir_all(dir))?.is_some())
}

fn absent_as_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A walk over `repositories` that looks into every `_uploads`, with one list per level.
#[derive(Debug, Default)]
struct Walk {
    begun: bool,
    stack: Vec<(PathBuf, Arc<List>, usize)>,
}

impl Walk {
    fn is_done(&self) -> bool {
        self.begun && self.stack.is_empty()
    }

    fn trip(&mut self, store: &Store, before: SystemTime) -> io::Result<u64> {
        if !self.begun {
            self.begun = true;
            self.descend(store, store.at(Dir::Repositories.path().as_str()))?;
        }
        let mut removed = 0;
        for _ in 0..LOOKS {
            let Some((dir, list, next)) = self.stack.last_mut() else {
                break;
            };
            let Some(key) = list.at(*next) else {
                self.stack.pop();
                continue;
            };
            *next += 1;
            let Some(name) = key.strip_suffix('/') else {
                continue;
            };
            let path = dir.join(name);
            if dir.ends_with("_uploads") {
                removed += u64::from(sweep_foreign(&path, before)?);
            } else if name == "_uploads" || !name.starts_with('_') {
                self.descend(store, path)?;
            }
        }
        Ok(removed)
    }

    fn descend(&mut self, store: &Store, dir: PathBuf) -> io::Result<()> {
        let list = store.lists.of(&dir)?;
        self.stack.push((dir, list, 0));
        Ok(())
    }
}

fn sweep_foreign(dir: &Path, before: SystemTime) -> io::Result<bool> {
    let begun = match started_at(&dir.join("startedat"))? {
        Some(begun) => begun,
        None => match absent_as_none(dir.symlink_metadata())? {
            Some(metadata) => metadata.modified()?,
            None => return Ok(false),
        },
    };
    Ok(begun < before && remove_all(dir)?)
}

/// What distribution wrote there (RFC 3339), if it can be read.
fn started_at(path: &Path) -> io::Result<Option<SystemTime>> {
    let Some((file, metadata)) = absent_as_none(records::open(path))? else {
        return Ok(None);
    };
    if !metadata.is_file() {
        return Ok(None);
    }
    let mut text = Vec::new();
    file.take(64).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let begun: Option<jiff::Timestamp> = text.trim().parse().ok();
    Ok(begun.map(SystemTime::from))
}
