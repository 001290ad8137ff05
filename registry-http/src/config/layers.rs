//! The layers of the configuration, as figment stacks them, and where each value came from.

use std::collections::BTreeMap;
use std::fmt;

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use crate::yaml::{self, Place, SyntaxError};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A text, and where in it.
    #[non_exhaustive]
    Text {
        /// What the text is called.
        name: String,
        /// Where it stands there.
        place: Option<Place>,
    },
    /// A variable of the environment.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { name, place: None } => f.write_str(name),
            Self::Text {
                name,
                place: Some(Place { line, column }),
            } => write!(f, "{name}:{line}:{column}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// One layer: a text, or a single variable.
#[derive(Clone, Debug)]
struct Layer {
    metadata: Metadata,
    dict: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}

/// A step towards a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => f.write_str(key),
            Self::Index(index) => index.fmt(f),
        }
    }
}

/// Everything that was configured, the last word first.
#[derive(Debug)]
pub(crate) struct Layers {
    layers: Vec<Layer>,
    base: Origin,
    origins: BTreeMap<Vec<String>, Origin>,
}

impl Layers {
    /// The lowest layer: a whole file.
    pub(crate) fn from_text(name: &str, text: &str) -> Result<Self, SyntaxError> {
        let document = yaml::parse(text)?;
        let dict = match document.value {
            Value::Dict(_, dict) => dict,
            Value::Empty(..) => Dict::new(),
            _ => {
                return Err(SyntaxError {
                    place: Place { line: 1, column: 1 },
                    message: "a mapping of keys to values is wanted".to_owned(),
                });
            }
        };
        let origin = |place| Origin::Text {
            name: name.to_owned(),
            place,
        };
        Ok(Self {
            layers: vec![Layer {
                metadata: Metadata::named(name.to_owned()),
                dict: kinds_as_sections(dict),
            }],
            base: origin(None),
            origins: document
                .places
                .into_iter()
                .map(|(path, place)| (path, origin(Some(place))))
                .collect(),
        })
    }

    /// Puts what a variable says on top. It takes the place of everything that was there, as
    /// `REGISTRY_STORAGE=filesystem` is to forget the driver of the file. An index beyond the
    /// end of a list is given back.
    pub(crate) fn set(&mut self, variable: &str, path: &[Step], value: Value) -> Result<(), usize> {
        let keys: Vec<&str> = path
            .iter()
            .map_while(|step| match step {
                Step::Key(key) => Some(key.as_str()),
                Step::Index(_) => None,
            })
            .collect();
        let value = match &path[keys.len()..] {
            [] => value,
            rest => {
                let mut list = find(&self.merged(), &keys)
                    .cloned()
                    .unwrap_or_else(yaml::null);
                replace(&mut list, rest, value)?;
                list
            }
        };
        for layer in &mut self.layers {
            remove(&mut layer.dict, &keys);
        }
        self.layers.push(Layer {
            metadata: Metadata::named(format!("environment variable {variable}")),
            dict: kinds_as_sections(nest(&keys, value)),
        });
        let path: Vec<String> = path.iter().map(Step::to_string).collect();
        self.origins.retain(|known, _| !known.starts_with(&path));
        self.origins
            .insert(path, Origin::Variable(variable.to_owned()));
        Ok(())
    }

    /// What counts in the end.
    pub(crate) fn merged(&self) -> Dict {
        let stacked = self
            .layers
            .iter()
            .fold(Figment::new(), |below, layer| below.merge(layer));
        // Nothing but values of our own is in there, and they always fit a `Dict`.
        stacked.extract().unwrap_or_default()
    }

    /// Where the value of this key came from, or what is in it, or the section around it.
    pub(crate) fn origin<S: AsRef<str>>(&self, path: &[S]) -> &Origin {
        let mut path: Vec<String> = path.iter().map(|key| key.as_ref().to_owned()).collect();
        while !path.is_empty() {
            // A section that variables alone have made is where the first of them says.
            let nearest = self.origins.range(path.clone()..).next();
            match nearest {
                Some((known, origin)) if known.starts_with(&path) => return origin,
                _ => path.pop(),
            };
        }
        &self.base
    }

    /// What this key is called, and where it stands.
    pub(crate) fn named(&self, path: &[&str]) -> String {
        format!("`{}` ({})", path.join("."), self.origin(path))
    }
}

/// The value under these keys.
pub(crate) fn find<'v>(dict: &'v Dict, keys: &[&str]) -> Option<&'v Value> {
    let (last, sections) = keys.split_last()?;
    let mut dict = dict;
    for key in sections {
        dict = dict.get(*key)?.as_dict()?;
    }
    dict.get(*last)
}

/// `storage: inmemory` is short for `storage: {inmemory: {}}`, and so it is for `auth`.
fn kinds_as_sections(mut dict: Dict) -> Dict {
    for section in ["storage", "auth"] {
        if let Some(Value::String(_, kind)) = dict.get(section) {
            let kind = Dict::from([(kind.clone(), Value::from(Dict::new()))]);
            dict.insert(section.to_owned(), Value::from(kind));
        }
    }
    dict
}

