//! All repositories, in plain byte order, a page at a time, by a walk of the directories that
//! reads no more than the page needs.

use futures_util::StreamExt;

use super::ordered::PlainOrder;
use super::{Page, PageRequest, Registry};
use crate::error::RegistryError;
use crate::layout::Dir;
use crate::name::RepositoryName;
use crate::rules::Grant;
use crate::storage::{ListQuery, RecordEntry, StorageError};

/// Directory entries asked for at once.
const BATCH: usize = 256;

impl Registry {
    /// Repositories after `last` that the caller may pull from, at most `n`.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn catalog(
        &self,
        grant: &Grant,
        request: &PageRequest,
    ) -> Result<Page<RepositoryName>, RegistryError> {
        let wanted = request.n.map(|n| n.saturating_add(1));
        let may = |name: &RepositoryName| grant.may_see(name);
        let mut names: Vec<RepositoryName> = Vec::new();
        let mut order = PlainOrder::new(request.last.clone());
        let mut walk = Walk::new(request.last.as_deref());
        while wanted.is_none_or(|wanted| names.len() < wanted) {
            let Some(directory) = walk.next(self).await? else {
                break;
            };
            let (ask, now) = order.take(directory.as_str());
            let early = ask
                .iter()
                .filter_map(|cut| cut.parse::<RepositoryName>().ok());
            for name in early.chain(now.then_some(directory)) {
                if may(&name) && self.0.is_repository(&name).await? {
                    names.push(name);
                }
            }
        }
        Ok(Page::cut(names, request.n))
    }
}

/// Walks the directories above and below repositories in the order of `name/`.
pub(super) struct Walk {
    last: Option<String>,
    stack: Vec<Level>,
}

struct Level {
    above: Option<RepositoryName>,
    /// Where the next batch begins, or `None` when the directory is read to its end.
    after: Option<String>,
    ended: bool,
    batch: std::vec::IntoIter<String>,
}

impl Level {
    fn new(above: Option<RepositoryName>, after: Option<String>) -> Self {
        Self {
            above,
            after,
            ended: false,
            batch: Vec::new().into_iter(),
        }
    }

    async fn next(&mut self, registry: &Registry) -> Result<Option<String>, StorageError> {
        loop {
            if let Some(name) = self.batch.next() {
                return Ok(Some(name));
            }
            if self.ended {
                return Ok(None);
            }
            let dir = match &self.above {
                Some(name) => Dir::Repository(name.clone()).path(),
                None => Dir::Repositories.path(),
            };
            let query = ListQuery::children(dir)
                .after(self.after.take())
                .limit(BATCH);
            let mut listing = registry.0.records.list(query);
            let (mut names, mut seen) = (Vec::new(), 0);
            while let Some(entry) = listing.next().await {
                let entry = entry?;
                seen += 1;
                self.after = Some(entry.sort_key());
                if let RecordEntry::Directory { name } = entry {
                    names.push(name);
                }
            }
            self.ended = seen < BATCH;
            self.batch = names.into_iter();
        }
    }
}

impl Walk {
    pub(super) fn new(last: Option<&str>) -> Self {
        let first = last.map(|last| last.split('/').next().unwrap_or_default().to_owned());
        Self {
            last: last.map(str::to_owned),
            stack: vec![Level::new(None, first)],
        }
    }

    /// The next directory whose name a repository could have.
    pub(super) async fn next(
        &mut self,
        registry: &Registry,
    ) -> Result<Option<RepositoryName>, StorageError> {
        while let Some(level) = self.stack.last_mut() {
            let Some(component) = level.next(registry).await? else {
                self.stack.pop();
                continue;
            };
            let text = match &level.above {
                Some(above) => format!("{above}/{component}"),
                None => component,
            };
            let Ok(name) = text.parse::<RepositoryName>() else {
                continue;
            };
            if let Some(after) = self.below(&text) {
                self.stack.push(Level::new(Some(name.clone()), after));
            }
            return Ok(Some(name));
        }
        Ok(None)
    }

    /// Where to begin below a directory; `None` when nothing below it comes after `last`.
    fn below(&self, directory: &str) -> Option<Option<String>> {
        let Some(last) = &self.last else {
            return Some(None);
        };
        match last
            .strip_prefix(directory)
            .and_then(|rest| rest.strip_prefix('/'))
        {
            Some(rest) => Some(rest.split('/').next().map(str::to_owned)),
            None => (format!("{directory}/").as_str() > last.as_str()).then_some(None),
        }
    }
}
