//! Small documents: read whole, replaced whole.
#![allow(
    clippy::disallowed_methods,
    reason = "this crate is where files are opened and removed"
)]

use std::fs::{self, File, FileTimes, Metadata, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use registry_core::StorageError;
use registry_core::layout::{StorePath, outlasts_its_records};
use registry_core::storage::{
    Durability, Guarantees, ListQuery, Outcome, PutMode, Record, RecordEntry, RecordStore, Version,
};

use crate::FsDriver;
use crate::below;
use crate::clock;
use crate::error::{broken, fault};
use crate::listing;
use crate::lists::{Stamp, is_absence};
use crate::store::{self, Store};

/// No record of ours or distribution's comes near this; memory must not depend on what someone
/// put there.
const MAX_RECORD: u64 = 64 << 20;

/// Who compares and then writes must be alone with the path.
#[derive(Debug)]
pub(crate) struct PathLocks([Mutex<()>; 64]);

impl PathLocks {
    pub(crate) fn lock(&self, path: &Path) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % self.0.len() as u64).unwrap_or(0);
        self.0[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for PathLocks {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }
}

#[async_trait]
impl RecordStore for FsDriver {
    async fn get(&self, path: &StorePath) -> Result<Option<Record>, StorageError> {
        if let Some(record) = self
            .store
            .recent(path)
            .and_then(|recent| recent.get(path.as_str()))
        {
            return Ok(Some(record));
        }
        let path = path.clone();
        let doing = "reading a record";
        let work = move |store: &Arc<Store>| get(store, &path).map_err(fault(doing));
        self.store.run(doing, work).await
    }

    async fn put(
        &self,
        path: &StorePath,
        value: Bytes,
        mode: PutMode,
        durability: Durability,
    ) -> Result<Outcome, StorageError> {
        self.store.writable()?;
        let path = path.clone();
        let doing = "writing a record";
        let work = move |store: &Arc<Store>| {
            let _changing = store
                .recent(&path)
                .map(|recent| recent.changing(path.as_str()));
            let path = store.at(path.as_str());
            put(store, &path, &value, &mode, durability).map_err(fault(doing))
        };
        self.store.run(doing, work).await
    }

    async fn delete(
        &self,
        path: &StorePath,
        if_version: Option<&Version>,
    ) -> Result<Outcome, StorageError> {
        self.store.writable()?;
        let (path, version) = (path.clone(), if_version.cloned());
        let work = move |store: &Arc<Store>| {
            let _changing = store
                .recent(&path)
                .map(|recent| recent.changing(path.as_str()));
            delete(store, &store.at(path.as_str()), version.as_ref())
        };
        self.store.run("deleting a record", work).await
    }

    async fn delete_below(&self, dir: &StorePath) -> Result<(), StorageError> {
        self.store.writable()?;
        let dir = dir.clone();
        let doing = "deleting a directory";
        let work = move |store: &Arc<Store>| below::delete(store, &dir).map_err(fault(doing));
        self.store.run(doing, work).await
    }

    fn list(&self, query: ListQuery) -> BoxStream<'_, Result<RecordEntry, StorageError>> {
        listing::list(&self.store, query)
    }

    async fn stamp(&self, dir: &StorePath) -> Result<Option<Version>, StorageError> {
        let dir = self.store.at(dir.as_str());
        let doing = "looking at a directory";
        let work = move |_: &Arc<Store>| {
            let now = clock::coarse();
            Ok(match Stamp::of(&dir).map_err(fault(doing))? {
                None => Some(Version::new("absent")),
                Some(stamp) if stamp.is_settled(now) => Some(Version::new(stamp.spelling())),
                Some(_) => None,
            })
        };
        self.store.run(doing, work).await
    }

    fn guarantees(&self) -> Guarantees {
        if self.store.is_exclusive() {
            Guarantees::exclusive()
        } else {
            Guarantees::default()
        }
    }
}

/// Opens whatever lies there; a FIFO does not make this wait.
pub(crate) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

fn get(store: &Store, path: &StorePath) -> io::Result<Option<Record>> {
    let Some(recent) = store.recent(path) else {
        return read(&store.at(path.as_str()));
    };
    let epoch = recent.epoch(path.as_str());
    let found = read(&store.at(path.as_str()))?;
    if let Some(record) = &found {
        recent.keep(path.as_str(), epoch, record);
    }
    Ok(found)
}

