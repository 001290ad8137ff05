//! Tokens that were verified, until they expire or the keys change.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use quick_cache::Weighter;
use quick_cache::sync::Cache as Bounded;
use registry_core::access::Identity;

use crate::issuer::Bond;

/// Most tokens, and most memory that they may take, in bytes: what a token grants is about as long
/// as the token.
const TOKENS: usize = 10_000;
const MEMORY: u64 = 16 * 1024 * 1024;

/// A token that is good.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) identity: Identity,
    /// From and until when, in seconds of the epoch.
    pub(crate) from: i64,
    pub(crate) until: i64,
    /// Of the keys that it was verified with.
    pub(crate) generation: u64,
    /// What binds it to its user, if it says so.
    pub(crate) bond: Option<Arc<Bond>>,
}

/// Who showed which token. Of the token itself it has a keyed hash.
pub(crate) struct Cache {
    key: hmac::Key,
    entries: Bounded<[u8; 32], (Known, usize), ByMemory>,
}

#[derive(Clone)]
struct ByMemory;

impl Weighter<[u8; 32], (Known, usize)> for ByMemory {
    fn weight(&self, _key: &[u8; 32], (_, length): &(Known, usize)) -> u64 {
        // Names of repositories are kept apart, so that one takes more than its letters.
        *length as u64 * 4 + 256
    }
}

impl Cache {
    /// Empty, with a key that nobody can guess.
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            entries: Bounded::with_weighter(TOKENS, MEMORY, ByMemory),
        }
    }

    /// What the token says, if it was verified with these keys and is good now.
    pub(crate) fn find(&self, token: &str, generation: u64, now: i64) -> Option<Known> {
        let (verified, _) = self.entries.get(&self.name(token))?;
        let good =
            verified.generation == generation && (verified.from..=verified.until).contains(&now);
        good.then_some(verified)
    }

    pub(crate) fn keep(&self, token: &str, verified: Known) {
        self.entries
            .insert(self.name(token), (verified, token.len()));
    }

    fn name(&self, token: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.key, token.as_bytes());
        let mut name = [0; 32];
        name.copy_from_slice(tag.as_ref());
        name
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_until_it_expires_or_the_keys_change() {
        let cache = Cache::new([7; 32]);
        let verified = Known {
            identity: Identity::anonymous(),
            from: 10,
            until: 20,
            generation: 3,
            bond: None,
        };
        cache.keep("token", verified);
        assert!(cache.find("token", 3, 10).is_some());
        assert!(cache.find("token", 3, 20).is_some());
        assert!(cache.find("other", 3, 15).is_none());
        assert!(cache.find("token", 4, 15).is_none());
        assert!(cache.find("token", 3, 21).is_none());
        assert!(cache.find("token", 3, 9).is_none());
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let cache = Cache::new([7; 32]);
        let verified = Known {
            identity: Identity::anonymous(),
            from: 0,
            until: 1,
            generation: 0,
            bond: None,
        };
        let long = "x".repeat(16_000);
        for number in 0..1000 {
            cache.keep(&format!("{long}{number}"), verified.clone());
        }
        assert!(
            cache.entries.weight() <= MEMORY,
            "{}",
            cache.entries.weight()
        );
    }
}
