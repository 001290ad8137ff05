//! What can be read of a manifest, whoever accepted it. Nothing is judged here: what is not of
//! its form is noted beside what could be read, and [`super::rules`] decides about a push.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::members::{Member, ambiguity, members};
use super::{Kind, ManifestError, Platform, invalid};
use crate::digest::AnyDigest;
use crate::media_type::{self, MediaType};

const NAMES: &[&str] = &[
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "manifests",
    "subject",
    "annotations",
    FS_LAYERS,
];
/// Means something in schema 1 alone, and may stand anyhow elsewhere.
const FS_LAYERS: &str = "fsLayers";

/// The members that we look at. Of one that stands twice, the last counts, as in Go, except that
/// nothing is lost of what is referred to.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// Why another parser may read another document.
    pub(super) ambiguous: Option<String>,
    /// The first fault of each member that is not of its form.
    pub(super) faults: Vec<(&'static str, ManifestError)>,
    /// Members that stand there, and whether as something else than null.
    standing: Vec<(&'static str, bool)>,
    pub(super) schema_version: Option<i64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    pub(super) config: Vec<Descriptor>,
    pub(super) layers: Vec<Descriptor>,
    pub(super) manifests: Vec<Descriptor>,
    pub(super) subject: Option<Descriptor>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) fs_layers: Vec<Descriptor>,
}

impl Body {
    /// # Errors
    /// When it is no JSON object.
    pub(super) fn read(text: &str) -> Result<Self, ManifestError> {
        let known = members(text, NAMES);
        let known = known.map_err(|error| invalid(format!("no JSON object: {error}")))?;
        let (fs_layers, known): (Vec<_>, Vec<_>) = known
            .into_iter()
            .partition(|member| member.name == FS_LAYERS);
        let mut body = Self {
            ambiguous: ambiguity(&known),
            ..Self::default()
        };
        for member in known.iter().chain(&fs_layers) {
            body.standing.push((member.name, !member.is_null()));
            if let Err(fault) = body.take(member) {
                body.fault(member.name, fault);
            }
        }
        Ok(body)
    }

    fn take(&mut self, member: &Member<'_>) -> Result<(), ManifestError> {
        let value = member.value;
        match member.name {
            // To Go, null leaves a number or a text as it was.
            "schemaVersion" => self.schema_version = read(member)?.or(self.schema_version),
            "mediaType" => self.media_type = read(member)?.or(self.media_type.take()),
            "artifactType" => self.artifact_type = read(member)?.or(self.artifact_type.take()),
            "config" if !member.is_null() => self.config.push(Descriptor::read(value, "digest")),
            "subject" if !member.is_null() => {
                self.subject = Some(Descriptor::read(value, "digest"));
            }
            "layers" => self.layers.extend(list(member, "digest")?),
            "manifests" => self.manifests.extend(list(member, "digest")?),
            FS_LAYERS => self.fs_layers.extend(list(member, "blobSum")?),
            "annotations" => {
                let (annotations, fault) = annotations(member)?;
                self.annotations.extend(annotations);
                return fault.map_or(Ok(()), Err);
            }
            _ => {}
        }
        Ok(())
    }

    fn fault(&mut self, member: &'static str, fault: ManifestError) {
        if !self.faults.iter().any(|(name, _)| *name == member) {
            self.faults.push((member, fault));
        }
    }

    /// Whether the member stands there, be it as null.
    pub(super) fn has(&self, member: &str) -> bool {
        self.standing.iter().any(|(name, _)| *name == member)
    }

    /// Whether the member stands there and is not null.
    pub(super) fn holds(&self, member: &str) -> bool {
        self.standing.contains(&(member, true))
    }

    /// The type that it names; an empty one is none.
    pub(super) fn named_type(&self) -> Option<&str> {
        self.media_type.as_deref().filter(|text| !text.is_empty())
    }

    /// The type that it looks like. A list that is null is no list; what has none, and no config
    /// either, was accepted by distribution as an index or not at all.
    pub(super) fn shape(&self) -> Option<&'static str> {
        let schema1 = self.holds(FS_LAYERS);
        if schema1 && self.schema_version == Some(1) {
            Some(media_type::SCHEMA1)
        } else if self.holds("manifests") {
            Some(media_type::OCI_INDEX)
        } else if self.holds("config") || self.holds("layers") {
            Some(media_type::OCI_MANIFEST)
        } else if schema1 {
            Some(media_type::SCHEMA1)
        } else {
            (self.schema_version == Some(2)).then_some(media_type::OCI_INDEX)
        }
    }

    /// Whether it is a Docker manifest of schema 1, whose layers stand in `fsLayers`.
    pub(super) fn is_schema1(&self) -> bool {
        let text = self.named_type().or_else(|| self.shape());
        matches!(text, Some(media_type::SCHEMA1 | media_type::SCHEMA1_SIGNED))
    }

    /// Its own artifact type, else the type of an image's config.
    pub(super) fn effective_artifact_type(&self, kind: Kind) -> Option<MediaType> {
        let own = self.artifact_type.as_deref();
        let config = || self.config.last()?.media_type.as_deref();
        let text = own.filter(|text| !text.is_empty());
        let text = if kind.is_index() {
            text
        } else {
            text.or_else(config)
        };
        text.filter(|text| !text.is_empty()).map(MediaType::new)
    }
}

