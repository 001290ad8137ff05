//! Patterns of names and tags: `*` and `?` within a component, `**` over components.

use std::fmt;

use crate::name::{RepositoryName, Tag};

/// A pattern of repository names.
///
/// `*` stands for any characters and `?` for one, both within a component; `**`, a component of
/// its own, for any components: one or more of them at the end, none or more elsewhere. `${user}`
/// stands for the name of who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    text: Box<str>,
    components: Vec<Component>,
}

/// A pattern of tags: `*` stands for any characters, `?` for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPattern {
    text: Box<str>,
    tokens: Vec<Token>,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// Nothing would ever match.
    #[error("{0:?} has an empty component")]
    Empty(String),
    /// No name has this character.
    #[error("{0:?} has {1:?}, which no such name has")]
    Character(String, char),
    /// `**` within a component.
    #[error("{0:?} has ** beside other characters; it is a component of its own")]
    Deep(String),
    /// A placeholder other than `${user}`.
    #[error("{0:?} has a placeholder that is not known; there is ${{user}}")]
    Placeholder(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Component {
    /// `**`.
    Deep,
    One(Vec<Token>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`.
    One,
    /// `*`.
    Any,
    /// `${user}`.
    User,
}

const USER: &str = "${user}";

impl NamePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`] where it could not match any name.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let mut components = Vec::new();
        let mut parts = text.split('/').peekable();
        while let Some(part) = parts.next() {
            if part == "**" {
                if parts.peek().is_none() {
                    components.push(Component::One(vec![Token::Any]));
                }
                components.push(Component::Deep);
                continue;
            }
            if part.contains("**") {
                return Err(PatternError::Deep(text.to_owned()));
            }
            let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
            components.push(Component::One(tokens(text, part, known)?));
        }
        let text = text.into();
        Ok(Self { text, components })
    }

    /// Whether it depends on who asks.
    #[must_use]
    pub fn names_user(&self) -> bool {
        let names = |component: &Component| match component {
            Component::Deep => false,
            Component::One(tokens) => tokens.contains(&Token::User),
        };
        self.components.iter().any(names)
    }

    /// Whether it stands for this name, when this user asks.
    #[must_use]
    pub fn matches(&self, name: &RepositoryName, user: Option<&str>) -> bool {
        let parts: Vec<&str> = name.as_str().split('/').collect();
        let same = |component: &Component, part: &&str| match component {
            Component::Deep => false,
            Component::One(tokens) => component_matches(tokens, part, user),
        };
        wild(&self.components, &parts, &Component::Deep, same)
    }
}

