//! The part of the blocking threads that bcrypt may have, and the queue before it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use registry_core::BoxError;
use tokio::sync::Semaphore;

use crate::hash::Hash;

/// Logins that run or wait.
const QUEUE: usize = 64;

/// Of them, those from one address: what it floods, others still get through.
const SHARE: usize = QUEUE / 2;

/// Runs bcrypt, and counts its runs.
#[derive(Debug)]
pub(crate) struct Pool {
    /// For logins of anybody: half of the processors.
    anybody: Arc<Semaphore>,
    /// For credentials that were verified before; what others try does not delay them.
    known: Arc<Semaphore>,
    queue: Mutex<Queue>,
    runs: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Queue {
    all: usize,
    by_address: HashMap<Option<IpAddr>, usize>,
}

/// Why nothing was run.
#[derive(Debug)]
pub(crate) enum NotRun {
    /// There is no room in the queue.
    Full,
    /// The process is about to end, or bcrypt has failed.
    Failed(BoxError),
}

/// A place in the queue, given back when it is dropped.
struct Place<'a> {
    pool: &'a Pool,
    address: Option<IpAddr>,
}

impl Pool {
    pub(crate) fn new(processors: usize) -> Self {
        Self {
            anybody: Arc::new(Semaphore::new((processors / 2).max(1))),
            known: Arc::new(Semaphore::new(1)),
            queue: Mutex::default(),
            runs: Arc::default(),
        }
    }

    /// How often bcrypt has run.
    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Compares in the queue of everybody.
    pub(crate) async fn compare(
        &self,
        address: Option<IpAddr>,
        hash: Hash,
        password: String,
    ) -> Result<bool, NotRun> {
        let _place = self.enter(address).ok_or(NotRun::Full)?;
        self.run(&self.anybody, hash, password).await
    }

    /// Compares past the queue: for credentials that were right before.
    pub(crate) async fn compare_known(&self, hash: Hash, password: String) -> Result<bool, NotRun> {
        self.run(&self.known, hash, password).await
    }

    async fn run(
        &self,
        permits: &Arc<Semaphore>,
        hash: Hash,
        password: String,
    ) -> Result<bool, NotRun> {
        let permit = Arc::clone(permits).acquire_owned().await;
        let permit = permit.map_err(|error| NotRun::Failed(error.into()))?;
        let runs = Arc::clone(&self.runs);
        let compare = move || {
            // Kept until the end, whether or not anyone still waits for it.
            let _permit = permit;
            runs.fetch_add(1, Ordering::Relaxed);
            hash.matches(password.as_bytes())
        };
        let compared = tokio::task::spawn_blocking(compare).await;
        compared.map_err(|error| NotRun::Failed(error.into()))
    }

    fn enter(&self, address: Option<IpAddr>) -> Option<Place<'_>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let own = queue.by_address.get(&address).copied().unwrap_or(0);
        if queue.all >= QUEUE || own >= SHARE {
            return None;
        }
        queue.all += 1;
        queue.by_address.insert(address, own + 1);
        Some(Place {
            pool: self,
            address,
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let queue = &self.pool.queue;
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.all -= 1;
        match queue.by_address.get_mut(&self.address) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                queue.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_half_of_the_queue_and_gives_it_back() {
        let pool = Pool::new(8);
        let address = |n: u8| Some(IpAddr::from([10, 0, 0, n]));
        let mut places: Vec<_> = (0..SHARE).map_while(|_| pool.enter(address(1))).collect();
        assert_eq!(places.len(), SHARE);
        assert!(pool.enter(address(1)).is_none(), "its share is taken");
        places.extend((0..SHARE).map_while(|_| pool.enter(address(2))));
        assert_eq!(places.len(), QUEUE);
        assert!(pool.enter(address(3)).is_none(), "all are taken");
        assert!(pool.enter(None).is_none());
        places.clear();
        assert!(pool.enter(address(1)).is_some());
        assert!(pool.queue.lock().unwrap().by_address.is_empty());
    }

    #[tokio::test]
    async fn at_least_one_runs_and_each_run_is_counted() {
        let pool = Pool::new(1);
        let hash = Hash::make(b"right", 4, [0; 16]).unwrap();
        for (password, expected) in [("right", true), ("wrong", false)] {
            let password = password.to_owned();
            assert_eq!(
                pool.compare(None, hash, password.clone()).await.unwrap(),
                expected
            );
            assert_eq!(pool.compare_known(hash, password).await.unwrap(), expected);
        }
        assert_eq!(pool.runs(), 4);
    }
}
