//! Manifests of a repository, by tag or digest.

use bytes::Bytes;

use super::Repository;
use super::find::is_of_hollow;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::events::EventAction;
use crate::layout::Key;
use crate::media_type::MediaType;
use crate::name::Tag;
use crate::reference::Reference;
use crate::storage::StorageError;

/// A manifest as it leaves: the bytes as pushed, with their type.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServedManifest {
    /// What was asked for, or what the tag points to.
    pub digest: Digest,
    /// As pushed.
    pub bytes: Bytes,
    /// As pushed.
    pub media_type: MediaType,
}

impl Repository {
    /// The manifest of this tag or digest. A tag whose revision is gone is absent.
    ///
    /// # Errors
    /// [`RegistryError::ManifestUnknown`]; faults of the store are never that.
    pub async fn manifest(&self, reference: &Reference) -> Result<ServedManifest, RegistryError> {
        let (digest, tag) = match reference {
            Reference::Digest(digest) => (*digest, None),
            Reference::Tag(tag) => (self.resolve(tag).await?, Some(tag)),
        };
        let served = self
            .revision(&digest)
            .await?
            .ok_or_else(|| self.unknown(reference))?;
        self.inner.heal_catalog(&self.name);
        let mut event = self.event(EventAction::Pull);
        event = event.target(
            digest,
            Some(served.bytes.len() as u64),
            Some(served.media_type.clone()),
        );
        self.emit(match tag {
            Some(tag) => event.tag(tag),
            None => event,
        });
        Ok(served)
    }

    /// What a tag points to.
    pub(super) async fn resolve(&self, tag: &Tag) -> Result<Digest, RegistryError> {
        let key = Key::TagCurrent(self.name.clone(), tag.clone());
        let link = self.inner.link(&key).await?;
        let unknown = || self.unknown(&Reference::Tag(tag.clone()));
        link.map(|(digest, _)| digest).ok_or_else(unknown)
    }

    /// A manifest by digest; `None` when revision or bytes are missing.
    async fn revision(&self, digest: &Digest) -> Result<Option<ServedManifest>, StorageError> {
        let key = Key::Revision(self.name.clone(), *digest);
        let Some((target, _)) = self.inner.link(&key).await? else {
            return Ok(None);
        };
        let bytes = match self.inner.manifest_bytes(&target).await {
            Ok(bytes) => bytes,
            Err(StorageError::NotFound) => return Ok(None),
            Err(error) if is_of_hollow(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let media_type = self.media_type(digest, &target, &bytes).await?;
        Ok(Some(ServedManifest {
            digest: *digest,
            bytes,
            media_type,
        }))
    }

    /// The type that the body names; else the hint of its push; else what its shape says.
    async fn media_type(
        &self,
        digest: &Digest,
        target: &Digest,
        bytes: &Bytes,
    ) -> Result<MediaType, StorageError> {
        let types = self.inner.types_of(target, bytes).await?;
        if let Some(named) = &types.named {
            return Ok(named.clone());
        }
        let path = Key::MediaType(self.name.clone(), *digest).path();
        let hint = self.inner.records.get(&path).await?;
        let hint = hint.and_then(|record| super::push::parse_hint(&record.value));
        Ok(hint
            .or_else(|| types.shape.clone())
            .unwrap_or_else(|| MediaType::new("application/octet-stream")))
    }

    pub(super) fn unknown(&self, reference: &Reference) -> RegistryError {
        RegistryError::ManifestUnknown(match reference {
            Reference::Tag(tag) => format!("unknown tag={tag}"),
            Reference::Digest(digest) => {
                format!("unknown manifest name={} revision={digest}", self.name)
            }
        })
    }
}
