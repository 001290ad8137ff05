//! Uploads: staged bytes in `uploads/<id>/data`, and their way to becoming a blob.
#![allow(
    clippy::disallowed_methods,
    reason = "this crate is where files are opened and removed"
)]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use registry_core::layout::{Dir, Key};
use registry_core::storage::{
    Checkpoint, CommitFailed, UploadHint, UploadId, UploadWriter, Verified,
};
use registry_core::{Digest, StorageError};
use rustix::fs::CWD;

use crate::clock::modified_now;
use crate::error::{broken, fault};
use crate::staged::Staged;
use crate::store::{self, Store};

/// From this size on, the room for an upload is taken at once.
const WORTH_ALLOCATING: u64 = 1 << 20;

/// After so many bytes the disk is set to work, while more is received and hashed.
const WRITE_BACK: u64 = 32 << 20;

const WRITE: &str = "writing an upload";
const COMMIT: &str = "publishing a blob";

/// The writer of an upload. It holds the advisory lock of the file for as long as it lives,
/// which keeps out writers of other processes on a shared mount.
pub(crate) struct Writer {
    store: Arc<Store>,
    id: UploadId,
    path: PathBuf,
    hint: UploadHint,
    /// `None` before the first bytes of an upload that begins: the file is made with them.
    staged: Option<Arc<Staged>>,
    /// Where this writer began.
    start: u64,
    len: u64,
    /// A call failed or was dropped, so that nothing is known of the file but its beginning.
    unsure: bool,
    written_back: u64,
    writing_back: Arc<AtomicBool>,
}

impl Writer {
    pub(crate) async fn open(
        store: &Arc<Store>,
        id: UploadId,
        from: Option<Checkpoint>,
        hint: UploadHint,
    ) -> Result<Self, StorageError> {
        let path = store.at(Key::UploadData(id).path().as_str());
        let start = from.map_or(0, |checkpoint| checkpoint.len);
        let staged = match start {
            0 => None,
            len => {
                let path = path.clone();
                let work = move |_: &Arc<Store>| Staged::resume(&path, len).map(Arc::new);
                Some(store.run("opening an upload", work).await?)
            }
        };
        Ok(Self {
            store: Arc::clone(store),
            id,
            path,
            hint,
            staged,
            start,
            len: start,
            unsure: false,
            written_back: start,
            writing_back: Arc::default(),
        })
    }

    fn sure(&self) -> Result<(), StorageError> {
        if self.unsure {
            return Err(broken(WRITE, "an earlier write did not end well"));
        }
        Ok(())
    }

    fn checkpoint_here(&self) -> Checkpoint {
        Checkpoint {
            len: self.len,
            // The length says it all.
            token: Bytes::new(),
        }
    }

    /// Sets the disk to work on what is there, at most once at a time, and not when others need
    /// the threads.
    fn write_back(&mut self) {
        if self.len - self.written_back < WRITE_BACK {
            return;
        }
        self.written_back = self.len;
        if self.writing_back.swap(true, Ordering::AcqRel) {
            return;
        }
        let running = Arc::clone(&self.writing_back);
        let Ok(permit) = Arc::clone(&self.store.permits).try_acquire_owned() else {
            running.store(false, Ordering::Release);
            return;
        };
        let (store, path) = (Arc::clone(&self.store), self.path.clone());
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            store.publisher.write_back(&path);
            running.store(false, Ordering::Release);
        });
    }

    /// Publishes what was written under this digest.
    async fn publish(mut self, digest: Digest, len: u64) -> Result<(), CommitFailed> {
        if let Err(error) = self.sure() {
            return Err(CommitFailed::new(None, error));
        }
        let here = self.checkpoint_here();
        if len != self.len {
            let error = broken(COMMIT, "fewer or more bytes were written than verified");
            return Err(CommitFailed::new(Some(here), error));
        }
        // Its last use is there, too: closing a file that has lost its name frees all its blocks.
        let (id, path, staged) = (self.id, self.path.clone(), self.staged.take());
        let work = move |store: &Arc<Store>| {
            let staged = match staged {
                Some(staged) => staged,
                None => Arc::new(Staged::begin(store, &path)?),
            };
            staged.finish().map_err(fault(COMMIT))?;
            let dest = store.blob(&digest);
            if refresh(store, &dest, len) {
                let _ = fs::remove_file(&path);
            } else {
                store
                    .publisher
                    .publish(&staged.file, &path, &dest)
                    .map_err(fault(COMMIT))?;
            }
            remove_dir(store, &id);
            Ok(())
        };
        let result = self.store.run(COMMIT, work).await;
        if let Err(error) = result {
            // If the data could not be synced, or has its name by now, nothing is staged.
            let staged = self.path.clone();
            let is_staged = move |_: &Arc<Store>| Ok(staged.symlink_metadata().is_ok());
            let is_staged = self.store.run(COMMIT, is_staged).await.unwrap_or(false);
            return Err(CommitFailed::new(is_staged.then_some(here), error));
        }
        Ok(())
    }
}

