//! Records read of late: what every client asks for costs no trip to the disk.
//!
//! Only a store that this process has for itself keeps them, and each for moments only, since
//! someone may still change the tree by hand.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use registry_core::layout::StorePath;
use registry_core::storage::Record;

/// How long a record is believed that others may have changed behind our back.
const BELIEVED: Duration = Duration::from_secs(2);

/// Links, that is; larger records are rarely asked for twice.
const LARGEST: usize = 512;

/// Some 400 bytes each.
const KEPT: usize = 20_000;

/// Paths share epochs, which costs no more than a needless miss.
const EPOCHS: usize = 64;

#[derive(Debug)]
pub(crate) struct Recent {
    within: StorePath,
    kept: Cache<Box<str>, (Record, Instant)>,
    epochs: [Mutex<u64>; EPOCHS],
}

impl Recent {
    pub(crate) fn new(within: StorePath) -> Self {
        Self {
            within,
            kept: Cache::new(KEPT),
            epochs: std::array::from_fn(|_| Mutex::new(0)),
        }
    }

    pub(crate) fn is_for(&self, path: &str) -> bool {
        path.starts_with(self.within.as_str())
    }

    pub(crate) fn get(&self, path: &str) -> Option<Record> {
        let (record, since) = self.kept.get(path)?;
        (since.elapsed() < BELIEVED).then_some(record)
    }

    /// To be asked before the record is read that will be handed to [`Recent::keep`].
    pub(crate) fn epoch(&self, path: &str) -> u64 {
        *self.shard(path)
    }

    /// Keeps what was read, unless the record was changed since this epoch.
    pub(crate) fn keep(&self, path: &str, epoch: u64, record: &Record) {
        if record.value.len() > LARGEST {
            return;
        }
        let now = self.shard(path);
        if *now == epoch {
            self.kept
                .insert(path.into(), (record.clone(), Instant::now()));
        }
    }

    /// Forgets a record now and once more when the change is over, however that ends: nobody who
    /// read it in between keeps what he saw.
    pub(crate) fn changing<'a>(&'a self, path: &'a str) -> Changing<'a> {
        self.forget(path);
        Changing(self, path)
    }

    fn forget(&self, path: &str) {
        let mut epoch = self.shard(path);
        *epoch += 1;
        self.kept.remove(path);
    }

    fn shard(&self, path: &str) -> MutexGuard<'_, u64> {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % EPOCHS as u64).unwrap_or(0);
        self.epochs[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Changing<'a>(&'a Recent, &'a str);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.forget(self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use registry_core::storage::Version;
    use std::time::SystemTime;

    fn recent() -> Recent {
        Recent::new(registry_core::layout::Dir::Repositories.path())
    }

    fn record(value: &'static str) -> Record {
        Record {
            value: value.into(),
            version: Version::new("v"),
            modified: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_was_read_is_kept_until_it_changes() {
        let recent = recent();
        recent.keep("a", recent.epoch("a"), &record("one"));
        assert_eq!(recent.get("a").unwrap().value, "one");
        drop(recent.changing("a"));
        assert!(recent.get("a").is_none());
    }

    #[test]
    fn what_was_read_before_or_during_a_change_is_not_kept_after_it() {
        let recent = recent();
        let before = recent.epoch("a");
        let change = recent.changing("a");
        recent.keep("a", before, &record("old"));
        assert!(recent.get("a").is_none());
        let during = recent.epoch("a");
        recent.keep("a", during, &record("old"));
        drop(change);
        assert!(recent.get("a").is_none());
        recent.keep("a", during, &record("old"));
        assert!(recent.get("a").is_none());
    }

    #[test]
    fn large_records_are_not_kept() {
        let recent = recent();
        let large = Record {
            value: vec![b'x'; LARGEST + 1].into(),
            ..record("")
        };
        recent.keep("a", recent.epoch("a"), &large);
        assert!(recent.get("a").is_none());
    }
}
