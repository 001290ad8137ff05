//! The part of the blocking threads that bcrypt may have, and the queue before it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use registry_core::BoxError;
use tokio::sync::Semaphore;

use crate::hash::{Compared, Hash};
use crate::network::Network;

/// Logins that run or wait.
const QUEUE: usize = 64;

/// Of them, those from one network: what it floods, others still get through.
const SHARE: usize = QUEUE / 4;

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
    by_network: HashMap<Network, usize>,
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
    network: Network,
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
        network: Network,
        hash: Hash,
        password: String,
    ) -> Result<Compared, NotRun> {
        let _place = self.enter(network).ok_or(NotRun::Full)?;
        self.run(&self.anybody, hash, password).await
    }

    /// Compares past the queue: for credentials that were right before.
    pub(crate) async fn compare_known(
        &self,
        hash: Hash,
        password: String,
    ) -> Result<Compared, NotRun> {
        self.run(&self.known, hash, password).await
    }

    async fn run(
        &self,
        permits: &Arc<Semaphore>,
        hash: Hash,
        password: String,
    ) -> Result<Compared, NotRun> {
        let permit = Arc::clone(permits).acquire_owned().await;
        let permit = permit.map_err(|error| NotRun::Failed(error.into()))?;
        let runs = Arc::clone(&self.runs);
        let compare = move || {
            // Kept until the end, whether or not anyone still waits for it.
            let _permit = permit;
            runs.fetch_add(1, Ordering::Relaxed);
            hash.compare(password.as_bytes())
        };
        let compared = tokio::task::spawn_blocking(compare).await;
        compared.map_err(|error| NotRun::Failed(error.into()))
    }

    fn enter(&self, network: Network) -> Option<Place<'_>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let own = queue.by_network.get(&network).copied().unwrap_or(0);
        if queue.all >= QUEUE || own >= SHARE {
            return None;
        }
        queue.all += 1;
        queue.by_network.insert(network, own + 1);
        Some(Place {
            pool: self,
            network,
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let queue = &self.pool.queue;
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.all -= 1;
        match queue.by_network.get_mut(&self.network) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                queue.by_network.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_a_quarter_of_the_queue_and_gives_it_back() {
        let pool = Pool::new(8);
        let enter = |address: &str| pool.enter(Network::of(address.parse().ok()));
        let mut places = Vec::new();
        // A customer with as many addresses as there are.
        places.extend((0..QUEUE).map_while(|n| enter(&format!("2001:db8::{n:x}"))));
        assert_eq!(places.len(), QUEUE / 4);
        for other in ["2001:db8:0:1::1", "10.0.0.1", ""] {
            places.extend((0..QUEUE).map_while(|_| enter(other)));
        }
        assert_eq!(places.len(), QUEUE);
        assert!(enter("10.0.0.2").is_none(), "all are taken");
        places.clear();
        assert!(enter("2001:db8::1").is_some());
        assert!(pool.queue.lock().unwrap().by_network.is_empty());
    }

    #[tokio::test]
    async fn at_least_one_runs_and_each_run_is_counted() {
        let pool = Pool::new(1);
        let hash = Hash::make(b"right", 4, [0; 16]).unwrap();
        for (password, expected) in [("right", Compared::Right), ("wrong", Compared::Wrong)] {
            let password = password.to_owned();
            assert_eq!(
                pool.compare(Network::of(None), hash, password.clone())
                    .await
                    .unwrap(),
                expected
            );
            assert_eq!(pool.compare_known(hash, password).await.unwrap(), expected);
        }
        assert_eq!(pool.runs(), 4);
    }
}
