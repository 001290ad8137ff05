//! What lies in a repository, as collection and a check meet it: every link, whatever it holds.

use std::future::ready;

use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::Inner;
use crate::digest::{Algorithm, Digest};
use crate::layout::{Dir, Key, StorePath};
use crate::name::{RepositoryName, Tag};
use crate::storage::{ListQuery, RecordEntry, StorageError};

/// Things in the order of the store.
pub(super) type Found<'a, T> = BoxStream<'a, Result<T, StorageError>>;

impl Inner {
    /// The digests that revisions are linked under.
    pub(super) fn revisions<'a>(&'a self, name: &'a RepositoryName) -> Found<'a, Digest> {
        let links = move |algorithm| {
            let dir = Dir::Revisions(name.clone(), algorithm).path();
            self.links(dir, |key| match key {
                Key::Revision(_, digest) => Some(digest),
                _ => None,
            })
        };
        stream::iter(Algorithm::ALL).flat_map(links).boxed()
    }

    /// The digests that blobs are linked under.
    pub(super) fn layers<'a>(&'a self, name: &'a RepositoryName) -> Found<'a, Digest> {
        let links = move |algorithm| {
            let dir = Dir::Layers(name.clone(), algorithm).path();
            self.links(dir, |key| match key {
                Key::Layer(_, digest) => Some(digest),
                _ => None,
            })
        };
        stream::iter(Algorithm::ALL).flat_map(links).boxed()
    }

    /// All tags that have a directory, also those whose link is empty or missing.
    pub(super) fn all_tags(&self, name: &RepositoryName) -> Found<'_, Tag> {
        let dir = Dir::Tags(name.clone()).path();
        let entries = self.records.list(ListQuery::children(dir));
        let tag = |entry: RecordEntry| match entry {
            RecordEntry::Directory { name } => name.parse().ok(),
            RecordEntry::Record { .. } => None,
        };
        entries
            .try_filter_map(move |entry| ready(Ok(tag(entry))))
            .boxed()
    }

    /// Everything that a tag ever pointed to.
    pub(super) fn ever_tagged(&self, name: &RepositoryName, tag: &Tag) -> Found<'_, Digest> {
        let dir = Dir::Tag(name.clone(), tag.clone()).path();
        self.links(dir, |key| match key {
            Key::TagIndex(_, _, digest) => Some(digest),
            _ => None,
        })
    }

    fn links(&self, dir: StorePath, of: fn(Key) -> Option<Digest>) -> Found<'_, Digest> {
        let entries = self.records.list(ListQuery::recursive(dir.clone()));
        let digest = move |entry: &RecordEntry| Key::parse(&format!("{dir}/{}", entry.name()));
        entries
            .try_filter_map(move |entry| ready(Ok(digest(&entry).and_then(of))))
            .boxed()
    }
}
