//! One open root: its paths, its mode, and the way to the blocking pool.
#![allow(
    clippy::disallowed_methods,
    reason = "this crate is where files are opened and removed"
)]

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use registry_core::layout::{Dir, StorePath};
use registry_core::storage::OpenMode;
use registry_core::{Algorithm, StorageError};
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::config::{Config, Durability};
use crate::error::{OpenError, broken, fault, is_full};
use crate::lists::{Lists, TEMP_PREFIX};
use crate::lock::RootLock;
use crate::publish::Publisher;
use crate::recent::Recent;
use crate::records::PathLocks;
use crate::space::Space;

/// What the kept listings may take: some 100,000 names of usual length for each 4 MiB.
const LISTS_BUDGET: usize = 64 << 20;

#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    mode: OpenMode,
    pub(crate) publisher: Publisher,
    pub(crate) lists: Lists,
    pub(crate) space: Space,
    pub(crate) record_locks: PathLocks,
    pub(crate) clock: Clock,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) durability: Durability,
    pub(crate) lock: RootLock,
    recent: Recent,
}

impl Store {
    pub(crate) fn open(config: &Config, mode: OpenMode) -> Result<Self, OpenError> {
        let begun = Instant::now();
        let unusable = |doing| {
            let path = config.rootdirectory.clone();
            move |source| OpenError::Unusable {
                doing,
                path,
                source,
            }
        };
        if mode == OpenMode::Serve {
            Publisher::make_root(&config.rootdirectory).map_err(unusable("making"))?;
        }
        // Absolute, so that it stays the same wherever the process goes.
        let root = match config.rootdirectory.canonicalize() {
            // A server would make it, and who only looks does not.
            Err(error) if mode == OpenMode::Check && error.kind() == io::ErrorKind::NotFound => {
                std::path::absolute(&config.rootdirectory)
            }
            Ok(root) if !root.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
            root => root,
        }
        .map_err(unusable("opening"))?;
        let mut store = Self {
            mode,
            publisher: Publisher::new(&root, config.durability),
            lists: Lists::new(LISTS_BUDGET),
            space: Space::new(&root),
            record_locks: PathLocks::default(),
            clock: Clock::new(None),
            permits: Arc::new(Semaphore::new(config.threads())),
            recent: Recent::new(Dir::Repositories.path()),
            durability: config.durability,
            lock: RootLock::take(&root, mode)?,
            root,
        };
        store.is_on_one_device()?;
        let mut leftovers = 0;
        if mode == OpenMode::Serve {
            leftovers = store
                .remove_leftovers()
                .map_err(unusable("removing temporary files below"))?;
        }
        if store.writable().is_ok() {
            let probe = unless_full(store.nameless()).map_err(unusable("making a file below"))?;
            store.clock = Clock::new(probe);
        }
        if mode == OpenMode::Serve {
            let tested = unless_full(store.test_itself()).map_err(unusable(
                "writing, syncing, renaming and reading a file below",
            ))?;
            if tested.is_none() {
                let root = store.root.display();
                tracing::warn!(
                    %root,
                    "the disk is full: pushes are refused until there is room, and nobody has seen \
                     files be written, synced and renamed here"
                );
            }
            store.learn().map_err(unusable("syncing"))?;
        }
        tracing::info!(
            root = %store.root.display(),
            ?mode,
            durability = ?config.durability,
            leftovers,
            elapsed = ?begun.elapsed(),
            "opened the filesystem store"
        );
        Ok(store)
    }