fn remove(dict: &mut Dict, keys: &[&str]) {
    match keys {
        [] => {}
        [last] => {
            dict.remove(*last);
        }
        [first, rest @ ..] => {
            if let Some(Value::Dict(_, inner)) = dict.get_mut(*first) {
                remove(inner, rest);
            }
        }
    }
}

fn nest(keys: &[&str], value: Value) -> Dict {
    let mut value = value;
    for key in keys.iter().rev() {
        value = Value::from(Dict::from([((*key).to_owned(), value)]));
    }
    match value {
        Value::Dict(_, dict) => dict,
        _ => Dict::new(),
    }
}

/// Replaces, within lists too. The index of an item may be the length of the list.
fn replace(at: &mut Value, path: &[Step], value: Value) -> Result<(), usize> {
    let Some((step, rest)) = path.split_first() else {
        *at = value;
        return Ok(());
    };
    match step {
        Step::Key(key) => {
            if !matches!(at, Value::Dict(..)) {
                *at = Value::from(Dict::new());
            }
            if let Value::Dict(_, dict) = at {
                let inner = dict.entry(key.clone()).or_insert_with(yaml::null);
                return replace(inner, rest, value);
            }
        }
        Step::Index(index) => {
            if !matches!(at, Value::Array(..)) {
                *at = Value::from(Vec::<Value>::new());
            }
            if let Value::Array(_, items) = at {
                if *index == items.len() {
                    items.push(yaml::null());
                }
                let inner = items.get_mut(*index).ok_or(*index)?;
                return replace(inner, rest, value);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(path: &[&str]) -> Vec<Step> {
        path.iter()
            .map(|step| match step.parse() {
                Ok(index) => Step::Index(index),
                Err(_) => Step::Key((*step).to_owned()),
            })
            .collect()
    }

    fn json(layers: &Layers) -> String {
        serde_json::to_string(&layers.merged()).unwrap()
    }

    fn value(text: &str) -> Value {
        yaml::parse(text).unwrap().value
    }

    #[test]
    fn a_variable_replaces_what_is_under_its_key_and_nothing_else() {
        let mut layers = Layers::from_text("f", "a: {b: {c: d}, e: f}\ng: h").unwrap();
        layers
            .set("V", &keys(&["a", "b"]), value("{i: j}"))
            .unwrap();
        assert_eq!(json(&layers), r#"{"a":{"b":{"i":"j"},"e":"f"},"g":"h"}"#);
        layers
            .set("W", &keys(&["a", "b", "k"]), value("l"))
            .unwrap();
        let expected = r#"{"a":{"b":{"i":"j","k":"l"},"e":"f"},"g":"h"}"#;
        assert_eq!(json(&layers), expected);
    }

    #[test]
    fn items_of_lists_are_replaced_and_appended() {
        let mut layers = Layers::from_text("f", "a: {b: [{c: d}, e]}").unwrap();
        layers
            .set("V", &keys(&["a", "b", "0", "f"]), value("g"))
            .unwrap();
        layers
            .set("V", &keys(&["a", "b", "2"]), value("h"))
            .unwrap();
        assert_eq!(json(&layers), r#"{"a":{"b":[{"c":"d","f":"g"},"e","h"]}}"#);
        assert_eq!(layers.set("V", &keys(&["a", "b", "4"]), value("i")), Err(4));
        layers.set("V", &keys(&["j", "0"]), value("k")).unwrap();
        assert!(json(&layers).ends_with(r#""j":["k"]}"#));
    }

    #[test]
    fn every_value_knows_where_it_came_from() {
        let mut layers = Layers::from_text("f", "a:\n  b:\n    c: d\n  e: [f]\n").unwrap();
        layers
            .set("V", &keys(&["a", "b"]), value("{c: d}"))
            .unwrap();
        layers
            .set("W", &keys(&["a", "e", "1"]), value("g"))
            .unwrap();
        layers
            .set("X", &keys(&["a", "h", "i"]), value("j"))
            .unwrap();
        let table: [(&[&str], &str); 9] = [
            (&["a"], "f:1:1"),
            (&["a", "b"], "V"),
            (&["a", "b", "c"], "V"),
            (&["a", "e", "0"], "f:4:7"),
            (&["a", "e", "1"], "W"),
            (&["a", "h"], "X"),
            (&["a", "h", "k"], "X"),
            (&["a", "x"], "f:1:1"),
            (&["x"], "f"),
        ];
        for (path, expected) in table {
            assert_eq!(layers.origin(path).to_string(), expected, "{path:?}");
        }
    }

    #[test]
    fn a_kind_alone_stands_for_its_section() {
        let mut layers = Layers::from_text("f", "storage: inmemory").unwrap();
        assert_eq!(json(&layers), r#"{"storage":{"inmemory":{}}}"#);
        layers.set("V", &keys(&["storage"]), value("tape")).unwrap();
        assert_eq!(json(&layers), r#"{"storage":{"tape":{}}}"#);
    }
}
