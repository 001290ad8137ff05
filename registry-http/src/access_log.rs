//! A line for each request on standard output, in the form that Apache calls *combined*; and the
//! same in the log, where it has the name of the request.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::{Instant, SystemTime};

use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use percent_encoding::percent_decode_str;
use tracing::Span;

use crate::ambient::ambient;
use crate::follow::NOBODY_WAITS;
use crate::outlet::Outlet;
use crate::proxies::Client;
use crate::telemetry::{ACCESS, is_printable};

/// Parameters of a query that nobody should read: the state of an upload, and what belongs in the
/// form for a token service.
const SECRET: [&str; 5] = [
    "_state",
    "password",
    "refresh_token",
    "access_token",
    "client_secret",
];

/// Where this machine is, or the variable `TZ` says it is.
static ZONE: LazyLock<TimeZone> = LazyLock::new(TimeZone::system);

/// What is told of a request. It is written when the value is dropped: when the last byte of the
/// answer has been handed over, or nobody wants more of it.
#[derive(Debug)]
pub(crate) struct AccessLine {
    printed: Option<Outlet>,
    begun: SystemTime,
    started: Instant,
    span: Span,
    method: Method,
    uri: Uri,
    version: Version,
    client: Client,
    referer: Option<HeaderValue>,
    agent: Option<HeaderValue>,
    operation: &'static str,
    status: u16,
    /// Bytes of the answer's body.
    pub(crate) sent: u64,
}

impl AccessLine {
    /// Begins with a request that has no answer. `printed` says where it goes.
    pub(crate) fn new(
        request: &Request<Body>,
        client: Client,
        span: Span,
        printed: Option<Outlet>,
    ) -> Self {
        let header = |name: HeaderName| request.headers().get(name).cloned();
        Self {
            printed,
            begun: (ambient().now)(),
            started: Instant::now(),
            span,
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            client,
            referer: header(header::REFERER),
            agent: header(header::USER_AGENT),
            operation: "cut",
            status: NOBODY_WAITS,
            sent: 0,
        }
    }

    /// The head of its answer is known.
    pub(crate) fn answered(&mut self, operation: &'static str, status: StatusCode) {
        self.operation = operation;
        self.status = status.as_u16();
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The line, with its end. Nobody has a name here, as with distribution.
    fn combined(&self, zone: &TimeZone) -> String {
        let begun = Timestamp::try_from(self.begun).unwrap_or_default();
        let begun = begun.to_zoned(zone.clone());
        let mut line = match self.client.address() {
            Some(address) => address.to_canonical().to_string(),
            // Who comes by a socket of the file system; Go tells it so, too.
            None => "@".to_owned(),
        };
        let _ = write!(line, " - - [{}] \"", begun.strftime("%d/%b/%Y:%H:%M:%S %z"));
        quote(&mut line, self.method.as_str().as_bytes());
        line.push(' ');
        quote(&mut line, self.path().as_bytes());
        if let Some(query) = self.query() {
            line.push('?');
            quote(&mut line, query.as_bytes());
        }
        let _ = write!(
            line,
            " {:?}\" {} {} \"",
            self.version, self.status, self.sent
        );
        quote(&mut line, bytes(self.referer.as_ref()));
        line.push_str("\" \"");
        quote(&mut line, bytes(self.agent.as_ref()));
        line.push_str("\"\n");
        line
    }

    /// Of a target with a host in it, the host may come with a password: left out.
    fn path(&self) -> &str {
        match self.uri.path() {
            "" => self.uri.host().unwrap_or_default(),
            path => path,
        }
    }

    /// The query of an upload holds its state: left out, as any that has what nobody should read.
    fn query(&self) -> Option<&str> {
        let query = self.uri.query()?;
        let mut names = query.split('&').filter_map(|pair| pair.split('=').next());
        let is_secret = names.any(|name| {
            let name = percent_decode_str(name).decode_utf8_lossy();
            SECRET.contains(&name.to_ascii_lowercase().as_str())
        });
        (!is_secret && !self.path().contains("/blobs/uploads/")).then_some(query)
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        if let Some(outlet) = &self.printed {
            outlet.put(self.combined(&ZONE).as_bytes());
        }
        tracing::info!(
            target: ACCESS,
            parent: &self.span,
            operation = self.operation,
            status = self.status,
            bytes = self.sent,
            micros = self.micros(),
            peer = self.client.address().map(|_| tracing::field::display(self.client)),
            proxy = self.client.behind.map(|_| tracing::field::display(self.client.peer)),
            agent = &*String::from_utf8_lossy(bytes(self.agent.as_ref())),
            "answered"
        );
    }
}

fn bytes(value: Option<&HeaderValue>) -> &[u8] {
    value.map(HeaderValue::as_bytes).unwrap_or_default()
}

/// Puts a text between quotes that it cannot leave, as distribution does: quotes and backslashes
/// behind a backslash, and whatever does not print in the notation of C.
fn quote(line: &mut String, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            let _ = match c {
                '"' | '\\' => write!(line, "\\{c}"),
                '\n' => write!(line, "\\n"),
                '\r' => write!(line, "\\r"),
                '\t' => write!(line, "\\t"),
                c if is_printable(c) => write!(line, "{c}"),
                '\0'..=' ' => write!(line, "\\x{:02x}", u32::from(c)),
                '!'..='\u{ffff}' => write!(line, "\\u{:04x}", u32::from(c)),
                _ => write!(line, "\\U{:08x}", u32::from(c)),
            };
        }
        for byte in chunk.invalid() {
            let _ = write!(line, "\\x{byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests;
