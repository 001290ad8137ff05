//! Randomness, and what is done with it.

use std::time::Duration;

use registry_core::StorageError;
use tokio::time::sleep;

use crate::error::broken;

/// Before the second attempt, at most; it doubles with every further one.
const PAUSE: Duration = Duration::from_millis(100);

/// Between two attempts, at most.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);

/// Bits that nobody has had before.
pub(crate) fn bits() -> Result<u128, StorageError> {
    let mut bytes = [0; 16];
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|error| broken("asking for randomness", error))?;
    Ok(u128::from_be_bytes(bytes))
}

/// Waits after so many attempts; for half of the time at least, so that two who met do not meet
/// again.
pub(crate) async fn pause(attempts: usize) -> Result<(), StorageError> {
    let doubled = 1_u32 << attempts.min(16);
    let half = PAUSE.saturating_mul(doubled).min(LONGEST) / 2;
    let steps = u32::try_from(bits()? % 1_024).unwrap_or_default();
    sleep(half + half * steps / 1_024).await;
    Ok(())
}
