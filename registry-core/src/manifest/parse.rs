//! From bytes to what a manifest says, and the rules that a pushed one must keep.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use super::{Kind, MAX_DEPTH, MAX_DESCRIPTORS, ManifestError, Needs, Role};
use crate::digest::Digest;
use crate::media_type::{self, MediaType};

/// The members that we look at. A member that stands twice is an error of the parser.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body {
    schema_version: Option<i64>,
    pub(super) media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    manifests: Option<Vec<RawDescriptor>>,
    subject: Option<RawDescriptor>,
    pub(super) annotations: Option<BTreeMap<String, String>>,
    pub(super) fs_layers: Option<Vec<FsLayer>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: Option<String>,
    digest: String,
    size: Option<i64>,
    #[serde(default)]
    urls: Option<Vec<String>>,
}

/// A layer of schema 1.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FsLayer {
    blob_sum: String,
}

fn invalid(reason: impl Into<String>) -> ManifestError {
    ManifestError::Invalid(reason.into())
}

pub(super) fn read(bytes: &[u8]) -> Result<Body, ManifestError> {
    check_depth(bytes)?;
    // Once as any JSON, so that members we pass over must be sound as well (lone surrogates).
    let _: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| invalid(format!("not JSON: {error}")))?;
    serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))
}

