//! Pushing a manifest. The order of its writes is what makes collection safe: the root is
//! written, and only then the data is looked at (design, section 5).

mod tags;

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};

use super::Repository;
use super::aside::aside;
use super::find::{link_content, side_by_side};
use crate::digest::{Algorithm, AnyDigest, Digest};
use crate::error::RegistryError;
use crate::events::EventAction;
use crate::hasher::digest_of;
use crate::layout::Key;
use crate::manifest::{Children, Demands, Manifest, Needs, Role};
use crate::media_type::MediaType;
use crate::name::Tag;
use crate::reference::Reference;
use crate::storage::{
    Durability, Outcome, PutMode, StorageError, UploadHint, UploadId, Verified, Version,
};

/// Looks at the store that run side by side for one manifest.
const SIDE_BY_SIDE: usize = 16;

/// A manifest to be pushed.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs)]
pub struct PutManifest {
    /// What the URL names.
    pub reference: Reference,
    /// Tags that are to point to it as well (`?tag=`); for a digest only.
    pub tags: Vec<Tag>,
    /// The digest that the client named beside a tag (`?digest=`).
    pub digest: Option<Digest>,
    /// As declared.
    pub content_type: Option<MediaType>,
    /// Exactly these are stored.
    pub bytes: Bytes,
}

/// A manifest that was accepted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PushedManifest {
    /// Its address.
    pub digest: Digest,
    /// What it refers to.
    pub subject: Option<AnyDigest>,
    /// The tags of `?tag=` that now point to it.
    pub tags: Vec<Tag>,
}

/// The manifest, if it is the one that was named, which is looked at first.
fn read(
    bytes: Bytes,
    content_type: Option<&MediaType>,
    named: Option<Digest>,
    demands: &Demands,
) -> Result<Manifest, RegistryError> {
    let algorithm = named.map_or(Algorithm::Sha256, |digest| digest.algorithm());
    let digest = digest_of(algorithm, &bytes);
    if named.is_some_and(|named| named != digest) {
        return Err(RegistryError::DigestInvalid(format!("content is {digest}")));
    }
    Ok(Manifest::parse(bytes, content_type, digest, demands)?)
}

#[derive(Serialize, Deserialize)]
struct Hint {
    form: u32,
    media_type: String,
}

/// The media type that a hint tells.
pub(super) fn parse_hint(content: &[u8]) -> Option<MediaType> {
    let hint: Hint = serde_json::from_slice(content).ok()?;
    Some(MediaType::new(&hint.media_type))
}

impl Repository {
    /// Accepts a manifest: 201 means that it, everything it needs and its tags are on stable
    /// storage.
    ///
    /// # Errors
    /// [`RegistryError::ManifestBlobUnknown`] when it needs what is not here; then no tag was
    /// moved. [`RegistryError::Denied`] where a tag is another digest's and must stay that. [`RegistryError::ManifestInvalid`] and [`RegistryError::DigestInvalid`] before
    /// anything is written.
    pub async fn put_manifest(&self, put: PutManifest) -> Result<PushedManifest, RegistryError> {
        self.must_write()?;
        let len = put.bytes.len();
        let named = match &put.reference {
            Reference::Digest(digest) => Some(*digest),
            Reference::Tag(_) => put.digest,
        };
        let (bytes, content_type) = (put.bytes, put.content_type);
        let inner = Arc::clone(&self.inner);
        let reading = move || read(bytes, content_type.as_ref(), named, &inner.options.demands);
        let manifest = aside(len, "reading a manifest", reading).await??;
        let tags = match &put.reference {
            Reference::Tag(tag) => vec![tag.clone()],
            Reference::Digest(_) => put.tags.clone(),
        };
        self.must_not_move(&tags, manifest.digest()).await?;
        let needs = self.present(&manifest).await?;
        let by_digest = matches!(put.reference, Reference::Digest(_));
        let (this, named) = (self.clone(), put.tags);
        let writing = async move {
            this.write(&manifest, needs, &tags).await?;
            this.emit_push(&manifest, &tags);
            this.inner.sightings.add(*manifest.digest(), &this.name);
            Ok(PushedManifest {
                digest: *manifest.digest(),
                subject: manifest.subject().cloned(),
                tags: if by_digest { named } else { Vec::new() },
            })
        };
        self.inner.finish(writing).await
    }

