//! The store's clock, which is the one that files are stamped by.

use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::time::{ClockId, clock_gettime};

/// A time this far ahead is from before the clock was put back.
const AHEAD: u64 = 1_000_000_000;

/// Never after what the kernel stamps a file with from now on.
pub(crate) fn coarse() -> SystemTime {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    time(now.tv_sec, now.tv_nsec)
}

/// A time as the kernel tells it.
pub(crate) fn time(seconds: i64, nanos: i64) -> SystemTime {
    let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    UNIX_EPOCH + seconds + Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// Stamps a file as modified now, which asks for no more than the right to write.
pub(crate) fn modified_now() -> Timestamps {
    let at = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    Timestamps {
        last_access: at(UTIME_OMIT),
        last_modification: at(UTIME_NOW),
    }
}

/// Tells the time by stamping a file. The clocks of the process will not do: files are stamped
/// by a coarse one or a fine one, as the kernel likes, or by another machine's.
#[derive(Debug)]
pub(crate) struct Clock {
    /// Without a name; none in a store that is not to be changed, or that had no room for it yet.
    probe: OnceLock<File>,
    /// The last tick, in nanoseconds since the epoch.
    latest: AtomicU64,
}

impl Clock {
    pub(crate) fn new(probe: Option<File>) -> Self {
        Self {
            probe: probe.map(OnceLock::from).unwrap_or_default(),
            latest: AtomicU64::new(0),
        }
    }

    pub(crate) fn has_probe(&self) -> bool {
        self.probe.get().is_some()
    }

    /// Takes what there was no room for before.
    pub(crate) fn stamp_with(&self, probe: File) {
        // Who comes second has another that does as well.
        let _ = self.probe.set(probe);
    }

    /// Not before any stamp that was made, nor after one that is yet to be made.
    pub(crate) fn now(&self) -> io::Result<SystemTime> {
        let Some(probe) = self.probe.get() else {
            let now = clock_gettime(ClockId::Realtime);
            return Ok(time(now.tv_sec, now.tv_nsec));
        };
        rustix::fs::futimens(probe, &modified_now())?;
        let now = to_nanos(probe.metadata()?.modified()?);
        let latest = self.latest.load(Ordering::Acquire);
        Ok(from_nanos(if is_near(latest, now) { latest } else { now }))
    }

    /// The time of a new file, or the next instant that no file was given before.
    pub(crate) fn tick(&self, stamp: SystemTime) -> SystemTime {
        let stamp = to_nanos(stamp);
        let mut latest = self.latest.load(Ordering::Acquire);
        loop {
            let tick = after(latest, stamp);
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

fn after(latest: u64, stamp: u64) -> u64 {
    if is_near(latest, stamp) {
        latest + 1
    } else {
        stamp
    }
}

/// Whether `time` is not before `now`, but not so far ahead as to be no time of this clock.
fn is_near(time: u64, now: u64) -> bool {
    time.checked_sub(now).is_some_and(|ahead| ahead < AHEAD)
}

fn to_nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn from_nanos(nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn no_tick_is_given_twice_unless_the_clock_is_put_back() {
        let clock = Clock::new(Some(tempfile::tempfile().unwrap()));
        let stamp = clock.now().unwrap();
        let ticks: Vec<_> = (0..1000).map(|_| clock.tick(stamp)).collect();
        assert!(ticks.is_sorted_by(|earlier, later| earlier < later));
        assert_eq!(ticks[0], stamp);
        assert!(clock.now().unwrap() >= ticks[999]);
        let back = stamp - Duration::from_secs(3600);
        assert_eq!(clock.tick(back), back);
    }

    #[test]
    fn what_was_stamped_is_not_after_now_and_what_is_stamped_next_not_before() {
        let clock = Clock::new(Some(tempfile::tempfile().unwrap()));
        for _ in 0..2000 {
            let mut file = tempfile::tempfile().unwrap();
            let stamped = |file: &File| file.metadata().unwrap().modified().unwrap();
            let first = stamped(&file);
            let now = clock.now().unwrap();
            assert!(first <= now, "{first:?} {now:?}");
            file.write_all(b"x").unwrap();
            assert!(now <= stamped(&file), "{now:?} {:?}", stamped(&file));
        }
    }

    #[test]
    fn a_store_that_is_not_changed_tells_the_time_too() {
        let before = coarse();
        assert!(Clock::new(None).now().unwrap() >= before);
    }
}
