//! A small image, pushed and pulled through the semantics, and a registry over any store.
#![allow(clippy::unwrap_used, reason = "these are the bodies of tests")]

use std::sync::Arc;

use crate::access::{Identity, Secret};
use crate::hasher::digest_of;
use crate::registry::{Append, BlobContent, Body, Options, PutManifest, Registry, Repository};
use crate::storage::Storage;
use crate::testing::{ambient, content, read_to_end};
use crate::{Algorithm, Digest, Reference, RegistryError, Rules, Tag};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

/// A config, a layer, and the manifest that needs both.
pub(crate) struct Image {
    pub(crate) blobs: [Bytes; 2],
    pub(crate) manifest: Bytes,
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    digest_of(Algorithm::Sha256, bytes)
}

pub(crate) fn tag() -> Tag {
    "latest".parse().unwrap()
}

pub(crate) fn by_tag() -> Reference {
    Reference::Tag(tag())
}

/// All of a body, in two pieces.
pub(crate) fn body(bytes: &Bytes) -> Body<'static> {
    let half = bytes.len() / 2;
    let pieces = [bytes.slice(..half), bytes.slice(half..)];
    stream::iter(pieces.map(Ok)).boxed()
}

/// A registry with nothing in its memory. It makes no call of the store by being opened.
pub(crate) async fn registry(storage: &Storage, read_only: bool) -> Registry {
    let mut options = Options::new(ambient());
    options.delete = true;
    options.read_only = read_only;
    options.secret = Some(Secret::new("a secret of the tests".to_owned()));
    Registry::open(storage.clone(), options).await.unwrap()
}

async fn in_registry(storage: &Storage, read_only: bool) -> Repository {
    let registry = registry(storage, read_only).await;
    named(&registry, "library/image")
}

/// A repository of this registry.
pub(crate) fn named(registry: &Registry, name: &str) -> Repository {
    let rules = Arc::new(Rules::everything());
    let grant = rules.authorize(Identity::anonymous(), &[], &[]).unwrap();
    registry.repository(name.parse().unwrap(), grant)
}

pub(crate) async fn repository(storage: &Storage) -> Repository {
    in_registry(storage, false).await
}

/// Of a registry in which nothing may be written.
pub(crate) async fn read_only(storage: &Storage) -> Repository {
    in_registry(storage, true).await
}

/// Pushes a manifest that refers to a subject, under a digest of this algorithm. What it needs
/// must be there.
pub(crate) async fn refer(
    to: &Repository,
    image: &Image,
    subject: &Digest,
    kind: &str,
    algorithm: Algorithm,
) -> Digest {
    let put = referring(image, subject, kind, algorithm);
    to.put_manifest(put).await.unwrap().digest
}

/// A manifest that refers to a subject.
pub(crate) fn referring(
    image: &Image,
    subject: &Digest,
    kind: &str,
    algorithm: Algorithm,
) -> PutManifest {
    let config = sha256(&image.blobs[0]);
    let of = |digest: &Digest| {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":100}}"#)
    };
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"{kind}","config":{},"layers":[],"subject":{}}}"#,
        of(&config),
        of(subject)
    );
    let bytes = Bytes::from(manifest);
    PutManifest {
        reference: Reference::Digest(digest_of(algorithm, &bytes)),
        tags: Vec::new(),
        digest: None,
        content_type: None,
        bytes,
    }
}

impl Image {
    pub(crate) fn new(seed: u64) -> Self {
        let blobs = [content(2 * seed, 100), content(2 * seed + 1, 1000)];
        let descriptor = |kind: &str, blob: &Bytes| {
            let (digest, size) = (sha256(blob), blob.len());
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":{size}}}"#
            )
        };
        let config = descriptor("config.v1+json", &blobs[0]);
        let layer = descriptor("layer.v1.tar", &blobs[1]);
        // Without its type, so that a push also leaves a hint.
        let manifest = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#);
        let manifest = manifest.into();
        Self { blobs, manifest }
    }

    pub(crate) fn digest(&self) -> Digest {
        sha256(&self.manifest)
    }

    pub(crate) fn layer(&self) -> Digest {
        sha256(&self.blobs[1])
    }

    pub(crate) async fn push_blobs(&self, to: &Repository) -> Result<(), RegistryError> {
        for blob in &self.blobs {
            to.push_blob(Append::default(), body(blob), &sha256(blob))
                .await?;
        }
        Ok(())
    }

    pub(crate) async fn put(&self, to: &Repository) -> Result<(), RegistryError> {
        let put = PutManifest {
            reference: by_tag(),
            tags: Vec::new(),
            digest: None,
            content_type: None,
            bytes: self.manifest.clone(),
        };
        to.put_manifest(put).await.map(|pushed| {
            assert_eq!(pushed.digest, self.digest());
        })
    }

    pub(crate) async fn push(&self, to: &Repository) -> Result<(), RegistryError> {
        self.push_blobs(to).await?;
        self.put(to).await
    }

    /// All of it is there, byte for byte.
    pub(crate) async fn assert_whole(&self, from: &Repository, context: &str) {
        let by_digest = Reference::Digest(self.digest());
        let served = from.manifest(&by_digest).await;
        let served = served.unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(served.bytes, self.manifest, "{context}");
        for blob in &self.blobs {
            let found = get_blob(from, &sha256(blob)).await;
            let found = found.unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(found, *blob, "{context}");
        }
    }
}

/// What the tag points to.
pub(crate) async fn tagged(repository: &Repository, context: &str) -> Option<Digest> {
    match repository.manifest(&by_tag()).await {
        Ok(served) => {
            assert_eq!(sha256(&served.bytes), served.digest, "{context}");
            Some(served.digest)
        }
        Err(RegistryError::ManifestUnknown(_)) => None,
        Err(error) => panic!("{context}: {error}"),
    }
}

pub(crate) async fn get_blob(from: &Repository, digest: &Digest) -> Result<Bytes, RegistryError> {
    match from.open_blob(digest, None).await? {
        BlobContent::Reader { mut reader, .. } => Ok(read_to_end(&mut *reader, 400).await?),
        BlobContent::Redirect(url) => panic!("sent to {url:?}"),
    }
}