    /// 1: everything it needs is linked here, and its data there.
    async fn present(&self, manifest: &Manifest) -> Result<Vec<Found>, RegistryError> {
        let looks = manifest
            .needs()
            .iter()
            .map(|needs| self.look(needs).boxed());
        let found = side_by_side(SIDE_BY_SIDE, looks).await?;
        let children = &self.inner.options.demands.children;
        let listed = match children {
            Children::For(platforms) => manifest.children_for(platforms),
            Children::All | Children::None => HashSet::new(),
        };
        let is_required = |needs: &Needs| match needs.role {
            Role::Blob => true,
            Role::Child => *children == Children::All || listed.contains(&needs.digest),
            Role::Foreign => false,
        };
        let mut missing = Vec::new();
        for (needs, found) in manifest.needs().iter().zip(&found) {
            if found.is_none() && is_required(needs) && !missing.contains(&needs.digest) {
                missing.push(needs.digest.clone());
            }
        }
        if missing.is_empty() {
            Ok(found.into_iter().flatten().collect())
        } else {
            Err(RegistryError::ManifestBlobUnknown(missing))
        }
    }

    /// Whether one thing is here, and as what: a child may be a manifest or a blob. Of an algorithm
    /// that we cannot compute there is nothing.
    async fn look(&self, needs: &Needs) -> Result<Option<Found>, StorageError> {
        let Some(digest) = needs.digest.known() else {
            return Ok(None);
        };
        if needs.role == Role::Child {
            let key = Key::Revision(self.name.clone(), *digest);
            if let Some((target, _)) = self.inner.link(&key).await?
                && self.inner.look_for(&target).await?.is_some()
            {
                return Ok(Some(Found { key, target }));
            }
        }
        let found = self.linked(digest).await?;
        let key = Key::Layer(self.name.clone(), *digest);
        Ok(found.map(|(target, _)| Found { key, target }))
    }

    /// 2 to 7. The bytes come before the lock, which a delete takes alone.
    async fn write(
        &self,
        manifest: &Manifest,
        mut needs: Vec<Found>,
        tags: &[Tag],
    ) -> Result<(), RegistryError> {
        self.store_bytes(manifest).await?;
        let _beside = self.inner.repositories.shared(&self.name).await;
        // A delete takes all that tells of a child; what it took meanwhile is not put back by half.
        if manifest.needs().iter().any(|need| need.role == Role::Child) {
            needs = self.present(manifest).await?;
        }
        let needs = &needs;
        let scan = self.inner.scans.writing(&self.name);
        self.put_link(
            &Key::Revision(self.name.clone(), *manifest.digest()),
            manifest.digest(),
        )
        .await?;
        self.put_back(needs).await?;
        self.put_side_data(manifest).await?;
        scan.done();
        let _alone = self.lock_tags(tags).await;
        let mut tagged = Vec::with_capacity(tags.len());
        for tag in tags {
            match self.set_tag(tag, manifest.digest()).await {
                Ok(set) => tagged.push(set),
                Err(error) => {
                    self.take_back(manifest.digest(), tagged).await;
                    return Err(error);
                }
            }
        }
        match self.look_again(manifest, needs).await {
            Ok(missing) if missing.is_empty() => Ok(()),
            Ok(missing) => {
                self.take_back(manifest.digest(), tagged).await;
                Err(RegistryError::ManifestBlobUnknown(missing))
            }
            Err(error) => {
                self.take_back(manifest.digest(), tagged).await;
                Err(error.into())
            }
        }
    }

    /// 2: the manifest's own bytes, committed anew even if they are there: their age counts.
    async fn store_bytes(&self, manifest: &Manifest) -> Result<(), StorageError> {
        let id = UploadId::new(self.inner.options.ambient.random_u128());
        let len = manifest.bytes().len() as u64;
        let hint = UploadHint {
            digest: Some(*manifest.digest()),
            size: Some(len),
        };
        let mut writer = self.inner.blobs.open_upload(&id, None, hint).await?;
        if let Err(error) = writer.write(vec![manifest.bytes().clone()]).await {
            let _ = writer.abort().await;
            let _ = self.inner.blobs.abort_upload(&id, None).await;
            return Err(error);
        }
        let _beside = self.inner.digests.shared(manifest.digest()).await;
        let content = Verified::new(*manifest.digest(), len);
        if let Err(failed) = writer.commit(content).await {
            let _ = self.inner.blobs.abort_upload(&id, failed.checkpoint).await;
            return Err(failed.source);
        }
        Ok(())
    }