impl TagPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`] where it could not match any tag.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let tokens = tokens(text, text, known)?;
        if tokens.contains(&Token::User) {
            return Err(PatternError::Placeholder(text.to_owned()));
        }
        let text = text.into();
        Ok(Self { text, tokens })
    }

    /// Whether it stands for this tag.
    #[must_use]
    pub fn matches(&self, tag: &Tag) -> bool {
        bytes_match(&self.tokens, tag.as_str())
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn tokens(
    whole: &str,
    part: &str,
    known: impl Fn(char) -> bool,
) -> Result<Vec<Token>, PatternError> {
    if part.is_empty() {
        return Err(PatternError::Empty(whole.to_owned()));
    }
    let mut tokens = Vec::with_capacity(part.len());
    let mut rest = part;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix(USER) {
            tokens.push(Token::User);
            rest = after;
            continue;
        }
        tokens.push(match c {
            '*' => Token::Any,
            '?' => Token::One,
            '$' => return Err(PatternError::Placeholder(whole.to_owned())),
            c => match u8::try_from(c) {
                Ok(byte) if known(c) => Token::Byte(byte),
                _ => return Err(PatternError::Character(whole.to_owned(), c)),
            },
        });
        rest = &rest[c.len_utf8()..];
    }
    Ok(tokens)
}

/// A placeholder is what the name is, letter by letter, whatever it contains.
fn component_matches(tokens: &[Token], part: &str, user: Option<&str>) -> bool {
    if !tokens.contains(&Token::User) {
        return bytes_match(tokens, part);
    }
    let Some(user) = user.filter(|user| !user.is_empty()) else {
        return false;
    };
    let mut spelled = Vec::with_capacity(tokens.len() + user.len());
    for token in tokens {
        match token {
            Token::User => spelled.extend(user.bytes().map(Token::Byte)),
            other => spelled.push(*other),
        }
    }
    bytes_match(&spelled, part)
}

fn bytes_match(tokens: &[Token], text: &str) -> bool {
    let same = |token: &Token, byte: &u8| match token {
        Token::Byte(wanted) => wanted == byte,
        Token::One => true,
        Token::Any | Token::User => false,
    };
    wild(tokens, text.as_bytes(), &Token::Any, same)
}

/// Matches with one kind of wildcard, going back to the last one only: in the time of the product
/// of both lengths at most, whatever the pattern.
fn wild<P: PartialEq, T>(
    pattern: &[P],
    text: &[T],
    any: &P,
    same: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut last: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(token) if token == any => {
                last = Some((at, seen));
                at += 1;
            }
            Some(token) if same(token, &text[seen]) => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((star, from)) = last else {
                    return false;
                };
                last = Some((star, from + 1));
                at = star + 1;
                seen = from + 1;
            }
        }
    }
    pattern[at..].iter().all(|token| token == any)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(pattern: &str, name: &str, user: Option<&str>) -> bool {
        let pattern = NamePattern::parse(pattern).unwrap();
        pattern.matches(&name.parse().unwrap(), user)
    }

    #[test]
    fn stars_stay_within_a_component_and_pairs_of_them_do_not() {
        let table = [
            ("a", "a", true),
            ("a", "b", false),
            ("a", "a/b", false),
            ("a/b", "a", false),
            ("*", "a", true),
            ("*", "a/b", false),
            ("a/*", "a/b", true),
            ("a/*", "a", false),
            ("a/*", "a/b/c", false),
            ("a*", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("?", "a", true),
            ("?", "ab", false),
            ("**", "a", true),
            ("**", "a/b/c", true),
            ("a/**", "a/b", true),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("a/**", "ab/c", false),
            ("**/a", "a", true),
            ("**/a", "b/c/a", true),
            ("**/a", "b/ca", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/c/d/b", true),
            ("a/**/b", "a/c/d", false),
            ("**/a/**/b", "x/a/a/y/b", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(is(pattern, name, None), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_user_is_who_asks_and_nobody_else() {
        let table = [
            ("${user}/**", "alice/a", Some("alice"), true),
            ("${user}/**", "bob/a", Some("alice"), false),
            ("${user}/**", "alice/a", None, false),
            ("${user}/**", "alice/a", Some(""), false),
            ("${user}/**", "alice/a", Some("*"), false),
            ("${user}/**", "alice/a", Some("**"), false),
            ("${user}/**", "alice/a", Some("?lice"), false),
            ("${user}/**", "alice/a", Some("${user}"), false),
            ("${user}/*", "team/a/b", Some("team/a"), false),
            ("${user}", "team/a", Some("team/a"), false),
            ("dev-${user}/a", "dev-alice/a", Some("alice"), true),
            ("*-${user}", "x-alice", Some("alice"), true),
            ("${user}-*", "alice-x", Some("alice"), true),
        ];
        for (pattern, name, user, expected) in table {
            assert_eq!(
                is(pattern, name, user),
                expected,
                "{pattern} {name} {user:?}"
            );
        }
    }

    #[test]
    fn what_could_never_match_is_told() {
        for text in [
            "", "/", "a/", "/a", "a//b", "A", "a b", "a:1", "a**", "**a", "***", "é", "$a",
            "${group}", "${user", "[a]", "{a,b}", "a\\",
        ] {
            let error = NamePattern::parse(text).unwrap_err();
            assert!(error.to_string().contains(text), "{text}: {error}");
        }
        for text in ["", "a/b", "${user}", "a b"] {
            TagPattern::parse(text).unwrap_err();
        }
    }

    #[test]
    fn tags_have_no_components() {
        let is = |pattern: &str, tag: &str| {
            let pattern = TagPattern::parse(pattern).unwrap();
            pattern.matches(&tag.parse().unwrap())
        };
        assert!(is("*", "v1.0") && is("v*", "v1.0") && is("v?.?", "v1.0") && is("V1", "V1"));
        assert!(!is("v*", "latest") && !is("v1", "V1") && !is("v?", "v10"));
    }

    proptest::proptest! {
        #[test]
        fn a_name_matches_itself_and_everything_matches_all(
            name in "[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,4}",
            other in "[a-z*?]{1,12}",
        ) {
            assert!(is(&name, &name, None));
            assert!(is("**", &name, None));
            if let Ok(pattern) = NamePattern::parse(&other) && other != "**" {
                assert_eq!(pattern.matches(&name.parse().unwrap(), None), slow(&other, &name));
            }
        }
    }

    /// The same, by trying everything.
    fn slow(pattern: &str, text: &str) -> bool {
        match (pattern.chars().next(), text.chars().next()) {
            (None, None) => true,
            (Some('*'), first) => {
                slow(&pattern[1..], text)
                    || first.is_some_and(|c| c != '/' && slow(pattern, &text[1..]))
            }
            (Some('?'), Some(c)) if c != '/' => slow(&pattern[1..], &text[1..]),
            (Some(wanted), Some(c)) if wanted == c => slow(&pattern[1..], &text[1..]),
            _ => false,
        }
    }
}
