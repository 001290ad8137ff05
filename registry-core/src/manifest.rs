//! Manifests: exact bytes, and what is read out of them.

mod body;
mod demands;
mod members;
mod rules;
mod url;

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use self::body::{Body, Descriptor};
pub use self::demands::{Children, Demands, Platform, UrlRule};
use crate::digest::{AnyDigest, Digest};
use crate::media_type::{self, MediaType};

/// The most bytes of a manifest, whatever the configuration allows: what is accepted must be read
/// back, and should stay in memory. Clients read 4 MiB and a little, and distribution takes no more.
pub const MAX_BYTES: usize = 7 << 20;

/// Most descriptors in one manifest.
pub const MAX_DESCRIPTORS: usize = 10_000;

/// Deepest nesting of a manifest's JSON.
pub const MAX_DEPTH: usize = 64;

/// The kinds of manifest that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Docker image manifest, schema 2.
    DockerManifest,
    /// Docker manifest list.
    DockerList,
    /// OCI image manifest.
    OciManifest,
    /// OCI image index.
    OciIndex,
}

impl Kind {
    /// The kind of this media type, if we accept it.
    #[must_use]
    pub fn of(media_type: &str) -> Option<Self> {
        Some(match media_type {
            media_type::DOCKER_MANIFEST => Self::DockerManifest,
            media_type::DOCKER_LIST => Self::DockerList,
            media_type::OCI_MANIFEST => Self::OciManifest,
            media_type::OCI_INDEX => Self::OciIndex,
            _ => return None,
        })
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::DockerManifest => media_type::DOCKER_MANIFEST,
            Self::DockerList => media_type::DOCKER_LIST,
            Self::OciManifest => media_type::OCI_MANIFEST,
            Self::OciIndex => media_type::OCI_INDEX,
        }
    }

    /// Whether it lists other manifests.
    #[must_use]
    pub fn is_index(self) -> bool {
        matches!(self, Self::DockerList | Self::OciIndex)
    }

    /// Whether it is of the OCI image specification, and not Docker's own.
    fn is_oci(self) -> bool {
        matches!(self, Self::OciManifest | Self::OciIndex)
    }
}

/// What a manifest needs, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)]
pub struct Needs {
    /// Of what.
    pub digest: AnyDigest,
    /// As what.
    pub role: Role,
    /// How many bytes it has, by its descriptor, which nobody has compared.
    pub size: Option<u64>,
}

/// As what a manifest refers to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// The config or a layer: a blob of this repository.
    Blob,
    /// A layer that may be fetched elsewhere: it need not be here, but is kept if it is.
    Foreign,
    /// An entry of an index: a manifest of this repository, or a blob (`BuildKit` caches).
    Child,
}

/// A manifest exactly as pushed, and what we read out of it. The bytes are never re-serialised.
#[derive(Clone, Debug)]
pub struct Manifest {
    bytes: Bytes,
    digest: Digest,
    kind: Kind,
    names_its_type: bool,
    needs: Vec<Needs>,
    complete: bool,
    platforms: Vec<(AnyDigest, Platform)>,
    subject: Option<AnyDigest>,
    artifact_type: Option<MediaType>,
    annotations: BTreeMap<String, String>,
}

/// Why bytes are no manifest that we accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// `MANIFEST_INVALID`, with the reason.
    #[error("{0}")]
    Invalid(String),
    /// `DENIED`, with the reason: of a class that is not accepted.
    #[error("{0}")]
    Denied(String),
    /// `DIGEST_INVALID`: a descriptor's digest is none, with its text.
    #[error("{0:?} is not a digest")]
    Digest(String),
}

