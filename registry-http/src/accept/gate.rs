//! Who comes in, one after the other; and what is said of those who cannot.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use super::listen::Listen;
use super::refused::say_again_after;
use crate::app::PeerAddr;

/// Between two attempts to accept while that fails.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// Between two lines that say the same of connections that are not let in.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Lets connections in, one after the other, and never gives up.
#[derive(Default)]
pub(super) struct Gate {
    /// How long to wait after the next error; something while the last attempt failed.
    back_off: Option<Duration>,
    said_failing: Option<Instant>,
    said_full: Option<Instant>,
}

impl Gate {
    pub(super) async fn next<L: Listen>(
        &mut self,
        listener: &mut L,
        slots: &Arc<Semaphore>,
    ) -> Option<(L::Stream, PeerAddr, OwnedSemaphorePermit)> {
        if slots.available_permits() == 0 && say_again(&mut self.said_full) {
            tracing::warn!("`extensions.limits.connections` is reached: more have to wait");
        }
        let slot = Arc::clone(slots).acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((stream, peer)) => {
                self.back_off = None;
                Some((stream, peer, slot))
            }
            Err(error) => {
                drop(slot);
                self.failed(&error).await;
                None
            }
        }
    }

    async fn failed(&mut self, error: &std::io::Error) {
        use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        // These are about one client, who has gone again.
        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionReset | Interrupted
        ) {
            return;
        }
        // Out of file descriptors, most likely: those who end give theirs back.
        let wait = self.back_off.unwrap_or(BACK_OFF.0);
        if say_again(&mut self.said_failing) {
            tracing::error!(%error, "accepting connections; trying again until it works");
        }
        self.back_off = Some((wait * 2).min(BACK_OFF.1));
        sleep(wait).await;
    }
}

/// Whether to say it, after having said it at `said`.
pub(super) fn say_again(said: &mut Option<Instant>) -> bool {
    say_again_after(said, SAY_AGAIN)
}
