//! What protects and cannot be honoured yet: a registry that was to be closed never starts open.

use figment::value::{Dict, Value};

use super::layers::{Layers, find};
use super::{Config, ConfigError, auth};

/// Keys that protect, or make the registry another thing altogether.
const REFUSED: &[(&[&str], &str)] = &[(
    &["proxy", "remoteurl"],
    "mirroring another registry is not part of this release",
)];

impl Config {
    /// All that leaves the registry less protected than was asked for.
    pub(crate) fn refusals(&self) -> Vec<ConfigError> {
        let misspelt = self.notes.refusals.iter().map(ConfigError::from);
        all(&self.layers).into_iter().chain(misspelt).collect()
    }
}

/// What would leave the registry less protected than it was configured to be.
fn all(layers: &Layers) -> Vec<ConfigError> {
    let merged = layers.merged();
    let auth = merged.get("auth").map(|auth| auth::check(auth, layers));
    let auth = auth.and_then(Result::err);
    let given = given(&merged).map(|(path, message)| layers.refuse(path, *message));
    auth.into_iter().chain(given).collect()
}

fn given(merged: &Dict) -> impl Iterator<Item = &'static (&'static [&'static str], &'static str)> {
    REFUSED
        .iter()
        .filter(|(path, _)| find(merged, path).is_some_and(is_given))
}

/// Whether this, or something in it, is refused, so that nothing more need be said of it.
pub(super) fn is_refused(path: &[String], layers: &Layers) -> bool {
    let merged = layers.merged();
    if path.first().is_some_and(|first| first == "auth") {
        let auth = merged.get("auth");
        return auth.is_some_and(|auth| auth::check(auth, layers).is_err());
    }
    let within = |refused: &[&str]| refused.iter().zip(path).all(|(one, other)| one == other);
    given(&merged).any(|(refused, _)| refused.len() >= path.len() && within(refused))
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
