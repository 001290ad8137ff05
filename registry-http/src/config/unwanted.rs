//! Keys that no setting took: what to say of them.

use figment::value::Value;

use super::layers::{self, Layers};
use super::typed::Unwanted;
use super::{ConfigError, Notes, known, misspelt, refuse};

/// A key that no setting took: known and not honoured, or not known at all.
pub(super) fn note_unwanted(
    key: &Unwanted,
    root: &Value,
    layers: &Layers,
    notes: &mut Notes,
) -> Result<(), ConfigError> {
    let parent = &key.path[..key.path.len().saturating_sub(1)];
    let keys: Vec<&str> = key.path.iter().map(String::as_str).collect();
    let value = root.as_dict().and_then(|root| layers::find(root, &keys));
    if known::node(&key.path).is_none() {
        let siblings = known::node(parent)
            .into_iter()
            .flat_map(|node| node.keys.keys());
        let names = siblings.chain(key.wanted).copied();
        note_unknown(&key.path, value, names, layers, notes);
        return Ok(());
    }
    if !refuse::is_refused(&key.path, layers) {
        notes.warn(not_honoured(&key.path, layers));
    }
    match value {
        Some(value) => note_unknown_below(&mut key.path.clone(), value, layers, notes),
        None => Ok(()),
    }
}

fn note_unknown<'n>(
    path: &[String],
    value: Option<&Value>,
    names: impl IntoIterator<Item = &'n str>,
    layers: &Layers,
    notes: &mut Notes,
) {
    let nearest = nearest(path, names);
    let hint = match &nearest {
        Some(nearest) => {
            format!("no such key is known, did you mean `{nearest}`? If not, remove it: ")
        }
        None => "no such key is known: ".to_owned(),
    };
    if !misspelt::key(path, value, &hint, layers, notes) {
        notes.warn(unknown(path, nearest, layers));
    }
}

/// Within a section that is not honoured, names nobody knows are still worth a word.
fn note_unknown_below(
    path: &mut Vec<String>,
    value: &Value,
    layers: &Layers,
    notes: &mut Notes,
) -> Result<(), ConfigError> {
    let Some(node) = known::node(path) else {
        return Ok(());
    };
    let wrong = match value {
        Value::String(..) | Value::Array(..) if !node.keys.is_empty() => "a section",
        Value::String(..) | Value::Dict(..) if node.item.is_some() => "a list",
        _ => "",
    };
    if !wrong.is_empty() {
        return Err(layers.refuse(path, format!("{wrong} is wanted here")));
    }
    let children: Vec<(String, &Value)> = match value {
        Value::Dict(_, dict) => dict
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .collect(),
        Value::Array(_, items) => (0..).map(|n: usize| n.to_string()).zip(items).collect(),
        _ => return Ok(()),
    };
    for (key, value) in children {
        let known = node.open || node.item.is_some() || node.keys.contains_key(key.as_str());
        path.push(key);
        if known {
            note_unknown_below(path, value, layers, notes)?;
        } else if !node.is_leaf() {
            note_unknown(path, Some(value), node.keys.keys().copied(), layers, notes);
        }
        path.pop();
    }
    Ok(())
}

pub(super) fn not_honoured(path: &[String], layers: &Layers) -> String {
    let key = path.join(".");
    let origin = layers.origin(path);
    match known::reason(&key) {
        Some(reason) => format!("`{key}` ({origin}) is not honoured by this release: {reason}"),
        None => format!("`{key}` ({origin}) is not honoured by this release"),
    }
}

pub(super) fn unknown(path: &[String], nearest: Option<String>, layers: &Layers) -> String {
    let key = path.join(".");
    let origin = layers.origin(path);
    match nearest {
        Some(nearest) => format!("unknown key `{key}` ({origin}); did you mean `{nearest}`?"),
        None => format!("unknown key `{key}` ({origin})"),
    }
}

/// The key that was probably meant, however its letters are.
pub(super) fn nearest<'n>(
    path: &[String],
    names: impl IntoIterator<Item = &'n str>,
) -> Option<String> {
    let (name, parent) = path.split_last()?;
    let nearest = known::nearest(&name.to_ascii_lowercase(), names)?;
    let keys: Vec<&str> = parent.iter().map(String::as_str).chain([nearest]).collect();
    Some(keys.join("."))
}
