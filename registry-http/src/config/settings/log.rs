//! `log`: what is said, and how.

use serde::Deserialize;

use super::super::layers::Layers;
use super::super::{ConfigError, Notes};

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogLevel {
    /// What went wrong.
    Error,
    /// What may go wrong.
    Warn,
    /// What happened.
    #[default]
    Info,
    /// How it happened.
    Debug,
}

/// How it is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// What goes to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Log {
    /// How much.
    pub level: LogLevel,
    /// In which form.
    pub format: LogFormat,
    /// Whether each request is a line on standard output.
    pub access: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawLog {
    level: String,
    formatter: String,
    accesslog: RawAccessLog,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawAccessLog {
    disabled: bool,
}

/// `old` is the level in the old place.
pub(super) fn log(
    raw: &RawLog,
    old: &str,
    layers: &Layers,
    notes: &mut Notes,
) -> Result<Log, ConfigError> {
    let (path, level): (&[&str], &str) = match raw.level.as_str() {
        "" if !old.is_empty() => (&["loglevel"], old),
        level => (&["log", "level"], level),
    };
    let level = match level.to_ascii_lowercase().as_str() {
        "" | "info" => LogLevel::Info,
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "debug" => LogLevel::Debug,
        other => {
            let message = format!("{other:?} is not one of error, warn, info, debug");
            return Err(layers.refuse(path, message));
        }
    };
    let path = ["log", "formatter"];
    let format = match raw.formatter.as_str() {
        "" | "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        "logstash" => {
            notes.warn(format!(
                "`log.formatter` ({}): logstash is not honoured by this release, json is used",
                layers.origin(&path)
            ));
            LogFormat::Json
        }
        other => {
            let message = format!("{other:?} is not one of text, json, logstash");
            return Err(layers.refuse(&path, message));
        }
    };
    Ok(Log {
        level,
        format,
        access: !raw.accesslog.disabled,
    })
}
