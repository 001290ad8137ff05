//! Staged files: made, locked, written, taken up again.
#![allow(
    clippy::disallowed_methods,
    reason = "this crate is where files are opened and removed"
)]

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, IoSlice};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use registry_core::StorageError;
use rustix::fs::FallocateFlags;

use crate::clock::modified_now;
use crate::error::fault;
use crate::lists::is_absence;
use crate::store::Store;

/// How long to wait for a writer of this process that was dropped and whose last write still
/// goes on.
const PATIENCE: Duration = Duration::from_secs(5);

/// As many pieces as one system call takes.
const IOV_MAX: usize = 1024;

/// A staged file, locked.
pub(crate) struct Staged {
    pub(crate) file: File,
    len: AtomicU64,
    /// How much room was taken at once, for bytes that may not have come.
    allocated: AtomicU64,
}

impl Staged {
    /// Makes the file of an upload that begins, empty and locked.
    pub(crate) fn begin(store: &Store, path: &Path) -> Result<Self, StorageError> {
        let fault = fault("making an upload");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let opened = store.publisher.making_dirs(path, || {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create(true).truncate(false);
                options.open(path)
            });
            let file = opened.map_err(&fault)?;
            lock(&file, deadline)?;
            if names(path, &file).map_err(&fault)? {
                if file.metadata().map_err(&fault)?.len() > 0 {
                    file.set_len(0).map_err(&fault)?;
                }
                return Ok(Self::new(file, 0));
            }
            // Another took the file away between the two calls: this one is not the upload's.
            if Instant::now() > deadline {
                return Err(StorageError::Busy);
            }
        }
    }

    /// Opens a staged file at a checkpoint, and forgets what lies beyond it.
    pub(crate) fn resume(path: &Path, len: u64) -> Result<Self, StorageError> {
        let fault = fault("opening an upload");
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if is_absence(&error) => return Err(StorageError::NotFound),
            opened => opened.map_err(&fault)?,
        };
        lock(&file, Instant::now() + PATIENCE)?;
        // Between the two calls it may have become a blob, which nobody may cut.
        if !names(path, &file).map_err(&fault)? {
            return Err(StorageError::NotFound);
        }
        let metadata = file.metadata().map_err(&fault)?;
        // A crash of the machine may have taken some of it.
        if !metadata.is_file() || metadata.len() < len {
            return Err(StorageError::NotFound);
        }
        if metadata.len() > len {
            file.set_len(len).map_err(&fault)?;
        }
        Ok(Self::new(file, len))
    }

    /// Takes the room for so many bytes, if it can.
    pub(crate) fn allocate(&self, size: u64) -> Result<(), StorageError> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, size)
            .map_err(io::Error::from)
        {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded
                ) =>
            {
                Err(StorageError::Full)
            }
            // It is a favour: some filesystems cannot, and where the disk is at fault the write
            // will tell.
            Err(_) => Ok(()),
            Ok(()) => {
                self.allocated.store(size, Ordering::Release);
                Ok(())
            }
        }
    }

    fn new(file: File, len: u64) -> Self {
        Self {
            file,
            len: AtomicU64::new(len),
            allocated: AtomicU64::new(0),
        }
    }

    pub(crate) fn append(&self, batch: &[Bytes], at: u64, bytes: u64) -> io::Result<()> {
        write_all_at(&self.file, batch, at)?;
        self.len.store(at + bytes, Ordering::Release);
        Ok(())
    }

    /// Whether the room for bytes up to this one was taken.
    pub(crate) fn has_room_to(&self, end: u64) -> bool {
        end <= self.allocated.load(Ordering::Acquire)
    }

    pub(crate) fn has_spare_room(&self) -> bool {
        self.allocated.load(Ordering::Acquire) > self.len.load(Ordering::Acquire)
    }

    /// Makes it what a blob is: no room beyond its bytes, and its age zero, however long ago they
    /// came.
    pub(crate) fn finish(&self) -> io::Result<()> {
        self.trim()?;
        Ok(rustix::fs::futimens(&self.file, &modified_now())?)
    }

    /// Gives back the room that was taken for bytes which did not come: otherwise a client could
    /// fill the disk with promises.
    fn trim(&self) -> io::Result<()> {
        if self.has_spare_room() {
            self.file.set_len(self.len.load(Ordering::Acquire))?;
            self.allocated.store(0, Ordering::Release);
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = self.trim();
    }
}

/// Takes the lock of a staged file. Within a process there is one writer, but a write of a
/// dropped one may still be on its way to the disk.
fn lock(file: &File, deadline: Instant) -> Result<(), StorageError> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(fault("locking an upload")(error)),
            Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                return Err(StorageError::Busy);
            }
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Whether `path` still names `file`.
fn names(path: &Path, file: &File) -> io::Result<bool> {
    let opened = file.metadata()?;
    match path.symlink_metadata() {
        Ok(named) => Ok(named.ino() == opened.ino() && named.dev() == opened.dev()),
        Err(error) if is_absence(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn write_all_at(file: &File, batch: &[Bytes], mut at: u64) -> io::Result<()> {
    let mut pieces: Vec<IoSlice<'_>> = batch.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut rest = pieces.as_mut_slice();
    while !rest.is_empty() {
        let some = &rest[..rest.len().min(IOV_MAX)];
        match rustix::io::pwritev(file, some, at) {
            // Only pieces without a byte are left, or the system does nothing.
            Ok(0) if some.iter().any(|piece| !piece.is_empty()) => {
                return Err(ErrorKind::WriteZero.into());
            }
            Ok(0) => {
                let count = some.len();
                rest = &mut rest[count..];
            }
            Ok(count) => {
                at += count as u64;
                IoSlice::advance_slices(&mut rest, count);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
