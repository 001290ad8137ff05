//! Names of subjects, as RFC 4514 writes them.

use std::fmt::{self, Write as _};
use std::str::FromStr;

/// Keywords, and what they stand for: those of RFC 4514, and those that openssl writes.
const KEYWORDS: [(&str, &str); 14] = [
    ("CN", "2.5.4.3"),
    ("SN", "2.5.4.4"),
    ("serialNumber", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("title", "2.5.4.12"),
    ("GN", "2.5.4.42"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("emailAddress", "1.2.840.113549.1.9.1"),
];

/// What has to stand behind a backslash.
const SPECIAL: &str = "\"+,;<>\\";

/// A distinguished name (X.501), such as `CN=build,O=Example`: what is most particular comes first.
///
/// Two are equal when they have the same attributes with the same letters in the same order,
/// however they were written: `cn = build, 2.5.4.10=Example` is that one, `O=Example,CN=build` is
/// another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DistinguishedName(Vec<Vec<Attribute>>);

/// A part of a distinguished name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attribute {
    /// What it is of: an object identifier in decimals.
    kind: String,
    value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Value {
    Text(String),
    /// What is no text: tag, length and value.
    Der(Vec<u8>),
}

impl Attribute {
    /// A text; what it is of is an object identifier in decimals.
    pub fn text(kind: impl Into<String>, value: impl Into<String>) -> Self {
        let (kind, value) = (kind.into(), Value::Text(value.into()));
        Self { kind, value }
    }

    /// Anything else, in DER.
    pub fn der(kind: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        let (kind, value) = (kind.into(), Value::Der(value.into()));
        Self { kind, value }
    }
}

impl DistinguishedName {
    /// Of sets of attributes, the most particular first: the other way round than in DER.
    #[must_use]
    pub fn new(mut sets: Vec<Vec<Attribute>>) -> Self {
        // Within a set there is no order.
        sets.iter_mut().for_each(|set| set.sort());
        Self(sets)
    }

    /// Whether it names nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why a text is no distinguished name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no distinguished name, such as CN=build,O=Example: {why}")]
pub struct NameError {
    text: String,
    why: &'static str,
}

impl FromStr for DistinguishedName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut sets = vec![Vec::new()];
        let mut rest = text;
        let wrong = |why| NameError {
            text: text.to_owned(),
            why,
        };
        loop {
            let (attribute, after) = attribute(rest).map_err(wrong)?;
            if let Some(set) = sets.last_mut() {
                set.push(attribute);
            }
            let mut after = after.chars();
            match after.next() {
                None => return Ok(Self::new(sets)),
                Some(',') => sets.push(Vec::new()),
                Some('+') => {}
                Some(_) => return Err(wrong("\" ; < > stand behind a backslash")),
            }
            rest = after.as_str();
        }
    }
}

/// The first attribute, and what comes after it.
fn attribute(text: &str) -> Result<(Attribute, &str), &'static str> {
    let (kind, rest) = text.split_once('=').ok_or("a part has no =")?;
    let kind = kind.trim_matches(' ');
    let mut known = KEYWORDS.iter();
    let known = known.find(|(keyword, _)| keyword.eq_ignore_ascii_case(kind));
    let is_identifier = kind.contains('.')
        && kind
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    let kind = match known {
        Some((_, identifier)) => *identifier,
        None if is_identifier => kind,
        None => return Err("a keyword is not known; an object identifier will do"),
    };
    let rest = rest.trim_start_matches(' ');
    if let Some(digits) = rest.strip_prefix('#') {
        let end = digits.find([',', '+']).unwrap_or(digits.len());
        let der = super::unhex(digits[..end].trim_end_matches(' '));
        let der = der.ok_or("what follows # is not hexadecimal")?;
        return Ok((Attribute::der(kind, der), &digits[end..]));
    }
    let (value, rest) = value(rest)?;
    Ok((Attribute::text(kind, value), rest))
}

/// A text without what makes it readable, and what comes after it.
fn value(text: &str) -> Result<(String, &str), &'static str> {
    let mut bytes = Vec::new();
    // Up to here nothing is a space that only stands before what comes next.
    let mut settled = 0;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if SPECIAL.contains(c) && c != '\\' {
            break;
        }
        rest = &rest[c.len_utf8()..];
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            if c == ' ' {
                continue;
            }
        } else if let Some(byte) = rest.get(..2).and_then(super::unhex) {
            bytes.extend(byte);
            rest = &rest[2..];
        } else {
            let escaped = |c: &char| SPECIAL.contains(*c) || " #=".contains(*c);
            let next = rest.chars().next().filter(escaped);
            let next = next.ok_or("a backslash stands before nothing that needs it")?;
            bytes.extend(u8::try_from(next));
            rest = &rest[1..];
        }
        settled = bytes.len();
    }
    bytes.truncate(settled);
    let value = String::from_utf8(bytes).map_err(|_| "a value is not UTF-8")?;
    Ok((value, rest))
}

