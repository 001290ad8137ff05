//! A walk over the directories above and below repositories, a batch at a time.

use futures_util::StreamExt;

use crate::layout::Dir;
use crate::name::RepositoryName;
use crate::registry::Registry;
use crate::storage::{ListQuery, RecordEntry, StorageError};

/// Directory entries asked for at once.
const BATCH: usize = 256;

/// Walks the directories above and below repositories in the order of `name/`.
pub(in crate::registry) struct Walk {
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
    pub(in crate::registry) fn new(last: Option<&str>) -> Self {
        let first = last.map(|last| last.split('/').next().unwrap_or_default().to_owned());
        Self {
            last: last.map(str::to_owned),
            stack: vec![Level::new(None, first)],
        }
    }

    /// The next directory whose name a repository could have.
    pub(in crate::registry) async fn next(
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
