//! Manifests of a repository, by tag or digest.

use bytes::Bytes;

use super::Repository;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::events::EventAction;
use crate::layout::Key;
use crate::manifest::media_type_of;
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
            Err(error) => return Err(error),
        };
        let media_type = self.media_type(digest, &bytes).await?;
        Ok(Some(ServedManifest {
            digest: *digest,
            bytes,
            media_type,
        }))
    }

    /// The type that the body names; else the hint of its push; else what its shape says.
    async fn media_type(&self, digest: &Digest, bytes: &Bytes) -> Result<MediaType, StorageError> {
        if let Some(known) = self.inner.types.get(digest) {
            return Ok(known);
        }
        let derived = media_type_of(bytes);
        if let Some(named) = derived.as_ref().filter(|_| names_its_type(bytes)) {
            // By digest alone: the same bytes name the same type in every repository.
            self.inner.types.insert(*digest, named.clone());
            return Ok(named.clone());
        }
        let path = Key::MediaType(self.name.clone(), *digest).path();
        let hint = self.inner.records.get(&path).await?;
        let hint = hint.and_then(|record| super::push::parse_hint(&record.value));
        Ok(hint
            .or(derived)
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

fn names_its_type(bytes: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        media_type: Option<String>,
    }
    serde_json::from_slice::<Named>(bytes).is_ok_and(|body| body.media_type.is_some())
}
