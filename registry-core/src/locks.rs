//! Locks within the process, held for every driver: per digest and per repository.
//!
//! They order the steps of commits, deletes and collection; never is one held while waiting for
//! a client. A repository's lock is taken before a digest's, and none while waiting for another of its
//! kind.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// A lock for each key that is in use at this moment, and none for the others.
pub(crate) struct KeyedLocks<K> {
    locks: Arc<Mutex<HashMap<K, Arc<RwLock<()>>>>>,
}

impl<K> Default for KeyedLocks<K> {
    fn default() -> Self {
        Self {
            locks: Arc::default(),
        }
    }
}

impl<K: Eq + Hash + Clone> KeyedLocks<K> {
    /// Beside others that share it.
    pub(crate) async fn shared(&self, key: &K) -> Held<K> {
        let lock = self.lock(key);
        let guard = Guard::Shared {
            _guard: Arc::clone(&lock).read_owned().await,
        };
        self.held(key, lock, guard)
    }

    /// Alone.
    pub(crate) async fn exclusive(&self, key: &K) -> Held<K> {
        let lock = self.lock(key);
        let guard = Guard::Exclusive {
            _guard: Arc::clone(&lock).write_owned().await,
        };
        self.held(key, lock, guard)
    }

    /// Alone and at once, or not at all.
    pub(crate) fn try_exclusive(&self, key: &K) -> Option<Held<K>> {
        let lock = self.lock(key);
        let guard = Arc::clone(&lock).try_write_owned().ok()?;
        Some(self.held(key, lock, Guard::Exclusive { _guard: guard }))
    }

    fn lock(&self, key: &K) -> Arc<RwLock<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(key.clone()).or_default())
    }

    fn held(&self, key: &K, lock: Arc<RwLock<()>>, guard: Guard) -> Held<K> {
        Held {
            key: key.clone(),
            locks: Arc::clone(&self.locks),
            lock,
            guard: Some(guard),
        }
    }
}

impl<K> fmt::Debug for KeyedLocks<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedLocks").finish_non_exhaustive()
    }
}

enum Guard {
    Shared { _guard: OwnedRwLockReadGuard<()> },
    Exclusive { _guard: OwnedRwLockWriteGuard<()> },
}

/// A lock that is held until this is dropped.
#[must_use]
pub(crate) struct Held<K: Eq + Hash> {
    key: K,
    locks: Arc<Mutex<HashMap<K, Arc<RwLock<()>>>>>,
    lock: Arc<RwLock<()>>,
    guard: Option<Guard>,
}

impl<K: Eq + Hash> Drop for Held<K> {
    fn drop(&mut self) {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        self.guard = None;
        // Two are left when nobody else waits: the map's and this one.
        if Arc::strong_count(&self.lock) == 2 {
            locks.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_is_forgotten_when_nobody_holds_it() {
        let locks = KeyedLocks::default();
        let first = locks.shared(&1).await;
        let second = locks.shared(&1).await;
        drop(first);
        assert_eq!(locks.locks.lock().unwrap().len(), 1);
        drop(second);
        assert!(locks.locks.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_exclusive_holder_is_alone() {
        let locks = Arc::new(KeyedLocks::default());
        let held = locks.exclusive(&"a").await;
        let waiting = tokio::spawn({
            let locks = Arc::clone(&locks);
            async move { drop(locks.shared(&"a").await) }
        });
        let _other = locks.exclusive(&"b").await;
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(held);
        waiting.await.unwrap();
    }
}
