//! Whether the store answers at all.
//!
//! Who asks a store that is down waits in vain: for a connection, or for as long as patience
//! lasts. So once nothing was answered for a while, only one request now and then is sent, to see;
//! all others fail at once, and wait for nothing and hold nothing meanwhile. Any answer ends that.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often it is tried whether a store that is down has come back.
const AGAIN: Duration = Duration::from_secs(1);

/// A connection may always break; so many of them say something of the store.
const LEAST: usize = 2;

#[derive(Debug)]
pub(super) struct Circuit {
    /// How long nothing may be answered.
    despair: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    answered: Option<Instant>,
    /// When the first of those requests stood still that have failed since then.
    failing: Option<Instant>,
    /// How many those are.
    failures: usize,
    /// When a request was last sent only to see.
    tried: Option<Instant>,
}

impl Circuit {
    pub(super) fn new(despair: Duration) -> Self {
        let state = Mutex::default();
        Self { despair, state }
    }

    /// Whether a request may be sent now; where it may not, for how long nothing was answered.
    pub(super) fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state();
        let Some(silence) = self.silence(&state, now) else {
            return Ok(());
        };
        if state.tried.is_some_and(|tried| now < tried + AGAIN) {
            return Err(silence);
        }
        state.tried = Some(now);
        Ok(())
    }

    /// Whether requests are kept from the store.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.silence(&self.state(), now).is_some()
    }

    /// Something was answered, whatever it was.
    pub(super) fn answered(&self, now: Instant) {
        *self.state() = State {
            answered: Some(now),
            ..State::default()
        };
    }

    /// Nothing was answered to a request of which no byte has moved since then.
    pub(super) fn failed(&self, still: Instant) {
        let mut state = self.state();
        // Others were answered meanwhile.
        if state.answered.is_none_or(|answered| answered < still) {
            state.failing = Some(state.failing.map_or(still, |first| first.min(still)));
            state.failures += 1;
        }
    }

    fn silence(&self, state: &State, now: Instant) -> Option<Duration> {
        let silence = now.saturating_duration_since(state.failing?);
        let down = silence >= self.despair && state.failures >= LEAST;
        down.then_some(silence)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESPAIR: Duration = Duration::from_secs(2);

    #[test]
    fn it_is_asked_seldom_once_it_has_not_answered_for_a_while() {
        let (circuit, start) = (Circuit::new(DESPAIR), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        circuit.failed(at(0));
        circuit.failed(at(1_500));
        assert_eq!(circuit.admit(at(1_999)), Ok(()), "it may only be starting");
        assert!(!circuit.is_open(at(1_999)) && circuit.is_open(at(2_000)));
        assert_eq!(circuit.admit(at(2_000)), Ok(()), "one sees");
        assert_eq!(circuit.admit(at(2_999)), Err(Duration::from_millis(2_999)));
        assert_eq!(circuit.admit(at(3_000)), Ok(()));
        assert!(circuit.admit(at(3_000)).is_err());
        circuit.answered(at(3_010));
        assert_eq!(circuit.admit(at(3_010)), Ok(()));
        assert_eq!(circuit.admit(at(3_010)), Ok(()));
    }

    #[test]
    fn who_fails_while_others_are_answered_says_nothing() {
        let (circuit, start) = (Circuit::new(DESPAIR), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        circuit.answered(at(10_000));
        circuit.failed(at(5_000));
        assert!(!circuit.is_open(at(60_000)));
        circuit.failed(at(10_001));
        assert!(!circuit.is_open(at(60_000)), "nor does one alone");
        circuit.failed(at(59_999));
        assert!(circuit.is_open(at(60_000)));
    }
}
