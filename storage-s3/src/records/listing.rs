//! Listings of records, page by page: as many requests as there are pages.

use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{ListResult, Result};
use registry_core::storage::{ListQuery, RecordEntry};

use crate::clock::whole_seconds;

/// What stores give at once.
const PAGE: usize = 1_000;

/// Where a listing stands.
pub(super) struct Pages {
    /// With its final slash.
    prefix: String,
    query: ListQuery,
    /// How many entries may still come.
    left: usize,
    /// Of the next page; `None` before the first one.
    token: Option<String>,
    ended: bool,
}

impl Pages {
    pub(super) fn new(dir: &str, query: ListQuery) -> Self {
        Self {
            prefix: format!("{dir}/"),
            left: query.limit.unwrap_or(usize::MAX),
            query,
            token: None,
            ended: false,
        }
    }

    /// The next page, which may be empty; `None` after the last one.
    pub(super) async fn next<S: PaginatedListStore>(
        &mut self,
        store: &S,
    ) -> Result<Option<Vec<RecordEntry>>> {
        if self.ended || self.left == 0 {
            return Ok(None);
        }
        let options = PaginatedListOptions {
            offset: self.offset(),
            delimiter: self.query.children.then_some("/".into()),
            // Of the first entry it may turn out that it is not wanted.
            max_keys: Some(self.left.saturating_add(1).min(PAGE)),
            page_token: self.token.take(),
            ..PaginatedListOptions::default()
        };
        let page = store.list_paginated(Some(&self.prefix), options).await?;
        self.token = page.page_token;
        self.ended = self.token.is_none();
        let mut entries = self.entries(&page.result);
        entries.truncate(self.left);
        self.left -= entries.len();
        Ok(Some(entries))
    }

    /// What the store is to list after. It lists directories by the records in them, so after a
    /// directory, or something in it, that comes once more.
    fn offset(&self) -> Option<String> {
        let after = self.query.after.as_deref()?;
        let after = match after.split_once('/') {
            Some((dir, _)) if self.query.children => format!("{}{dir}/", self.prefix),
            _ => format!("{}{after}", self.prefix),
        };
        Some(after)
    }

    /// In the order of their keys; the store tells records and directories apart.
    fn entries(&self, page: &ListResult) -> Vec<RecordEntry> {
        let records = page.objects.iter().filter_map(|found| {
            let name = self.name(&found.location)?;
            let modified = Some(whole_seconds(found.last_modified.into()));
            Some(RecordEntry::Record { name, modified })
        });
        let dirs = page.common_prefixes.iter();
        let dirs = dirs.filter_map(|dir| {
            Some(RecordEntry::Directory {
                name: self.name(dir)?,
            })
        });
        let mut entries: Vec<(String, RecordEntry)> = records
            .chain(dirs)
            .map(|entry| (entry.sort_key(), entry))
            .filter(|(key, _)| self.query.after.as_ref().is_none_or(|after| key > after))
            .collect();
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    /// `None` for the directory itself, which some tools make an object of.
    fn name(&self, path: &Path) -> Option<String> {
        let name = path.as_ref().strip_prefix(&self.prefix);
        name.filter(|name| !name.is_empty()).map(str::to_owned)
    }
}
