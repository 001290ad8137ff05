//! The log: who writes what, where, in which form; and what requests are called in it.

mod lines;

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::panic::{self, PanicHookInfo};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, fmt};

use self::lines::{Fields, Keys, Text};
use crate::config::{Log, LogFormat, LogLevel};

/// What the end of a request is said under.
pub(crate) const ACCESS: &str = "access";

/// Opens the log, which goes to standard error by way of `writer`. A program that has its own log
/// keeps it.
pub(crate) fn open(log: &Log, writer: impl LogWriter) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    // What these say in detail is about their own insides.
    let quiet = level.min(LevelFilter::WARN);
    // Standard output has a line for each request already, unless somebody does not want it.
    let access = match log.level {
        LogLevel::Debug => level,
        _ => LevelFilter::OFF,
    };
    let told = Targets::new()
        .with_default(level)
        .with_target("h2", quiet)
        .with_target("hyper", quiet)
        .with_target("hyper_util", quiet)
        .with_target("mio", quiet)
        .with_target(ACCESS, access);
    // It fails only where a log is open already.
    let _ = tracing_subscriber::registry()
        .with(layer(log, writer).with_filter(told))
        .try_init();
}

/// Takes lines, each at once.
pub(crate) trait LogWriter: for<'a> MakeWriter<'a> + Send + Sync + 'static {}

impl<W: for<'a> MakeWriter<'a> + Send + Sync + 'static> LogWriter for W {}

/// Lines in the form that was asked for.
fn layer<S>(log: &Log, writer: impl LogWriter) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let ansi = io::stderr().is_terminal();
    let layer = fmt::layer().with_writer(writer).with_ansi(ansi);
    let keys = match log.format {
        LogFormat::Text if ansi => return layer.event_format(Text::new(log, ansi)).boxed(),
        LogFormat::Text => Keys::Text,
        LogFormat::Json => Keys::Json,
        LogFormat::Logstash => Keys::Logstash,
    };
    let layer = layer.fmt_fields(JsonFields::new());
    layer.event_format(Fields::new(keys, log)).boxed()
}

/// Whether a character shows as what it is, and does nothing to a terminal.
pub(crate) fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~') || c.escape_debug().len() == 1
}

/// Says in the log that something panicked, and where: each line of it is to have the same form,
/// and the name of the request.
pub(crate) fn log_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        log_panic(info);
        // Someone has asked for it through the environment.
        if Backtrace::capture().status() == BacktraceStatus::Captured {
            usual(info);
        }
    }));
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let location = info.location().map(tracing::field::display);
    let panic = message_of(info.payload());
    tracing::error!(panic, location, "a panic, which is a bug");
}

/// What was said to the panic.
pub(crate) fn message_of(payload: &(dyn Any + Send)) -> &str {
    let literal = payload.downcast_ref::<&str>().copied();
    let formatted = || payload.downcast_ref::<String>().map(String::as_str);
    literal.or_else(formatted).unwrap_or("no text")
}

/// A name for a request, for its log lines and its answer: 64 random bits.
pub(crate) fn request_id() -> String {
    let mut bytes = [0; 8];
    // `build` has seen randomness work; a name of zeros would harm nothing but the log.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

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

    #[test]
    fn a_panic_is_one_line_of_the_log_with_its_place_and_its_request() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = fmt().with_writer(move || writer.clone()).json().finish();
        let usual = Arc::new(panic::take_hook());
        let outer = Arc::clone(&usual);
        panic::set_hook(Box::new(move |info| {
            log_panic(info);
            outer(info);
        }));
        let ended = tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("request", id = "0123");
            span.in_scope(|| panic::catch_unwind(|| panic!("two\nlines")))
        });
        panic::set_hook(Box::new(move |info| usual(info)));
        assert!(ended.is_err());
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["span"]["id"], "0123");
        assert_eq!(line["fields"]["panic"], "two\nlines");
        let location = line["fields"]["location"].as_str().unwrap();
        assert!(location.starts_with(file!()), "{location}");
    }

    #[test]
    fn request_ids_are_hex_and_differ() {
        let (one, other) = (request_id(), request_id());
        assert_eq!(one.len(), 16);
        assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(one, other);
    }
}
