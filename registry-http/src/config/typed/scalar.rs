//! Words and numbers as Go's YAML reads them.

/// Whether this is one of the words that Go's YAML 1.1 takes for a boolean.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "y" | "Y" | "on" | "On" | "ON" => {
            Some(true)
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "n" | "N" | "off" | "Off" | "OFF" => {
            Some(false)
        }
        _ => None,
    }
}

/// A whole number as Go's YAML 1.1 reads it: `0755` and `0o755` are octal.
pub(super) fn integer(text: &str) -> Option<i128> {
    let text = text.replace('_', "");
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let number = match u64::from_str_radix(digits, radix) {
        Ok(number) => i128::from(number),
        // `5.0` is a whole number to Go.
        Err(_) => {
            let (whole, fraction) = lower.split_once('.')?;
            let is_whole = !fraction.is_empty() && fraction.bytes().all(|digit| digit == b'0');
            let whole = is_whole.then_some(whole)?;
            i128::from(whole.parse::<u64>().ok()?)
        }
    };
    Some(if negative { -number } else { number })
}
