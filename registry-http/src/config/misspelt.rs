//! Names that nobody knows and that were to protect: what they would have said is not done, so
//! that nothing is served with them.

use figment::value::Value;

use super::known;
use super::layers::{Layers, Origin};
use super::{ConfigError, Notes};

/// What protects, or makes the registry another thing altogether.
const PROTECTS: &[&str] = &[
    "auth",
    "http.tls",
    "proxy",
    "storage.maintenance.readonly",
    "extensions.access",
    "extensions.immutable",
    "extensions.token",
];

/// Other words for `auth`.
const AUTH: &[&str] = &["authentication", "authorization"];

/// What was probably meant by this path, or by a section that it is in, if that protects.
fn meant(path: &[&str]) -> Option<&'static str> {
    let protecting = PROTECTS.iter().find(|protecting| {
        let depth = protecting.split('.').count();
        let head = path.get(..depth).map(|head| head.join("."));
        let head = head.unwrap_or_default().to_ascii_lowercase();
        known::nearest(&head, known::sections(depth)) == Some(**protecting)
    });
    let first = path.first().map(|first| first.to_ascii_lowercase());
    let is_auth = first.is_some_and(|first| AUTH.contains(&first.as_str()));
    protecting.copied().or(is_auth.then_some("auth"))
}

/// Takes an unknown key of a text for what protects, if it looks so.
pub(super) fn key(
    path: &[String],
    value: Option<&Value>,
    hint: &str,
    layers: &Layers,
    notes: &mut Notes,
) -> bool {
    let mut keys: Vec<&str> = path.iter().map(String::as_str).collect();
    let Some(protecting) = meant(&keys).or_else(|| value.and_then(|at| meant_in(&mut keys, at)))
    else {
        return false;
    };
    notes.refusals.push(Refusal {
        key: path.join("."),
        origin: layers.origin(path).clone(),
        message: format!("{hint}what `{protecting}` was to do would not be done"),
    });
    true
}

/// The same of what is below: `HTTP: {tls: …}`.
fn meant_in<'v>(path: &mut Vec<&'v str>, value: &'v Value) -> Option<&'static str> {
    let dict = value.as_dict()?;
    dict.iter().find_map(|(key, value)| {
        path.push(key);
        let found = meant(path).or_else(|| meant_in(path, value));
        path.pop();
        found
    })
}

/// Takes an unknown variable for what protects, if it looks so.
pub(crate) fn variable(name: &str, rest: &str, hint: &str, notes: &mut Notes) -> bool {
    let parts: Vec<&str> = rest.split('_').collect();
    let Some(protecting) = meant(&parts) else {
        return false;
    };
    notes.refusals.push(Refusal {
        key: protecting.to_owned(),
        origin: Origin::Variable(name.to_owned()),
        message: format!("{hint}what it was to do would not be done"),
    });
    true
}

/// Something that nothing is served with.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    key: String,
    origin: Origin,
    message: String,
}

impl From<&Refusal> for ConfigError {
    fn from(refusal: &Refusal) -> Self {
        let Refusal {
            key,
            origin,
            message,
        } = refusal.clone();
        Self::Value {
            key,
            origin,
            message,
        }
    }
}
