//! A decorator that counts what a store is asked to do, and lets any of it go wrong.

mod control;
mod store;
mod transfer;

use std::sync::Arc;

use self::control::Shared;
pub use self::control::{Call, Control, Fault, Pause};
use crate::storage::{BlobStore, RecordStore, Storage};

/// A store in front of another. Every call of a method of the storage traits, of a reader and of
/// a writer passes through it and is counted; those that only say what is known already
/// (`extent`, `as_file`, `guarantees`) are not.
///
/// To stop one task between two of its steps while another runs, give the decorated store to the
/// first alone: calls are numbered in the order in which they arrive, whoever makes them.
///
/// ```
/// # use registry_core::storage::{MemoryDriver, Storage, StorageError};
/// # use registry_core::testing::{ambient, faults::{Fault, Faulty}};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let storage = Storage::from_driver(MemoryDriver::new(ambient()));
/// let (faulty, control) = Faulty::wrap(storage);
/// control.on_call(0, Fault::Full);
/// assert!(matches!(faulty.blobs.now().await, Err(StorageError::Full)));
/// assert!(faulty.blobs.now().await.is_ok());
/// assert_eq!(control.calls()[1].name, "blobs.now");
/// # });
/// ```
#[derive(Debug)]
pub struct Faulty {
    blobs: Arc<dyn BlobStore>,
    records: Arc<dyn RecordStore>,
    shared: Arc<Shared>,
}

impl Faulty {
    /// Puts itself before a store.
    #[must_use]
    pub fn wrap(storage: Storage) -> (Storage, Control) {
        let shared = Arc::new(Shared::default());
        let control = Control::new(Arc::clone(&shared));
        let faulty = Self {
            blobs: storage.blobs,
            records: storage.records,
            shared,
        };
        (Storage::from_driver(faulty), control)
    }
}
