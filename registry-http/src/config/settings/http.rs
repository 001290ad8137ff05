//! `http`: how and where to serve.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use registry_core::access::Secret;
use serde::Deserialize;

use super::super::duration::GoDuration;
use super::super::layers::{Layers, Origin};
use super::super::{ConfigError, Notes};
use super::tls::{RawHttp2, RawTls, Tls, tls};
use crate::debug::HEALTH;

/// `docker stop` kills after ten seconds.
const DRAIN: Duration = Duration::from_secs(8);

/// Where distribution's own example serves.
const ADDR: &str = ":5000";

/// What kind of place is listened on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Net {
    /// An address and a port.
    #[default]
    Tcp,
    /// A socket of the file system.
    Unix,
}

/// Where distribution serves its metrics.
const METRICS: &str = "/metrics";

/// How and where to serve.
#[derive(Debug)]
#[non_exhaustive]
pub struct Http {
    /// What kind of place `addr` is.
    pub net: Net,
    /// `host:port`, where an empty host is every address; or the path of a socket.
    pub addr: String,
    /// Scheme and host of absolute URLs, instead of the request's.
    pub host: Option<Uri>,
    /// What every path begins with; begins and ends with a slash.
    pub prefix: String,
    /// Signs the state of uploads; one is kept in the store if there is none.
    pub secret: Option<Secret<String>>,
    /// Whether `Location` is relative, if that was said.
    pub relativeurls: Option<bool>,
    /// Added to every answer of the API.
    pub headers: HeaderMap,
    /// How TLS is spoken, if it is.
    pub tls: Option<Tls>,
    /// Whether HTTP/2 is spoken without TLS, beside HTTP/1.1.
    pub h2c: bool,
    /// How long requests may take to end at shutdown.
    pub draintimeout: Duration,
    /// The second listener, if there is one.
    pub debug: Option<Debug>,
}

