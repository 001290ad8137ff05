//! The clock and the randomness that core is given, since it takes none for itself.

use std::fmt;
use std::time::SystemTime;

/// Where core gets the time and random bytes from: the outermost crate decides.
#[derive(Clone, Copy)]
pub struct Ambient {
    /// The time of the process, used where no store is asked for its own.
    pub now: fn() -> SystemTime,
    /// Bytes nobody can guess: they name uploads and sign their state.
    pub random: fn() -> [u8; 32],
}

impl Ambient {
    /// 128 random bits, for identifiers.
    #[must_use]
    pub fn random_u128(&self) -> u128 {
        let bytes = (self.random)();
        let mut half = [0; 16];
        half.copy_from_slice(&bytes[..16]);
        u128::from_be_bytes(half)
    }
}

impl fmt::Debug for Ambient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ambient").finish_non_exhaustive()
    }
}
