//! A look over the whole store for what does not fit together: what a crash of distribution, or
//! a hand in the files, has left. Nothing is changed.

use std::collections::{HashMap, HashSet};

use futures_util::TryStreamExt;
use serde::Serialize;

use super::catalog::Walk;
use super::find::{is_hollow, is_unreadable, read_manifest};
use super::{Inner, Registry};
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::layout::{Dir, Key, parse_link};
use crate::manifest::{Manifest, Needs, Role};
use crate::name::RepositoryName;
use crate::storage::{ListQuery, StorageError};

/// What does not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TraceKind {
    /// A link of a blob or manifest that holds no digest, and is absent for who reads.
    EmptyLink,
    /// A manifest is linked, and there are no bytes of it.
    MissingManifest,
    /// The bytes of a manifest are others than its digest says, or no manifest.
    UnreadableManifest,
    /// A blob that a manifest needs is linked, and there are no bytes of it.
    MissingBlob,
    /// A blob has lost its bytes, and is absent for who reads.
    EmptyBlob,
    /// What a manifest needs is not in its repository.
    Unlinked,
    /// A tag whose link is missing or holds no digest.
    EmptyTag,
    /// A tag of a manifest that the repository does not have.
    DanglingTag,
    /// An upload that distribution began and never ended.
    Upload,
    /// A blob has fewer bytes than a manifest says, and they are not its own.
    CutShort,
    /// The bytes of a blob are others than its digest says.
    Rotten,
    /// The bytes of a blob are there and cannot be read.
    Unreadable,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trace {
    /// What it is.
    pub kind: TraceKind,
    /// Where it lies, relative to the root of the store.
    pub path: String,
    /// What more there is to say.
    pub detail: Option<String>,
}

impl Trace {
    /// Whether bytes that somebody may ask for are lost, and not only what a crash has left that
    /// harms nobody. That an index names what is not here may be meant so.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self.kind {
            TraceKind::EmptyLink
            | TraceKind::EmptyTag
            | TraceKind::DanglingTag
            | TraceKind::Upload => false,
            TraceKind::Unlinked => !matches!(Key::parse(&self.path), Some(Key::Revision(..))),
            _ => true,
        }
    }
}

/// What a look came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Checked {
    /// Repositories that were looked at.
    pub repositories: u64,
    /// Manifests that are linked in them.
    pub revisions: u64,
    /// Tags in them.
    pub tags: u64,
    /// What was told.
    pub traces: u64,
    /// Whether there are no more repositories than those.
    pub complete: bool,
}

/// What a look comes across.
pub(super) enum Found<'a> {
    /// How far it has come.
    Progress(&'a Checked),
    Trace(Trace),
}

/// Is told of each.
type Tell<'a> = dyn FnMut(Found<'_>) + Send + 'a;

pub(super) struct Look<'a, 't> {
    tell: &'a mut Tell<'t>,
    pub(super) checked: Checked,
    /// Digests that the trash has a copy of, once somebody asked.
    trash: Option<HashSet<Digest>>,
    /// Sizes of blobs by manifests, where they have fewer bytes than that.
    pub(super) larger: HashMap<Digest, u64>,
}

/// What there is of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bytes {
    There(u64),
    /// A file without a byte, which it should have.
    Empty,
    /// They come back when they are asked for.
    Trash,
    Missing,
}

impl<'a, 't> Look<'a, 't> {
    pub(super) fn new(tell: &'a mut Tell<'t>) -> Self {
        Self {
            tell,
            checked: Checked::default(),
            trash: None,
            larger: HashMap::new(),
        }
    }

    fn found(&mut self, kind: TraceKind, path: impl Into<String>) {
        self.checked.traces += 1;
        (self.tell)(Found::Trace(Trace {
            kind,
            path: path.into(),
            detail: None,
        }));
    }
}

impl Registry {
    /// Looks at so many repositories, and tells what does not fit together in them.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn check(
        &self,
        repositories: u64,
        tell: &mut (dyn FnMut(Trace) + Send + '_),
    ) -> Result<Checked, RegistryError> {
        let mut tell = |found: Found<'_>| {
            if let Found::Trace(trace) = found {
                tell(trace);
            }
        };
        let mut look = Look::new(&mut tell);
        self.look_over(repositories, &mut look).await?;
        Ok(look.checked)
    }

    pub(super) async fn look_over(
        &self,
        repositories: u64,
        look: &mut Look<'_, '_>,
    ) -> Result<(), StorageError> {
        let mut walk = Walk::new(None);
        while let Some(name) = walk.next(self).await? {
            // A first push that broke off leaves nothing but its upload.
            let is_repository = self.0.is_repository(&name).await?;
            if is_repository && look.checked.repositories == repositories {
                return Ok(());
            }
            self.0.check_uploads(&name, look).await?;
            if is_repository {
                look.checked.repositories += 1;
                self.0.check_repository(&name, look).await?;
            }
        }
        look.checked.complete = true;
        Ok(())
    }
}

