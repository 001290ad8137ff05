//! Giving content its name, and making names last. Nothing else in this crate renames, links,
//! makes directories or syncs.
//!
//! The order is always the same: the data is synced before it has its name, then every directory
//! whose entries changed, bottom up. A failed sync fails the request and is never tried again,
//! since the system may have thrown away what it could not write.
#![allow(
    clippy::disallowed_methods,
    reason = "the one place where names come and go"
)]

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use rustix::fs::{CWD, RenameFlags};

use crate::config::Durability;
use crate::group::Group;
use crate::lists::is_absence;

/// How often directories are made again that another process removes because they are empty.
const ATTEMPTS: usize = 4;

/// How many directories are remembered as synced.
const REMEMBERED: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Publisher {
    root: PathBuf,
    durability: Durability,
    syncs: Group<bool>,
    synced: Mutex<Synced>,
    /// Who removes a directory that others may want is alone; who makes one keeps removers out
    /// until it is used. (An upload's own directory is nobody else's.)
    removing: RwLock<()>,
}

/// Directories whose own entry, and those of all above them, are known to be on stable storage.
/// A directory that another request has just made is new until someone has seen to that.
#[derive(Debug, Default)]
struct Synced {
    dirs: HashMap<PathBuf, Standing>,
    tickets: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Someone is at it. Removing or making the directory takes the ticket away, so that a sync
    /// which began before says nothing about the directory that is there afterwards.
    Pending(u64),
    Synced,
}

impl Publisher {
    pub(crate) fn new(root: &Path, durability: Durability) -> Self {
        Self {
            root: root.to_owned(),
            durability,
            syncs: Group::default(),
            synced: Mutex::default(),
            removing: RwLock::default(),
        }
    }

    /// Moves finished content to its name. When this returns both are durable. If the data cannot
    /// be synced, the staged file is gone.
    pub(crate) fn publish(&self, content: &File, staged: &Path, dest: &Path) -> io::Result<()> {
        self.sync_data(content, staged)?;
        self.rename(staged, dest)?;
        self.sync_entry(dest)
    }

    /// Syncs the data of a file that has no final name yet, and removes it if that fails.
    pub(crate) fn sync_data(&self, content: &File, staged: &Path) -> io::Result<()> {
        if self.durability == Durability::Relaxed {
            return Ok(());
        }
        content.sync_data().inspect_err(|_| {
            let _ = fs::remove_file(staged);
        })
    }

    /// Syncs the data of a file that has its name already.
    pub(crate) fn sync_published(&self, content: &File) -> io::Result<()> {
        match self.durability {
            Durability::Full => content.sync_data(),
            Durability::Relaxed => Ok(()),
        }
    }

    /// Starts the disk on what was written so far. It uses an open file of its own, so that an
    /// error is told again to the writer's; and since one who opens the file later would not hear
    /// of it, the file goes.
    pub(crate) fn write_back(&self, staged: &Path) {
        if self.durability == Durability::Relaxed {
            return;
        }
        let Ok(file) = OpenOptions::new().write(true).open(staged) else {
            return;
        };
        let Err(error) = file.sync_data() else {
            return;
        };
        tracing::error!(%error, path = %staged.display(), "staged bytes could not be written back");
        let same = |a: &fs::Metadata, b: &fs::Metadata| a.ino() == b.ino() && a.dev() == b.dev();
        if let (Ok(opened), Ok(named)) = (file.metadata(), staged.symlink_metadata())
            && same(&opened, &named)
        {
            let _ = fs::remove_file(staged);
        }
    }

