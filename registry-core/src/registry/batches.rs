//! A listing taken by batches, so that a page asks the store for little more than it shows.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use crate::storage::{ListQuery, RecordEntry, RecordStore, StorageError};

/// Entries of a batch, at most: as many as object stores give at once.
const MOST: usize = 1_000;

/// Entries that a page may turn out not to show, such as the one that it begins after.
const SPARE: usize = 2;

/// What is still to be listed.
pub(super) struct Batches<'a> {
    records: &'a dyn RecordStore,
    query: ListQuery,
    /// How many the first batch takes; `None` where all are wanted, and are listed in one go.
    first: Option<usize>,
    whole: Option<BoxStream<'a, Result<RecordEntry, StorageError>>>,
    ended: bool,
}

/// Neighbours in a listing.
pub(super) struct Batch {
    /// In the order of the store.
    pub(super) entries: Vec<RecordEntry>,
    /// Whether nothing follows.
    ended: bool,
}

impl<'a> Batches<'a> {
    /// For a page of so many, or for all.
    pub(super) fn new(
        records: &'a dyn RecordStore,
        query: ListQuery,
        wanted: Option<usize>,
    ) -> Self {
        Self {
            records,
            query,
            first: wanted.map(|wanted| wanted.saturating_add(SPARE).min(MOST)),
            whole: None,
            ended: false,
        }
    }

    /// The next one; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Batch>, StorageError> {
        if self.ended {
            return Ok(None);
        }
        let (mut listing, most) = match (self.first, self.whole.take()) {
            (Some(most), _) => (self.records.list(self.query.clone().limit(most)), most),
            (None, Some(listing)) => (listing, MOST),
            (None, None) => (self.records.list(self.query.clone()), MOST),
        };
        let mut entries = Vec::new();
        while entries.len() < most
            && let Some(entry) = listing.next().await
        {
            entries.push(entry?);
        }
        self.ended = entries.len() < most;
        if self.first.is_some() {
            // Who wanted more than that is in a thicket of what is not shown.
            self.first = Some(MOST);
            self.query.after = entries.last().map(RecordEntry::sort_key);
        } else {
            self.whole = Some(listing);
        }
        let ended = self.ended;
        Ok(Some(Batch { entries, ended }))
    }
}

impl Batch {
    /// Names of directories.
    pub(super) fn directories(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| match entry {
            RecordEntry::Directory { name } => Some(name.as_str()),
            RecordEntry::Record { .. } => None,
        })
    }

    /// Whether there is a directory of this name, which does not come before the batch; `None` where
    /// only the batches that follow tell.
    pub(super) fn holds(&self, name: &str) -> Option<bool> {
        let key = format!("{name}/");
        let found = self
            .entries
            .binary_search_by_key(&key, RecordEntry::sort_key);
        match found {
            Ok(_) => Some(true),
            Err(at) if at < self.entries.len() || self.ended => Some(false),
            Err(_) => None,
        }
    }
}