/// In the one form that can be read again, and printed anywhere.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, set) in self.0.iter().enumerate() {
            f.write_str(if at > 0 { "," } else { "" })?;
            for (at, attribute) in set.iter().enumerate() {
                f.write_str(if at > 0 { "+" } else { "" })?;
                attribute.fmt(f)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut known = KEYWORDS.iter();
        let known = known.find(|(_, identifier)| *identifier == self.kind);
        write!(f, "{}=", known.map_or(self.kind.as_str(), |(word, _)| word))?;
        let text = match &self.value {
            Value::Text(text) => text,
            Value::Der(der) => {
                f.write_char('#')?;
                return der.iter().try_for_each(|byte| write!(f, "{byte:02x}"));
            }
        };
        let last = text.chars().count().saturating_sub(1);
        text.chars().enumerate().try_for_each(|(at, c)| match c {
            ' ' if at == 0 || at == last => f.write_str("\\ "),
            '#' if at == 0 => f.write_str("\\#"),
            c if SPECIAL.contains(c) => write!(f, "\\{c}"),
            // One that does not print, or moves what does.
            c if !c.is_ascii() && c.escape_debug().len() == 1 => f.write_char(c),
            ' '..='~' => f.write_char(c),
            c => c
                .encode_utf8(&mut [0; 4])
                .bytes()
                .try_for_each(|byte| write!(f, "\\{byte:02x}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> DistinguishedName {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_is_the_same_however_it_is_written() {
        let table = [
            ("CN=a,O=b", "CN=a,O=b"),
            (" cn = a , o = b ", "CN=a,O=b"),
            ("2.5.4.3=a,2.5.4.10=b", "CN=a,O=b"),
            ("CN=a+OU=b,O=c", "OU=b+CN=a,O=c"),
            ("EMAILADDRESS=a@b", "emailAddress=a@b"),
            (r"CN=a\, b\+c", r"CN=a\, b\+c"),
            (r"CN=\20a\20", r"CN=\ a\ "),
            (r"CN=a\C3\A9", "CN=aé"),
            (r"CN=\23a#b", r"CN=\#a#b"),
            (r"CN=a\=b=c", "CN=a=b=c"),
            (r"CN=a\0Ab\00", r"CN=a\0ab\00"),
            ("CN=a  b", "CN=a  b"),
            ("CN=", "CN="),
            ("CN=,O=", "CN=,O="),
            ("1.2.3=#0C0161", "1.2.3=#0c0161"),
            ("1.2.3=a", "1.2.3=a"),
            ("CN=\u{202e}a\u{7f}", r"CN=\e2\80\aea\7f"),
        ];
        for (text, shown) in table {
            assert_eq!(read(text).to_string(), shown, "{text}");
            assert_eq!(read(shown), read(text), "{text}");
        }
    }

    #[test]
    fn different_names_differ() {
        let all = [
            "CN=a",
            "CN=A",
            "CN=a,O=b",
            "O=b,CN=a",
            "CN=a+O=b",
            r"CN=a\,O\=b",
            r"CN=a\ ",
            "CN=#0c0161",
            "OU=a",
            "CN=a,CN=a",
            "CN=",
        ];
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                assert_ne!(read(one), read(other), "{one} {other}");
                assert_ne!(read(one).to_string(), read(other).to_string());
            }
        }
    }

    #[test]
    fn what_is_no_name_is_told() {
        let table = [
            ("", "a part has no ="),
            ("build", "a part has no ="),
            ("CN=a,", "a part has no ="),
            ("=a", "a keyword is not known"),
            ("X=a", "a keyword is not known"),
            ("2.=a", "a keyword is not known"),
            ("CN=a;O=b", "stand behind a backslash"),
            ("CN=\"a\"", "stand behind a backslash"),
            (r"CN=a\", "a backslash stands before nothing"),
            (r"CN=a\é", "a backslash stands before nothing"),
            (r"CN=a\ff", "a value is not UTF-8"),
            ("CN=#0", "is not hexadecimal"),
            ("CN=#", "is not hexadecimal"),
            ("CN=#0x", "is not hexadecimal"),
        ];
        for (text, why) in table {
            let error = text.parse::<DistinguishedName>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_can_be_read_again(values in proptest::collection::vec(".{0,12}", 1..4)) {
            let sets = values.iter().map(|value| vec![Attribute::text("2.5.4.3", value)]);
            let name = DistinguishedName::new(sets.collect());
            assert_eq!(read(&name.to_string()), name);
        }

        #[test]
        fn no_text_is_too_odd_to_be_refused(text in "[CNO=,+#\\\\ ;aé0-9]{0,16}") {
            if let Ok(name) = text.parse::<DistinguishedName>() {
                assert_eq!(read(&name.to_string()), name);
            }
        }
    }
}