impl Inner {
    async fn check_repository(
        &self,
        name: &RepositoryName,
        look: &mut Look<'_, '_>,
    ) -> Result<(), StorageError> {
        let mut layers = self.layers(name);
        while let Some(digest) = layers.try_next().await? {
            let key = Key::Layer(name.clone(), digest);
            if let Some(target) = self.check_link(&key, look).await?
                && self.bytes_of(&target, look).await? == Bytes::Empty
            {
                look.found(TraceKind::EmptyBlob, Key::Blob(target).path().as_str());
            }
        }
        let mut missed = HashSet::new();
        let mut revisions = self.revisions(name);
        while let Some(digest) = revisions.try_next().await? {
            look.checked.revisions += 1;
            (look.tell)(Found::Progress(&look.checked));
            self.check_revision(name, digest, &mut missed, look).await?;
        }
        let mut tags = self.all_tags(name);
        while let Some(tag) = tags.try_next().await? {
            let path = Key::TagCurrent(name.clone(), tag).path();
            look.checked.tags += 1;
            let record = self.records.get(&path).await?;
            let Some(digest) = record.and_then(|record| parse_link(&record.value)) else {
                look.found(TraceKind::EmptyTag, path.as_str());
                continue;
            };
            let revision = Key::Revision(name.clone(), digest).path();
            if self.records.get(&revision).await?.is_none() {
                look.found(TraceKind::DanglingTag, path.as_str());
            }
        }
        Ok(())
    }

    /// A manifest, and what it needs. What it misses is told once in each repository.
    async fn check_revision(
        &self,
        name: &RepositoryName,
        digest: Digest,
        missed: &mut HashSet<Digest>,
        look: &mut Look<'_, '_>,
    ) -> Result<(), StorageError> {
        let key = Key::Revision(name.clone(), digest);
        let Some(target) = self.check_link(&key, look).await? else {
            return Ok(());
        };
        match self.bytes_of(&target, look).await? {
            Bytes::Missing => look.found(TraceKind::MissingManifest, key.path().as_str()),
            Bytes::Trash => {}
            Bytes::Empty | Bytes::There(_) => match self.peek_manifest(&target, digest).await? {
                None => look.found(TraceKind::UnreadableManifest, key.path().as_str()),
                Some(manifest) => {
                    for needs in manifest.needs() {
                        if let Some(digest) = needs.digest.known()
                            && needs.role != Role::Foreign
                            && !missed.contains(digest)
                            && self.misses(name, digest, needs, look).await?
                        {
                            missed.insert(*digest);
                        }
                    }
                }
            },
        }
        Ok(())
    }

    /// `None` if it cannot be read.
    async fn peek_manifest(
        &self,
        target: &Digest,
        digest: Digest,
    ) -> Result<Option<Manifest>, StorageError> {
        match self.peek_manifest_bytes(target).await {
            Ok(bytes) => read_manifest(bytes, digest).await,
            Err(error) if is_unreadable(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether something that a manifest needs is missing, which is told.
    async fn misses(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        needs: &Needs,
        look: &mut Look<'_, '_>,
    ) -> Result<bool, StorageError> {
        let role = needs.role;
        let revision = Key::Revision(name.clone(), *digest).path();
        if role == Role::Child && self.records.get(&revision).await?.is_some() {
            // It is looked at by itself.
            return Ok(false);
        }
        let layer = Key::Layer(name.clone(), *digest).path();
        let Some(record) = self.records.get(&layer).await? else {
            let path = if role == Role::Child { revision } else { layer };
            look.found(TraceKind::Unlinked, path.as_str());
            return Ok(true);
        };
        // That a link is empty has been told.
        let Some(target) = parse_link(&record.value) else {
            return Ok(false);
        };
        let bytes = self.bytes_of(&target, look).await?;
        if bytes == Bytes::Missing {
            look.found(TraceKind::MissingBlob, layer.as_str());
        }
        if let (Bytes::There(there), Some(size)) = (bytes, needs.size)
            && size > there
        {
            look.larger.insert(target, size);
        }
        Ok(bytes == Bytes::Missing)
    }

    /// Where the link leads, if it leads anywhere.
    async fn check_link(
        &self,
        key: &Key,
        look: &mut Look<'_, '_>,
    ) -> Result<Option<Digest>, StorageError> {
        let path = key.path();
        // It may have gone since it was listed.
        let Some(record) = self.records.get(&path).await? else {
            return Ok(None);
        };
        let target = parse_link(&record.value);
        if target.is_none() {
            look.found(TraceKind::EmptyLink, path.as_str());
        }
        Ok(target)
    }

    async fn bytes_of(
        &self,
        digest: &Digest,
        look: &mut Look<'_, '_>,
    ) -> Result<Bytes, StorageError> {
        match self.blobs.stat(digest).await {
            Ok(stat) if is_hollow(digest, stat.size) => return Ok(Bytes::Empty),
            Ok(stat) => return Ok(Bytes::There(stat.size)),
            Err(StorageError::NotFound) => {}
            Err(error) => return Err(error),
        }
        if look.trash.is_none() {
            let retired = self.blobs.list_retired().map_ok(|copy| copy.digest);
            look.trash = Some(retired.try_collect().await?);
        }
        let trash = look.trash.as_ref();
        Ok(match trash.is_some_and(|trash| trash.contains(digest)) {
            true => Bytes::Trash,
            false => Bytes::Missing,
        })
    }

    async fn check_uploads(
        &self,
        name: &RepositoryName,
        look: &mut Look<'_, '_>,
    ) -> Result<(), StorageError> {
        let dir = Dir::ForeignUploads(name.clone()).path();
        let mut entries = self.records.list(ListQuery::children(dir.clone()));
        while let Some(entry) = entries.try_next().await? {
            look.found(TraceKind::Upload, format!("{dir}/{}", entry.name()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
