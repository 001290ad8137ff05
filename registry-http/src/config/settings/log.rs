//! `log`: what is said, and how.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::ConfigError;
use super::super::layers::Layers;

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
    /// For Logstash, with its names for time and message.
    Logstash,
}

/// What goes to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Log {
    /// How much.
    pub level: LogLevel,
    /// In which form.
    pub format: LogFormat,
    /// Whether each request is a line on standard output.
    pub access: bool,
    /// Whether each line says where in the source it comes from.
    pub caller: bool,
    /// What is on every line.
    pub fields: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawLog {
    level: String,
    formatter: String,
    fields: Map<String, Value>,
    accesslog: RawAccessLog,
    reportcaller: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawAccessLog {
    disabled: bool,
}

/// `old` is the level in the old place.
pub(super) fn log(raw: RawLog, old: &str, layers: &Layers) -> Result<Log, ConfigError> {
    // The old one is looked at even where it does not count.
    let old = level_of(old, &["loglevel"], layers)?;
    let level = level_of(&raw.level, &["log", "level"], layers)?;
    let level = level.or(old).unwrap_or_default();
    let path = ["log", "formatter"];
    let format = match raw.formatter.as_str() {
        "" | "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        "logstash" => LogFormat::Logstash,
        other => {
            let message = format!("{other:?} is not one of text, json, logstash");
            return Err(layers.refuse(&path, message));
        }
    };
    Ok(Log {
        level,
        format,
        access: !raw.accesslog.disabled,
        caller: raw.reportcaller,
        fields: raw.fields,
    })
}

fn level_of(text: &str, path: &[&str], layers: &Layers) -> Result<Option<LogLevel>, ConfigError> {
    Ok(Some(match text.to_ascii_lowercase().as_str() {
        "" => return Ok(None),
        "info" => LogLevel::Info,
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "debug" => LogLevel::Debug,
        other => {
            let message = format!("{other:?} is not one of error, warn, info, debug");
            return Err(layers.refuse(path, message));
        }
    }))
}
