//! The reserve: when it is reached, blobs are refused so that deletes and records still work.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use registry_core::StorageError;

use crate::error::fault;

/// Kept free, unless [`RESERVE_PERCENT`] of the filesystem is less.
const RESERVE: u64 = 1 << 30;
const RESERVE_PERCENT: u64 = 2;

/// For how long, and for how many bytes, an answer of the system is believed.
const BELIEVED: Duration = Duration::from_secs(1);
const BELIEVED_BYTES: u64 = 64 << 20;

#[derive(Debug)]
pub(crate) struct Space {
    root: PathBuf,
    last: Mutex<Option<Look>>,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    room: u64,
    admitted: u64,
}

impl Space {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            last: Mutex::new(None),
        }
    }

    /// Whether so many bytes of blobs may be written now.
    pub(crate) fn admit(&self, bytes: u64) -> Result<(), StorageError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut look = match *last {
            Some(look) if look.is_believed_for(bytes) => look,
            _ => self.look()?,
        };
        if !look.has_room_for(bytes) {
            *last = None;
            return Err(StorageError::Full);
        }
        look.admitted += bytes;
        *last = Some(look);
        Ok(())
    }

    /// Bytes that blobs may take now; `None` where the system knows no end.
    pub(crate) fn room(&self) -> Result<Option<u64>, StorageError> {
        let look = self.look()?;
        Ok((look.room < u64::MAX).then_some(look.room))
    }

    fn look(&self) -> Result<Look, StorageError> {
        let stat = rustix::fs::statvfs(&self.root)
            .map_err(|errno| fault("asking for free space")(errno.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Look {
            at: Instant::now(),
            room: room(bytes(stat.f_bavail), bytes(stat.f_blocks)),
            admitted: 0,
        })
    }
}

impl Look {
    fn is_believed_for(&self, bytes: u64) -> bool {
        self.at.elapsed() < BELIEVED
            && self.admitted.saturating_add(bytes) <= BELIEVED_BYTES
            && self.has_room_for(bytes)
    }

    fn has_room_for(&self, bytes: u64) -> bool {
        self.room > 0 && self.admitted.saturating_add(bytes) <= self.room
    }
}

/// What of the free bytes may be filled with blobs.
fn room(free: u64, total: u64) -> u64 {
    if total == 0 {
        // A filesystem that knows no size, as an unlimited tmpfs.
        return u64::MAX;
    }
    free.saturating_sub(RESERVE.min(total / 100 * RESERVE_PERCENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_a_gibibyte_or_two_percent_whichever_is_less() {
        assert_eq!(room(10 << 30, 1 << 40), 9 << 30);
        assert_eq!(room(1000, 10_000), 800);
        assert_eq!(room(100, 10_000), 0);
        assert_eq!(room(0, 0), u64::MAX);
    }

    #[test]
    fn what_does_not_fit_above_the_reserve_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let space = Space::new(root.path());
        assert!(matches!(space.admit(u64::MAX), Err(StorageError::Full)));
        space.admit(1).unwrap();
    }

    #[test]
    fn an_answer_is_believed_until_so_many_bytes_were_admitted() {
        let look = |room, admitted| Look {
            at: Instant::now(),
            room,
            admitted,
        };
        assert!(look(1 << 40, 0).is_believed_for(BELIEVED_BYTES));
        assert!(!look(1 << 40, 1).is_believed_for(BELIEVED_BYTES));
        assert!(!look(5, 0).is_believed_for(6));
        assert!(!look(0, 0).has_room_for(0));
    }
}
