//! Objects that nobody needs any more, and that are going to be removed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use object_store::path::Path;

/// How long they stay. Each of many uploads would have a request of its own otherwise, for which its
/// client waits.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// As many as came within [`LINGER`].
#[derive(Debug, Default)]
pub(crate) struct Waste(Mutex<Vec<Path>>);

impl Waste {
    /// Whether these are the first ones, so that somebody has to take them.
    pub(crate) fn add(&self, keys: Vec<Path>) -> bool {
        let mut waiting = self.waiting();
        let first = waiting.is_empty() && !keys.is_empty();
        waiting.extend(keys);
        first
    }

    pub(crate) fn take(&self) -> Vec<Path> {
        std::mem::take(&mut *self.waiting())
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Path>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
