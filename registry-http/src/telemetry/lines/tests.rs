//! One event in each form; `tests/it/logging.rs` has the lines of a server.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;

use super::*;
use crate::config::{LogFormat, LogLevel};

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Written {
    /// The only line.
    fn line(&self) -> String {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let line = text.strip_suffix('\n').unwrap();
        assert!(!line.contains('\n'), "{text:?}");
        line.to_owned()
    }
}

fn log(fields: Value) -> Log {
    let Value::Object(fields) = fields else {
        panic!("{fields}");
    };
    Log {
        level: LogLevel::Info,
        format: LogFormat::Text,
        access: false,
        caller: false,
        fields,
    }
}

fn json(keys: Keys, log: &Log, say: impl FnOnce()) -> (String, Value) {
    let written = Written::default();
    let lines = tracing_subscriber::fmt().with_writer(written.clone());
    let lines = lines.fmt_fields(JsonFields::new());
    let lines = lines.event_format(Fields::new(keys, log)).finish();
    tracing::subscriber::with_default(lines, say);
    let line = written.line();
    let value = serde_json::from_str(&line).unwrap();
    (line, value)
}

fn text(log: &Log, say: impl FnOnce()) -> String {
    let written = Written::default();
    let lines = tracing_subscriber::fmt().with_writer(written.clone());
    let lines = lines.event_format(Text::new(log, false)).finish();
    tracing::subscriber::with_default(lines, say);
    written.line()
}

/// The value without its time, which is checked.
fn timeless(mut value: Value, key: &str) -> Value {
    let time = value.as_object_mut().unwrap().remove(key).unwrap();
    let time = time.as_str().unwrap();
    assert!(
        time.parse::<Timestamp>().is_ok() && time.ends_with('Z'),
        "{time}"
    );
    value
}

fn say() {
    let span = tracing::error_span!("request", id = "0123", path = "/v2/");
    let _entered = span.enter();
    let error = crate::server::Error::System {
        doing: "opening the tape store",
        source: io::Error::other("torn"),
    };
    let error = &error as &dyn Error;
    tracing::warn!(error, count = 3, tries = -1, on = true, "it is so");
}

#[test]
fn logstash_finds_its_own_names() {
    let (line, value) = json(Keys::Logstash, &log(json!({"environment": "prod"})), say);
    assert!(line.starts_with(r#"{"@timestamp":"2"#), "{line}");
    let expected = json!({
        "@version": "1",
        "type": "log",
        "level": "warning",
        "message": "it is so",
        "error": "opening the tape store: torn",
        "count": 3,
        "tries": -1,
        "on": true,
        "request": {"id": "0123", "path": "/v2/"},
        "environment": "prod",
    });
    assert_eq!(timeless(value, "@timestamp"), expected);
}

#[test]
fn levels_are_called_as_logrus_calls_them() {
    let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG];
    assert_eq!(levels.map(name), ["error", "warning", "info", "debug"]);
}

#[test]
fn json_has_the_names_of_logrus() {
    let fields = json!({"environment": "prod", "n": 5, "l": [1]});
    let (line, value) = json(Keys::Json, &log(fields), say);
    assert!(line.starts_with(r#"{"time":"2"#), "{line}");
    let expected = json!({
        "level": "warning",
        "msg": "it is so",
        "error": "opening the tape store: torn",
        "count": 3,
        "tries": -1,
        "on": true,
        "request.id": "0123",
        "request.path": "/v2/",
        "environment": "prod",
        "n": 5,
        "l": [1],
    });
    assert_eq!(timeless(value, "time"), expected);
}

#[test]
fn text_has_the_form_of_logrus() {
    let written = Written::default();
    let lines = tracing_subscriber::fmt().with_writer(written.clone());
    let lines = lines.fmt_fields(JsonFields::new());
    let log = log(json!({"environment": "a b", "n": 5, "l": ["x"], "none": ""}));
    let lines = lines.event_format(Fields::new(Keys::Text, &log)).finish();
    tracing::subscriber::with_default(lines, say);
    let line = written.line();
    let (time, rest) = line.split_once(' ').unwrap();
    let time = time.strip_prefix("time=\"").unwrap();
    let time = time.strip_suffix('"').unwrap();
    assert!(time.parse::<Timestamp>().is_ok(), "{line}");
    let expected = r#"level=warning msg="it is so" error="opening the tape store: torn" count=3 tries=-1 on=true request.id=0123 request.path=/v2/ environment="a b" l="[\"x\"]" n=5 none="#;
    assert_eq!(rest, expected);
}

#[test]
fn text_ends_with_what_is_on_every_line() {
    let log = log(json!({"environment": "a \"b\"\n", "nested": {"n": [1]}}));
    let line = text(&log, || tracing::info!(n = 1, "so"));
    let end = r#"INFO so n=1 environment="a \"b\"\n" nested={"n":[1]}"#;
    assert!(line.ends_with(end), "{line}");
}

#[test]
fn nothing_takes_a_name_that_is_there() {
    let fields = json!({
        "level": "a", "message": "b", "count": "c", "@timestamp": "d", "type": "e", "@version": "f",
        "timestamp": "g",
    });
    let (_, value) = json(Keys::Logstash, &log(fields), || {
        tracing::info!(count = 1, r#type = "mine", "so");
    });
    let expected = json!({
        "@version": "f", "type": "e", "level": "info", "message": "so", "count": 1,
        "fields.type": "mine", "fields.level": "a", "fields.message": "b", "fields.count": "c",
        "fields.@timestamp": "d", "timestamp": "g",
    });
    assert_eq!(timeless(value, "@timestamp"), expected);
}

#[test]
fn what_hides_is_written_otherwise_and_is_the_same() {
    let hidden = "\u{1b}\u{7f}\u{9b}\u{202e}\u{e0001}é\"\\\n";
    for (keys, message) in [(Keys::Json, "msg"), (Keys::Logstash, "message")] {
        let (line, value) = json(keys, &log(json!({hidden: hidden})), || {
            tracing::info!(hidden, "{hidden}");
        });
        assert!(line.chars().all(is_printable), "{line:?}");
        for key in ["hidden", message, hidden] {
            assert_eq!(value[key], hidden);
        }
    }
    let line = text(&log(json!({hidden: hidden})), || {
        tracing::info!(hidden, "so")
    });
    assert!(line.chars().all(is_printable), "{line:?}");
}

#[test]
fn the_caller_is_told_where_it_was_asked_for() {
    let log = Log {
        caller: true,
        ..log(json!({}))
    };
    let line = line!() + 1;
    let say = || tracing::info!("so");
    let place = format!("{}:{line}", file!());
    for keys in [Keys::Json, Keys::Logstash] {
        assert_eq!(json(keys, &log, say).1["file"], *place);
    }
    assert!(text(&log, say).contains(&format!("{place}: so")));
}