#[async_trait]
impl UploadWriter for Writer {
    async fn write(&mut self, batch: Vec<Bytes>) -> Result<(), StorageError> {
        self.sure()?;
        let bytes: u64 = batch.iter().map(|piece| piece.len() as u64).sum();
        if bytes == 0 {
            return Ok(());
        }
        self.unsure = true;
        let (staged, path, at) = (self.staged.clone(), self.path.clone(), self.len);
        let declared = self.hint.size.unwrap_or(0);
        let work = move |store: &Arc<Store>| {
            let staged = match staged {
                Some(staged) => {
                    if !staged.has_room_to(at + bytes) {
                        store.space.admit(bytes)?;
                    }
                    staged
                }
                None => {
                    store.space.admit(bytes.max(declared))?;
                    let staged = Arc::new(Staged::begin(store, &path)?);
                    if declared >= WORTH_ALLOCATING {
                        staged.allocate(declared)?;
                    }
                    staged
                }
            };
            staged.append(&batch, at, bytes).map_err(fault(WRITE))?;
            Ok(staged)
        };
        self.staged = Some(self.store.run(WRITE, work).await?);
        self.len += bytes;
        self.unsure = false;
        self.write_back();
        Ok(())
    }

    /// The bytes are with the kernel, which is all that a crash of the process asks for.
    async fn checkpoint(self: Box<Self>) -> Result<Checkpoint, StorageError> {
        self.sure()?;
        Ok(self.checkpoint_here())
    }

    async fn commit(self: Box<Self>, content: Verified) -> Result<(), CommitFailed> {
        self.publish(*content.digest(), content.len()).await
    }

    async fn abort(mut self: Box<Self>) -> Result<(), StorageError> {
        let (staged, id, start) = (self.staged.take(), self.id, self.start);
        let work = move |store: &Arc<Store>| match staged {
            Some(staged) if start > 0 => {
                let cut = staged.file.set_len(start);
                cut.map_err(fault("dropping an upload"))
            }
            _ if start > 0 => Ok(()),
            _ => remove(store, &id),
        };
        self.store.run("dropping an upload", work).await
    }
}

impl Drop for Writer {
    /// What the file may do when it is closed belongs where it may block.
    fn drop(&mut self) {
        if let Some(staged) = self.staged.take()
            && staged.has_spare_room()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn_blocking(move || drop(staged));
        }
    }
}

/// If a blob of this length is there already, makes its age zero, and it as durable as if it had
/// just been published: whoever put it there may not have come so far. Whatever stands in the
/// way of that, ours replaces it.
fn refresh(store: &Store, blob: &Path, len: u64) -> bool {
    let refreshed = || -> io::Result<bool> {
        if !blob.symlink_metadata()?.is_file() {
            return Ok(false);
        }
        let file = File::open(blob)?;
        if file.metadata()?.len() != len {
            return Ok(false);
        }
        touch(blob)?;
        store.publisher.sync_published(&file)?;
        store.publisher.sync_entry(blob)?;
        Ok(true)
    };
    refreshed().unwrap_or(false)
}

/// Makes the age of a file zero.
pub(crate) fn touch(path: &Path) -> io::Result<()> {
    let flags = rustix::fs::AtFlags::empty();
    Ok(rustix::fs::utimensat(CWD, path, &modified_now(), flags)?)
}

/// Drops the staged bytes of an upload.
pub(crate) fn remove(store: &Store, id: &UploadId) -> Result<(), StorageError> {
    if store::remove_file(&store.at(Key::UploadData(*id).path().as_str()))? {
        remove_dir(store, id);
    }
    Ok(())
}

/// Without a sync: a start or a sweep finds it if it comes back.
fn remove_dir(store: &Store, id: &UploadId) {
    let dir = store.at(Dir::Upload(*id).path().as_str());
    // Not empty while there is a record.
    let _ = fs::remove_dir(dir);
}
