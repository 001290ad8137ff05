//! Records, and the order in which they are listed.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::super::{
    Durability, Guarantees, ListQuery, Outcome, PutMode, Record, RecordEntry, RecordStore,
    StorageError, Version,
};
use super::{MemoryDriver, PAGE, lock, pages};
use crate::layout::{StorePath, outlasts_its_records, parse_link};

#[derive(Default)]
pub(super) struct Records {
    /// By full path; the order of `str` is that of its bytes, which is the order of a listing.
    entries: BTreeMap<Box<str>, Entry>,
    /// Of every directory that has entries: the change in which one last came or went.
    stamps: BTreeMap<Box<str>, u64>,
    /// Counts changes, so that no two states share a version or a stamp.
    changes: u64,
}

struct Entry {
    value: Bytes,
    version: u64,
    modified: SystemTime,
}

impl Records {
    fn version(&self, path: &StorePath) -> Option<Version> {
        self.entries
            .get(path.as_str())
            .map(|entry| spell(entry.version))
    }

    fn change(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    fn put(&mut self, path: &StorePath, value: Bytes, modified: SystemTime) -> Version {
        let version = self.change();
        let entry = Entry {
            value,
            version,
            modified,
        };
        if self.entries.insert(path.as_str().into(), entry).is_none() {
            for dir in above(path.as_str()) {
                // A directory that was there before is no new entry of the one above it.
                if self.stamps.insert(dir.into(), version).is_some() {
                    break;
                }
            }
        }
        spell(version)
    }

    fn delete(&mut self, path: &str) {
        if self.entries.remove(path).is_some() {
            self.gone(path);
        }
    }

    /// After an entry, or a directory, has gone.
    fn gone(&mut self, path: &str) {
        let change = self.change();
        for dir in above(path) {
            if outlasts_its_records(dir) {
                self.keep(dir);
            }
            if self.first_below(dir).is_some() {
                self.stamps.insert(dir.into(), change);
                break;
            }
            // Left empty it is gone, and that is a change of the directory above.
            self.stamps.remove(dir);
        }
    }

    /// An entry with a slash at its end, which no path has, stands for a directory that stays.
    fn keep(&mut self, dir: &str) {
        let entry = Entry {
            value: Bytes::new(),
            version: self.changes,
            modified: SystemTime::UNIX_EPOCH,
        };
        self.entries.insert(format!("{dir}/").into(), entry);
    }

    fn delete_below(&mut self, dir: &str) {
        if self.first_below(dir).is_some() {
            let prefix = format!("{dir}/");
            self.entries.retain(|path, _| !path.starts_with(&prefix));
            let within = |path: &str| path == dir || path.starts_with(&prefix);
            self.stamps.retain(|path, _| !within(path));
            self.gone(dir);
        }
    }

    fn first_below(&self, dir: &str) -> Option<&str> {
        let prefix = format!("{dir}/");
        let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
        let (key, _) = self.entries.range::<str, _>(from).next()?;
        key.starts_with(&prefix).then_some(key)
    }

    /// Looks at no more than a page of entries, from `at` on.
    fn page(
        &self,
        query: &ListQuery,
        prefix: &str,
        mut at: Cursor,
    ) -> super::Page<RecordEntry, Cursor> {
        let mut page = Vec::new();
        for _ in 0..PAGE {
            if at.left == Some(0) {
                return (page, None);
            }
            let range = (at.from.as_ref().map(String::as_str), Bound::Unbounded);
            let Some((key, entry)) = self.entries.range::<str, _>(range).next() else {
                return (page, None);
            };
            let Some(name) = key.strip_prefix(prefix) else {
                return (page, None);
            };
            if name.is_empty() || name.ends_with('/') && !query.children {
                at.from = Bound::Excluded(key.to_string());
                continue;
            }
            let found = match name.split_once('/') {
                Some((name, _)) if query.children => {
                    // The byte after the slash: all of this directory lies before it.
                    at.from = Bound::Included(format!("{prefix}{name}0"));
                    RecordEntry::Directory { name: name.into() }
                }
                _ => {
                    at.from = Bound::Excluded(key.to_string());
                    RecordEntry::Record {
                        name: name.into(),
                        modified: Some(entry.modified),
                    }
                }
            };
            if self.wanted(&found, query, prefix) {
                at.left = at.left.map(|left| left - 1);
                page.push(found);
            }
        }
        (page, Some(at))
    }

    fn wanted(&self, entry: &RecordEntry, query: &ListQuery, prefix: &str) -> bool {
        // A directory may begin before `after` and have records behind it.
        if query
            .after
            .as_ref()
            .is_some_and(|after| entry.sort_key() <= *after)
        {
            return false;
        }
        match (entry, query.holding) {
            (RecordEntry::Directory { name }, Some(record)) => self
                .entries
                .get(format!("{prefix}{name}/{record}").as_str())
                .is_some_and(|entry| parse_link(&entry.value).is_some()),
            _ => true,
        }
    }
}

/// Where a listing goes on, and how many entries it may still yield.
struct Cursor {
    from: Bound<String>,
    left: Option<usize>,
}

fn spell(number: u64) -> Version {
    Version::new(number.to_string())
}

/// The directories above a path, the innermost first.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.rmatch_indices('/').map(|(at, _)| &path[..at])
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl RecordStore for MemoryDriver {
    async fn get(&self, path: &StorePath) -> Result<Option<Record>, StorageError> {
        let records = lock(&self.records)?;
        Ok(records.entries.get(path.as_str()).map(|entry| Record {
            value: entry.value.clone(),
            version: spell(entry.version),
            modified: entry.modified,
        }))
    }

    async fn put(
        &self,
        path: &StorePath,
        value: Bytes,
        mode: PutMode,
        _durability: Durability,
    ) -> Result<Outcome, StorageError> {
        let mut records = lock(&self.records)?;
        let present = records.version(path);
        let holds = match mode {
            PutMode::Create => present.is_none(),
            PutMode::IfVersion(version) => present == Some(version),
            PutMode::Replace => true,
        };
        if !holds {
            return Ok(Outcome::Conflict);
        }
        let version = records.put(path, value, (self.ambient.now)());
        Ok(Outcome::Done(Some(version)))
    }

    async fn delete(
        &self,
        path: &StorePath,
        if_version: Option<&Version>,
    ) -> Result<Outcome, StorageError> {
        let mut records = lock(&self.records)?;
        if let (Some(wanted), Some(present)) = (if_version, records.version(path))
            && *wanted != present
        {
            return Ok(Outcome::Conflict);
        }
        records.delete(path.as_str());
        Ok(Outcome::Done(None))
    }

    async fn delete_below(&self, dir: &StorePath) -> Result<(), StorageError> {
        lock(&self.records)?.delete_below(dir.as_str());
        Ok(())
    }

    fn list(&self, query: ListQuery) -> BoxStream<'_, Result<RecordEntry, StorageError>> {
        let prefix = format!("{}/", query.dir);
        let start = Cursor {
            from: match &query.after {
                None => Bound::Included(prefix.clone()),
                Some(after) => Bound::Excluded(format!("{prefix}{after}")),
            },
            left: query.limit,
        };
        pages(start, move |at| {
            Ok(lock(&self.records)?.page(&query, &prefix, at))
        })
    }

    async fn stamp(&self, dir: &StorePath) -> Result<Option<Version>, StorageError> {
        let records = lock(&self.records)?;
        Ok(records.stamps.get(dir.as_str()).copied().map(spell))
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::exclusive()
    }
}
