//! Listings, page by page: of whatever is there, also under names that nobody here would give.
//!
//! `object_store` ends a listing at the first key that its paths cannot have (`a//b`, `a/../b`), and
//! takes `a/`, which consoles make of a directory, for `a`. Here keys are text, and it is asked for
//! them in a spelling that has all characters, which XML has not.

use std::collections::VecDeque;
use std::time::SystemTime;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::Method;
use object_store::path::Path;
use percent_encoding::percent_decode_str;
use registry_core::StorageError;
use serde::Deserialize;

use crate::clock::parse_rfc3339;
use crate::error::broken;
use crate::requests::Question;
use crate::store::Store;

/// What is asked of a page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// What all keys begin with.
    pub(crate) prefix: String,
    /// Whether keys with a slash behind the prefix count as directories.
    pub(crate) children: bool,
    /// Only what comes after this.
    pub(crate) after: Option<String>,
    /// So many at most; a store gives 1,000.
    pub(crate) most: Option<usize>,
    /// Where the page before said that this one begins.
    pub(crate) token: Option<String>,
}

/// An object of a listing.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) key: String,
    pub(crate) size: u64,
    /// In whole seconds.
    pub(crate) modified: SystemTime,
}

impl Listed {
    /// The key, if it is one that can be asked for; what cannot is nobody's here.
    pub(crate) fn path(&self) -> Option<Path> {
        path(&self.key)
    }
}

/// A key as `object_store` has it, if it has a way to spell just that one.
pub(crate) fn path(key: &str) -> Option<Path> {
    let path = Path::parse(key).ok()?;
    (path.as_ref() == key).then_some(path)
}

#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) objects: Vec<Listed>,
    /// With their final slashes.
    pub(crate) dirs: Vec<String>,
    /// Where the next page begins; `None` after the last one.
    pub(crate) next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    contents: Vec<Content>,
    #[serde(default)]
    common_prefixes: Vec<Common>,
    encoding_type: Option<String>,
    next_continuation_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    key: String,
    size: u64,
    last_modified: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Common {
    prefix: String,
}

impl Answer {
    fn page(self, doing: &'static str) -> Result<Page, StorageError> {
        let spelled = Spelling::of(self.encoding_type.as_deref());
        let object = |content: Content| {
            let modified = parse_rfc3339(&content.last_modified);
            let modified =
                modified.ok_or_else(|| broken(doing, "the store tells no time of an object"))?;
            let (key, size) = (spelled.read(content.key), content.size);
            Ok(Listed {
                key,
                size,
                modified,
            })
        };
        let objects = self.contents.into_iter().map(object);
        let dirs = self.common_prefixes.into_iter();
        Ok(Page {
            objects: objects.collect::<Result<_, StorageError>>()?,
            dirs: dirs.map(|dir| spelled.read(dir.prefix)).collect(),
            // Some send an empty one behind the last page.
            next: self.next_continuation_token.filter(|next| !next.is_empty()),
        })
    }
}

/// How the keys of an answer are spelled. Not every store does what it was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spelling {
    /// As they are.
    Plain,
    /// As forms are encoded, with `+` for a space.
    Encoded,
}

impl Spelling {
    /// By what the answer says of it.
    pub(crate) fn of(kind: Option<&str>) -> Self {
        match kind {
            Some("url") => Self::Encoded,
            _ => Self::Plain,
        }
    }

    pub(crate) fn read(self, key: String) -> String {
        match self {
            Self::Plain => key,
            Self::Encoded => {
                let key = key.replace('+', " ");
                percent_decode_str(&key).decode_utf8_lossy().into_owned()
            }
        }
    }
}

impl Store {
    pub(crate) async fn page(
        &self,
        doing: &'static str,
        wanted: &Wanted,
    ) -> Result<Page, StorageError> {
        let mut query = vec![
            ("list-type", "2".to_owned()),
            ("encoding-type", "url".to_owned()),
            ("prefix", wanted.prefix.clone()),
        ];
        query.extend(wanted.children.then(|| ("delimiter", "/".to_owned())));
        query.extend(wanted.most.map(|most| ("max-keys", most.to_string())));
        match (&wanted.token, &wanted.after) {
            (Some(token), _) => query.push(("continuation-token", token.clone())),
            (None, Some(after)) => query.push(("start-after", after.clone())),
            (None, None) => {}
        }
        let question = Question {
            query,
            headers: Vec::new(),
        };
        let answer: Answer = self
            .answer(doing, Method::GET, &Path::ROOT, &question)
            .await?;
        answer.page(doing)
    }

    /// All objects below a directory, which has no final slash, and after a key if one is given; in
    /// the order of their keys.
    pub(crate) fn list(
        &self,
        doing: &'static str,
        dir: &str,
        after: Option<String>,
    ) -> BoxStream<'_, Result<Listed, StorageError>> {
        let wanted = Wanted {
            prefix: format!("{dir}/"),
            after,
            ..Wanted::default()
        };
        let begun = (VecDeque::new(), Some(wanted));
        stream::try_unfold(begun, move |(mut found, mut wanted)| async move {
            loop {
                if let Some(object) = found.pop_front() {
                    return Ok(Some((object, (found, wanted))));
                }
                let Some(mut asked) = wanted.take() else {
                    return Ok(None);
                };
                let page = self.page(doing, &asked).await?;
                found = VecDeque::from(page.objects);
                asked.token = page.next;
                wanted = asked.token.is_some().then_some(asked);
            }
        })
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_its_keys_are_spelled() {
        let read = |kind: &str| {
            let xml = format!(
                "<ListBucketResult>{kind}<Contents><Key>a%2F%01+%2B</Key><Size>1</Size>\
                 <LastModified>2026-01-02T03:04:05.678Z</LastModified></Contents></ListBucketResult>"
            );
            let answer: Answer = quick_xml::de::from_str(&xml).unwrap();
            answer.page("listing").unwrap().objects[0].key.clone()
        };
        assert_eq!(read("<EncodingType>url</EncodingType>"), "a/\u{1} +");
        assert_eq!(read(""), "a%2F%01+%2B");
    }

    #[test]
    fn a_key_that_has_no_path_is_not_taken_for_another() {
        assert_eq!(path("a/b c").unwrap().as_ref(), "a/b c");
        for odd in ["a/", "/a", "a//b", "a/../b", "a/\u{1}"] {
            assert!(path(odd).is_none(), "{odd:?}");
        }
    }
}
