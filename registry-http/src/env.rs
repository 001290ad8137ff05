//! The `REGISTRY_*` variables over the other layers: names are matched against the known keys,
//! values are YAML.

use figment::value::{Dict, Value};

use crate::config::known::{self, Node};
use crate::config::layers::{Layers, Origin, Step, find};
use crate::config::{ConfigError, NOT_DRIVERS, Notes, misspelt};
use crate::yaml;

const PREFIX: &str = "REGISTRY_";

/// Names the file when the command line does not; no key.
pub(crate) const CONFIGURATION_PATH: &str = "REGISTRY_CONFIGURATION_PATH";

/// Reads the environment of the process: the one place that does.
#[must_use]
pub fn variables() -> Vec<(String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os()
        .map(|(name, value)| (text(name), text(value)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect()
}

/// Puts every variable on top, in the order of their names.
pub(crate) fn apply(
    layers: &mut Layers,
    variables: &[(String, String)],
    notes: &mut Notes,
) -> Result<(), ConfigError> {
    let mut variables: Vec<_> = variables
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?, name, value)))
        .filter(|(_, name, _)| *name != CONFIGURATION_PATH)
        .collect();
    variables.sort_by_cached_key(|(rest, ..)| order(rest));
    for (rest, name, value) in variables {
        let merged = Value::from(layers.merged());
        let Some((path, node)) = resolve(known::tree(), Some(&merged), rest) else {
            note_unknown(name, rest, value, &merged, notes)?;
            continue;
        };
        let value = parse(name, value, node)?;
        note_replaced(name, &path, &value, layers, notes);
        if let Err(index) = layers.set(name, &path, value) {
            let list: Vec<String> = path.iter().map(Step::to_string).collect();
            return Err(ConfigError::Value {
                key: list.join("."),
                origin: Origin::Variable(name.clone()),
                message: format!("the list has no item {index}, and no item before it to follow"),
            });
        }
    }
    Ok(())
}

/// Sorts by parts, so that a section comes before what is in it, and `_10` after `_2`.
fn order(name: &str) -> Vec<(Option<u64>, String)> {
    name.split('_')
        .map(|part| (part.parse().ok(), part.to_owned()))
        .collect()
}

fn parse(name: &str, text: &str, node: Option<&Node>) -> Result<Value, ConfigError> {
    let is_text = node.is_some_and(Node::is_leaf);
    match yaml::parse(text) {
        Ok(document) => Ok(match document.value {
            Value::Dict(..) | Value::Array(..) if is_text => Value::from(text),
            value => value,
        }),
        // `[::]:5000` is no YAML, and was never meant to be.
        Err(_) if is_text => Ok(Value::from(text)),
        Err(error) => Err(ConfigError::Syntax {
            origin: Origin::Variable(name.to_owned()),
            message: error.message,
        }),
    }
}

/// The path that a name stands for, and what is known to stand there.
fn resolve(
    node: &'static Node,
    value: Option<&Value>,
    rest: &str,
) -> Option<(Vec<Step>, Option<&'static Node>)> {
    if let Some(item) = &node.item {
        return index(item, value, rest);
    }
    let dict = value.and_then(Value::as_dict);
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    candidates.extend(node.keys.iter().map(|(key, node)| (*key, *key, Some(node))));
    for (part, key) in &node.aliases {
        candidates.push((part, key, node.keys.get(key)));
    }
    // Whatever the lower layers have may be set, if it is a key that users choose. Drivers that
    // are not ours have keys that only they know.
    let existing = dict.into_iter().flat_map(Dict::keys).map(String::as_str);
    candidates.extend(
        existing
            .filter(|key| !node.keys.contains_key(*key))
            .map(|key| (key, key, None)),
    );
    // `header_timeout` before `header`.
    candidates.sort_by_key(|(part, ..)| std::cmp::Reverse(part.len()));
    for (part, key, child) in candidates {
        let Some(rest) = strip(rest, part) else {
            continue;
        };
        let step = Step::Key(key.to_owned());
        if rest.is_empty() {
            return Some((vec![step], child));
        }
        let value = dict.and_then(|dict| dict.get(key));
        let found = match child {
            Some(child) => resolve(child, value, rest),
            None => resolve_free(value, rest),
        };
        if let Some((mut path, node)) = found {
            path.insert(0, step);
            return Some((path, node));
        }
    }
    node.open.then(|| match item_of(rest) {
        Some((list, index)) if node.of_lists => {
            let key = Step::Key(list.to_ascii_lowercase());
            (vec![key, Step::Index(index)], None)
        }
        _ => new_key(rest),
    })
}

/// A list and the number of an item: `X-A_0`.
fn item_of(rest: &str) -> Option<(&str, usize)> {
    let (list, index) = rest.rsplit_once('_')?;
    Some((list, index.parse().ok()?))
}

type Candidate<'c> = (&'c str, &'c str, Option<&'static Node>);

/// Below a key that only a driver of someone else knows: an existing key, or a new one.
fn resolve_free(value: Option<&Value>, rest: &str) -> Option<(Vec<Step>, Option<&'static Node>)> {
    match value? {
        Value::Dict(_, dict) => {
            let existing = dict.keys().find(|key| key.eq_ignore_ascii_case(rest));
            Some(existing.map_or_else(|| new_key(rest), |key| (vec![Step::Key(key.clone())], None)))
        }
        Value::Array(..) => Some((vec![Step::Index(rest.parse().ok()?)], None)),
        Value::Empty(..) => Some(new_key(rest)),
        _ => None,
    }
}

