//! The store's clock, as its answers tell it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;

/// How long an answer tells the time: so long no clock runs wrong by a part of a second that counts.
const FRESH: Duration = Duration::from_secs(60);

/// What the `Date` headers of the store come to, in whole seconds, as the times of objects are
/// told: never later than the store's own clock, and never going back.
#[derive(Debug, Default)]
pub(crate) struct Clock(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    seen: Option<(SystemTime, Instant)>,
    told: Option<SystemTime>,
}

impl Clock {
    /// An answer came with this date. It was true when the answer was made, and it is later now.
    pub(crate) fn note(&self, date: &HeaderValue) {
        let date = date
            .to_str()
            .ok()
            .and_then(|text| httpdate::parse_http_date(text).ok());
        if let Some(date) = date {
            self.note_at(date, Instant::now());
        }
    }

    fn note_at(&self, date: SystemTime, at: Instant) {
        let mut state = self.state();
        let known = state.at(at);
        // The date leaves out parts of a second, so what is known already may be nearer.
        if known.is_none_or(|known| known < date) {
            state.seen = Some((date, at));
        }
    }

    /// The time, if an answer has told it lately.
    pub(crate) fn now(&self) -> Option<SystemTime> {
        self.now_at(Instant::now())
    }

    fn now_at(&self, at: Instant) -> Option<SystemTime> {
        let mut state = self.state();
        let now = whole_seconds(state.at(at)?);
        let now = state.told.map_or(now, |told| told.max(now));
        state.told = Some(now);
        Some(now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn at(&self, at: Instant) -> Option<SystemTime> {
        let (date, seen) = self.seen?;
        let passed = at.saturating_duration_since(seen);
        (passed < FRESH).then(|| date + passed)
    }
}

/// Without the part of a second that some answers have and others lack.
pub(crate) fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.unwrap_or_default().as_secs())
}

/// A time as it is written in XML.
pub(crate) fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(whole_seconds(time.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn it_goes_on_from_the_latest_answer_until_that_is_stale() {
        let (clock, start) = (Clock::default(), Instant::now());
        let after = |millis| start + Duration::from_millis(millis);
        assert_eq!(clock.now_at(start), None);
        clock.note_at(date(100), start);
        assert_eq!(clock.now_at(after(999)), Some(date(100)));
        assert_eq!(clock.now_at(after(1_000)), Some(date(101)));
        // Of two answers of one second, the first one is nearer.
        clock.note_at(date(101), after(1_900));
        assert_eq!(clock.now_at(after(2_000)), Some(date(102)));
        clock.note_at(date(104), after(2_100));
        assert_eq!(clock.now_at(after(2_100)), Some(date(104)));
        assert_eq!(clock.now_at(after(2_100) + FRESH), None);
    }

    #[test]
    fn it_never_goes_back() {
        let (clock, start) = (Clock::default(), Instant::now());
        clock.note_at(date(100), start);
        assert_eq!(clock.now_at(start), Some(date(100)));
        // Another machine of the store, whose clock is behind.
        clock.note_at(date(95), start + FRESH);
        assert_eq!(clock.now_at(start + FRESH), Some(date(100)));
    }

    #[test]
    fn what_is_no_date_is_passed_over() {
        let clock = Clock::default();
        clock.note(&HeaderValue::from_static("yesterday"));
        assert_eq!(clock.now(), None);
        clock.note(&HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(clock.now(), Some(date(784_111_777)));
    }
}
