//! When certificates end, and who is told.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use x509_cert::certificate::{Raw, TbsCertificateInner};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// From when on it is worth telling.
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);

/// From when until when all certificates of a chain are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) from: SystemTime,
    pub(crate) until: SystemTime,
}

impl Validity {
    pub(super) fn of<'c>(certificates: impl Iterator<Item = &'c TbsCertificateInner<Raw>>) -> Self {
        let always = Self {
            from: SystemTime::UNIX_EPOCH,
            until: SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(u32::MAX) * 64),
        };
        certificates.fold(always, |all, one| {
            let own = one.validity();
            Self {
                from: all.from.max(own.not_before.to_system_time()),
                until: all.until.min(own.not_after.to_system_time()),
            }
        })
    }

    /// What is worth telling, and how much it matters.
    pub(crate) fn remark(&self, now: SystemTime) -> Option<Remark> {
        let until = shown(self.until);
        if now < self.from {
            let from = shown(self.from);
            let text = format!("the certificate is not valid before {from}, and clients refuse it");
            return Some(Remark::Error(text));
        }
        let Ok(left) = self.until.duration_since(now) else {
            let text = format!("the certificate has expired at {until}, and clients refuse it");
            return Some(Remark::Error(text));
        };
        let days = left.as_secs() / DAY.as_secs();
        let text = || format!("the certificate expires at {until}, in {days} days");
        (left < SOON).then(|| Remark::Warning(text()))
    }
}

/// Something about a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Remark {
    /// It will be refused.
    Warning(String),
    /// It is refused.
    Error(String),
}

impl Remark {
    pub(crate) fn text(&self) -> &str {
        let (Self::Warning(text) | Self::Error(text)) = self;
        text
    }
}

/// A time as people and machines read it.
pub(crate) fn shown(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| format!("{time:?}"), |time| time.to_string())
}

/// Says the same once a day.
#[derive(Debug, Default)]
pub(super) struct Reminder {
    said: Option<SystemTime>,
    of: String,
}

impl Reminder {
    /// What is said is of this; of something else it is news.
    pub(super) fn look_at(&mut self, content: &str) {
        if self.of != content {
            content.clone_into(&mut self.of);
            self.said = None;
        }
    }

    /// Whether it is time; if so, it counts as said.
    pub(super) fn is_due(&mut self, now: SystemTime) -> bool {
        // An error is a clock that was set back.
        let is_old = |said| now.duration_since(said).map_or(true, |age| age >= DAY);
        let is_due = self.said.is_none_or(is_old);
        if is_due {
            self.said = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_is_near_is_a_warning_and_one_that_has_come_an_error() {
        let at = |days: u64| SystemTime::UNIX_EPOCH + DAY * u32::try_from(days).unwrap();
        let validity = Validity {
            from: at(100),
            until: at(200),
        };
        let said = |days| match validity.remark(at(days)) {
            None => "",
            Some(Remark::Warning(text)) => {
                assert_eq!(
                    text,
                    "the certificate expires at 1970-07-20T00:00:00Z, in 29 days"
                );
                "warning"
            }
            Some(Remark::Error(_)) => "error",
        };
        let table = [
            (99, "error"),
            (100, ""),
            (170, ""),
            (171, "warning"),
            (201, "error"),
        ];
        for (day, expected) in table {
            assert_eq!(said(day), expected, "day {day}");
        }
    }

    #[test]
    fn the_same_is_said_once_a_day() {
        let at = |hours: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(hours * 3600);
        let mut reminder = Reminder::default();
        let due: Vec<u64> = (1000..1050)
            .filter(|hour| reminder.is_due(at(*hour)))
            .collect();
        assert_eq!(due, [1000, 1024, 1048]);
        assert!(reminder.is_due(at(10)), "the clock was set back");
        reminder.look_at("another");
        assert!(reminder.is_due(at(11)));
        reminder.look_at("another");
        assert!(!reminder.is_due(at(12)));
    }
}
