//! The configuration: distribution's file and variables, typed, with the origin of each value.
//!
//! Every key is honoured, or named in a warning; what protects and cannot be honoured is refused
//! (`refuse.rs`).

mod auth;
pub(crate) mod described;
#[cfg(all(test, feature = "fs"))]
mod docs;
pub(crate) mod duration;
pub(crate) mod effective;
pub(crate) mod known;
pub(crate) mod layers;
pub(crate) mod misspelt;
mod refuse;
mod settings;
pub(crate) mod status;
pub(crate) mod typed;
mod unwanted;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use figment::value::{Dict, Value};
use registry_core::Rules;
use registry_core::rules::Immutable;

use self::layers::Layers;
pub use self::layers::Origin;
use self::misspelt::Refusal;
use self::settings::Root;
pub use self::settings::{
    ClientAuth, Clients, Debug, FileCheck, Health, Http, HttpCheck, Identity, LetsEncrypt, Limits,
    Log, LogFormat, LogLevel, Net, Pace, TcpCheck, Tls, TlsVersion, TokenService, UploadPurging,
    UrlLists, Validation,
};
use self::typed::{TypeError, Unwanted};
use self::unwanted::{nearest, not_honoured, note_unwanted, unknown};
use crate::env;
use crate::proxies::Proxies;
pub use crate::yaml::Place;

/// What serves when nobody says anything: a directory of its own, for this machine only.
const EMBEDDED: &str = "\
version: 0.1
storage:
  filesystem:
    rootdirectory: ./registry-data
  delete:
    enabled: true
http:
  addr: 127.0.0.1:5000
";

const EMBEDDED_NOTE: &str = "\
no configuration was given: the built-in one counts (a filesystem under ./registry-data, at \
127.0.0.1:5000, with deletion), and REGISTRY_* variables over it";

const EMBEDDED_NAME: &str = "the built-in configuration";

/// Keys of `storage` that are not the name of a driver.
pub(crate) const NOT_DRIVERS: [&str; 5] = ["cache", "delete", "maintenance", "redirect", "tag"];

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("reading the configuration {}", path.display())]
    #[non_exhaustive]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not YAML.
    #[error("{}: {message}", origin)]
    #[non_exhaustive]
    Syntax {
        /// Where it stands.
        origin: Origin,
        /// What is wrong.
        message: String,
    },
    /// A key is missing, is of the wrong type, or asks for what cannot be done.
    #[error("`{key}` ({}): {message}", origin)]
    #[non_exhaustive]
    Value {
        /// Which.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// What is wrong.
        message: String,
    },
}

/// Where the configuration is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// Nowhere: the built-in one counts.
    BuiltIn,
    /// In this file.
    File(PathBuf),
}

/// What is worth telling the user once the log is open.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    warnings: Vec<String>,
    /// Names that were to protect.
    refusals: Vec<Refusal>,
}

impl Notes {
    pub(crate) fn warn(&mut self, message: impl Into<String>) {
        self.warnings.push(message.into());
    }

    #[cfg(test)]
    pub(crate) fn into_warnings(self) -> Vec<String> {
        self.warnings
    }
}

/// The driver or the scheme that was chosen, and its own section.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) kind: String,
    pub(crate) section: Value,
}

impl Driver {
    /// Where the store begins, if the configuration says so.
    pub(crate) fn root(&self) -> Option<&str> {
        self.section.as_dict()?.get("rootdirectory")?.as_str()
    }
}

/// Everything that was configured.
#[derive(Debug)]
#[non_exhaustive]
pub struct Config {
    /// What goes to the log.
    pub log: Log,
    /// Whether manifests, tags and blobs may be deleted.
    pub delete: bool,
    /// Whether the registry refuses to change.
    pub readonly: bool,
    /// Whether clients may be sent to the store for blobs.
    pub redirect: bool,
    /// How unfinished uploads end.
    pub uploadpurging: UploadPurging,
    /// How and where to serve.
    pub http: Http,
    /// What is looked at while serving.
    pub health: Health,
    /// The largest page of the catalog.
    pub catalog_max: usize,
    /// The largest page of tags.
    pub tags_max: usize,
    /// What a manifest must be, beyond being one.
    pub validation: Validation,
    /// Of which classes an image may be, all if none is named.
    pub classes: Vec<String>,
    /// Who may do what.
    pub rules: Arc<Rules>,
    /// The token service of our own, if there is one.
    pub tokens: Option<TokenService>,
    /// Tags that stay what they are, whoever pushes.
    pub immutable: Vec<Immutable>,
    /// How much of anything.
    pub limits: Limits,
    /// Who may say for whom a request is.
    pub(crate) proxies: Proxies,
    /// Whether they have to say it of a connection before anything else.
    pub(crate) proxyprotocol: bool,
    pub(crate) driver: Driver,
    /// Who is let in; everyone without it.
    pub(crate) auth: Option<Driver>,
    pub(crate) notes: Notes,
    layers: Layers,
}

impl Config {
    /// What a rule is called, by its number, and where it stands.
    pub(crate) fn rule_at(&self, rule: usize) -> String {
        let rule = rule.to_string();
        self.layers.named(&["extensions", "access", "rules", &rule])
    }

    /// Reads the source, and puts `REGISTRY_*` variables over it.
    ///
    /// # Errors
    /// [`ConfigError`]: also of what would leave the registry less protected than was asked for.
    pub fn load(source: &Source, variables: &[(String, String)]) -> Result<Self, ConfigError> {
        Self::load_to_maintain(source, variables)?.unless_refused()
    }

