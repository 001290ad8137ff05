//! Listings of records, a page at a time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use registry_core::StorageError;
use registry_core::layout::{is_link_len, parse_link};
use registry_core::storage::{ListQuery, RecordEntry};

use crate::error::fault;
use crate::lists::{List, is_absence};
use crate::records;
use crate::store::Store;

/// Entries per trip to the blocking pool.
pub(crate) const PAGE: usize = 256;

/// Entries looked at per trip, when most of them are passed over.
const LOOKS: usize = 4 * PAGE;

/// What one trip found, and from where the next one goes on.
pub(crate) type Page<T, S> = Result<(Vec<T>, Option<S>), StorageError>;

/// Streams what `step` finds, one trip to the blocking pool for each page.
pub(crate) fn pages<T, S>(
    store: &Arc<Store>,
    doing: &'static str,
    start: S,
    step: fn(&Arc<Store>, S) -> Page<T, S>,
) -> BoxStream<'static, Result<T, StorageError>>
where
    T: Send + 'static,
    S: Send + 'static,
{
    let store = Arc::clone(store);
    stream::try_unfold(Some(start), move |state| {
        let store = Arc::clone(&store);
        async move {
            let Some(state) = state else { return Ok(None) };
            let (items, next) = store.run(doing, move |store| step(store, state)).await?;
            Ok(Some((stream::iter(items.into_iter().map(Ok)), next)))
        }
    })
    .try_flatten()
    .boxed()
}

/// What the query asks for.
pub(crate) fn list(
    store: &Arc<Store>,
    query: ListQuery,
) -> BoxStream<'static, Result<RecordEntry, StorageError>> {
    let limit = query.limit.unwrap_or(usize::MAX);
    if limit == 0 {
        return stream::empty().boxed();
    }
    if query.children {
        let children = Children {
            dir: store.at(query.dir.as_str()),
            after: query.after.unwrap_or_default(),
            holding: query.holding,
            wanted: limit,
            list: None,
            next: 0,
        };
        pages(store, "listing a directory", children, Children::page)
    } else {
        let walk = Walk::new(query.dir.as_str().to_owned(), query.after, limit);
        pages(store, "listing records", walk, Walk::page)
    }
}

/// A listing of one level, over the list that its first page found.
#[derive(Debug)]
struct Children {
    dir: PathBuf,
    after: String,
    holding: Option<&'static str>,
    wanted: usize,
    list: Option<Arc<List>>,
    next: usize,
}

impl Children {
    fn page(store: &Arc<Store>, mut this: Self) -> Page<RecordEntry, Self> {
        let mut found = Vec::new();
        let more = this
            .step(store, &mut found)
            .map_err(fault("reading a directory"))?;
        Ok((found, more.then_some(this)))
    }

    /// Whether there may be more.
    fn step(&mut self, store: &Store, found: &mut Vec<RecordEntry>) -> io::Result<bool> {
        let list = match self.list.take() {
            Some(list) => list,
            None => {
                let list = store.lists.of(&self.dir)?;
                self.next = list.first_after(&self.after);
                list
            }
        };
        for _ in 0..LOOKS {
            let Some(key) = list.at(self.next) else {
                return Ok(false);
            };
            self.next += 1;
            if let Some(entry) = self.entry(key)? {
                found.push(entry);
                self.wanted -= 1;
            }
            if self.wanted == 0 {
                return Ok(false);
            }
            if found.len() == PAGE {
                break;
            }
        }
        self.list = Some(list);
        Ok(true)
    }

    fn entry(&self, key: &str) -> io::Result<Option<RecordEntry>> {
        let Some(name) = key.strip_suffix('/') else {
            return Ok(Some(RecordEntry::Record {
                name: key.to_owned(),
                modified: None,
            }));
        };
        if let Some(link) = self.holding
            && !holds_digest(&self.dir.join(name).join(link))?
        {
            return Ok(None);
        }
        Ok(Some(RecordEntry::Directory {
            name: name.to_owned(),
        }))
    }
}

