//! Sorted children of directories, kept in bounded memory for as long as the directory has not
//! changed.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clock;
use crate::group::Group;

/// Temporary files in `uploads/` begin so.
pub(crate) const TEMP_PREFIX: &str = "_tmp-";

/// Within a tick of the kernel's clock a directory can change without its times telling so.
const TICK: Duration = Duration::from_millis(20);

/// Some filesystems keep whole seconds only, and FAT two.
const COARSE_TICK: Duration = Duration::from_secs(3);

/// Shorter lists are read faster than they are found.
const WORTH_KEEPING: usize = 64;

/// The children of one directory, sorted by name, that of a directory with a slash behind it.
#[derive(Debug, Default)]
pub(crate) struct List {
    /// All sort keys, one behind the other.
    text: String,
    ends: Vec<usize>,
}

impl List {
    fn new(mut keys: Vec<String>) -> Self {
        keys.sort_unstable();
        let mut list = Self {
            text: String::with_capacity(keys.iter().map(String::len).sum()),
            ends: Vec::with_capacity(keys.len()),
        };
        for key in keys {
            list.text.push_str(&key);
            list.ends.push(list.text.len());
        }
        list
    }

    /// The sort key at `index`.
    pub(crate) fn at(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text.get(start..end)
    }

    /// The index of the first sort key behind `after`.
    pub(crate) fn first_after(&self, after: &str) -> usize {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.at(middle).is_some_and(|key| key <= after) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// All names of directories.
    pub(crate) fn directories(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).filter_map(|index| self.at(index)?.strip_suffix('/'))
    }

    /// All names, of directories and files.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).filter_map(|index| Some(self.at(index)?.trim_end_matches('/')))
    }

    fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<usize>() + 256
    }
}

/// Times and identity of a directory: when they are the same, so are its entries, if they were
/// not looked at within a tick of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl Stamp {
    /// `None` where there is no directory.
    pub(crate) fn of(dir: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(dir) {
            Ok(metadata) if metadata.is_dir() => Ok(Some(Self {
                inode: metadata.ino(),
                mtime: (metadata.mtime(), metadata.mtime_nsec()),
                ctime: (metadata.ctime(), metadata.ctime_nsec()),
            })),
            Ok(_) => Ok(None),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether any change after `now` must show in it.
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        let (seconds, nanos) = self.mtime;
        let tick = if nanos == 0 { COARSE_TICK } else { TICK };
        now.duration_since(clock::time(seconds, nanos))
            .is_ok_and(|age| age > tick)
    }

    /// The same for equal stamps, and different for different ones.
    pub(crate) fn spelling(&self) -> String {
        let Self {
            inode,
            mtime,
            ctime,
        } = self;
        format!("{inode:x}-{}.{}-{}.{}", mtime.0, mtime.1, ctime.0, ctime.1)
    }
}

/// The lists that are kept.
#[derive(Debug)]
pub(crate) struct Lists {
    budget: usize,
    kept: Mutex<Kept>,
    /// A large directory is not read for each of those who list it while it changes.
    reading: Group<Arc<List>>,
}

#[derive(Debug, Default)]
struct Kept {
    lists: HashMap<PathBuf, Entry>,
    /// By last use, oldest first.
    order: BTreeMap<u64, PathBuf>,
    bytes: usize,
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    stamp: Stamp,
    list: Arc<List>,
    used: u64,
}

impl Lists {
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            budget,
            kept: Mutex::default(),
            reading: Group::default(),
        }
    }

    /// The children of `dir`, none if it is absent. Symbolic links and special files are not
    /// among them, nor names that are not UTF-8, nor our temporary files.
    pub(crate) fn of(&self, dir: &Path) -> io::Result<Arc<List>> {
        match Stamp::of(dir)? {
            None => self.kept().remove(dir),
            Some(stamp) => {
                if let Some(list) = self.kept().find(dir, stamp) {
                    return Ok(list);
                }
            }
        }
        self.reading.share(dir, |dir| self.read(dir))
    }

    fn read(&self, dir: &Path) -> io::Result<Arc<List>> {
        let begun = clock::coarse();
        let Some(stamp) = Stamp::of(dir)? else {
            return Ok(Arc::default());
        };
        let list = Arc::new(List::new(read(dir)?));
        if list.ends.len() >= WORTH_KEEPING && stamp.is_settled(begun) {
            self.kept().insert(dir, stamp, &list, self.budget);
        }
        Ok(list)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn find(&mut self, dir: &Path, stamp: Stamp) -> Option<Arc<List>> {
        let entry = self.lists.get_mut(dir)?;
        if entry.stamp != stamp {
            self.remove(dir);
            return None;
        }
        self.uses += 1;
        if let Some(path) = self.order.remove(&entry.used) {
            self.order.insert(self.uses, path);
        }
        entry.used = self.uses;
        Some(Arc::clone(&entry.list))
    }

    fn insert(&mut self, dir: &Path, stamp: Stamp, list: &Arc<List>, budget: usize) {
        self.remove(dir);
        if list.bytes() > budget {
            return;
        }
        self.bytes += list.bytes();
        self.uses += 1;
        self.order.insert(self.uses, dir.to_owned());
        let entry = Entry {
            stamp,
            list: Arc::clone(list),
            used: self.uses,
        };
        self.lists.insert(dir.to_owned(), entry);
        while self.bytes > budget
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, dir: &Path) {
        if let Some(entry) = self.lists.remove(dir) {
            self.order.remove(&entry.used);
            self.bytes -= entry.list.bytes();
        }
    }
}

