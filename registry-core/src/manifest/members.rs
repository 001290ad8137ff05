//! The members of a JSON object that mean something, found as Go's parser finds them: without
//! regard to case. What is passed over is looked at no further than its grammar asks.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A member with one of the names that were asked for.
#[derive(Debug)]
pub(super) struct Member<'a> {
    pub(super) name: &'static str,
    /// Whether it is written as the name is, and not only alike.
    exact: bool,
    pub(super) value: &'a RawValue,
}

impl Member<'_> {
    pub(super) fn is_null(&self) -> bool {
        self.value.get() == "null"
    }
}

/// The members of the object that `text` is, in their order.
///
/// # Errors
/// When it is no JSON, or no object.
pub(super) fn members<'a>(
    text: &'a str,
    names: &'static [&'static str],
) -> serde_json::Result<Vec<Member<'a>>> {
    let mut parser = serde_json::Deserializer::from_str(text);
    let members = parser.deserialize_map(Members(names))?;
    parser.end()?;
    Ok(members)
}

/// Why another parser may see another document: a member stands twice, or beside itself in other
/// letters.
pub(super) fn ambiguity(members: &[Member<'_>]) -> Option<String> {
    members.iter().enumerate().find_map(|(at, member)| {
        let name = member.name;
        if !member.exact {
            Some(format!("a member differs from {name} only in case"))
        } else if members[..at].iter().any(|other| other.name == name) {
            Some(format!("{name} stands twice"))
        } else {
            None
        }
    })
}

struct Members(&'static [&'static str]);

impl<'a> Visitor<'a> for Members {
    type Value = Vec<Member<'a>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key_seed(Name(self.0))? {
            let Some((name, exact)) = key else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value()?;
            members.push(Member { name, exact, value });
        }
        Ok(members)
    }
}

/// Which of the names a key is, and whether exactly.
struct Name(&'static [&'static str]);

impl<'a> DeserializeSeed<'a> for Name {
    type Value = Option<(&'static str, bool)>;

    /// As bytes, since a key with a lone surrogate is no text, but no reason to read nothing.
    fn deserialize<D: Deserializer<'a>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<(&'static str, bool)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_bytes<E>(self, key: &[u8]) -> Result<Self::Value, E> {
        let Ok(key) = std::str::from_utf8(key) else {
            return Ok(None);
        };
        let name = self.0.iter().find(|name| alike(key, name));
        Ok(name.map(|name| (*name, *name == key)))
    }
}

/// Equal under Unicode's simple folding, where two more characters fold to ASCII letters.
fn alike(key: &str, name: &str) -> bool {
    let fold = |letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars().map(fold))
}
