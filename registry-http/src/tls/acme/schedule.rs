//! When a certificate is renewed, and when what failed is tried again.

use std::time::{Duration, SystemTime};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A certificate is renewed so long before its end, at the earliest.
const BEFORE: Duration = DAY.saturating_mul(30);

/// Looked at so often at least, whatever is due: clocks are set, and machines sleep.
pub(super) const LOOK: Duration = Duration::from_secs(60 * 60);

/// A random share of something, of 256: several processes should not come at the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jitter(pub(super) u8);

impl Jitter {
    fn of(self, whole: Duration) -> Duration {
        whole / 256 * u32::from(self.0)
    }
}

/// When a certificate is to be renewed: 30 days before its end, or when a third of its life is
/// left, whichever is later; and up to a tenth of that, and an hour, later still.
pub(super) fn renewal(not_before: SystemTime, not_after: SystemTime, jitter: Jitter) -> SystemTime {
    let life = not_after.duration_since(not_before).unwrap_or_default();
    let left = (life / 3).min(BEFORE);
    let late = jitter.of((left / 10).min(MINUTE * 60));
    not_after - (left - late)
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The authority said no. Let's Encrypt counts that, and asks for a minute, ten minutes, 100
    /// minutes, then a day.
    Refused,
    /// It was not reached, or something of ours is wrong.
    Unreached,
}

/// How long to wait after so many failures in a row, one at least; never less than what the
/// authority has asked for.
pub(super) fn pause(
    failure: Failure,
    times: u32,
    asked: Option<Duration>,
    jitter: Jitter,
) -> Duration {
    let again = times.saturating_sub(1);
    let ours = match failure {
        Failure::Refused => MINUTE * 10_u32.saturating_pow(again.min(4)),
        Failure::Unreached => Duration::from_secs(5) * 2_u32.saturating_pow(again.min(16)),
    };
    let most = match failure {
        Failure::Refused => DAY,
        Failure::Unreached => MINUTE * 60,
    };
    let ours = ours.min(most);
    // An authority that asks for more than a week has its clock wrong, or ours is.
    let asked = asked.unwrap_or_default().min(DAY * 7);
    ours.max(asked) + jitter.of(ours / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Jitter = Jitter(0);
    const MOST: Jitter = Jitter(255);

    #[track_caller]
    fn check_renewal(days: u32, at: u32) {
        let start = SystemTime::UNIX_EPOCH + DAY * 20_000;
        let due = |jitter| {
            let due = renewal(start, start + DAY * days, jitter);
            due.duration_since(start).unwrap()
        };
        assert_eq!(due(NONE), DAY * at);
        assert!(due(MOST) > DAY * at);
        assert!(due(MOST) <= DAY * at + MINUTE * 60);
    }

    #[test]
    fn a_certificate_is_renewed_30_days_before_its_end_or_with_a_third_of_its_life_left() {
        check_renewal(90, 60);
        check_renewal(365, 335);
        check_renewal(45, 30);
        check_renewal(6, 4);
    }

    #[test]
    fn a_certificate_without_a_life_is_due_at_its_end() {
        let at = SystemTime::UNIX_EPOCH + DAY;
        assert_eq!(renewal(at, at, MOST), at);
        assert_eq!(renewal(at + DAY, at, MOST), at);
    }

    #[track_caller]
    fn check_pauses(failure: Failure, seconds: &[u64]) {
        for (times, seconds) in (1..).zip(seconds) {
            let least = Duration::from_secs(*seconds);
            assert_eq!(pause(failure, times, None, NONE), least);
            let most = pause(failure, times, None, MOST);
            assert!(least < most && most < least + least / 4, "{most:?}");
        }
    }

    #[test]
    fn who_was_refused_waits_as_lets_encrypt_asks_and_who_was_not_heard_doubles() {
        check_pauses(Failure::Refused, &[60, 600, 6000, 60_000, 86_400, 86_400]);
        check_pauses(Failure::Unreached, &[5, 10, 20, 40, 80, 160]);
        let far = pause(Failure::Unreached, u32::MAX, None, NONE);
        assert_eq!(far, MINUTE * 60);
        assert_eq!(pause(Failure::Refused, u32::MAX, None, NONE), DAY);
    }

    #[test]
    fn what_the_authority_asks_for_is_kept_to() {
        let asked = |asked| pause(Failure::Unreached, 1, Some(asked), NONE);
        assert_eq!(asked(MINUTE * 7), MINUTE * 7);
        assert_eq!(asked(Duration::from_secs(1)), Duration::from_secs(5));
        assert_eq!(asked(DAY * 1000), DAY * 7);
    }
}