/// Whether nothing is there: the path, or one of those above it, is absent or no directory.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn read(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if is_absence(&error) => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut keys = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Ok(mut name) = entry.file_name().into_string() else {
            continue;
        };
        // Without a system call, unless the filesystem leaves the type out; never through a link.
        let kind = match entry.file_type() {
            Err(error) if is_absence(&error) => continue,
            kind => kind?,
        };
        if kind.is_dir() {
            name.push('/');
        } else if !kind.is_file() || name.starts_with(TEMP_PREFIX) {
            continue;
        }
        keys.push(name);
    }
    Ok(keys)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests play the foreign hand")]
mod tests {
    use super::*;
    use std::fs::FileTimes;
    use std::time::UNIX_EPOCH;

    fn keys(list: &List) -> Vec<&str> {
        (0..list.ends.len()).map(|i| list.at(i).unwrap()).collect()
    }

    /// A directory whose times lie in the past, with `count` files.
    fn settled(count: usize) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..count {
            fs::write(dir.path().join(format!("f{i:04}")), "").unwrap();
        }
        age(dir.path());
        dir
    }

    fn age(dir: &Path) {
        let past = FileTimes::new().set_modified(clock::coarse() - Duration::from_millis(1500));
        fs::File::open(dir).unwrap().set_times(past).unwrap();
    }

    #[test]
    fn keys_sort_as_full_paths_do() {
        let list = List::new(["b", "a/", "a-b", "a.c/", "a"].map(str::to_owned).into());
        assert_eq!(keys(&list), ["a", "a-b", "a.c/", "a/", "b"]);
        assert_eq!(list.first_after(""), 0);
        assert_eq!(list.first_after("a"), 1);
        assert_eq!(list.first_after("a/"), 4);
        assert_eq!(list.first_after("a/x"), 4);
        assert_eq!(list.first_after("b"), 5);
        assert_eq!(list.at(5), None);
    }

    #[test]
    fn links_special_files_and_temporary_ones_are_passed_over() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        fs::write(dir.path().join("_tmp-1"), "").unwrap();
        fs::create_dir(dir.path().join("dir")).unwrap();
        std::os::unix::fs::symlink("dir", dir.path().join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        let odd = std::ffi::OsStr::from_bytes(b"\xff");
        fs::write(dir.path().join(odd), "").unwrap();
        let list = Lists::new(1 << 20).of(dir.path()).unwrap();
        assert_eq!(keys(&list), ["dir/", "file"]);
    }

    #[test]
    fn a_list_is_kept_until_the_directory_changes() {
        let lists = Lists::new(1 << 20);
        let dir = settled(100);
        let first = lists.of(dir.path()).unwrap();
        assert!(Arc::ptr_eq(&first, &lists.of(dir.path()).unwrap()));
        fs::write(dir.path().join("another"), "").unwrap();
        let second = lists.of(dir.path()).unwrap();
        assert_eq!(second.ends.len(), 101);
        drop(dir);
        assert_eq!(lists.kept().lists.len(), 0);
    }

    #[test]
    fn a_list_read_within_a_tick_of_a_change_is_not_kept() {
        let lists = Lists::new(1 << 20);
        let dir = settled(100);
        let soon = FileTimes::new().set_modified(clock::coarse() + Duration::from_secs(60));
        fs::File::open(dir.path()).unwrap().set_times(soon).unwrap();
        let first = lists.of(dir.path()).unwrap();
        assert!(!Arc::ptr_eq(&first, &lists.of(dir.path()).unwrap()));
    }

    #[test]
    fn memory_stays_within_the_budget_and_the_least_used_goes_first() {
        let dirs: Vec<_> = (0..4).map(|_| settled(100)).collect();
        let one = lists_bytes(dirs[0].path());
        let lists = Lists::new(one * 3);
        for dir in &dirs[..3] {
            lists.of(dir.path()).unwrap();
        }
        lists.of(dirs[0].path()).unwrap();
        lists.of(dirs[3].path()).unwrap();
        let kept = lists.kept();
        assert!(kept.bytes <= one * 3);
        let has = |i: usize| kept.lists.contains_key(dirs[i].path());
        assert_eq!([has(0), has(1), has(2), has(3)], [true, false, true, true]);
    }

    fn lists_bytes(dir: &Path) -> usize {
        Lists::new(1 << 20).of(dir).unwrap().bytes()
    }

    #[test]
    fn whole_seconds_need_a_longer_wait() {
        let at = |mtime| Stamp {
            inode: 1,
            mtime,
            ctime: mtime,
        };
        let now = UNIX_EPOCH + Duration::new(1000, 0);
        assert!(at((999, 1)).is_settled(now));
        assert!(!at((999, 999_000_000)).is_settled(now));
        assert!(!at((999, 0)).is_settled(now));
        assert!(at((990, 0)).is_settled(now));
        assert!(!at((1001, 1)).is_settled(now));
    }
}
