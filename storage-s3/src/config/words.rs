//! Words that a key may hold.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};

/// Those of AWS, and `NONE` for none at all.
const CLASSES: [&str; 9] = [
    "NONE",
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "OUTPOSTS",
    "GLACIER_IR",
    EXPRESS,
];

/// Of buckets whose listings have no order.
const EXPRESS: &str = "EXPRESS_ONEZONE";

const ACLS: [&str; 7] = [
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
];

/// A boolean, or one of the texts that Go's `strconv.ParseBool` takes, as distribution does, or one
/// of YAML's.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    deserializer.deserialize_any(Flag)
}

struct Flag;

impl Visitor<'_> for Flag {
    type Value = Option<bool>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false")
    }

    fn visit_unit<E: Error>(self) -> Result<Option<bool>, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Option<bool>, E> {
        Ok(Some(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<bool>, E> {
        match text.to_ascii_lowercase().as_str() {
            "" => Ok(None),
            "true" | "t" | "1" | "yes" | "y" | "on" => Ok(Some(true)),
            "false" | "f" | "0" | "no" | "n" | "off" => Ok(Some(false)),
            _ => Err(E::custom(format!(
                "true or false is wanted here, not {text:?}"
            ))),
        }
    }
}

/// In capitals; nothing for what a bucket does by itself.
pub(super) fn class<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(deserializer)?;
    match text.to_ascii_uppercase().as_str() {
        "" | "NONE" | "STANDARD" => Ok(None),
        EXPRESS => Err(D::Error::custom(
            "EXPRESS_ONEZONE is of directory buckets, which list their keys in no order; a \
             registry needs one",
        )),
        class if CLASSES.contains(&class) => Ok(Some(class.to_owned())),
        _ => Err(among(&text, &CLASSES)),
    }
}

/// As it is sent; nothing for what a bucket does by itself.
pub(super) fn acl<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(deserializer)?;
    match text.as_str() {
        "" | "private" => Ok(None),
        acl if ACLS.contains(&acl) => Ok(Some(text)),
        _ => Err(among(&text, &ACLS)),
    }
}

fn among<E: Error>(text: &str, words: &[&str]) -> E {
    E::custom(format!("{text:?} is not one of {}", words.join(", ")))
}
