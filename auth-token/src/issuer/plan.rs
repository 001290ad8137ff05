//! Which key signs, when it gets a successor, and when it goes: pure.

use super::config::{IssuerConfig, KeyKind};
use crate::claims::LEEWAY;

/// What matters of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Born {
    /// When it was made, in seconds of the epoch.
    pub(super) at: i64,
    pub(super) kind: KeyKind,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Which of the keys signs now; none if there is none.
    pub(super) signs: Option<usize>,
    /// Whether there should be a new one.
    pub(super) create: bool,
    /// Which nothing needs any more.
    pub(super) remove: Vec<usize>,
}

/// The times of a key, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    rotate_after: Option<i64>,
    publish_before: i64,
    /// How long after its last signature a key may be needed.
    keep: i64,
}

impl Times {
    pub(super) fn of(config: &IssuerConfig) -> Self {
        let seconds = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        Self {
            rotate_after: config.rotate_after.map(seconds),
            publish_before: seconds(config.publish_before),
            // Leeway on both sides, and as much for those who look at the folder seldom.
            keep: seconds(config.lifetime) + 4 * LEEWAY,
        }
    }

    /// When a key that is made at `at` will be removed at the latest.
    pub(super) fn end(self, at: i64) -> Option<i64> {
        let life = self.rotate_after? + self.publish_before + self.keep;
        Some(at.saturating_add(life))
    }
}

/// What to do with `keys`, the oldest first.
pub(super) fn plan(keys: &[Born], times: Times, kind: KeyKind, now: i64) -> Plan {
    let signs_from = |key: &Born| key.at.saturating_add(times.publish_before);
    // The first key of all has nobody to wait for; nor has one that a clock was set back behind.
    let signs = keys
        .iter()
        .rposition(|key| signs_from(key) <= now)
        .or(if keys.is_empty() { None } else { Some(0) });
    let create = keys.last().is_none_or(|newest| {
        let old = times
            .rotate_after
            .is_some_and(|after| newest.at.saturating_add(after) <= now);
        old || newest.kind != kind
    });
    let remove = keys
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| signs_from(&pair[1]).saturating_add(times.keep) <= now)
        .map(|(at, _)| at)
        .collect();
    Plan {
        signs,
        create,
        remove,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 24 * 60 * 60;

    fn times() -> Times {
        Times::of(&IssuerConfig::new("x", "x", "/x"))
    }

    fn keys(days: &[i64]) -> Vec<Born> {
        let kind = KeyKind::Es256;
        days.iter()
            .map(|day| Born {
                at: day * DAY,
                kind,
            })
            .collect()
    }

    fn check(days: &[i64], now: i64, signs: Option<usize>, create: bool, remove: &[usize]) {
        let found = plan(&keys(days), times(), KeyKind::Es256, now);
        let remove = remove.to_vec();
        let expected = Plan {
            signs,
            create,
            remove,
        };
        assert_eq!(found, expected, "{days:?} at {now}");
    }

    #[test]
    fn keys_are_made_published_used_and_removed_in_time() {
        check(&[], 0, None, true, &[]);
        // The first signs at once.
        check(&[0], 0, Some(0), false, &[]);
        check(&[0], 90 * DAY - 1, Some(0), false, &[]);
        check(&[0], 90 * DAY, Some(0), true, &[]);
        // The second waits for a day, and then has the first go after the life of a token.
        check(&[0, 90], 90 * DAY, Some(0), false, &[]);
        check(&[0, 90], 91 * DAY - 1, Some(0), false, &[]);
        check(&[0, 90], 91 * DAY, Some(1), false, &[]);
        check(
            &[0, 90],
            91 * DAY + 300 + 4 * LEEWAY - 1,
            Some(1),
            false,
            &[],
        );
        check(&[0, 90], 91 * DAY + 300 + 4 * LEEWAY, Some(1), false, &[0]);
        // After a long rest, the old one signs until the new one is known.
        check(&[0], 1000 * DAY, Some(0), true, &[]);
        check(&[0, 1000], 1000 * DAY, Some(0), false, &[]);
        // A clock that was set back.
        check(&[500, 590], DAY, Some(0), false, &[]);
    }

    #[test]
    fn another_kind_is_a_reason_to_rotate() {
        let found = plan(&keys(&[0]), times(), KeyKind::EdDsa, DAY);
        assert!(found.create && found.signs == Some(0));
    }

    #[test]
    fn without_rotation_a_key_stays() {
        let mut config = IssuerConfig::new("x", "x", "/x");
        config.rotate_after = None;
        let found = plan(&keys(&[0]), Times::of(&config), KeyKind::Es256, 9999 * DAY);
        assert!(!found.create && found.remove.is_empty());
    }

    proptest! {
        /// Whatever was signed is verified by a key that is still there until the token is dead,
        /// and others know each key for a day before it signs.
        #[test]
        fn no_token_outlives_its_key(steps in prop::collection::vec(1_i64..40 * DAY, 1..60)) {
            let mut config = IssuerConfig::new("x", "x", "/x");
            config.lifetime = Duration::from_secs(300);
            let times = Times::of(&config);
            let mut keys: Vec<Born> = Vec::new();
            let mut now = 0;
            let mut last: Option<(Born, i64)> = None;
            for step in steps {
                now += step;
                loop {
                    let plan = plan(&keys, times, KeyKind::Es256, now);
                    for at in plan.remove.iter().rev() {
                        keys.remove(*at);
                    }
                    if !plan.create {
                        break;
                    }
                    keys.push(Born { at: now, kind: KeyKind::Es256 });
                }
                let plan = plan(&keys, times, KeyKind::Es256, now);
                let signs = keys[plan.signs.unwrap()];
                if let Some((key, signed)) = last && now <= signed + 300 + LEEWAY {
                    prop_assert!(keys.contains(&key));
                }
                prop_assert!(keys.len() == 1 || signs == keys[0] || signs.at + DAY <= now);
                last = Some((signs, now));
            }
        }
    }
}
