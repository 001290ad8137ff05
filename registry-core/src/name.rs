//! Repository names and tags: the grammar of the distribution specification, parsed once.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest repository name in bytes. The specification sets no limit and notes that clients
/// allow 255 for host and name together; distribution refuses more than 255 for the name.
pub const MAX_NAME: usize = 255;

/// Longest tag in bytes (OCI distribution-spec, "Pulling manifests").
pub const MAX_TAG: usize = 128;

/// A repository name that satisfies the distribution grammar and our length limit:
/// components joined by `/`, each of runs of `[a-z0-9]` joined by `.`, `_`, `__` or dashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(Arc<str>);

impl RepositoryName {
    /// The name as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > MAX_NAME {
            return Err(NameError::TooLong);
        }
        if text.split('/').all(is_component) {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Grammar)
        }
    }
}

impl serde::Serialize for RepositoryName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no repository name or tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// More bytes than [`MAX_NAME`] or [`MAX_TAG`].
    #[error("too long")]
    TooLong,
    /// A character or separator that the grammar does not allow.
    #[error("does not match the grammar")]
    Grammar,
}

/// One component: alphanumeric runs, with one `.`, one or two `_`, or any number of `-` between.
fn is_component(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut at = 0;
    loop {
        let run = bytes[at..]
            .iter()
            .take_while(|byte| alphanumeric(**byte))
            .count();
        if run == 0 {
            return false;
        }
        at += run;
        if at == bytes.len() {
            return true;
        }
        let separator = bytes[at..]
            .iter()
            .take_while(|byte| !alphanumeric(**byte))
            .count();
        match &bytes[at..at + separator] {
            b"." | b"_" | b"__" => {}
            dashes if dashes.iter().all(|byte| *byte == b'-') => {}
            _ => return false,
        }
        at += separator;
    }
}

/// A tag: at most 128 characters, the first one a word character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Box<str>);

impl Tag {
    /// The tag as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > MAX_TAG {
            return Err(NameError::TooLong);
        }
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        match text.as_bytes() {
            [first, rest @ ..]
                if word(first)
                    && rest
                        .iter()
                        .all(|byte| word(byte) || matches!(byte, b'.' | b'-')) =>
            {
                Ok(Self(text.into()))
            }
            _ => Err(NameError::Grammar),
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str], valid: bool) {
        for text in texts {
            assert_eq!(text.parse::<RepositoryName>().is_ok(), valid, "{text:?}");
        }
    }

    #[test]
    fn a_name_is_components_joined_by_slashes() {
        names(
            &[
                "a",
                "0",
                "a--b",
                "a---b",
                "a__b",
                "a.b_c-d",
                "a/b/c/d",
                "a/manifests",
            ],
            true,
        );
        names(
            &["tags/list/x", "x/blobs/uploads", "foo/blobs/uploads"],
            true,
        );
        names(
            &[
                "", "a..b", "a___b", "a._b", "-a", "a-", "A", "a//b", "/a", "a/", "a-_b",
            ],
            false,
        );
        names(
            &[
                "a b", "a\0", "ä", "a/../b", "_catalog", "a:b", "a%2fb", "a\n",
            ],
            false,
        );
    }

    #[test]
    fn a_name_has_at_most_255_bytes() {
        names(&[&"a".repeat(255)], true);
        assert_eq!(
            "a".repeat(256).parse::<RepositoryName>(),
            Err(NameError::TooLong)
        );
    }

    #[test]
    fn a_tag_has_one_to_128_characters_and_begins_with_a_word_character() {
        for tag in ["a", "_", "A.b-c_D", "1.0", &"x".repeat(128)] {
            assert!(tag.parse::<Tag>().is_ok(), "{tag:?}");
        }
        for tag in [
            "",
            ".a",
            "-a",
            "a+b",
            "a/b",
            "a:b",
            "a b",
            "ä",
            &"x".repeat(129),
        ] {
            assert!(tag.parse::<Tag>().is_err(), "{tag:?}");
        }
    }
}
