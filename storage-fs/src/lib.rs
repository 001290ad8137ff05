//! The filesystem driver: distribution's tree below one directory.
//!
//! What an answer promises is on stable storage: data is synced before it has its name, then
//! every directory whose entries changed, bottom up. Concurrent requests share those syncs. One
//! process at a time may write below a root; a lock on the directory itself sees to that.
//!
//! It does not hash (core does), does not resume distribution's uploads, and follows no symbolic
//! link when it lists.
//!
//! ```no_run
//! use registry_core::storage::{OpenMode, Storage};
//!
//! let config = storage_fs::Config::new("/var/lib/registry");
//! let storage = Storage::from_driver(storage_fs::open(&config, OpenMode::Serve)?);
//! # Ok::<(), storage_fs::OpenError>(())
//! ```
#![warn(missing_docs)]

mod below;
mod blobs;
mod clock;
mod config;
mod error;
mod group;
mod listing;
mod lists;
mod lock;
mod publish;
mod recent;
mod records;
mod space;
mod staged;
mod store;
mod survey;
mod sweep;
mod trash;
mod upload;

use std::sync::Arc;

use registry_core::storage::OpenMode;

pub use self::config::{Config, Durability};
pub use self::error::{Holder, OpenError};

/// An open store. Clones share it; it is closed, and its lock let go, with the last of them and
/// of the operations that they began.
#[derive(Clone, Debug)]
pub struct FsDriver {
    store: Arc<store::Store>,
}

/// Opens the store below the configured root. To serve, the root is made if it is missing, what
/// a crash left is removed, and it is tried whether files can be written; no blob is touched.
/// Where the disk is full that is told in the log, and reading goes on.
///
/// This blocks for as long as the disk takes.
///
/// # Errors
/// [`OpenError::Locked`] when another process has the root for itself, and whatever else makes
/// it unusable.
pub fn open(config: &Config, mode: OpenMode) -> Result<FsDriver, OpenError> {
    let store = Arc::new(store::Store::open(config, mode)?);
    Ok(FsDriver { store })
}