    /// The same for work on the store alone, to which nobody has access by it.
    pub(crate) fn load_to_maintain(
        source: &Source,
        variables: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        match source {
            Source::BuiltIn => {
                let mut config = Self::read(EMBEDDED_NAME, EMBEDDED, variables)?;
                config.notes.warnings.insert(0, EMBEDDED_NOTE.to_owned());
                Ok(config)
            }
            Source::File(path) => {
                let text = read(path).map_err(|source| ConfigError::Read {
                    path: path.clone(),
                    source,
                })?;
                Self::read(&path.display().to_string(), &text, variables)
            }
        }
    }

    /// Takes a text as the file of this name.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(
        name: &str,
        text: &str,
        variables: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        Self::read(name, text, variables)?.unless_refused()
    }

    fn unless_refused(self) -> Result<Self, ConfigError> {
        match self.refusals().into_iter().next() {
            Some(refusal) => Err(refusal),
            None => Ok(self),
        }
    }

    fn read(name: &str, text: &str, variables: &[(String, String)]) -> Result<Self, ConfigError> {
        let mut layers = Layers::from_text(name, text).map_err(|error| ConfigError::Syntax {
            origin: Origin::Text {
                name: name.to_owned(),
                place: Some(error.place),
            },
            message: error.message,
        })?;
        let mut notes = Notes::default();
        env::apply(&mut layers, variables, &mut notes)?;
        Self::from_layers(layers, notes)
    }

    fn from_layers(layers: Layers, mut notes: Notes) -> Result<Self, ConfigError> {
        let mut merged = layers.merged();
        if merged.get("version").is_none_or(is_empty) {
            let also = match merged.contains_key("storage") {
                true => "",
                false => {
                    ", and `storage: {filesystem: {rootdirectory: /var/lib/registry}}` or \
                          another store"
                }
            };
            let message = format!("this key is mandatory and missing; write `version: 0.1`{also}");
            return Err(layers.refuse(&["version"], message));
        }
        let driver = take_driver(&mut merged, &layers)?;
        let auth = auth::take(&mut merged);
        let value = Value::from(merged);
        let (root, unwanted) =
            typed::typed::<Root>(&value, &[]).map_err(|error| layers.explain(error))?;
        for key in unwanted {
            note_unwanted(&key, &value, &layers, &mut notes)?;
        }
        root.settle(layers, driver, auth, notes)
    }

    /// What is worth telling the user, once.
    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes.warnings)
    }

    /// Explains an error in the driver's own section.
    pub(crate) fn explain(&self, error: TypeError) -> ConfigError {
        self.layers.explain(error)
    }

    /// Where the value of this key came from.
    pub(crate) fn origin(&self, path: &[&str]) -> Origin {
        self.layers.origin(path).clone()
    }

    /// An error about a key.
    pub(crate) fn refuse(&self, path: &[&str], message: impl Into<String>) -> ConfigError {
        self.layers.refuse(path, message)
    }

    /// What to say about keys that the driver does not know.
    pub(crate) fn unknown_to_driver(&self, unwanted: &[Unwanted]) -> Vec<String> {
        let known = |path: &[String]| known::node(path).is_some();
        unwanted
            .iter()
            .map(|key| match known(&key.path) {
                true => not_honoured(&key.path, &self.layers),
                false => {
                    let nearest = nearest(&key.path, key.wanted.iter().copied());
                    unknown(&key.path, nearest, &self.layers)
                }
            })
            .collect()
    }
}

impl Layers {
    fn explain(&self, error: TypeError) -> ConfigError {
        let path = error.path.unwrap_or_default();
        ConfigError::Value {
            origin: self.origin(&path).clone(),
            key: path.join("."),
            message: error.message,
        }
    }

    fn refuse<S: AsRef<str>>(&self, path: &[S], message: impl Into<String>) -> ConfigError {
        let keys: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
        ConfigError::Value {
            origin: self.origin(path).clone(),
            key: keys.join("."),
            message: message.into(),
        }
    }
}

fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Empty(..)) || value.as_str() == Some("")
}

#[allow(
    clippy::disallowed_methods,
    reason = "the configuration is read once, before anything is served"
)]
fn read(path: &Path) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

/// Takes the driver's section out of `storage`, which leaves the keys that are not a driver's.
fn take_driver(merged: &mut Dict, layers: &Layers) -> Result<Driver, ConfigError> {
    let none = || {
        layers.refuse(&["storage"], "no storage driver is configured, such as `filesystem: {rootdirectory: /var/lib/registry}`")
    };
    let storage = match merged.get_mut("storage") {
        Some(Value::Dict(_, storage)) => storage,
        None | Some(Value::Empty(..)) => return Err(none()),
        Some(_) => return Err(layers.refuse(&["storage"], "a section is wanted here")),
    };
    let kinds: Vec<String> = storage
        .keys()
        .filter(|key| !NOT_DRIVERS.contains(&key.as_str()))
        .cloned()
        .collect();
    match kinds.as_slice() {
        [] => Err(none()),
        [kind] => {
            let section = storage.remove(kind).unwrap_or_else(crate::yaml::null);
            Ok(Driver {
                kind: kind.clone(),
                section,
            })
        }
        several => {
            let named: Vec<String> = several
                .iter()
                .map(|kind| format!("{kind} ({})", layers.origin(&["storage", kind])))
                .collect();
            Err(layers.refuse(
                &["storage"],
                format!(
                    "several storage drivers are configured, and there must be one: {}; \
                     REGISTRY_STORAGE=<driver> replaces the section",
                    named.join(", "),
                ),
            ))
        }
    }
}

#[cfg(test)]
mod tests;
