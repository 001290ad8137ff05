//! The lock on the root directory: one server that writes, or any number that do not.
#![allow(
    clippy::disallowed_methods,
    reason = "this crate is where files are opened"
)]

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use registry_core::layout::Dir;
use registry_core::storage::OpenMode;

use crate::error::{Holder, OpenError};

/// How often the list of locks is read for one that is known to be there: the kernel tells it page by
/// page, and locks of others that come and go meanwhile move it past who reads.
const LOOKS: usize = 10;

/// Held for as long as the store is open. It is on the directory itself, so that no file is
/// needed and a read-only mount will do.
#[derive(Debug)]
pub(crate) struct RootLock {
    /// None of a root that a server would make first.
    root: Option<File>,
    /// Whether a server that writes keeps out whoever wants more than a look.
    beside: bool,
    /// Of a collection, which may run beside servers that do not write, and beside no other
    /// collection.
    _tree: Option<File>,
}

impl RootLock {
    /// Exclusive for a server that writes; shared for all others, so that distribution's way of
    /// collecting beside a read-only server works.
    pub(crate) fn take(root: &Path, mode: OpenMode) -> Result<Self, OpenError> {
        let kind = match mode {
            OpenMode::Serve => File::try_lock,
            _ => File::try_lock_shared,
        };
        let tree = root.join(Dir::Tree.path().as_str());
        let absent = mode == OpenMode::Check && !root.exists();
        let (locked, beside) = match absent {
            true => (None, false),
            false => match lock(root, kind) {
                Err(OpenError::Locked { .. }) if mode == OpenMode::Check => {
                    (File::open(root).ok(), true)
                }
                locked => (Some(locked?), false),
            },
        };
        Ok(Self {
            root: locked,
            beside,
            // Without a tree there is nothing to collect.
            _tree: match mode == OpenMode::Collect && tree.is_dir() {
                true => Some(lock(&tree, File::try_lock)?),
                false => None,
            },
        })
    }

    /// Whether another has the root for itself, so that this is no lock.
    pub(crate) fn is_beside(&self) -> bool {
        self.beside
    }

    /// Who else has a lock on the root, as far as the system tells.
    pub(crate) fn other(&self) -> Option<Holder> {
        let metadata = self.root.as_ref()?.metadata().ok()?;
        let locks = fs::read_to_string("/proc/locks").ok()?;
        let mut pids = flocks(&locks, metadata.dev(), metadata.ino());
        if self.beside {
            return pids.first().map(|pid| named(*pid));
        }
        // One of them is ours, under whatever number.
        let ours = pids.iter().position(|pid| *pid == Some(std::process::id()));
        let ours = ours.or_else(|| pids.iter().position(Option::is_none))?;
        pids.swap_remove(ours);
        pids.first().map(|pid| named(*pid))
    }
}

fn lock(dir: &Path, kind: fn(&File) -> Result<(), TryLockError>) -> Result<File, OpenError> {
    let unusable = |source| OpenError::Unusable {
        doing: "locking",
        path: dir.to_owned(),
        source,
    };
    let file = File::open(dir).map_err(unusable)?;
    match kind(&file) {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
            root: dir.to_owned(),
            holder: holder_of(&file).unwrap_or(Holder {
                pid: None,
                name: None,
            }),
        }),
    }
}

fn holder_of(root: &File) -> io::Result<Holder> {
    let metadata = root.metadata()?;
    let mut holder = None;
    for _ in 0..LOOKS {
        let locks = fs::read_to_string("/proc/locks")?;
        holder = holder_in(&locks, metadata.dev(), metadata.ino());
        if holder.is_some() {
            break;
        }
    }
    Ok(named(holder))
}

fn named(pid: Option<u32>) -> Holder {
    let name = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok());
    Holder {
        pid,
        name: name.map(|name| name.trim_end().to_owned()),
    }
}

/// Who holds this inode.
fn holder_in(locks: &str, device: u64, inode: u64) -> Option<u32> {
    flocks(locks, device, inode).into_iter().flatten().next()
}

/// All who hold this inode, by proc_locks(5). A holder in another PID namespace shows as 0 or
/// below, and a request that waits as `->`.
fn flocks(locks: &str, device: u64, inode: u64) -> Vec<Option<u32>> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let wanted = format!("{major:02x}:{minor:02x}:{inode}");
    let holder = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match *fields.as_slice() {
            [_, "FLOCK", _, _, pid, file, ..] if file == wanted => {
                Some(pid.parse().ok().filter(|pid| *pid > 0))
            }
            _ => None,
        }
    };
    locks.lines().filter_map(holder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_the_flock_of_this_inode_on_this_device() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 fe:00:42 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 8 fe:01:42 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 0 fe:00:42 0 EOF\n\
                     4: -> FLOCK  ADVISORY  WRITE 9 fe:00:42 0 EOF\n\
                     5: FLOCK  ADVISORY  WRITE 10 fe:00:42 0 EOF\n";
        let device = rustix::fs::makedev(0xfe, 0);
        assert_eq!(holder_in(locks, device, 42), Some(10));
        assert_eq!(holder_in(locks, device, 43), None);
        assert_eq!(holder_in("", device, 42), None);
        assert_eq!(flocks(locks, device, 42), [None, Some(10)]);
    }

    #[test]
    fn readers_share_and_a_server_that_writes_is_alone() {
        let root = tempfile::tempdir().unwrap();
        let first = RootLock::take(root.path(), OpenMode::ReadOnly).unwrap();
        let second = RootLock::take(root.path(), OpenMode::Collect).unwrap();
        assert!(RootLock::take(root.path(), OpenMode::Serve).is_err());
        drop((first, second));
        fs::create_dir_all(root.path().join(Dir::Tree.path().as_str())).unwrap();
        let collection = RootLock::take(root.path(), OpenMode::Collect).unwrap();
        assert!(RootLock::take(root.path(), OpenMode::Collect).is_err());
        assert!(RootLock::take(root.path(), OpenMode::ReadOnly).is_ok());
        drop(collection);
        let server = RootLock::take(root.path(), OpenMode::Serve).unwrap();
        let look = RootLock::take(root.path(), OpenMode::Check).unwrap();
        assert!(look.is_beside());
        assert_eq!(look.other().unwrap().pid, Some(std::process::id()));
        for mode in [OpenMode::Serve, OpenMode::ReadOnly, OpenMode::Collect] {
            let refused = RootLock::take(root.path(), mode).unwrap_err();
            let me = format!("process {} (", std::process::id());
            assert!(refused.to_string().contains(&me), "{refused}");
        }
        drop(server);
        assert!(RootLock::take(root.path(), OpenMode::Check).is_ok());
    }
}