fn new_key(rest: &str) -> (Vec<Step>, Option<&'static Node>) {
    (vec![Step::Key(rest.to_ascii_lowercase())], None)
}

fn index(
    item: &'static Node,
    value: Option<&Value>,
    rest: &str,
) -> Option<(Vec<Step>, Option<&'static Node>)> {
    let (number, rest) = rest.split_once('_').unwrap_or((rest, ""));
    let index: usize = number.parse().ok()?;
    let mut path = vec![Step::Index(index)];
    if rest.is_empty() {
        return Some((path, Some(item)));
    }
    let value = value.and_then(|value| match value {
        Value::Array(_, items) => items.get(index),
        _ => None,
    });
    let (inner, node) = resolve(item, value, rest)?;
    path.extend(inner);
    Some((path, node))
}

fn strip<'r>(rest: &'r str, part: &str) -> Option<&'r str> {
    let head = rest.get(..part.len())?;
    let tail = &rest[part.len()..];
    // As in distribution, where `REGISTRY_http_addr` is no variable.
    if head != part.to_ascii_uppercase() {
        return None;
    }
    match tail.strip_prefix('_') {
        Some("") => None,
        Some(tail) => Some(tail),
        None => tail.is_empty().then_some(""),
    }
}

/// A name that stands for no key is a word in the log, unless it was to protect or to choose a
/// driver.
fn note_unknown(
    name: &str,
    rest: &str,
    value: &str,
    merged: &Value,
    notes: &mut Notes,
) -> Result<(), ConfigError> {
    // Nobody is to be told to open what was to be closed.
    let known = known::variables().into_iter();
    let known: Vec<String> = known.filter(|name| name != "REGISTRY_AUTH_NONE").collect();
    let nearest = known::nearest(&name.to_ascii_uppercase(), known.iter().map(String::as_str));
    if !is_of_kubernetes(rest, value) {
        refuse_driver(name, rest, merged)?;
        let hint = match nearest {
            Some(nearest) => {
                format!("no such variable is known, did you mean {nearest}? If not, take it away: ")
            }
            None => "no such variable is known: ".to_owned(),
        };
        if misspelt::variable(name, rest, &hint, notes) {
            return Ok(());
        }
    }
    notes.warn(match nearest {
        Some(nearest) => format!("unknown variable {name}; did you mean {nearest}?"),
        None => format!("unknown variable {name}"),
    });
    Ok(())
}

/// `REGISTRY_STORAGE_<driver>_…` of a driver that nobody knows: another store is wanted than the
/// one that would be served.
fn refuse_driver(name: &str, rest: &str, merged: &Value) -> Result<(), ConfigError> {
    let Some(kind) = rest
        .strip_prefix("STORAGE_")
        .filter(|kind| !kind.is_empty())
    else {
        return Ok(());
    };
    let known = || {
        known::node(&["storage"])
            .into_iter()
            .flat_map(|node| node.keys.keys())
    };
    if known().any(|key| strip(kind, key).is_some()) {
        return Ok(());
    }
    let kind = kind.split('_').next().unwrap_or(kind).to_ascii_lowercase();
    let storage = merged.as_dict().and_then(|root| root.get("storage"));
    let drivers = storage
        .and_then(Value::as_dict)
        .into_iter()
        .flat_map(Dict::keys);
    let drivers: Vec<&str> = drivers
        .map(String::as_str)
        .filter(|key| !NOT_DRIVERS.contains(key))
        .collect();
    let mut message = format!("no storage driver {kind:?} is known");
    if !drivers.is_empty() {
        message += &format!(", and {} is configured", drivers.join(", "));
    }
    if let Some(nearest) = known::nearest(&kind, known().copied()) {
        message += &format!("; did you mean `storage.{nearest}`?");
    }
    Err(ConfigError::Value {
        key: format!("storage.{kind}"),
        origin: Origin::Variable(name.to_owned()),
        message,
    })
}

/// Whether Kubernetes makes this variable for a service, such as one called `registry-auth`.
fn is_of_kubernetes(rest: &str, value: &str) -> bool {
    let parts: Vec<&str> = rest.split('_').collect();
    let is_number = |part: &str| part.parse::<u16>().is_ok();
    let of_port = |parts: &[&str]| match *parts {
        ["PORT", number, "TCP" | "UDP" | "SCTP", ..] => is_number(number),
        ["PORT"] => value.contains("://"),
        ["SERVICE", "HOST"] => true,
        ["SERVICE", "PORT", ..] => is_number(value),
        _ => false,
    };
    (0..parts.len()).any(|at| of_port(&parts[at..]))
}

/// A variable for a whole section forgets what the file has in it: the user is told what.
fn note_replaced(name: &str, path: &[Step], value: &Value, layers: &Layers, notes: &mut Notes) {
    let keys: Vec<&str> = path
        .iter()
        .filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
        .collect();
    let merged = layers.merged();
    let Some(Value::Dict(_, old)) = find(&merged, &keys).filter(|_| keys.len() == path.len())
    else {
        return;
    };
    let gone: Vec<&str> = old
        .keys()
        .map(String::as_str)
        .filter(|key| match value {
            Value::Dict(_, new) => !new.contains_key(*key),
            Value::String(_, kind) => kind != key,
            _ => true,
        })
        .collect();
    if !gone.is_empty() {
        notes.warn(format!(
            "{name} replaces all of `{}`; no longer configured are: {}",
            keys.join("."),
            gone.join(", "),
        ));
    }
}

#[cfg(test)]
mod tests;
