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
use crate::error::{broken, unclear};
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
    /// The last key of the pages before, or the last directory.
    pub(crate) last: Option<String>,
    /// How many of those had nothing in a row.
    pub(crate) empty: usize,
}

/// Some stores give pages without anything in between; so many are no listing.
const MOST_EMPTY: usize = 1_000;

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

/// Whether each key is behind the one before it.
fn rise<'k>(mut last: Option<&'k str>, mut keys: impl Iterator<Item = &'k str>) -> bool {
    keys.all(|key| last.replace(key).is_none_or(|last| last < key))
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
    is_truncated: Option<bool>,
    next_continuation_token: Option<String>,
    /// Of the keys, and for some of the directories, too.
    key_count: Option<usize>,
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
        // Some send an empty one behind the last page.
        let next = self.next_continuation_token.filter(|next| !next.is_empty());
        if self.is_truncated == Some(true) && next.is_none() {
            return Err(unclear(doing, "the listing ends before its end"));
        }
        let found = self.contents.len() + self.common_prefixes.len();
        if self.key_count.is_some_and(|count| count > found) {
            return Err(unclear(doing, "the listing has less than it says"));
        }
        let objects = self.contents.into_iter().map(object);
        let dirs = self.common_prefixes.into_iter();
        Ok(Page {
            objects: objects.collect::<Result<_, StorageError>>()?,
            dirs: dirs.map(|dir| spelled.read(dir.prefix)).collect(),
            next,
        })
    }
}

impl Page {
    /// Whether it goes on where the pages before have ended, in order and without repeating
    /// anything. Where one does not, keys may be missing, or it may never end.
    fn follows(&self, wanted: &Wanted) -> bool {
        let last = wanted.last.as_deref();
        rise(last, self.objects.iter().map(|object| object.key.as_str()))
            && rise(last, self.dirs.iter().map(String::as_str))
            && (self.next.is_none() || self.next != wanted.token && wanted.empty < MOST_EMPTY)
    }

    fn last(&self) -> Option<&str> {
        let object = self.objects.last().map(|object| object.key.as_str());
        object.max(self.dirs.last().map(String::as_str))
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
    /// The next page; then the next one but that is wanted, if there is one.
    pub(crate) async fn page(
        &self,
        doing: &'static str,
        wanted: &mut Wanted,
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
        let page = answer.page(doing)?;
        if !page.follows(wanted) {
            return Err(unclear(doing, "the listing does not go on where it ended"));
        }
        match page.last() {
            Some(last) => (wanted.last, wanted.empty) = (Some(last.to_owned()), 0),
            None => wanted.empty += 1,
        }
        wanted.token.clone_from(&page.next);
        Ok(page)
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
                let page = self.page(doing, &mut asked).await?;
                found = VecDeque::from(page.objects);
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
    fn a_page_follows_what_came_before_or_is_refused() {
        let page = |keys: &[&str], dirs: &[&str], next: Option<&str>| Page {
            objects: keys
                .iter()
                .map(|key| Listed {
                    key: (*key).to_owned(),
                    size: 0,
                    modified: SystemTime::UNIX_EPOCH,
                })
                .collect(),
            dirs: dirs.iter().map(|dir| (*dir).to_owned()).collect(),
            next: next.map(str::to_owned),
        };
        let wanted = Wanted {
            last: Some("d".to_owned()),
            token: Some("token".to_owned()),
            ..Wanted::default()
        };
        let follows = |keys, dirs, next| page(keys, dirs, next).follows(&wanted);
        assert!(follows(&["e", "g"], &["f/"], Some("other")));
        assert!(follows(&[], &[], None));
        assert!(!follows(&["d"], &[], None), "it comes again");
        assert!(!follows(&["a"], &[], None), "it goes back");
        assert!(!follows(&[], &["a/"], None), "so does this");
        assert!(!follows(&["f", "e"], &[], None), "not in order");
        assert!(!follows(&["e"], &[], Some("token")), "the same page next");
        assert!(follows(&[], &[], Some("other")), "something may come yet");
        let wanted = Wanted {
            empty: MOST_EMPTY,
            ..Wanted::default()
        };
        assert!(!page(&[], &[], Some("other")).follows(&wanted));
    }

    #[test]
    fn a_page_that_has_less_than_it_says_is_no_page() {
        let read = |says: &str| {
            let xml = format!(
                "<ListBucketResult>{says}<Contents><Key>a</Key><Size>1</Size>\
                 <LastModified>2026-01-02T03:04:05.678Z</LastModified></Contents></ListBucketResult>"
            );
            let answer: Answer = quick_xml::de::from_str(&xml).unwrap();
            answer.page("listing").is_ok()
        };
        assert!(read(
            "<KeyCount>1</KeyCount><IsTruncated>false</IsTruncated>"
        ));
        // Some count no directories.
        assert!(read("<KeyCount>0</KeyCount>"));
        assert!(!read("<KeyCount>2</KeyCount>"));
        let truncated = "<IsTruncated>true</IsTruncated>";
        let token = "<NextContinuationToken>b</NextContinuationToken>";
        assert!(read(&format!("{truncated}{token}")));
        assert!(!read(truncated));
        assert!(!read(&format!(
            "{truncated}<NextContinuationToken></NextContinuationToken>"
        )));
    }

    #[test]
    fn a_key_that_has_no_path_is_not_taken_for_another() {
        assert_eq!(path("a/b c").unwrap().as_ref(), "a/b c");
        for odd in ["a/", "/a", "a//b", "a/../b", "a/\u{1}"] {
            assert!(path(odd).is_none(), "{odd:?}");
        }
    }
}