/// Whether there is a link, and a digest in it. One that is as long as it should be is taken for
/// whole: to read every tag would take several times as long.
fn holds_digest(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(metadata) if !metadata.is_file() || metadata.len() == 0 => Ok(false),
        Ok(metadata) if is_link_len(metadata.len()) => Ok(true),
        Ok(_) => match records::read(path) {
            Ok(record) => Ok(record.is_some_and(|record| parse_link(&record.value).is_some())),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(false),
            Err(error) => Err(error),
        },
        Err(error) if is_absence(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A walk over every record below a directory, depth first, in the order of full keys. It holds
/// one list per level.
#[derive(Debug)]
pub(crate) struct Walk {
    dir: String,
    /// Where to begin; taken by the first page.
    after: Option<String>,
    begun: bool,
    stack: Vec<Level>,
    wanted: usize,
}

#[derive(Debug)]
struct Level {
    /// Relative to the directory of the walk: empty, or with a slash at the end.
    prefix: String,
    list: Arc<List>,
    next: usize,
}

impl Walk {
    pub(crate) fn new(dir: String, after: Option<String>, wanted: usize) -> Self {
        Self {
            dir,
            after,
            begun: false,
            stack: Vec::new(),
            wanted,
        }
    }

    fn page(store: &Arc<Store>, mut walk: Self) -> Page<RecordEntry, Self> {
        let (names, more) = walk.names(store)?;
        let found = names.into_iter().map(|name| RecordEntry::Record {
            name,
            modified: None,
        });
        Ok((found.collect(), more.then_some(walk)))
    }

    /// The next names, at most a page, and whether there may be more.
    pub(crate) fn names(&mut self, store: &Store) -> Result<(Vec<String>, bool), StorageError> {
        let mut names = Vec::new();
        self.step(store, &mut names)
            .map_err(fault("reading a directory"))?;
        Ok((names, self.wanted > 0 && !self.stack.is_empty()))
    }

    fn step(&mut self, store: &Store, names: &mut Vec<String>) -> io::Result<()> {
        if !self.begun {
            self.begun = true;
            self.seek(store)?;
        }
        let mut looks = 0;
        while names.len() < PAGE && looks < LOOKS && self.wanted > 0 {
            let Some(level) = self.stack.last_mut() else {
                return Ok(());
            };
            looks += 1;
            let Some(key) = level.list.at(level.next) else {
                self.stack.pop();
                continue;
            };
            let name = format!("{}{key}", level.prefix);
            level.next += 1;
            if key.ends_with('/') {
                self.descend(store, name)?;
            } else {
                names.push(name);
                self.wanted -= 1;
            }
        }
        Ok(())
    }

    /// Down to the first record behind `after`.
    fn seek(&mut self, store: &Store) -> io::Result<()> {
        self.descend(store, String::new())?;
        let Some(after) = self.after.take() else {
            return Ok(());
        };
        let mut rest = after.as_str();
        while let Some(level) = self.stack.last_mut() {
            level.next = level.list.first_after(rest);
            // Of what is passed over, only a directory that `after` leads into holds more.
            let passed = level.next.checked_sub(1).and_then(|i| level.list.at(i));
            let Some(key) = passed.filter(|key| key.ends_with('/')) else {
                break;
            };
            let Some(below) = rest.strip_prefix(key) else {
                break;
            };
            let prefix = format!("{}{key}", level.prefix);
            rest = below;
            self.descend(store, prefix)?;
        }
        Ok(())
    }

    fn descend(&mut self, store: &Store, prefix: String) -> io::Result<()> {
        let dir = store.at(&format!("{}/{prefix}", self.dir));
        self.stack.push(Level {
            list: store.lists.of(&dir)?,
            prefix,
            next: 0,
        });
        Ok(())
    }
}
