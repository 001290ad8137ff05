//! Listings of records, page by page: as many requests as there are pages.

use registry_core::StorageError;
use registry_core::storage::{ListQuery, RecordEntry};

use crate::listing::{Page, Wanted};
use crate::store::Store;

/// What stores give at once.
const PAGE: usize = 1_000;

/// What the store is to list after. It lists directories by the records in them, so after a
/// directory, or something in it, that comes once more.
fn offset(prefix: &str, query: &ListQuery) -> Option<String> {
    let after = query.after.as_deref()?;
    let after = match after.split_once('/') {
        Some((dir, _)) if query.children => format!("{prefix}{dir}/"),
        _ => format!("{prefix}{after}"),
    };
    Some(after)
}

/// Where a listing stands.
pub(super) struct Pages {
    /// With its final slash.
    prefix: String,
    query: ListQuery,
    /// How many entries may still come.
    left: usize,
    /// Of the next page.
    wanted: Wanted,
    ended: bool,
}

impl Pages {
    pub(super) fn new(dir: &str, query: ListQuery) -> Self {
        let prefix = format!("{dir}/");
        let wanted = Wanted {
            prefix: prefix.clone(),
            after: offset(&prefix, &query),
            children: query.children,
            ..Wanted::default()
        };
        Self {
            prefix,
            left: query.limit.unwrap_or(usize::MAX),
            query,
            wanted,
            ended: false,
        }
    }

    /// The next page, which may be empty; `None` after the last one.
    pub(super) async fn next(
        &mut self,
        store: &Store,
    ) -> Result<Option<Vec<RecordEntry>>, StorageError> {
        if self.ended || self.left == 0 {
            return Ok(None);
        }
        // Of the first entry it may turn out that it is not wanted.
        self.wanted.most = Some(self.left.saturating_add(1).min(PAGE));
        let page = store.page("listing records", &mut self.wanted).await?;
        self.ended = self.wanted.token.is_none();
        let mut entries = self.entries(&page);
        entries.truncate(self.left);
        self.left -= entries.len();
        Ok(Some(entries))
    }

    /// In the order of their keys; the store tells records and directories apart.
    fn entries(&self, page: &Page) -> Vec<RecordEntry> {
        let records = page.objects.iter().filter_map(|found| {
            let name = self.name(&found.key)?;
            let modified = Some(found.modified);
            Some(RecordEntry::Record { name, modified })
        });
        let dirs = page.dirs.iter();
        let dirs = dirs.filter_map(|dir| {
            let name = self.name(dir.strip_suffix('/').unwrap_or(dir))?;
            Some(RecordEntry::Directory { name })
        });
        let mut entries: Vec<(String, RecordEntry)> = records
            .chain(dirs)
            .map(|entry| (entry.sort_key(), entry))
            .filter(|(key, _)| self.query.after.as_ref().is_none_or(|after| key > after))
            .collect();
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    /// `None` for a directory, which some tools make an object of, and for what no record and no
    /// directory in one can be called.
    fn name(&self, key: &str) -> Option<String> {
        let name = key.strip_prefix(&self.prefix)?;
        let odd = |part: &str| part.is_empty() || part == "." || part == "..";
        (!name.split('/').any(odd)).then(|| name.to_owned())
    }
}