    /// Renames over whatever is there, making the directories that are missing.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match fs::rename(from, to) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // The one that is missing may be `from`.
                from.symlink_metadata()?;
                self.making_dirs(to, || fs::rename(from, to))
            }
            result => result,
        }
    }

    /// Gives the file at `from` the name `to` unless there is one; says whether it did.
    pub(crate) fn create(&self, from: &Path, to: &Path) -> io::Result<bool> {
        let linked = self.making_dirs(to, || match fs::hard_link(from, to) {
            // Some filesystems know no links (FAT, some network shares).
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::Unsupported
                ) =>
            {
                Ok(rustix::fs::renameat_with(
                    CWD,
                    from,
                    CWD,
                    to,
                    RenameFlags::NOREPLACE,
                )?)
            }
            result => result,
        });
        match linked {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Runs `make`, and again after making the directories above `path` if one was missing.
    pub(crate) fn making_dirs<T>(
        &self,
        path: &Path,
        mut make: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        let mut result = make();
        if !matches!(&result, Err(error) if error.kind() == ErrorKind::NotFound) {
            return result;
        }
        let _kept = self.removing.read().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ATTEMPTS {
            match result {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    match self.make_dirs(self.above(path)) {
                        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                        _ => result = make(),
                    }
                }
                result => return result,
            }
        }
        result
    }

    /// From the bottom, because usually at most the lowest is missing.
    fn make_dirs(&self, dir: &Path) -> io::Result<()> {
        let mut made = self.make_dir(dir);
        if dir != self.root && matches!(&made, Err(error) if error.kind() == ErrorKind::NotFound) {
            self.make_dirs(self.above(dir))?;
            made = self.make_dir(dir);
        }
        match made {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        // Under the lock: nobody finds it there and still known from its last life.
        let mut synced = self.synced();
        fs::create_dir(dir)?;
        synced.dirs.remove(dir);
        Ok(())
    }

    /// Makes the root itself.
    pub(crate) fn make_root(root: &Path) -> io::Result<()> {
        match fs::create_dir(root) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let Some(above) = root.parent() else {
                    return Err(error);
                };
                Self::make_root(above)?;
                fs::create_dir(root)?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
            result => result?,
        }
        match root.parent() {
            Some(above) if above != Path::new("") => File::open(above)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    }

    /// Makes the name of `path` durable: its directory, and as far up as is not known to be.
    pub(crate) fn sync_entry(&self, path: &Path) -> io::Result<()> {
        if self.durability == Durability::Relaxed {
            return Ok(());
        }
        let mut dir = self.above(path);
        let mut climbed = Vec::new();
        self.sync_dir(dir)?;
        while dir != self.root {
            let Some(ticket) = self.ticket(dir) else {
                break;
            };
            climbed.push((dir, ticket));
            dir = self.above(dir);
            self.sync_dir(dir)?;
        }
        // Only now: that a directory is known means that those above it are, too.
        self.settle(&climbed);
        Ok(())
    }

    /// After an entry of a directory has gone: removes the directories that this leaves empty, as
    /// far up as `stays` allows, and makes that durable.
    pub(crate) fn prune(&self, gone: &Path, stays: impl Fn(&Path) -> bool) -> io::Result<()> {
        let mut dir = self.above(gone);
        while dir != self.root && !stays(dir) {
            match self.remove_dir(dir) {
                Err(error) if error.kind() != ErrorKind::NotFound => break,
                _ => dir = self.above(dir),
            }
        }
        if self.durability == Durability::Relaxed {
            return Ok(());
        }
        // Another request may have removed this one meanwhile; then the one above lost an entry.
        while !self.sync_dir(dir)? && dir != self.root {
            dir = self.above(dir);
        }
        Ok(())
    }

    /// Removes a directory if it is empty.
    pub(crate) fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let _alone = self
            .removing
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // Under this lock, too: whoever makes it again must not find it known.
        let mut synced = self.synced();
        fs::remove_dir(dir)?;
        synced.dirs.remove(dir);
        Ok(())
    }

    /// Makes everything in `dir` durable, and remembers that of the directories in it which
    /// `names` says are there.
    pub(crate) fn settle_children(&self, dir: &Path, names: &[String]) -> io::Result<()> {
        if self.durability == Durability::Relaxed {
            return Ok(());
        }
        let children: Vec<PathBuf> = names.iter().map(|name| dir.join(name)).collect();
        let tickets: Vec<(&Path, u64)> = children
            .iter()
            .filter_map(|child| Some((child.as_path(), self.ticket(child)?)))
            .collect();
        // The name of a child, which need not be there, syncs what is above it.
        self.sync_entry(&dir.join("_"))?;
        self.settle(&tickets);
        Ok(())
    }

    /// Whether it was there to be synced.
    fn sync_dir(&self, dir: &Path) -> io::Result<bool> {
        self.syncs.share(dir, |dir| match File::open(dir) {
            Ok(dir) => dir.sync_all().map(|()| true),
            Err(error) if is_absence(&error) => Ok(false),
            Err(error) => Err(error),
        })
    }

    /// `None` when the directory is known to be durable.
    fn ticket(&self, dir: &Path) -> Option<u64> {
        let mut synced = self.synced();
        match synced.dirs.get(dir) {
            Some(Standing::Synced) => None,
            Some(Standing::Pending(ticket)) => Some(*ticket),
            None => {
                if synced.dirs.len() >= REMEMBERED {
                    synced.dirs.clear();
                }
                synced.tickets += 1;
                let ticket = synced.tickets;
                synced
                    .dirs
                    .insert(dir.to_owned(), Standing::Pending(ticket));
                Some(ticket)
            }
        }
    }

    fn settle(&self, climbed: &[(&Path, u64)]) {
        let mut synced = self.synced();
        for (dir, ticket) in climbed {
            if let Some(standing) = synced.dirs.get_mut(*dir)
                && *standing == Standing::Pending(*ticket)
            {
                *standing = Standing::Synced;
            }
        }
    }

    fn synced(&self) -> MutexGuard<'_, Synced> {
        self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The directory that holds `path`; never one above the root.
    fn above<'a>(&'a self, path: &'a Path) -> &'a Path {
        match path.parent() {
            Some(above) if path != self.root => above,
            _ => &self.root,
        }
    }
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