pub(crate) fn read(path: &Path) -> io::Result<Option<Record>> {
    let (file, metadata) = match open(path) {
        Err(error) if is_absence(&error) => return Ok(None),
        opened => opened?,
    };
    // A directory of someone else's is no record and hides none.
    if metadata.is_dir() {
        return Ok(None);
    }
    if !metadata.is_file() {
        return Err(io::Error::other("neither a file nor a directory"));
    }
    let mut value =
        Vec::with_capacity(usize::try_from(metadata.len().min(MAX_RECORD)).unwrap_or(0) + 1);
    file.take(MAX_RECORD + 1).read_to_end(&mut value)?;
    if value.len() as u64 > MAX_RECORD {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(Some(Record {
        value: value.into(),
        version: version(&metadata),
        modified: metadata.modified()?,
    }))
}

/// Every put gives its file a time of its own, so that a number of a file that is used again
/// does not make two states look like one. Not the time of the last change of status, which
/// making a link to the file moves.
fn version(metadata: &Metadata) -> Version {
    let (inode, size) = (metadata.ino(), metadata.len());
    let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
    Version::new(format!("{inode:x}-{seconds:x}.{nanos:x}-{size:x}"))
}

/// Sees to it that the time of a new file is its own.
fn stamp(store: &Store, file: &File) -> io::Result<Version> {
    let mut metadata = file.metadata()?;
    let stamped = metadata.modified()?;
    let own = store.clock.tick(stamped);
    if own != stamped {
        file.set_times(FileTimes::new().set_modified(own))?;
        metadata = file.metadata()?;
    }
    Ok(version(&metadata))
}

fn current_version(path: &Path) -> io::Result<Option<Version>> {
    match path.metadata() {
        Ok(metadata) => Ok(metadata.is_file().then(|| version(&metadata))),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A temporary file, gone when this goes unless it was renamed.
struct Temp(Option<PathBuf>);

impl Drop for Temp {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

fn put(
    store: &Store,
    path: &Path,
    value: &[u8],
    mode: &PutMode,
    durability: Durability,
) -> io::Result<Outcome> {
    // A first look, which spares the loser the work; the one that counts is below.
    let is_lost = match mode {
        PutMode::Create => path.symlink_metadata().is_ok(),
        PutMode::IfVersion(wanted) => current_version(path)?.as_ref() != Some(wanted),
        PutMode::Replace => false,
    };
    if is_lost {
        return Ok(Outcome::Conflict);
    }
    let staged = store.temp_path()?;
    let mut file = store
        .publisher
        .making_dirs(&staged, || File::create_new(&staged))?;
    let mut temp = Temp(Some(staged.clone()));
    file.write_all(value)?;
    let written = stamp(store, &file)?;
    if durability == Durability::Durable {
        store.publisher.sync_data(&file, &staged)?;
    }
    match mode {
        PutMode::Create => {
            if !store.publisher.create(&staged, path)? {
                return Ok(Outcome::Conflict);
            }
            drop(temp);
        }
        PutMode::IfVersion(_) | PutMode::Replace => {
            let _alone = store.record_locks.lock(path);
            if let PutMode::IfVersion(wanted) = mode
                && current_version(path)?.as_ref() != Some(wanted)
            {
                return Ok(Outcome::Conflict);
            }
            store.publisher.rename(&staged, path)?;
            temp.0 = None;
        }
    }
    if durability == Durability::Durable {
        store.publisher.sync_entry(path)?;
    }
    Ok(Outcome::Done(Some(written)))
}

fn delete(
    store: &Store,
    path: &Path,
    if_version: Option<&Version>,
) -> Result<Outcome, StorageError> {
    let doing = fault("deleting a record");
    {
        let _alone = store.record_locks.lock(path);
        if let Some(wanted) = if_version
            && let Some(found) = current_version(path).map_err(&doing)?
            && found != *wanted
        {
            return Ok(Outcome::Conflict);
        }
        if path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            return Err(broken("deleting a record", "it is a directory"));
        }
        store::remove_file(path)?;
    }
    // Also when it was gone already: who removed it may not have come so far.
    prune(store, path).map_err(&doing)?;
    Ok(Outcome::Done(None))
}

/// Removes the directories that the removal of `gone` leaves empty, durably.
pub(crate) fn prune(store: &Store, gone: &Path) -> io::Result<()> {
    store
        .publisher
        .prune(gone, |dir| store.relative(dir).is_none_or(stays))
}

/// Whether distribution would miss this directory, or it is one of the store's own.
fn stays(dir: &str) -> bool {
    let parts: Vec<&str> = dir.split('/').skip(3).collect();
    match parts.as_slice() {
        ["repositories", rest @ ..] => {
            !rest.iter().any(|part| part.starts_with('_')) || outlasts_its_records(dir)
        }
        ["blobs", _, _, ..] | ["uploads" | "gc", _, ..] => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_distribution_would_miss_stays_and_what_it_would_not_goes() {
        let v2 = "docker/registry/v2";
        for dir in [
            "",
            "/blobs",
            "/blobs/sha256",
            "/uploads",
            "/gc",
            "/repositories",
            "/repositories/a/b",
            "/repositories/a/b/_layers/sha256",
            "/repositories/a/b/_manifests",
            "/repositories/a/b/_manifests/tags",
            "/repositories/a/b/_manifests/revisions/sha512",
        ] {
            assert!(stays(&format!("{v2}{dir}")), "{dir}");
        }
        for dir in [
            "/blobs/sha256/ab",
            "/blobs/sha256/ab/abab",
            "/uploads/u",
            "/gc/sha256",
            "/gc/sha256/abab",
            "/repositories/a/_layers/sha256/abab",
            "/repositories/a/_manifests/tags/v1",
            "/repositories/a/_manifests/tags/v1/current",
            "/repositories/a/_manifests/revisions/sha256/abab",
            "/repositories/a/_referrers",
            "/repositories/a/_referrers/sha256/abab",
            "/repositories/a/_mediatypes",
        ] {
            assert!(!stays(&format!("{v2}{dir}")), "{dir}");
        }
    }
}