    /// Writes a link over whatever is there.
    pub(super) async fn put_link(
        &self,
        key: &Key,
        target: &Digest,
    ) -> Result<Option<Version>, StorageError> {
        if matches!(key, Key::Layer(..) | Key::Revision(..)) {
            self.inner.enter_catalog(&self.name).await?;
        }
        let (path, value) = (key.path(), link_content(target));
        match self
            .inner
            .records
            .put(&path, value, PutMode::Replace, Durability::Durable)
            .await?
        {
            Outcome::Done(version) => Ok(version),
            // No condition was asked for.
            Outcome::Conflict => Ok(None),
        }
    }

    /// 4: links that have gone since they were looked at.
    async fn put_back(&self, needs: &[Found]) -> Result<(), StorageError> {
        let back = needs.iter().map(|found| self.put_one_back(found).boxed());
        side_by_side(SIDE_BY_SIDE, back).await?;
        Ok(())
    }

    async fn put_one_back(&self, found: &Found) -> Result<(), StorageError> {
        if self.inner.link(&found.key).await?.is_none() {
            let _beside = self.inner.digests.shared(&found.target).await;
            self.put_link(&found.key, &found.target).await?;
        }
        Ok(())
    }

    /// 5: the referrer record, if there can be a list that tells it; a hint, if the body does not name its type.
    async fn put_side_data(&self, manifest: &Manifest) -> Result<(), StorageError> {
        if let Some(subject) = manifest.subject().and_then(AnyDigest::known) {
            self.put_referrer(manifest, subject).await?;
        }
        if !manifest.names_its_type() {
            let hint = Hint {
                form: 1,
                media_type: manifest.kind().media_type().to_owned(),
            };
            let value = Bytes::from(serde_json::to_vec(&hint).unwrap_or_default());
            let path = Key::MediaType(self.name.clone(), *manifest.digest()).path();
            let (mode, durability) = (PutMode::Replace, Durability::Durable);
            let _ = self
                .inner
                .records
                .put(&path, value, mode, durability)
                .await?;
        }
        Ok(())
    }

    /// 7: only now the data is looked at: own revision, links and revisions, all bytes. What
    /// went is put back; what cannot be had any more is the answer.
    async fn look_again(
        &self,
        manifest: &Manifest,
        needs: &[Found],
    ) -> Result<Vec<AnyDigest>, StorageError> {
        let own = Key::Revision(self.name.clone(), *manifest.digest());
        while self.inner.link(&own).await?.is_none() {
            self.put_link(&own, manifest.digest()).await?;
            // Whoever took the revision took what tells of it before.
            self.put_side_data(manifest).await?;
        }
        self.put_back(needs).await?;
        let own = std::iter::once(*manifest.digest());
        let all: Vec<Digest> = needs.iter().map(|found| found.target).chain(own).collect();
        let there = all.iter().map(|digest| self.inner.look_for(digest).boxed());
        let there = side_by_side(SIDE_BY_SIDE, there).await?;
        Ok(all
            .into_iter()
            .zip(there)
            .filter(|(_, there)| there.is_none())
            .map(|(digest, _)| digest.into())
            .collect())
    }

    fn emit_push(&self, manifest: &Manifest, tags: &[Tag]) {
        let media_type = Some(MediaType::new(manifest.kind().media_type()));
        let size = Some(manifest.bytes().len() as u64);
        let event = self
            .event(EventAction::Push)
            .target(*manifest.digest(), size, media_type);
        if tags.is_empty() {
            self.emit(event);
            return;
        }
        for tag in tags {
            self.emit(event.clone().tag(tag));
        }
    }
}

/// Something a manifest needs that is here: the link that makes it visible, and its data.
#[derive(Clone, Debug)]
struct Found {
    key: Key,
    target: Digest,
}

#[cfg(test)]
mod tests;