/// What a manifest says of something else.
#[derive(Debug, Default)]
pub(super) struct Descriptor {
    /// The first thing that is not of its form.
    pub(super) fault: Option<ManifestError>,
    pub(super) media_type: Option<String>,
    pub(super) digest: Option<AnyDigest>,
    pub(super) size: Option<i64>,
    pub(super) urls: Vec<String>,
    pub(super) platform: Option<Platform>,
}

const DESCRIPTOR: &[&str] = &[
    "mediaType",
    "digest",
    "size",
    "urls",
    "annotations",
    "artifactType",
    "platform",
    "data",
];
const FS_LAYER: &[&str] = &["blobSum"];

impl Descriptor {
    /// What can be read of it; its digest stands in this member.
    fn read(value: &RawValue, digest: &'static str) -> Self {
        let names = if digest == "digest" {
            DESCRIPTOR
        } else {
            FS_LAYER
        };
        let mut descriptor = Self::default();
        let known = match members(value.get(), names) {
            Ok(known) => known,
            Err(error) => {
                descriptor.fault = Some(invalid(format!("a descriptor is no object: {error}")));
                return descriptor;
            }
        };
        descriptor.fault = ambiguity(&known).map(invalid);
        for member in &known {
            if let Err(fault) = descriptor.take(member) {
                descriptor.fault.get_or_insert(fault);
            }
        }
        if descriptor.digest.is_none() {
            let fault = || invalid("a descriptor has no digest");
            descriptor.fault.get_or_insert_with(fault);
        }
        descriptor
    }

    /// Members that we do not need are read as well: distribution cannot read a manifest in which
    /// one of them is of another form.
    fn take(&mut self, member: &Member<'_>) -> Result<(), ManifestError> {
        match member.name {
            "mediaType" => self.media_type = read(member)?.or(self.media_type.take()),
            "size" => self.size = read(member)?.or(self.size),
            "urls" => {
                let urls: Vec<Option<String>> = read(member)?.unwrap_or_default();
                self.urls = urls.into_iter().map(Option::unwrap_or_default).collect();
            }
            "annotations" => return annotations(member)?.1.map_or(Ok(()), Err),
            "platform" if !member.is_null() => self.platform = Some(platform(member)?),
            "platform" => {}
            "data" => {
                let text: String = read(member)?.unwrap_or_default();
                // Go passes over ends of lines.
                let text = text.replace(['\r', '\n'], "");
                let data = STANDARD.decode(text);
                data.map_err(|error| invalid(format!("data: {error}")))?;
            }
            "digest" | "blobSum" => {
                if let Some(text) = read::<String>(member)? {
                    let digest = text.parse();
                    self.digest = Some(digest.map_err(|_| ManifestError::Digest(text))?);
                }
            }
            _ => drop(read::<String>(member)?),
        }
        Ok(())
    }
}

fn odd(member: &Member<'_>, error: &serde_json::Error) -> ManifestError {
    invalid(format!("{}: {error}", member.name))
}

/// The value of a member; `None` when it is null.
fn read<'a, T: Deserialize<'a>>(member: &Member<'a>) -> Result<Option<T>, ManifestError> {
    serde_json::from_str(member.value.get()).map_err(|error| odd(member, &error))
}

fn list(member: &Member<'_>, digest: &'static str) -> Result<Vec<Descriptor>, ManifestError> {
    let values: Vec<&RawValue> = read(member)?.unwrap_or_default();
    let descriptors = values.into_iter();
    Ok(descriptors
        .map(|value| Descriptor::read(value, digest))
        .collect())
}

const PLATFORM: &[&str] = &[
    "architecture",
    "os",
    "variant",
    "os.version",
    "os.features",
    "features",
];

fn platform(platform: &Member<'_>) -> Result<Platform, ManifestError> {
    let known = members(platform.value.get(), PLATFORM);
    let mut found = Platform::default();
    for member in known.map_err(|error| odd(platform, &error))? {
        match member.name {
            "os" => found.os = read(&member)?.unwrap_or(found.os),
            "architecture" => found.architecture = read(&member)?.unwrap_or(found.architecture),
            "os.features" | "features" => drop(read::<Vec<Option<String>>>(&member)?),
            _ => drop(read::<String>(&member)?),
        }
    }
    Ok(found)
}

type Annotations = BTreeMap<String, String>;

/// Those that are texts, null being an empty one, and what is wrong with the first that is not.
fn annotations(member: &Member<'_>) -> Result<(Annotations, Option<ManifestError>), ManifestError> {
    let values: BTreeMap<String, &RawValue> = read(member)?.unwrap_or_default();
    let (mut annotations, mut fault) = (Annotations::new(), None);
    for (name, value) in values {
        match serde_json::from_str::<Option<String>>(value.get()) {
            Ok(text) => {
                annotations.insert(name, text.unwrap_or_default());
            }
            Err(error) => {
                fault.get_or_insert_with(|| odd(member, &error));
            }
        }
    }
    Ok((annotations, fault))
}
