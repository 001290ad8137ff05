//! `validation`: what a manifest must be.

use serde::Deserialize;

use super::super::layers::Layers;
use super::super::{ConfigError, Notes};

/// Which platforms of an index have to be there when it is pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Platforms {
    /// All of them.
    All,
    /// None needs to be.
    None,
    /// Those of this operating system and architecture.
    Listed(Vec<(String, String)>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawValidation {
    manifests: RawManifests,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawManifests {
    indexes: RawIndexes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawIndexes {
    platforms: String,
    platformlist: Vec<RawPlatform>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawPlatform {
    os: String,
    architecture: String,
}

pub(super) fn platforms(
    raw: RawValidation,
    layers: &Layers,
    notes: &mut Notes,
) -> Result<Platforms, ConfigError> {
    let raw = raw.manifests.indexes;
    let path = ["validation", "manifests", "indexes", "platforms"];
    match raw.platforms.to_ascii_lowercase().as_str() {
        "" | "all" => Ok(Platforms::All),
        "none" => Ok(Platforms::None),
        // As distribution does, which asks for everything when nothing is listed.
        "list" if raw.platformlist.is_empty() => Ok(Platforms::All),
        "list" => {
            notes.warn(format!(
                "`{}` ({}): this release checks all platforms or none; with a list it is none",
                path.join("."),
                layers.origin(&path),
            ));
            let pair = |platform: RawPlatform| (platform.os, platform.architecture);
            Ok(Platforms::Listed(
                raw.platformlist.into_iter().map(pair).collect(),
            ))
        }
        other => Err(layers.refuse(&path, format!("{other:?} is not one of all, none, list"))),
    }
}