impl Manifest {
    /// Reads and validates a manifest that is being pushed, whose digest this is (`protocol` 8.3).
    /// Whether the children are here that `demands` asks for is not its business.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(
        bytes: Bytes,
        content_type: Option<&MediaType>,
        digest: Digest,
        demands: &Demands,
    ) -> Result<Self, ManifestError> {
        let body = Body::read(rules::sound(&bytes)?)?;
        let kind = rules::kind(&body, content_type)?;
        rules::validate(&body, kind)?;
        rules::validate_urls(&body, demands.urls.as_deref())?;
        rules::validate_class(&body, kind, &demands.classes)?;
        Ok(Self::of(bytes, digest, kind, body))
    }

    /// Reads a manifest that is stored already, without the rules of a push: all that can be read
    /// of it, as distribution would, which may have accepted it. Schema 1 needs its layers.
    /// [`Manifest::is_complete`] tells whether something could not be read.
    ///
    /// # Errors
    /// [`ManifestError::Invalid`] when it is no JSON object of any known form.
    pub fn load(bytes: Bytes, digest: Digest) -> Result<Self, ManifestError> {
        let body = Body::read(&String::from_utf8_lossy(&bytes))?;
        let named = body.named_type().and_then(Kind::of);
        let kind = match named.or_else(|| body.shape().and_then(Kind::of)) {
            Some(kind) => kind,
            None if body.is_schema1() => Kind::DockerManifest,
            None => return Err(invalid("unknown kind of manifest")),
        };
        Ok(Self::of(bytes, digest, kind, body))
    }

    fn of(bytes: Bytes, digest: Digest, kind: Kind, body: Body) -> Self {
        let subject = body.subject.as_ref().filter(|_| kind.is_oci());
        let subject = subject.and_then(|subject| subject.digest.clone());
        let (needs, complete) = references(&body);
        Self {
            digest,
            kind,
            names_its_type: body.named_type().is_some(),
            needs,
            complete,
            platforms: platforms(&body.manifests),
            subject,
            artifact_type: body.effective_artifact_type(kind),
            annotations: body.annotations,
            bytes,
        }
    }

    /// The bytes as pushed.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Their digest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the body has a `mediaType`, without which a hint is kept.
    #[must_use]
    pub fn names_its_type(&self) -> bool {
        self.names_its_type
    }

    /// Config, layers and children, each digest once per role.
    #[must_use]
    pub fn needs(&self) -> &[Needs] {
        &self.needs
    }

    /// Whether [`Manifest::needs`] is all that it needs. If not, a part of it could not be read,
    /// and it may need anything.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Its children for one of these platforms.
    pub(crate) fn children_for(&self, wanted: &[Platform]) -> HashSet<&AnyDigest> {
        let entries = self.platforms.iter();
        let ours = entries.filter(|(_, platform)| wanted.contains(platform));
        ours.map(|(digest, _)| digest).collect()
    }

    /// What it refers to; it need not exist. Docker's manifests refer to nothing.
    #[must_use]
    pub fn subject(&self) -> Option<&AnyDigest> {
        self.subject.as_ref()
    }

    /// How a list of referrers describes it (OCI distribution-spec, "Listing Referrers").
    #[must_use]
    pub fn referrer(&self) -> Referrer {
        Referrer {
            media_type: self.kind.media_type().to_owned(),
            digest: self.digest.to_string(),
            size: self.bytes.len() as u64,
            artifact_type: self
                .artifact_type
                .as_ref()
                .map(|kind| kind.as_str().to_owned()),
            annotations: self.annotations.clone(),
        }
    }
}

/// A descriptor in a list of referrers, in the form of the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Referrer {
    /// Of the referring manifest.
    pub media_type: String,
    /// Of the referring manifest.
    pub digest: String,
    /// Of the referring manifest, in bytes.
    pub size: u64,
    /// Its own `artifactType`, else the media type of its config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// All of its annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What stored bytes say of their type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BodyTypes {
    /// What they name.
    pub(crate) named: Option<MediaType>,
    /// What they look like.
    pub(crate) shape: Option<MediaType>,
}

impl BodyTypes {
    /// Both are `None` of what is no manifest.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let Ok(body) = Body::read(&String::from_utf8_lossy(bytes)) else {
            return Self::default();
        };
        // What no header can carry is none.
        let named = body.named_type().map(MediaType::new);
        let is_written =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        Self {
            named: named.filter(|named| is_written(named.as_str())),
            shape: body.shape().map(MediaType::new),
        }
    }
}

fn invalid(reason: impl Into<String>) -> ManifestError {
    ManifestError::Invalid(reason.into())
}

/// What it needs, each digest once per role, and whether that is all.
fn references(body: &Body) -> (Vec<Needs>, bool) {
    let mut lists = vec![
        ("config", &body.config, Role::Blob),
        ("layers", &body.layers, Role::Blob),
        ("manifests", &body.manifests, Role::Child),
    ];
    if body.is_schema1() {
        lists.push(("fsLayers", &body.fs_layers, Role::Blob));
    }
    let (mut seen, mut needs, mut complete) = (HashSet::new(), Vec::new(), true);
    for (member, list, role) in lists {
        complete &= !body.faults.iter().any(|(name, _)| *name == member);
        for descriptor in list {
            let Some(digest) = &descriptor.digest else {
                complete = false;
                continue;
            };
            let role = if member == "layers" && is_foreign(descriptor) {
                Role::Foreign
            } else {
                role
            };
            if seen.insert((digest, role == Role::Foreign)) {
                needs.push(Needs {
                    digest: digest.clone(),
                    role,
                    size: descriptor.size.and_then(|size| size.try_into().ok()),
                });
            }
        }
    }
    (needs, complete)
}

/// What the entries of an index say they run on, where they do.
fn platforms(entries: &[Descriptor]) -> Vec<(AnyDigest, Platform)> {
    let both = |entry: &Descriptor| Some((entry.digest.clone()?, entry.platform.clone()?));
    entries.iter().filter_map(both).collect()
}

/// A layer that its own description says to fetch elsewhere.
fn is_foreign(layer: &Descriptor) -> bool {
    let kind = layer.media_type.as_deref().unwrap_or_default();
    media_type::ELSEWHERE.contains(&kind) && !layer.urls.is_empty()
}

#[cfg(test)]
mod tests;
