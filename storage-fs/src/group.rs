//! Requests that want the same of a directory share the work: group commit, and reading a list.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// Does one piece of work per directory at a time. Whoever comes while one is running waits for
/// the next, because the running one may have begun before his change; all who wait are released
/// by it.
#[derive(Debug)]
pub(crate) struct Group<T> {
    slots: Mutex<HashMap<PathBuf, Arc<Slot<T>>>>,
}

#[derive(Debug)]
struct Slot<T> {
    state: Mutex<State<T>>,
    ended: Condvar,
}

#[derive(Debug)]
struct State<T> {
    running: bool,
    /// The work that has not begun yet, where newcomers belong.
    next: Arc<Batch<T>>,
}

type Batch<T> = OnceLock<Result<T, Failure>>;

impl<T> Default for Group<T> {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
        }
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                running: false,
                next: Arc::default(),
            }),
            ended: Condvar::new(),
        }
    }
}

/// An error that several can be told.
#[derive(Clone, Copy, Debug)]
struct Failure {
    code: Option<i32>,
    kind: io::ErrorKind,
}

impl<T: Clone> Group<T> {
    /// Returns when `work` on `dir` that began after this call has ended, with its result. One
    /// that failed is the answer to all who waited for it, and is not tried again for them.
    pub(crate) fn share(
        &self,
        dir: &Path,
        work: impl FnOnce(&Path) -> io::Result<T>,
    ) -> io::Result<T> {
        let slot = Arc::clone(lock(&self.slots).entry(dir.to_owned()).or_default());
        let result = slot.share(dir, work);
        let mut slots = lock(&self.slots);
        // Two: the map's and this one. Whoever else wants it must come through the map.
        if Arc::strong_count(&slot) == 2 {
            slots.remove(dir);
        }
        // Before the lock goes: the next one must not count it any more.
        drop(slot);
        drop(slots);
        result.map_err(|failure| match failure.code {
            Some(code) => io::Error::from_raw_os_error(code),
            None => failure.kind.into(),
        })
    }
}

impl<T: Clone> Slot<T> {
    fn share(&self, dir: &Path, work: impl FnOnce(&Path) -> io::Result<T>) -> Result<T, Failure> {
        let mut state = lock(&self.state);
        let mine = Arc::clone(&state.next);
        loop {
            if let Some(result) = mine.get() {
                return result.clone();
            }
            if !state.running {
                // Nothing runs and mine has no result, so mine is the next one.
                state.running = true;
                state.next = Arc::default();
                break;
            }
            state = self
                .ended
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        let result = work(dir).map_err(|error| Failure {
            code: error.raw_os_error(),
            kind: error.kind(),
        });
        let _ = mine.set(result.clone());
        lock(&self.state).running = false;
        self.ended.notify_all();
        result
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;

    /// One sync is held back until all others have come, which then share a second one.
    fn syncs_for(others: usize, second: fn() -> io::Result<bool>) -> (usize, Vec<bool>) {
        let group = Group::default();
        let syncs = AtomicUsize::new(0);
        let dir = Path::new("d");
        let (begun, has_begun) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let results = thread::scope(|scope| {
            let (group, syncs) = (&group, &syncs);
            let first = scope.spawn(move || {
                group.share(dir, |_| {
                    syncs.fetch_add(1, Ordering::SeqCst);
                    begun.send(()).unwrap();
                    released.recv().unwrap();
                    Ok(true)
                })
            });
            has_begun.recv().unwrap();
            let waiting: Vec<_> = (0..others)
                .map(|_| {
                    scope.spawn(move || {
                        group.share(dir, |_| {
                            syncs.fetch_add(1, Ordering::SeqCst);
                            second()
                        })
                    })
                })
                .collect();
            let slot = Arc::clone(&lock(&group.slots)[dir]);
            // Each who waits holds the next batch, as does the slot.
            while Arc::strong_count(&lock(&slot.state).next) < others + 1 {
                thread::yield_now();
            }
            drop(slot);
            release.send(()).unwrap();
            assert!(first.join().unwrap().is_ok());
            waiting
                .into_iter()
                .map(|thread| thread.join().unwrap().is_ok())
                .collect()
        });
        assert!(lock(&group.slots).is_empty(), "a slot outlives its users");
        (syncs.load(Ordering::SeqCst), results)
    }

    #[test]
    fn all_who_come_while_a_sync_runs_share_the_next_one() {
        let (syncs, results) = syncs_for(5, || Ok(true));
        assert_eq!(syncs, 2);
        assert!(results.iter().all(|ok| *ok));
    }

    #[test]
    fn a_failed_sync_fails_all_who_waited_for_it_and_is_not_tried_again() {
        let (syncs, results) = syncs_for(5, || Err(io::Error::other("rot")));
        assert_eq!(syncs, 2);
        assert!(results.iter().all(|ok| !ok));
    }
}
