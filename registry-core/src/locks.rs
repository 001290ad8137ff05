//! Locks within the process, held for every driver: per digest, per repository, per tag.
//!
//! They order the steps of commits, deletes and collection; never is one held while waiting for
//! a client. A repository's lock is taken before those of its tags, which are taken in their
//! order, and these before a digest's, of which nobody holds two.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// A lock for each key that is in use at this moment, and none for the others.
pub(crate) struct KeyedLocks<K> {
    locks: Locks<K>,
}

type Locks<K> = Arc<Mutex<HashMap<K, Slot>>>;

/// A lock, and how many hold it or wait for it.
#[derive(Default)]
struct Slot {
    lock: Arc<RwLock<()>>,
    users: usize,
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
        let (lock, user) = self.user(key);
        let guard = lock.read_owned().await;
        Held {
            _guard: Guard::Shared { _guard: guard },
            _user: user,
        }
    }

    /// Alone.
    pub(crate) async fn exclusive(&self, key: &K) -> Held<K> {
        let (lock, user) = self.user(key);
        let guard = lock.write_owned().await;
        Held {
            _guard: Guard::Exclusive { _guard: guard },
            _user: user,
        }
    }

    /// Alone and at once, or not at all.
    pub(crate) fn try_exclusive(&self, key: &K) -> Option<Held<K>> {
        let (lock, user) = self.user(key);
        let guard = lock.try_write_owned().ok()?;
        Some(Held {
            _guard: Guard::Exclusive { _guard: guard },
            _user: user,
        })
    }

    /// Whoever stops waiting is no user any more, as one who lets go.
    fn user(&self, key: &K) -> (Arc<RwLock<()>>, User<K>) {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = locks.entry(key.clone()).or_default();
        slot.users += 1;
        let user = User {
            key: key.clone(),
            locks: Arc::clone(&self.locks),
        };
        (Arc::clone(&slot.lock), user)
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
    _guard: Guard,
    _user: User<K>,
}

struct User<K: Eq + Hash> {
    key: K,
    locks: Locks<K>,
}

impl<K: Eq + Hash> Drop for User<K> {
    fn drop(&mut self) {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = locks.get_mut(&self.key) {
            slot.users -= 1;
            if slot.users == 0 {
                locks.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

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
    async fn a_lock_is_forgotten_when_nobody_waits_for_it_any_more() {
        let locks = KeyedLocks::default();
        let held = locks.exclusive(&1).await;
        let mut shared = Box::pin(locks.shared(&1));
        let mut exclusive = Box::pin(locks.exclusive(&1));
        assert!(shared.as_mut().now_or_never().is_none());
        assert!(exclusive.as_mut().now_or_never().is_none());
        assert!(locks.try_exclusive(&1).is_none());
        // They have it now, or would have had it, and go before they know.
        drop(held);
        drop(shared);
        drop(exclusive);
        assert!(locks.locks.lock().unwrap().is_empty());
        assert!(locks.try_exclusive(&1).is_some());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_lock_that_many_want_at_once_is_forgotten_in_the_end() {
        let locks = Arc::new(KeyedLocks::default());
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let locks = Arc::clone(&locks);
                tokio::spawn(async move {
                    for _ in 0..500 {
                        drop(locks.shared(&1).await);
                        drop(locks.try_exclusive(&1));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
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
