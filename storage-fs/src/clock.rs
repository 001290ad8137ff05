//! The store's clock, which is the kernel's: the one that it stamps files with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// A time this far ahead is not of this clock: someone else's, or from before it was put back.
const AHEAD: u64 = 1_000_000_000;

/// The coarse clock, which files are stamped by. By the fine one they could be stamped with a
/// time before now.
pub(crate) fn now() -> SystemTime {
    from_nanos(coarse())
}

/// A time as the kernel tells it.
pub(crate) fn time(seconds: i64, nanos: i64) -> SystemTime {
    let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    UNIX_EPOCH + seconds + Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// The clock that callers see. Newer kernels sometimes stamp a file by the fine clock, so this
/// one is never behind a stamp that was shown.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// The latest time that was told, in nanoseconds since the epoch.
    latest: AtomicU64,
}

impl Clock {
    pub(crate) fn now(&self) -> SystemTime {
        let (now, latest) = (coarse(), self.latest.load(Ordering::Acquire));
        from_nanos(if is_near(latest, now) { latest } else { now })
    }

    /// Passes on the time of a file.
    pub(crate) fn tell(&self, stamp: SystemTime) -> SystemTime {
        let since = stamp.duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        if is_near(nanos, coarse()) {
            self.latest.fetch_max(nanos, Ordering::AcqRel);
        }
        stamp
    }

    /// The time, or the next instant, that was never told before.
    pub(crate) fn tick(&self) -> SystemTime {
        let next = |latest| {
            let now = coarse();
            if is_near(latest, now) {
                latest + 1
            } else {
                now
            }
        };
        let mut latest = self.latest.load(Ordering::Acquire);
        loop {
            let tick = next(latest);
            let swapped = self.latest.compare_exchange_weak(
                latest,
                tick,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match swapped {
                Ok(_) => return from_nanos(tick),
                Err(other) => latest = other,
            }
        }
    }
}

/// Whether `time` is not before `now`, but not so far ahead as to be no time of this clock.
fn is_near(time: u64, now: u64) -> bool {
    time.checked_sub(now).is_some_and(|ahead| ahead < AHEAD)
}

fn coarse() -> u64 {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    let part = |part: i64| u64::try_from(part).unwrap_or(0);
    part(now.tv_sec)
        .saturating_mul(1_000_000_000)
        .saturating_add(part(now.tv_nsec))
}

fn from_nanos(nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tick_is_given_twice() {
        let clock = Clock::default();
        let ticks: Vec<_> = (0..1000).map(|_| clock.tick()).collect();
        assert!(ticks.is_sorted_by(|earlier, later| earlier < later));
        assert!(clock.now() >= ticks[999]);
    }

    #[test]
    fn the_clock_is_not_behind_what_it_told_unless_that_was_another_clock() {
        let clock = Clock::default();
        let soon = now() + Duration::from_millis(500);
        clock.tell(soon);
        assert!(clock.now() >= soon);
        let far = now() + Duration::from_secs(3600);
        assert_eq!(clock.tell(far), far);
        assert!(clock.now() < far);
        clock.tell(UNIX_EPOCH - Duration::from_secs(1));
    }

    #[test]
    fn a_clock_that_was_put_back_is_believed() {
        let ahead = u64::try_from(3_600_000_000_000_i64).unwrap() + coarse();
        let clock = Clock {
            latest: AtomicU64::new(ahead),
        };
        assert!(clock.now() < from_nanos(ahead));
        assert!(clock.tick() < from_nanos(ahead));
    }
}
