//! The clock and the randomness that core and drivers are given.

use std::time::SystemTime;

use registry_core::Ambient;

/// The clock of this machine, and the randomness of its kernel.
#[must_use]
pub fn ambient() -> Ambient {
    Ambient { now, random }
}

/// Whether there is randomness: asked once at start, where a refusal can still be explained.
pub(crate) fn probe() -> Result<(), getrandom::Error> {
    getrandom::fill(&mut [0; 32])
}

#[allow(
    clippy::disallowed_methods,
    reason = "this is where core and drivers get the clock from"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    // A kernel that once had randomness does not run out of it, and `probe` has seen it. Going on
    // without would make names that can be guessed.
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_differ_and_time_goes_on() {
        probe().unwrap();
        let ambient = ambient();
        assert_ne!((ambient.random)(), (ambient.random)());
        assert!((ambient.now)() > SystemTime::UNIX_EPOCH);
    }
}