/// Before any parser recurses: how deep do brackets nest?
fn check_depth(bytes: &[u8]) -> Result<(), ManifestError> {
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for byte in bytes {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_text = false,
            (true, _) => {}
            (false, b'"') => in_text = true,
            (false, b'{' | b'[') => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(invalid(format!("nested deeper than {MAX_DEPTH} levels")));
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

impl Body {
    /// What the body says of its type, by member or by shape.
    pub(super) fn derived_type(&self) -> Option<&str> {
        if let Some(media_type) = &self.media_type {
            return Some(media_type);
        }
        if self.fs_layers.is_some() {
            Some(media_type::SCHEMA1)
        } else if self.manifests.is_some() {
            Some(media_type::OCI_INDEX)
        } else if self.config.is_some() || self.layers.is_some() {
            Some(media_type::OCI_MANIFEST)
        } else {
            None
        }
    }

    /// Its own artifact type, else the type of an image's config.
    pub(super) fn effective_artifact_type(&self, kind: Kind) -> Option<MediaType> {
        let own = self
            .artifact_type
            .as_deref()
            .filter(|text| !text.is_empty());
        let config = || self.config.as_ref()?.media_type.as_deref();
        let text = if kind.is_index() {
            own
        } else {
            own.or_else(config)
        };
        text.filter(|text| !text.is_empty()).map(MediaType::new)
    }
}

/// Which kind it is, by its `Content-Type` and its body, which must agree.
pub(super) fn kind(body: &Body, content_type: Option<&MediaType>) -> Result<Kind, ManifestError> {
    let unspecific = ["", "application/json", "application/octet-stream"];
    let declared = content_type
        .map(MediaType::as_str)
        .filter(|text| !unspecific.contains(text));
    if let (Some(declared), Some(named)) = (declared, &body.media_type)
        && declared != named
    {
        return Err(invalid(format!(
            "Content-Type is {declared}, but mediaType is {named}"
        )));
    }
    let Some(text) = declared.or_else(|| body.derived_type()) else {
        return Err(invalid(
            "neither Content-Type nor mediaType says what this is",
        ));
    };
    if matches!(text, media_type::SCHEMA1 | media_type::SCHEMA1_SIGNED) {
        return Err(invalid(
            "Docker image manifest schema 1 is no longer accepted: it cannot be verified by digest; \
             push again with a client that writes schema 2 or OCI",
        ));
    }
    Kind::of(text).ok_or_else(|| invalid(format!("unsupported manifest media type: {text}")))
}

pub(super) fn validate(body: &Body, kind: Kind) -> Result<(), ManifestError> {
    if body.schema_version != Some(2) {
        return Err(invalid("schemaVersion must be 2"));
    }
    let docker = matches!(kind, Kind::DockerManifest | Kind::DockerList);
    if docker && body.media_type.is_none() {
        return Err(invalid(format!("mediaType must be {}", kind.media_type())));
    }
    // One document that reads as two kinds under one digest: CVE-2021-41190.
    if kind.is_index() {
        if body.config.is_some() || body.layers.is_some() {
            return Err(invalid("an index must not have config or layers"));
        }
        if body.manifests.is_none() {
            return Err(invalid("an index must have manifests"));
        }
    } else {
        if body.manifests.is_some() {
            return Err(invalid("an image manifest must not have manifests"));
        }
        if body.config.is_none() || body.layers.is_none() {
            return Err(invalid("an image manifest must have config and layers"));
        }
    }
    for descriptor in body.descriptors() {
        if descriptor
            .media_type
            .as_deref()
            .unwrap_or_default()
            .is_empty()
        {
            return Err(invalid(format!(
                "descriptor of {} has no mediaType",
                descriptor.digest
            )));
        }
        if descriptor.size.is_none_or(|size| size < 0) {
            return Err(invalid(format!(
                "descriptor of {} has no valid size",
                descriptor.digest
            )));
        }
        for url in descriptor.urls.iter().flatten() {
            if !(url.starts_with("http://") || url.starts_with("https://")) || url.contains('#') {
                return Err(invalid(format!(
                    "descriptor of {}: bad URL",
                    descriptor.digest
                )));
            }
        }
    }
    Ok(())
}

impl Body {
    fn descriptors(&self) -> impl Iterator<Item = &RawDescriptor> {
        let lists = self.layers.iter().chain(&self.manifests).flatten();
        self.config.iter().chain(lists).chain(&self.subject)
    }
}

pub(super) fn references(body: &Body) -> Result<(Vec<Needs>, Option<Digest>), ManifestError> {
    let digest = |text: &str| {
        text.parse()
            .map_err(|_| ManifestError::Digest(text.to_owned()))
    };
    let lists = [(&body.layers, Role::Blob), (&body.manifests, Role::Child)];
    let mut raw: Vec<(&str, Role)> = Vec::new();
    raw.extend(
        body.config
            .iter()
            .map(|config| (config.digest.as_str(), Role::Blob)),
    );
    for (list, role) in lists {
        raw.extend(list.iter().flatten().map(|descriptor| {
            let role = if descriptor.is_foreign() {
                Role::Foreign
            } else {
                role
            };
            (descriptor.digest.as_str(), role)
        }));
    }
    raw.extend(
        body.fs_layers
            .iter()
            .flatten()
            .map(|layer| (layer.blob_sum.as_str(), Role::Blob)),
    );
    if raw.len() > MAX_DESCRIPTORS {
        return Err(invalid(format!("more than {MAX_DESCRIPTORS} descriptors")));
    }
    let mut seen = HashSet::new();
    let mut needs = Vec::with_capacity(raw.len());
    for (text, role) in raw {
        let digest = digest(text)?;
        if seen.insert((digest, role == Role::Foreign)) {
            needs.push(Needs { digest, role });
        }
    }
    let subject = body
        .subject
        .as_ref()
        .map(|subject| digest(&subject.digest))
        .transpose()?;
    Ok((needs, subject))
}

impl RawDescriptor {
    /// A layer that its own description says to fetch elsewhere.
    fn is_foreign(&self) -> bool {
        let kind = self.media_type.as_deref().unwrap_or_default();
        let by_type = kind.starts_with("application/vnd.docker.image.rootfs.foreign.diff.tar")
            || kind.starts_with("application/vnd.oci.image.layer.nondistributable.v1.tar");
        by_type && self.urls.as_ref().is_some_and(|urls| !urls.is_empty())
    }
}
