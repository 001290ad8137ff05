//! Numbers as distribution reads them, but for what it would read wrongly without a word.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};

use super::MIB;

/// Of a part, by the rules of S3.
pub(super) const SMALLEST: u64 = 5 * MIB;
/// The same.
pub(super) const LARGEST: u64 = 5 * 1024 * MIB;

/// So many bytes of a part.
pub(super) fn part<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    number(deserializer, SMALLEST, LARGEST)
}

/// Any number of bytes that one request may copy.
pub(super) fn copy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    number(deserializer, 0, LARGEST)
}

/// One at least.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    number(deserializer, 1, u64::MAX)
}

fn number<'de, D: Deserializer<'de>>(
    deserializer: D,
    least: u64,
    most: u64,
) -> Result<Option<u64>, D::Error> {
    deserializer.deserialize_any(Number { least, most })
}

struct Number {
    least: u64,
    most: u64,
}

impl Visitor<'_> for Number {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.most {
            u64::MAX => write!(f, "a whole number of {} or more", self.least),
            most => write!(f, "a whole number from {} to {most}", self.least),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Option<u64>, E> {
        match (self.least..=self.most).contains(&value) {
            true => Ok(Some(value)),
            false => Err(E::custom(format!(
                "{} is wanted here, not {value}",
                &self as &dyn serde::de::Expected
            ))),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Option<u64>, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::custom(format!(
                "{} is wanted here, not {value}",
                &self as &dyn serde::de::Expected
            ))),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<u64>, E> {
        if text.is_empty() {
            return Ok(None);
        }
        if let Ok(number) = text.trim().parse::<i64>() {
            return self.visit_i64(number);
        }
        let wanted = &self as &dyn serde::de::Expected;
        let meant = meant(text).map(|bytes| format!("; if that is what is meant, write {bytes}"));
        let meant = meant.unwrap_or_default();
        Err(E::custom(format!(
            "{wanted} is wanted here, not {text:?}{meant}"
        )))
    }
}

/// What a number with a unit comes to, each of them 1024 of the one before.
fn meant(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let unit = unit
        .strip_suffix("ib")
        .or(unit.strip_suffix('b'))
        .unwrap_or(unit);
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1024_u64.pow(power))
}