/// The listener for those who watch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Debug {
    /// `host:port`; an empty host is every address.
    pub addr: String,
    /// The path of the metrics, if they are served.
    pub metrics: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawHttp {
    addr: String,
    net: String,
    host: String,
    prefix: String,
    secret: String,
    relativeurls: Option<bool>,
    headers: BTreeMap<String, Vec<String>>,
    draintimeout: Option<GoDuration>,
    debug: RawDebug,
    tls: RawTls,
    http2: RawHttp2,
    h2c: RawH2c,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawDebug {
    addr: String,
    prometheus: RawPrometheus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawPrometheus {
    enabled: bool,
    path: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawH2c {
    enabled: bool,
}

pub(super) fn http(raw: RawHttp, layers: &Layers, notes: &mut Notes) -> Result<Http, ConfigError> {
    let net = match raw.net.as_str() {
        "" | "tcp" => Net::Tcp,
        "unix" if raw.addr.is_empty() => {
            let message = "a path is wanted here, since `http.net` is unix";
            return Err(layers.refuse(&["http", "addr"], message));
        }
        "unix" => Net::Unix,
        other => {
            let message = format!("{other:?} is not one of tcp, unix");
            return Err(layers.refuse(&["http", "net"], message));
        }
    };
    let host = match raw.host.as_str() {
        "" => None,
        // Without a scheme it is nothing to Go, either.
        host if !host.contains("://") => {
            notes.warn(format!(
                "`http.host` ({}) has no scheme and is left out, as in distribution: URLs begin as \
                 the request did; write https://{host}",
                layers.origin(&["http", "host"])
            ));
            None
        }
        host => Some(absolute(host).ok_or_else(|| {
            let message = format!("{host:?} is no URL such as https://registry.example");
            layers.refuse(&["http", "host"], message)
        })?),
    };
    let prefix = raw.prefix.trim_matches('/');
    let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    if !prefix.bytes().all(usable) || prefix.split('/').any(|part| part == "..") {
        return Err(layers.refuse(&["http", "prefix"], "not the beginning of a path"));
    }
    let mut headers = HeaderMap::new();
    for (name, values) in &raw.headers {
        let wrong = |what| layers.refuse(&["http", "headers", name], what);
        let key = HeaderName::try_from(name).map_err(|_| wrong("not the name of a header"))?;
        for value in values {
            let value =
                HeaderValue::try_from(value).map_err(|_| wrong("not the value of a header"))?;
            headers.append(&key, value);
        }
    }
    let addr = match raw.addr.is_empty() {
        true => ADDR.to_owned(),
        false => raw.addr,
    };
    Ok(Http {
        net,
        host,
        prefix: match prefix {
            "" => "/".to_owned(),
            prefix => format!("/{prefix}/"),
        },
        secret: (!raw.secret.is_empty()).then(|| Secret::new(raw.secret)),
        relativeurls: raw.relativeurls,
        headers,
        tls: tls(&raw.tls, !raw.http2.disabled, layers, notes)?,
        h2c: raw.h2c.enabled,
        draintimeout: raw.draintimeout.map_or(DRAIN, |given| given.0),
        debug: debug(raw.debug, layers, notes)?
            .filter(|debug| net == Net::Unix || is_apart(debug, &addr, layers, notes)),
        addr,
    })
}

fn debug(raw: RawDebug, layers: &Layers, notes: &mut Notes) -> Result<Option<Debug>, ConfigError> {
    let RawPrometheus { enabled, path } = raw.prometheus;
    let path = match path.is_empty() {
        true => METRICS.to_owned(),
        false => path,
    };
    let usable = path.starts_with('/') && path.parse::<Uri>().is_ok_and(|uri| uri.path() == path);
    if enabled && (!usable || path == HEALTH) {
        let message = format!("{path:?} is no path of its own such as {METRICS}");
        return Err(layers.refuse(&["http", "debug", "prometheus", "path"], message));
    }
    if raw.addr.is_empty() {
        if enabled {
            notes.warn(format!(
                "`http.debug.prometheus.enabled` ({}) has no effect: `http.debug.addr` is not set",
                layers.origin(&["http", "debug", "prometheus", "enabled"])
            ));
        }
        return Ok(None);
    }
    Ok(Some(Debug {
        addr: raw.addr,
        metrics: enabled.then_some(path),
    }))
}

/// Whether the second listener can be had beside the first. The file that comes with the image of
/// distribution 3 has one at `:5001`, and its tutorial moves the first there by a variable: that
/// is meant, and the file is not.
fn is_apart(debug: &Debug, addr: &str, layers: &Layers, notes: &mut Notes) -> bool {
    let (first, second) = (["http", "addr"], ["http", "debug", "addr"]);
    let moved = matches!(layers.origin(&first), Origin::Variable(_))
        && matches!(layers.origin(&second), Origin::Text { .. });
    if !moved || !overlap(addr, &debug.addr) {
        return true;
    }
    notes.warn(format!(
        "`http.debug.addr` ({}) is left out: `http.addr` ({}) has the port",
        layers.origin(&second),
        layers.origin(&first)
    ));
    false
}

impl Http {
    /// Whether the second listener would be where the first is.
    pub(crate) fn is_debug_in_the_way(&self, debug: &Debug) -> bool {
        self.net == Net::Tcp && overlap(&self.addr, &debug.addr)
    }
}

/// Whether two addresses cannot be listened on at once.
fn overlap(one: &str, other: &str) -> bool {
    let is_every = |host: &str| matches!(host, "" | "0.0.0.0" | "[::]");
    match (one.rsplit_once(':'), other.rsplit_once(':')) {
        (Some((a, port)), Some((b, same))) => {
            port == same && port != "0" && (a == b || is_every(a) || is_every(b))
        }
        _ => false,
    }
}

fn absolute(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    (known && uri.authority().is_some()).then_some(uri)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn a_debug_listener_of_the_file_yields_to_an_address_of_a_variable() {
        let text = "version: 0.1\nstorage: {inmemory: }\n\
                    http: {addr: ':5000', debug: {addr: ':5001'}}\n";
        let is_there = |variables: &[(&str, &str)]| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let variables: Vec<_> = variables.iter().map(owned).collect();
            let config = Config::parse("config.yml", text, &variables).unwrap();
            assert_eq!(
                config.notes.warnings.is_empty(),
                config.http.debug.is_some(),
                "{:?}",
                config.notes.warnings
            );
            config.http.debug.is_some()
        };
        const ADDR: &str = "REGISTRY_HTTP_ADDR";
        for addr in ["0.0.0.0:5001", ":5001", "127.0.0.1:5001", "[::]:5001"] {
            assert!(!is_there(&[(ADDR, addr)]), "{addr}");
        }
        assert!(is_there(&[]));
        assert!(is_there(&[(ADDR, ":5002")]));
        // Who asks for both is told that both cannot be had.
        let both = [(ADDR, ":5001"), ("REGISTRY_HTTP_DEBUG_ADDR", ":5001")];
        assert!(is_there(&both));
        let socket = [(ADDR, "/run/a:5001"), ("REGISTRY_HTTP_NET", "unix")];
        assert!(is_there(&socket));
    }
}
