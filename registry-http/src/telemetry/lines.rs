//! The forms of a line: for people at a terminal, and, for machines, those of logrus, by which
//! distribution's logs are read. What the configuration wants on every line stands at its end.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::is_printable;
use crate::ambient::ambient;
use crate::cli::chain;
use crate::config::Log;

/// Lines for people at a terminal.
pub(super) struct Text {
    format: Format<Full>,
    fixed: String,
}

impl Text {
    pub(super) fn new(log: &Log, ansi: bool) -> Self {
        let format = Format::default().with_ansi(ansi).with_target(false);
        let caller = log.caller;
        Self {
            format: format.with_file(caller).with_line_number(caller),
            fixed: fixed(&log.fields),
        }
    }
}

fn fixed(fields: &Map<String, Value>) -> String {
    fields.iter().fold(String::new(), |mut text, (key, value)| {
        let value = visible(&value.to_string()).into_owned();
        let _ = write!(text, " {}={value}", key.escape_debug());
        text
    })
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.format
            .format_event(context, Writer::new(&mut line), event)?;
        writeln!(writer, "{}{}", line.trim_end_matches('\n'), self.fixed)
    }
}

/// Which keys a line for machines has, and what they are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// Those of logrus, as text: `key=value`, quoted where it must be.
    Text,
    /// The same as an object.
    Json,
    /// Those of the formatter that people have in mind who ask distribution for `logstash`.
    Logstash,
}

/// Lines of keys and values.
pub(super) struct Fields {
    keys: Keys,
    caller: bool,
    fixed: Map<String, Value>,
}

impl Fields {
    pub(super) fn new(keys: Keys, log: &Log) -> Self {
        Self {
            keys,
            caller: log.caller,
            fixed: log.fields.clone(),
        }
    }

    fn line<S, N>(&self, now: SystemTime, event: &Event<'_>, scope: Option<Scope<'_, S>>) -> Line
    where
        S: for<'a> LookupSpan<'a>,
        N: for<'a> FormatFields<'a> + 'static,
    {
        let metadata = event.metadata();
        let mut line = Line::new(self.keys.message());
        self.begin(&mut line, now, *metadata.level());
        event.record(&mut line);
        if let Some(place) = place(metadata).filter(|_| self.caller) {
            line.push("file", place);
        }
        for span in scope.into_iter().flat_map(Scope::from_root) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>();
            let fields: Map<String, Value> = fields
                .and_then(|fields| serde_json::from_str(&fields.fields).ok())
                .unwrap_or_default();
            match self.keys {
                Keys::Text | Keys::Json => {
                    for (key, value) in fields {
                        line.push(format!("{}.{key}", span.name()), value);
                    }
                }
                Keys::Logstash => line.push(span.name(), fields),
            }
        }
        for (key, value) in &self.fixed {
            if self.keys != Keys::Logstash || !DEFAULTS.iter().any(|(known, _)| known == key) {
                line.push(key.clone(), value.clone());
            }
        }
        line
    }

    fn begin(&self, line: &mut Line, now: SystemTime, level: Level) {
        let now = Timestamp::try_from(now).unwrap_or_default();
        let now = format!("{now:.6}");
        match self.keys {
            Keys::Text | Keys::Json => {
                line.push("time", now);
                line.push("level", name(level));
            }
            Keys::Logstash => {
                line.push("@timestamp", now);
                for (key, default) in DEFAULTS {
                    let fixed = self.fixed.get(key).cloned();
                    line.push(key, fixed.unwrap_or_else(|| default.into()));
                }
                line.push("level", name(level));
            }
        }
        // In front of all other fields, and there even when nothing is said.
        line.push(line.message, "");
    }
}

/// What stands on every line for Logstash, unless `log.fields` says something else.
const DEFAULTS: [(&str, &str); 2] = [("@version", "1"), ("type", "log")];

/// What `tracing` calls what is said.
const MESSAGE: &str = "message";

impl Keys {
    fn message(self) -> &'static str {
        match self {
            Self::Text | Self::Json => "msg",
            Self::Logstash => MESSAGE,
        }
    }
}

/// What logrus calls it.
fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn place(metadata: &Metadata<'_>) -> Option<String> {
    let (file, line) = (metadata.file()?, metadata.line()?);
    Some(format!("{file}:{line}"))
}

impl<S, N> FormatEvent<S, N> for Fields
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let line = self.line::<S, N>((ambient().now)(), event, context.event_scope());
        let text = match self.keys {
            Keys::Text => line.into_text(),
            Keys::Json | Keys::Logstash => line.into_json(),
        };
        writeln!(writer, "{text}")
    }
}

/// The entries of a line, in their order.
#[derive(Debug)]
struct Line {
    entries: Vec<(Cow<'static, str>, Value)>,
    /// What is said is called so.
    message: &'static str,
}

impl Line {
    fn new(message: &'static str) -> Self {
        let entries = Vec::new();
        Self { entries, message }
    }

    /// Whoever comes second to a name has it with a prefix, as in logrus.
    fn push(&mut self, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let mut key = key.into();
        while self.entries.iter().any(|(taken, _)| *taken == key) {
            key = format!("fields.{key}").into();
        }
        self.entries.push((key, value.into()));
    }

    fn field(&mut self, field: &Field, value: impl Into<Value>) {
        if field.name() == MESSAGE
            && let Some((_, message)) = self
                .entries
                .iter_mut()
                .find(|(key, _)| *key == self.message)
        {
            *message = value.into();
        } else {
            self.push(field.name().trim_start_matches("r#"), value);
        }
    }

    fn into_text(self) -> String {
        let entries = self.entries.iter().map(|(key, value)| {
            let value = match value {
                Value::String(text) => bare(text)
                    .map_or_else(|| visible(&value.to_string()).into_owned(), str::to_owned),
                other => {
                    let text = other.to_string();
                    match bare(&text) {
                        Some(_) => text,
                        None => visible(&Value::from(text).to_string()).into_owned(),
                    }
                }
            };
            format!("{}={value}", key.escape_debug())
        });
        let entries: Vec<String> = entries.collect();
        entries.join(" ")
    }

    fn into_json(self) -> String {
        let entries = self.entries.into_iter().map(|(key, value)| {
            let key = Value::from(key);
            format!("{key}:{value}")
        });
        let entries: Vec<String> = entries.collect();
        let line = format!("{{{}}}", entries.join(","));
        visible(&line).into_owned()
    }
}

/// The text, if logrus would not quote it.
fn bare(text: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/@^+".contains(c);
    text.chars().all(plain).then_some(text)
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.field(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.field(field, chain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field, format!("{value:?}"));
    }
}

/// JSON in which nothing hides, or commands a terminal. Such characters stand within its strings
/// only, where there is another way to write them.
fn visible(json: &str) -> Cow<'_, str> {
    if json.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return json.into();
    }
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match is_printable(c) {
            true => text.push(c),
            false => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
    }
    text.into()
}

#[cfg(test)]
mod tests;