    /// The directory above the tree.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where this path of the tree lies.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_end_matches('/'))
    }

    /// The path of the tree that lies here.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> Option<&'a str> {
        path.strip_prefix(&self.root).ok()?.to_str()
    }

    pub(crate) fn is_exclusive(&self) -> bool {
        self.mode == OpenMode::Serve
    }

    /// What keeps this record for a while. Those of a repository are written by records alone,
    /// and of them only those of a store that has no other writer may be kept.
    pub(crate) fn recent(&self, path: &StorePath) -> Option<&Recent> {
        let within = self.recent.is_for(path.as_str());
        (within && self.is_exclusive()).then_some(&self.recent)
    }

    /// Whether this store may be changed.
    pub(crate) fn writable(&self) -> Result<(), StorageError> {
        match self.mode {
            OpenMode::Serve | OpenMode::Collect => Ok(()),
            _ => Err(StorageError::ReadOnly),
        }
    }

    /// Does the work where it may block, as soon as fewer than so many others do.
    ///
    /// Dropping the future does not stop work that has begun; the permit, and the lock on the
    /// root, last until it ends.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        doing: &'static str,
        work: impl FnOnce(&Arc<Self>) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|error| broken(doing, error))?;
        let store = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&store)
        })
        .await
        // It panicked, or the runtime ends.
        .unwrap_or_else(|error| Err(broken(doing, error)))
    }

    /// A name for a temporary file, on the filesystem of the store and where a start finds it
    /// without looking through the tree.
    pub(crate) fn temp_path(&self) -> io::Result<PathBuf> {
        let name = format!("{TEMP_PREFIX}{:032x}", random()?);
        Ok(self.at(Dir::Uploads.path().as_str()).join(name))
    }

    /// A file that is gone when it is closed.
    fn nameless(&self) -> io::Result<File> {
        let path = self.temp_path()?;
        let file = self
            .publisher
            .making_dirs(&path, || File::create_new(&path))?;
        fs::remove_file(&path)?;
        Ok(file)
    }

    /// The time by which files are stamped. What tells it is made now where there was no room at
    /// the start.
    pub(crate) fn now(&self) -> io::Result<SystemTime> {
        if self.writable().is_ok()
            && !self.clock.has_probe()
            && let Some(probe) = unless_full(self.nameless())?
        {
            self.clock.stamp_with(probe);
        }
        self.clock.now()
    }

    /// Blobs are renamed from `uploads` into `blobs`, from there into `gc`, and back.
    fn is_on_one_device(&self) -> Result<(), OpenError> {
        let mut first: Option<(PathBuf, u64)> = None;
        let blobs = Dir::Tree.path().to_string() + "/blobs";
        let dirs = [
            blobs,
            Dir::Uploads.path().to_string(),
            Dir::Trash.path().to_string(),
        ];
        for dir in dirs.map(|dir| self.at(&dir)) {
            let Ok(metadata) = dir.metadata() else {
                continue;
            };
            match &first {
                Some((path, device)) if *device != metadata.dev() => {
                    return Err(OpenError::SeveralDevices {
                        first: path.clone(),
                        second: dir,
                    });
                }
                Some(_) => {}
                None => first = Some((dir, metadata.dev())),
            }
        }
        Ok(())
    }

    /// Removes the temporary files that a crash left.
    fn remove_leftovers(&self) -> io::Result<usize> {
        let entries = match fs::read_dir(self.at(Dir::Uploads.path().as_str())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries?,
        };
        let mut removed = 0;
        for entry in entries {
            let entry = entry?;
            let ours = entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with(TEMP_PREFIX));
            if ours && entry.file_type()?.is_file() {
                fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Does once what every push rests on, so that a store which cannot be written, or a
    /// filesystem that knows no sync of directories, shows at the start.
    fn test_itself(&self) -> io::Result<()> {
        let (staged, named) = (self.temp_path()?, self.temp_path()?);
        let remove = |path: &Path| {
            let _ = fs::remove_file(path);
        };
        let tested = self
            .publisher
            .making_dirs(&staged, || File::create_new(&staged))
            .and_then(|mut file| {
                file.write_all(b"test")?;
                self.publisher.publish(&file, &staged, &named)?;
                fs::read(&named)
            });
        remove(&staged);
        remove(&named);
        if tested? == b"test" {
            Ok(())
        } else {
            Err(io::Error::other("read back something else"))
        }
    }

    /// Sees to it that the directories above all blobs last, so that no push has to.
    fn learn(&self) -> io::Result<()> {
        for algorithm in Algorithm::ALL {
            let dir = self.at(Dir::Blobs(algorithm).path().as_str());
            if dir.is_dir() {
                let shards = self.lists.of(&dir)?;
                let shards: Vec<String> = shards.directories().map(str::to_owned).collect();
                self.publisher.settle_children(&dir, &shards)?;
            }
        }
        Ok(())
    }
}

/// `None` where there was no room: that is told of each write, and reading goes on.
fn unless_full<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(error) if is_full(&error) => Ok(None),
        done => done.map(Some),
    }
}

/// Bits that no one guesses and nothing repeats.
pub(crate) fn random() -> io::Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u128::from_be_bytes(bytes))
}

/// Removes a file; says whether it was there.
pub(crate) fn remove_file(path: &Path) -> Result<bool, StorageError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if crate::lists::is_absence(&error) => Ok(false),
        Err(error) => Err(fault("removing a file")(error)),
    }
}
