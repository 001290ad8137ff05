//! What is refused before anybody sees it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::app::PeerAddr;

/// Between two lines that say of requests that they are refused for their form.
const SAY_REFUSED: Duration = Duration::from_secs(1);

/// What hyper refuses before anybody here sees it, so that its line in the log is all there is of
/// it. Not every one has a line.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<(Option<Instant>, u64)>);

impl Refused {
    /// A handshake of TLS, where it is not spoken.
    pub(super) fn tell_of_tls(&self, peer: PeerAddr) {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if say_again_after(&mut refused.0, SAY_REFUSED) {
            drop(refused);
            tracing::info!(
                %peer,
                "a client speaks TLS, which this server does not: it has no `http.tls`"
            );
        }
    }

    pub(super) fn tell(
        &self,
        peer: PeerAddr,
        error: &(dyn std::error::Error + 'static),
        what: &str,
    ) {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (said, untold) = &mut *refused;
        if !say_again_after(said, SAY_REFUSED) {
            *untold += 1;
            return;
        }
        let untold = std::mem::take(untold);
        drop(refused);
        tracing::info!(%peer, error, untold, "{what}");
    }
}

/// Whether to say it, after having said it at `said`, and a pause.
pub(super) fn say_again_after(said: &mut Option<Instant>, pause: Duration) -> bool {
    let again = said.is_none_or(|said| said.elapsed() > pause);
    if again {
        *said = Some(Instant::now());
    }
    again
}
