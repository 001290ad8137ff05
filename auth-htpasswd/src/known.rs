//! Credentials that were verified of late, so that not every request costs a bcrypt run.

use std::fmt;
use std::time::{Duration, SystemTime};

use hmac::{Hmac, Mac};
use quick_cache::sync::{Cache, PlaceholderGuard};
use sha2::Sha256;

use crate::hash::Hash;

/// How long they are not verified again.
pub(crate) const LIFE: Duration = Duration::from_secs(60);

/// How many are remembered.
const CREDENTIALS: usize = 10_000;

/// A user, a password and the hash it was verified against, under a key that only this process
/// has. What is kept says nothing about any of them, and a changed hash is another key.
pub(crate) type Mark = [u8; 32];

/// What was verified, and when.
pub(crate) struct Known {
    key: Hmac<Sha256>,
    verified: Cache<Mark, SystemTime>,
}

/// The right to verify this, which nobody else has meanwhile. Dropped, it goes to the next.
pub(crate) struct Claim<'a>(
    PlaceholderGuard<
        'a,
        Mark,
        SystemTime,
        quick_cache::UnitWeighter,
        quick_cache::DefaultHashBuilder,
        quick_cache::sync::DefaultLifecycle<Mark, SystemTime>,
    >,
);

/// What is known of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Verified of late: that is enough.
    Fresh,
    /// Verified since the file changed: whoever shows them knew them then.
    Stale,
    /// Nothing.
    New,
}

impl Known {
    pub(crate) fn new(key: Hmac<Sha256>) -> Self {
        Self {
            key,
            verified: Cache::new(CREDENTIALS),
        }
    }

    pub(crate) fn mark(&self, user: &str, password: &str, hash: &Hash) -> Mark {
        let mut mac = self.key.clone();
        mac.update(b"mark");
        for part in [user, password] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        hash.bytes().iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    pub(crate) fn standing(&self, mark: &Mark, now: SystemTime) -> Standing {
        match self.verified.get(mark) {
            None => Standing::New,
            Some(at) if is_fresh(at, now) => Standing::Fresh,
            Some(_) => Standing::Stale,
        }
    }

    /// Waits for whoever verifies the same; `None` if that went well, and a claim otherwise.
    pub(crate) async fn claim(&self, mark: &Mark, now: SystemTime) -> Option<Claim<'_>> {
        self.verified.remove_if(mark, |at| !is_fresh(*at, now));
        let claim = self.verified.get_value_or_guard_async(mark).await;
        claim.err().map(Claim)
    }

    /// The file has changed.
    pub(crate) fn forget(&self) {
        self.verified.clear();
    }
}

impl Claim<'_> {
    pub(crate) fn verified(self, now: SystemTime) {
        // Whether it is remembered or forgotten meanwhile: both are right.
        let _ = self.0.insert(now);
    }
}

/// What seems to be of the future was verified under a clock that has been set back.
fn is_fresh(at: SystemTime, now: SystemTime) -> bool {
    now.duration_since(at).is_ok_and(|since| since < LIFE)
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known")
            .field("credentials", &self.verified.len())
            .finish_non_exhaustive()
    }
}
