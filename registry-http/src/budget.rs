//! Bytes of request bodies that are held whole in memory, over all requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::ApiError;

/// What is counted: one permit of a pot is so many bytes.
const UNIT: usize = 1 << 10;

/// The first bytes of a body, which are most manifests, come from a pot of their own: whoever
/// takes the rest with large ones does not keep small ones out.
pub(crate) const SMALL: usize = 64 << 10;
/// Bytes in that pot.
const SMALL_POT: usize = 64 << 20;
/// Bytes for all that goes beyond.
const LARGE_POT: usize = 192 << 20;

/// How long a body waits for others to end. It holds what it has meanwhile, so that waiting
/// longer only makes more wait.
const WAIT: Duration = Duration::from_secs(5);

/// How much may be held.
#[derive(Debug)]
pub(crate) struct Budget {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    wait: Duration,
}

/// What one body holds, until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: usize,
    small: Option<OwnedSemaphorePermit>,
    large: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// In which bodies of `limit` bytes have a place.
    pub(crate) fn new(limit: usize) -> Self {
        Self::with(SMALL_POT, LARGE_POT.max(limit.saturating_mul(2)), WAIT)
    }

    fn with(small: usize, large: usize, wait: Duration) -> Self {
        let pot = |bytes: usize| Arc::new(Semaphore::new((bytes / UNIT).min(u32::MAX as usize)));
        Self {
            small: pot(small),
            large: pot(large),
            wait,
        }
    }

    /// Lets a body grow by so many bytes, as soon as there is room.
    pub(crate) async fn draw(&self, held: &mut Held, bytes: usize) -> Result<(), ApiError> {
        let first = bytes.min(SMALL.saturating_sub(held.bytes));
        self.take(&self.small, &mut held.small, first).await?;
        self.take(&self.large, &mut held.large, bytes - first)
            .await?;
        held.bytes += bytes;
        Ok(())
    }

    async fn take(
        &self,
        pot: &Arc<Semaphore>,
        held: &mut Option<OwnedSemaphorePermit>,
        bytes: usize,
    ) -> Result<(), ApiError> {
        if bytes == 0 {
            return Ok(());
        }
        let units = u32::try_from(bytes.div_ceil(UNIT)).map_err(|_| ApiError::Crowded)?;
        let taking = Arc::clone(pot).acquire_many_owned(units);
        let Ok(Ok(taken)) = timeout(self.wait, taking).await else {
            return Err(ApiError::Crowded);
        };
        match held {
            Some(held) => held.merge(taken),
            None => *held = Some(taken),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn large_bodies_wait_for_each_other_and_keep_no_small_one_out() {
        let budget = Budget::with(4 * SMALL, 2 * SMALL, Duration::from_millis(20));
        let (mut one, mut other) = (Held::default(), Held::default());
        budget.draw(&mut one, SMALL).await.unwrap();
        budget.draw(&mut one, 2 * SMALL).await.unwrap();
        budget.draw(&mut other, SMALL).await.unwrap();
        let refused = budget.draw(&mut other, 1).await.unwrap_err();
        assert_eq!(refused.status(), 503);
        assert_eq!(refused.respond("").headers()["retry-after"], "5");
        let mut small = Held::default();
        budget.draw(&mut small, SMALL).await.unwrap();
        drop(one);
        budget.draw(&mut other, 1).await.unwrap();
        drop((other, small));
        let whole = (
            budget.small.available_permits(),
            budget.large.available_permits(),
        );
        assert_eq!(whole, (4 * SMALL / UNIT, 2 * SMALL / UNIT));
    }

    #[tokio::test]
    async fn whoever_waits_goes_on_when_another_ends() {
        let budget = Budget::with(SMALL, SMALL, Duration::from_secs(60));
        let (mut one, mut other) = (Held::default(), Held::default());
        budget.draw(&mut one, SMALL).await.unwrap();
        let ended = async {
            tokio::task::yield_now().await;
            drop(one);
        };
        let (drawn, ()) = tokio::join!(budget.draw(&mut other, SMALL), ended);
        drawn.unwrap();
    }

    #[test]
    fn every_body_within_the_limit_has_a_place() {
        let budget = Budget::new(1 << 30);
        assert!(budget.large.available_permits() >= (1 << 30) / UNIT);
    }
}
