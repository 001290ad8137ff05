//! What does not fit, in words of users instead of the source.

use serde::de::{Expected, Unexpected};

/// What is wanted.
pub(super) fn said(wanted: &dyn Expected) -> String {
    let wanted = wanted.to_string();
    let said = match wanted.as_str() {
        "a map" => "a section",
        "a sequence" => "a list",
        "a string" => "a text",
        "a boolean" => "true or false",
        "f32" | "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => {
            "a whole number that fits, and not below 0,"
        }
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        kind if kind.starts_with("struct ") || kind == "unit" => "a section",
        kind if kind.starts_with("enum ") => "one of the known words",
        _ => return wanted,
    };
    said.to_owned()
}

/// What is there, which may be a secret where it is not a single value.
pub(super) fn told(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Str(text) => format!("{text:?}"),
        Unexpected::Map => "a section".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Unit => "nothing".to_owned(),
        Unexpected::Unsigned(number) => number.to_string(),
        Unexpected::Signed(number) => number.to_string(),
        other => other.to_string(),
    }
}
