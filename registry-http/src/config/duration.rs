//! Durations as Go writes them: `1h30m`, `500ms`, or a bare number of nanoseconds.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A duration of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GoDuration(pub(crate) Duration);

/// Fewer nanoseconds than that are some other number whose unit is missing.
const SHORTEST: u64 = 1_000_000;

/// Parses what Go's `time.ParseDuration` takes, without negative ones, or bare nanoseconds.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) {
        let nanos: u64 = rest.parse().ok()?;
        // Whoever writes `60` means no nanoseconds.
        return (nanos == 0 || nanos >= SHORTEST).then(|| Duration::from_nanos(nanos));
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (digits, tail) = rest.split_at(number);
        let unit = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        total = total.checked_add(nanoseconds(digits, scale(unit)?)?)?;
        rest = tail;
    }
    if text.is_empty() || text == "+" {
        return None;
    }
    // Go's durations end here as well.
    i64::try_from(total)
        .ok()
        .map(|nanos| Duration::from_nanos(nanos.unsigned_abs()))
}

fn scale(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

fn nanoseconds(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let mut total = match whole {
        "" => 0,
        _ => whole.parse::<u128>().ok()?.checked_mul(scale)?,
    };
    let mut part = scale;
    for digit in fraction.bytes() {
        part /= 10;
        total = total.checked_add(part * u128::from(digit - b'0'))?;
    }
    Some(total)
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = GoDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, such as 1h30m, 10s or 500ms,")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<GoDuration, E> {
                parse(text)
                    .map(GoDuration)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        let millis = |millis| Some(Duration::from_millis(millis));
        let table = [
            ("0", Some(Duration::ZERO)),
            ("0s", Some(Duration::ZERO)),
            ("10s", millis(10_000)),
            ("+10s", millis(10_000)),
            ("1h30m", millis(5_400_000)),
            ("168h", millis(604_800_000)),
            ("500ms", millis(500)),
            ("1.5s", millis(1_500)),
            (".5s", millis(500)),
            ("1.s", millis(1_000)),
            ("2µs", Some(Duration::from_micros(2))),
            ("3us", Some(Duration::from_micros(3))),
            ("7ns", Some(Duration::from_nanos(7))),
            ("1000000000", millis(1_000)),
            ("", None),
            ("+", None),
            ("s", None),
            (".s", None),
            ("1.2.3s", None),
            ("60", None),
            ("999999", None),
            ("1000000", millis(1)),
            ("10 s", None),
            ("1d", None),
            ("-1s", None),
            ("1h30", None),
            ("ten seconds", None),
            ("9999999999999h", None),
            ("99999999999999999999999999999999999999999h", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
