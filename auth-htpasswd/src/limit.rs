//! Failed logins, by address and user: some are free, then each has to wait longer than the one
//! before it. Whoever comes from another address is not made to wait.

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

/// Pairs of an address and a user that are remembered.
const PAIRS: usize = 20_000;

/// Bounded memory of who failed.
pub(crate) struct Limiter {
    /// Failures that are free; 0 for no limit.
    free: u32,
    /// Names are hashed, so that an entry has one size, and nobody can aim at another's.
    key: Hmac<Sha256>,
    pairs: Mutex<Cache<Pair, Failures>>,
}

/// An address and a user.
pub(crate) type Pair = [u8; 32];

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: SystemTime,
}

impl Limiter {
    pub(crate) fn new(free: u32, key: Hmac<Sha256>) -> Self {
        Self {
            free,
            key,
            pairs: Mutex::new(Cache::new(PAIRS)),
        }
    }

    /// Whom a failure is held against.
    pub(crate) fn pair(&self, network: Network, user: &str) -> Pair {
        let mut mac = self.key.clone();
        mac.update(b"pair");
        mac.update(&network.octets());
        mac.update(user.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Takes note of a try before it is made, so that many at once are counted, and so are
    /// those of who hangs up. Or says how long to wait; that is not held against anyone.
    pub(crate) fn begin(&self, pair: &Pair, now: SystemTime) -> Result<(), Duration> {
        if self.free == 0 {
            return Ok(());
        }
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut failures = match pairs.get(pair) {
            Some(failures) if !failures.is_old(now) => *failures,
            _ => Failures {
                count: 0,
                last: now,
            },
        };
        if failures.last > now {
            // The clock was set back.
            failures.last = now;
            pairs.insert(*pair, failures);
        }
        let waited = now.duration_since(failures.last).unwrap_or_default();
        let left = self.wait(failures.count).saturating_sub(waited);
        if left > Duration::ZERO {
            return Err(left);
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        pairs.insert(*pair, failures);
        Ok(())
    }

    /// It was no failure: all is forgiven.
    pub(crate) fn succeed(&self, pair: &Pair) {
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        pairs.remove(pair);
    }

    /// It was not tried after all. Who has no failure left is not remembered: there is no room
    /// for all those who were never tried.
    pub(crate) fn withdraw(&self, pair: &Pair) {
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut failures) = pairs.get_mut(pair) else {
            return;
        };
        failures.count = failures.count.saturating_sub(1);
        let is_none = failures.count == 0;
        drop(failures);
        if is_none {
            pairs.remove(pair);
        }
    }

    /// After so many failures.
    fn wait(&self, count: u32) -> Duration {
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
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("free", &self.free)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use hmac::KeyInit;

    use super::*;

    fn limiter(free: u32) -> Limiter {
        Limiter::new(free, Hmac::new_from_slice(&[1; 32]).unwrap())
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn some_failures_are_free_and_then_each_waits_longer() {
        let limiter = limiter(3);
        let pair = limiter.pair(Network::of(None), "u");
        let mut now = 0;
        for _ in 0..3 {
            assert_eq!(limiter.begin(&pair, at(now)), Ok(()));
        }
        for wait in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let expected = Err(Duration::from_secs(wait));
            assert_eq!(limiter.begin(&pair, at(now)), expected);
            // To ask in vain does not make it longer.
            assert_eq!(limiter.begin(&pair, at(now)), expected);
            now += wait;
            assert_eq!(limiter.begin(&pair, at(now)), Ok(()));
        }
        now += FORGIVEN.as_secs();
        for _ in 0..3 {
            assert_eq!(limiter.begin(&pair, at(now)), Ok(()));
        }
        assert!(limiter.begin(&pair, at(now)).is_err());
    }

    #[test]
    fn a_success_forgives_and_what_was_not_tried_does_not_count() {
        let limiter = limiter(1);
        let pair = limiter.pair(Network::of(None), "u");
        for _ in 0..10 {
            assert_eq!(limiter.begin(&pair, at(0)), Ok(()));
            limiter.succeed(&pair);
            assert_eq!(limiter.begin(&pair, at(0)), Ok(()));
            limiter.withdraw(&pair);
        }
        assert_eq!(limiter.begin(&pair, at(0)), Ok(()));
        assert!(limiter.begin(&pair, at(0)).is_err());
    }

    #[test]
    fn who_was_not_tried_is_not_remembered() {
        let limiter = limiter(2);
        let failed = limiter.pair(Network::of(None), "failed");
        assert_eq!(limiter.begin(&failed, at(0)), Ok(()));
        for n in 0..PAIRS {
            let refused = limiter.pair(Network::of(None), &n.to_string());
            assert_eq!(limiter.begin(&refused, at(0)), Ok(()));
            limiter.withdraw(&refused);
        }
        assert_eq!(limiter.pairs.lock().unwrap().len(), 1);
        // Of two tries the one that was made counts.
        assert_eq!(limiter.begin(&failed, at(0)), Ok(()));
        limiter.withdraw(&failed);
        assert_eq!(limiter.begin(&failed, at(0)), Ok(()));
        assert!(limiter.begin(&failed, at(0)).is_err());
    }

    #[test]
    fn a_pair_is_an_address_or_its_network_and_a_user() {
        let limiter = limiter(1);
        let pair = |address: &str, user| limiter.pair(Network::of(address.parse().ok()), user);
        assert_eq!(pair("10.0.0.1", "u"), pair("::ffff:10.0.0.1", "u"));
        assert_eq!(pair("2001:db8::1", "u"), pair("2001:db8::ffff:1", "u"));
        let different = [
            pair("", "u"),
            pair("10.0.0.1", "u"),
            pair("10.0.0.2", "u"),
            pair("10.0.0.1", "v"),
            pair("2001:db8::1", "u"),
            pair("2001:db8:0:1::1", "u"),
        ];
        let set: std::collections::HashSet<_> = different.iter().collect();
        assert_eq!(set.len(), different.len());
    }

    #[test]
    fn a_limit_of_none_is_none_and_a_clock_set_back_locks_nobody_out_for_long() {
        let none = limiter(0);
        let pair = none.pair(Network::of(None), "u");
        assert!((0..1000).all(|_| none.begin(&pair, at(0)).is_ok()));
        let limiter = limiter(1);
        assert_eq!(limiter.begin(&pair, at(1_000_000)), Ok(()));
        assert_eq!(limiter.begin(&pair, at(5)), Err(Duration::from_secs(1)));
        assert_eq!(limiter.begin(&pair, at(6)), Ok(()));
    }

    #[test]
    fn however_many_fail_the_memory_is_bounded() {
        let limiter = limiter(1);
        for n in 0..3 * PAIRS {
            let pair = limiter.pair(Network::of(None), &n.to_string());
            assert_eq!(limiter.begin(&pair, at(0)), Ok(()));
        }
        assert!(limiter.pairs.lock().unwrap().len() <= PAIRS);
    }
}
