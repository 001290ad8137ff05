//! Removing a directory and all that is in it, whoever wrote that.
#![allow(
    clippy::disallowed_methods,
    reason = "this crate is where files are removed"
)]

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use registry_core::layout::StorePath;

use crate::lists::is_absence;
use crate::recent::Recent;
use crate::records;
use crate::store::Store;

/// Removes it, and the directories above that this leaves empty; durably.
pub(crate) fn delete(store: &Store, dir: &StorePath) -> io::Result<()> {
    let path = store.at(dir.as_str());
    empty(store, store.recent(dir), &path)?;
    records::prune(store, &path)
}

/// Through no link.
fn empty(store: &Store, recent: Option<&Recent>, dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if is_absence(&error) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => empty(store, recent, &path)?,
            Ok(_) => {
                let name = store.relative(&path);
                let _changing = recent.zip(name).map(|(recent, name)| recent.changing(name));
                let _alone = store.record_locks.lock(&path);
                absent_or(fs::remove_file(&path))?;
            }
            Err(error) => absent_or(Err(error))?,
        }
    }
    match store.publisher.remove_dir(dir) {
        // Someone has put something there meanwhile.
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => absent_or(removed),
    }
}

fn absent_or(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if is_absence(&error) => Ok(()),
        removed => removed,
    }
}
