//! `validation`: what a manifest must be.

use regex::bytes::{Regex, RegexBuilder};
use registry_core::manifest::{Children, Platform, UrlRule};
use serde::Deserialize;

use super::super::ConfigError;
use super::super::layers::Layers;

/// What a manifest must be, beyond being one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Validation {
    /// Which children of an index have to be there when it is pushed.
    pub children: Children,
    /// From where layers may be fetched that are elsewhere, if that was said.
    pub urls: Option<UrlLists>,
}

/// Expressions of which a URL matches one, if there are any, and of which it matches none.
#[derive(Clone, Debug)]
pub struct UrlLists {
    allow: Vec<Regex>,
    deny: Vec<Regex>,
}

impl UrlRule for UrlLists {
    fn admits(&self, url: &str) -> bool {
        let in_one = |list: &[Regex]| list.iter().any(|regex| regex.is_match(url.as_bytes()));
        (self.allow.is_empty() || in_one(&self.allow)) && !in_one(&self.deny)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawValidation {
    disabled: bool,
    /// Of old, and stronger.
    enabled: bool,
    manifests: RawManifests,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawManifests {
    urls: RawUrls,
    indexes: RawIndexes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawUrls {
    allow: Vec<String>,
    deny: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawIndexes {
    platforms: String,
    platformlist: Vec<RawPlatform>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawPlatform {
    os: String,
    architecture: String,
}

pub(super) fn validation(raw: RawValidation, layers: &Layers) -> Result<Validation, ConfigError> {
    if raw.disabled && !raw.enabled {
        return Ok(Validation {
            children: Children::None,
            urls: None,
        });
    }
    Ok(Validation {
        children: children(raw.manifests.indexes, layers)?,
        urls: urls(&raw.manifests.urls, layers)?,
    })
}

fn children(raw: RawIndexes, layers: &Layers) -> Result<Children, ConfigError> {
    match raw.platforms.to_ascii_lowercase().as_str() {
        "" | "all" => Ok(Children::All),
        "none" => Ok(Children::None),
        // As distribution does, which asks for everything when nothing is listed.
        "list" if raw.platformlist.is_empty() => Ok(Children::All),
        "list" => {
            let listed = raw.platformlist.into_iter();
            let listed =
                listed.map(|RawPlatform { os, architecture }| Platform { os, architecture });
            Ok(Children::For(listed.collect()))
        }
        other => {
            let path = ["validation", "manifests", "indexes", "platforms"];
            Err(layers.refuse(&path, format!("{other:?} is not one of all, none, list")))
        }
    }
}

fn urls(raw: &RawUrls, layers: &Layers) -> Result<Option<UrlLists>, ConfigError> {
    let compiled = |name: &str, list: &[String]| {
        let compiled = list.iter().enumerate().map(|(at, text)| {
            compile(text).map_err(|reason| {
                let path = ["validation", "manifests", "urls", name, &at.to_string()];
                layers.refuse(
                    &path,
                    format!("{text:?} is no regular expression: {reason}"),
                )
            })
        });
        compiled.collect::<Result<Vec<Regex>, ConfigError>>()
    };
    let lists = UrlLists {
        allow: compiled("allow", &raw.allow)?,
        deny: compiled("deny", &raw.deny)?,
    };
    let any = !lists.allow.is_empty() || !lists.deny.is_empty();
    Ok(any.then_some(lists))
}

/// An expression as Go has it, where `\w` and its like are of ASCII. Only who asks for classes of
/// Unicode gets them.
fn compile(text: &str) -> Result<Regex, String> {
    let build = |unicode| RegexBuilder::new(text).unicode(unicode).build();
    build(false)
        .or_else(|_| build(true))
        .map_err(|error| last_line(&error.to_string()))
}

/// The reason itself; what stands before it draws an arrow.
fn last_line(text: &str) -> String {
    let line = text.lines().last().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(allow: &[&str], deny: &[&str]) -> UrlLists {
        let compiled = |list: &[&str]| list.iter().map(|text| compile(text).unwrap()).collect();
        UrlLists {
            allow: compiled(allow),
            deny: compiled(deny),
        }
    }

    #[test]
    fn a_url_matches_one_that_allows_and_none_that_denies() {
        type List = &'static [&'static str];
        let table: [(List, List, &str, bool); 10] = [
            (&["^https://a/"], &[], "https://a/x", true),
            (&["^https://a/"], &[], "https://b/x", false),
            (&["^https://a/", "^https://b/"], &[], "https://b/x", true),
            // Not bound to the ends, unless they say so.
            (&["a"], &[], "https://b/a", true),
            (&[], &["^http:"], "https://a/", true),
            (&[], &["^http:"], "http://a/", false),
            (&["a"], &["b", "c"], "https://a/c", false),
            (&["(?i)^HTTPS://A/"], &[], "https://a/", true),
            // Words are of ASCII.
            (&[r"^https://\w+\.a/"], &[], "https://bücher.a/", false),
            (&[r"^https://\p{L}+\.a/"], &[], "https://bücher.a/", true),
        ];
        for (allow, deny, url, expected) in table {
            let admitted = lists(allow, deny).admits(url);
            assert_eq!(admitted, expected, "{allow:?} {deny:?} {url}");
        }
    }

    #[test]
    fn a_bad_expression_has_a_reason_of_one_line() {
        for text in ["(", "a{2,1}", r"(?<!a)b", "[z-a]"] {
            let reason = compile(text).unwrap_err();
            assert!(!reason.is_empty() && !reason.contains('\n'), "{reason:?}");
            assert!(!reason.contains("error"), "{reason:?}");
        }
    }
}
