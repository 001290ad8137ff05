//! The reference driver: everything in memory, and the readable definition of the contract.

mod blobs;
mod records;

use std::fmt;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use self::blobs::Blobs;
use self::records::Records;
use super::StorageError;
use crate::ambient::Ambient;

/// How the driver calls itself in errors.
const DRIVER: &str = "memory";

/// How many entries a listing looks at before it lets go of the lock.
const PAGE: usize = 1_000;

/// Holds blobs and records in memory, for as long as it lives. A blob, an upload and a record
/// are each as large as memory allows; nothing here bounds them.
///
/// No method waits for anything, so that dropping a call at an await never leaves half of it.
pub struct MemoryDriver {
    blobs: Arc<Mutex<Blobs>>,
    records: Mutex<Records>,
    ambient: Ambient,
}

impl MemoryDriver {
    /// An empty store. Its clock is the one given.
    #[must_use]
    pub fn new(ambient: Ambient) -> Self {
        Self {
            blobs: Arc::default(),
            records: Mutex::default(),
            ambient,
        }
    }
}

impl fmt::Debug for MemoryDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDriver").finish_non_exhaustive()
    }
}

/// A state in which a panic may have left half a change answers no more.
fn lock<T>(state: &Mutex<T>) -> Result<MutexGuard<'_, T>, StorageError> {
    state
        .lock()
        .map_err(|_| StorageError::backend(DRIVER, "taking a lock", "a holder of it panicked"))
}

/// A page of a listing, and where the next one begins if there may be one.
type Page<T, C> = (Vec<T>, Option<C>);

/// A listing that is taken page by page, each under a lock of its own.
fn pages<'a, T, C, F>(start: C, page: F) -> BoxStream<'a, Result<T, StorageError>>
where
    T: Send + 'a,
    C: Send + 'a,
    F: Fn(C) -> Result<Page<T, C>, StorageError> + Send + 'a,
{
    stream::try_unfold(Some(start), move |at| ready(at.map(&page).transpose()))
        .map_ok(|page| stream::iter(page.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
}

#[cfg(test)]
mod tests;
