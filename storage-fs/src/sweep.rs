//! Removing, or telling, uploads that nobody will finish: ours without a record, and distribution's.
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
use registry_core::storage::{Sweep, UploadId};

use crate::error::fault;
use crate::lists::{List, is_absence};
use crate::records;
use crate::store::Store;

const SWEEP: &str = "sweeping uploads";

/// Directories looked at per trip to the blocking pool.
const LOOKS: usize = 256;

/// Which uploads are old, and what becomes of them.
#[derive(Clone, Copy)]
struct Rule {
    before: SystemTime,
    remove: bool,
}

/// Removes, or tells, what was begun before `before`; says how many.
pub(crate) async fn uploads(
    store: &Arc<Store>,
    before: SystemTime,
    keep: &HashSet<UploadId>,
    mut sweep: Sweep<'_>,
) -> Result<u64, StorageError> {
    let rule = Rule {
        before,
        remove: sweep.removes(),
    };
    let mut count = 0;
    let mut found = |paths: Vec<String>| {
        count += paths.len() as u64;
        paths.iter().for_each(|path| sweep.found(path));
    };
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
        found(
            store
                .run(SWEEP, move |store| ours(store, &batch, rule))
                .await?,
        );
    }
    let mut walk = Walk::default();
    while !walk.is_done() {
        let swept = store.run(SWEEP, move |store| {
            let paths = walk.trip(store, rule).map_err(fault(SWEEP))?;
            Ok((paths, walk))
        });
        let paths;
        (paths, walk) = swept.await?;
        found(paths);
    }
    Ok(count)
}

fn ours(store: &Store, ids: &[UploadId], rule: Rule) -> Result<Vec<String>, StorageError> {
    let mut found = Vec::new();
    for id in ids {
        let path = Dir::Upload(*id).path();
        if sweep_ours(store, &store.at(path.as_str()), rule).map_err(fault(SWEEP))? {
            found.push(path.to_string());
        }
    }
    Ok(found)
}

fn sweep_ours(store: &Store, dir: &Path, rule: Rule) -> io::Result<bool> {
    let Some(newest) = absent_as_none(newest(store, dir))? else {
        return Ok(false);
    };
    if newest >= rule.before {
        return Ok(false);
    }
    // A writer that is slow, and not gone.
    if let Ok((file, _)) = records::open(&dir.join("data"))
        && let Err(TryLockError::WouldBlock) = file.try_lock()
    {
        return Ok(false);
    }
    Ok(!rule.remove || remove_all(dir)?)
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

    fn trip(&mut self, store: &Store, rule: Rule) -> io::Result<Vec<String>> {
        if !self.begun {
            self.begun = true;
            self.descend(store, store.at(Dir::Repositories.path().as_str()))?;
        }
        let mut found = Vec::new();
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
                if sweep_foreign(&path, rule)? {
                    found.extend(store.relative(&path).map(str::to_owned));
                }
            } else if name == "_uploads" || !name.starts_with('_') {
                self.descend(store, path)?;
            }
        }
        Ok(found)
    }

    fn descend(&mut self, store: &Store, dir: PathBuf) -> io::Result<()> {
        let list = store.lists.of(&dir)?;
        self.stack.push((dir, list, 0));
        Ok(())
    }
}

fn sweep_foreign(dir: &Path, rule: Rule) -> io::Result<bool> {
    let begun = match started_at(&dir.join("startedat"))? {
        Some(begun) => begun,
        None => match absent_as_none(dir.symlink_metadata())? {
            Some(metadata) => metadata.modified()?,
            None => return Ok(false),
        },
    };
    Ok(begun < rule.before && (!rule.remove || remove_all(dir)?))
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
