//! Failed logins, by network and user, and by network alone: some are free, then each has to wait
//! longer than the one before it. Whoever comes from another network is not made to wait.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hmac::{Hmac, Mac};
use quick_cache::unsync::Cache;
use sha2::Sha256;

use crate::network::Network;

/// The longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(60);

/// After as long without a try, nothing is held against anyone.
const FORGIVEN: Duration = Duration::from_secs(600);

/// Pairs of a network and a user that are remembered, and as many networks.
const ENTRIES: usize = 20_000;

/// Failures of a network that are free, at least; ten times as many as of a pair, if that is
/// more. One password for many users is found out by no pair.
const FREE_OF_A_NETWORK: u32 = 100;

/// A network is forgiven one failure in as long, since behind some are many who mistype: what
/// they may do for ever is what a pair may.
const FORGETS: Duration = LONGEST;

/// Bounded memory of who failed.
pub(crate) struct Limiter {
    /// Names are hashed, so that an entry has one size, and nobody can aim at another's.
    key: Hmac<Sha256>,
    /// `None` for no limit.
    memory: Option<Mutex<Memory>>,
}

struct Memory {
    pairs: Entries,
    networks: Entries,
}

/// What is held against pairs, or against networks.
struct Entries {
    /// Failures that are free.
    free: u32,
    /// One failure is forgotten in as long.
    forgets: Option<Duration>,
    by_mark: Cache<Mark, Failures>,
}

type Mark = [u8; 32];

/// Whom a failure is held against: a network and a user, and the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Culprit {
    pair: Mark,
    network: Mark,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: SystemTime,
    /// Until when those that are to be forgotten are.
    forgot: SystemTime,
}

impl Limiter {
    /// With so many free failures of a pair; 0 for no limit at all.
    pub(crate) fn new(free: u32, key: Hmac<Sha256>) -> Self {
        let of_a_network = free.saturating_mul(10).max(FREE_OF_A_NETWORK);
        let memory = || Memory {
            pairs: Entries::new(free, None),
            networks: Entries::new(of_a_network, Some(FORGETS)),
        };
        let memory = (free > 0).then(memory).map(Mutex::new);
        Self { key, memory }
    }

    pub(crate) fn culprit(&self, network: Network, user: &str) -> Culprit {
        let mark = |what: &[u8], user: &str| {
            let mut mac = self.key.clone();
            mac.update(what);
            mac.update(&network.octets());
            mac.update(user.as_bytes());
            mac.finalize().into_bytes().into()
        };
        Culprit {
            pair: mark(b"pair", user),
            network: mark(b"network", ""),
        }
    }

    /// Takes note of a try before it is made, so that many at once are counted, and so are
    /// those of who hangs up. Or says how long to wait; that is not held against anyone.
    pub(crate) fn begin(&self, culprit: &Culprit, now: SystemTime) -> Result<(), Duration> {
        self.change(Ok(()), |memory| {
            let pair = memory.pairs.wait(&culprit.pair, now);
            let network = memory.networks.wait(&culprit.network, now);
            let left = pair.max(network);
            if left > Duration::ZERO {
                return Err(left);
            }
            memory.pairs.count(culprit.pair, now);
            memory.networks.count(culprit.network, now);
            Ok(())
        })
    }

    /// It was no failure: all is forgiven to the pair, but not to the network, where someone
    /// who guesses may have a password of their own.
    pub(crate) fn succeed(&self, culprit: &Culprit) {
        self.change((), |memory| {
            memory.pairs.by_mark.remove(&culprit.pair);
            memory.networks.take_back(&culprit.network);
        });
    }

    /// It was not tried after all.
    pub(crate) fn withdraw(&self, culprit: &Culprit) {
        self.change((), |memory| {
            memory.pairs.take_back(&culprit.pair);
            memory.networks.take_back(&culprit.network);
        });
    }

    fn change<T>(&self, unlimited: T, change: impl FnOnce(&mut Memory) -> T) -> T {
        match &self.memory {
            Some(memory) => change(&mut memory.lock().unwrap_or_else(PoisonError::into_inner)),
            None => unlimited,
        }
    }
}

impl Entries {
    fn new(free: u32, forgets: Option<Duration>) -> Self {
        Self {
            free,
            forgets,
            by_mark: Cache::new(ENTRIES),
        }
    }

    /// What is held against this one now.
    fn get(&self, mark: &Mark, now: SystemTime) -> Failures {
        let none = Failures {
            count: 0,
            last: now,
            forgot: now,
        };
        match self.by_mark.get(mark) {
            Some(failures) if !failures.is_old(now) => failures.forget(self.forgets, now),
            _ => none,
        }
    }

    /// How long the next try has to wait yet.
    fn wait(&mut self, mark: &Mark, now: SystemTime) -> Duration {
        let mut failures = self.get(mark, now);
        if failures.last > now {
            // The clock was set back.
            failures.last = now;
            self.by_mark.insert(*mark, failures);
        }
        let waited = now.duration_since(failures.last).unwrap_or_default();
        self.wait_after(failures.count).saturating_sub(waited)
    }

    fn count(&mut self, mark: Mark, now: SystemTime) {
        let mut failures = self.get(&mark, now);
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        self.by_mark.insert(mark, failures);
    }

    /// One failure was none. Who has none left is not remembered: there is no room for those
    /// who were never tried.
    fn take_back(&mut self, mark: &Mark) {
        let Some(mut failures) = self.by_mark.get_mut(mark) else {
            return;
        };
        failures.count = failures.count.saturating_sub(1);
        let is_none = failures.count == 0;
        drop(failures);
        if is_none {
            self.by_mark.remove(mark);
        }
    }

    /// After so many failures.
    fn wait_after(&self, count: u32) -> Duration {
        match count.checked_sub(self.free) {
            None => Duration::ZERO,
            Some(over) => Duration::from_secs(1 << over.min(6)).min(LONGEST),
        }
    }
}

impl Failures {
    fn is_old(&self, now: SystemTime) -> bool {
        now.duration_since(self.last)
            .is_ok_and(|since| since >= FORGIVEN)
    }

    /// Without those that are forgotten by now.
    fn forget(mut self, every: Option<Duration>, now: SystemTime) -> Self {
        let Some(every) = every else {
            return self;
        };
        // The clock was set back.
        self.forgot = self.forgot.min(now);
        let since = now.duration_since(self.forgot).unwrap_or_default();
        let times = since.as_secs() / every.as_secs();
        self.forgot += Duration::from_secs(times * every.as_secs());
        self.count = self
            .count
            .saturating_sub(u32::try_from(times).unwrap_or(u32::MAX));
        self
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
