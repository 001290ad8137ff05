//! What protects and cannot be honoured yet: a registry that was to be closed never starts open.

use figment::value::Value;

use super::layers::{Layers, find};
use super::{Config, ConfigError, auth};

/// Keys that protect, or make the registry another thing altogether.
const REFUSED: &[(&[&str], &str)] = &[
    (
        &["http", "tls", "certificate"],
        "TLS is not part of this release, and would silently be missing; \
         remove `http.tls`, and put a proxy that speaks TLS before this registry",
    ),
    (&["http", "tls", "key"], "TLS is not part of this release"),
    (
        &["http", "tls", "letsencrypt"],
        "certificates from ACME are not part of this release",
    ),
    (
        &["http", "tls", "clientcas"],
        "client certificates are not part of this release, and everyone would be let in",
    ),
    (
        &["http", "tls", "clientauth"],
        "client certificates are not part of this release, and everyone would be let in",
    ),
    (
        &["proxy", "remoteurl"],
        "mirroring another registry is not part of this release",
    ),
    (
        &["extensions", "token"],
        "handing out tokens is not part of this release",
    ),
];

impl Config {
    /// What leaves the registry less protected than was asked for, if anything does.
    pub(crate) fn refusal(&self) -> Option<ConfigError> {
        check(&self.layers).err()
    }
}

/// Refuses what would leave the registry less protected than it was configured to be.
pub(super) fn check(layers: &Layers) -> Result<(), ConfigError> {
    let merged = layers.merged();
    if let Some(section) = merged.get("auth") {
        auth::check(section, layers)?;
    }
    for (path, message) in REFUSED {
        if find(&merged, path).is_some_and(is_given) {
            return Err(layers.refuse(path, *message));
        }
    }
    Ok(())
}

/// An empty text, list or section is the same as no key.
fn is_given(value: &Value) -> bool {
    match value {
        Value::Empty(..) => false,
        Value::String(_, text) => !text.is_empty(),
        Value::Array(_, items) => !items.is_empty(),
        Value::Dict(_, dict) => dict.values().any(is_given),
        _ => true,
    }
}
