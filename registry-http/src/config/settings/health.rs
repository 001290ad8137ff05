//! `health`: what is looked at, how often, and how many failures in a row count.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use serde::Deserialize;

use super::super::ConfigError;
use super::super::duration::GoDuration;
use super::super::layers::Layers;

/// Between two looks, unless it is said.
const INTERVAL: Duration = Duration::from_secs(10);

/// How long a look may take, unless it is said or the interval is longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The store, if it is.
    pub storage: Option<Pace>,
    /// Files that must not exist.
    pub files: Vec<FileCheck>,
    /// URLs that must answer.
    pub http: Vec<HttpCheck>,
    /// Ports that must be open.
    pub tcp: Vec<TcpCheck>,
}

/// How often to look, and when to believe what is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pace {
    /// Between two looks.
    pub interval: Duration,
    /// How long one may take.
    pub patience: Duration,
    /// Failures in a row that count; one at least.
    pub threshold: u32,
}

/// A file that must not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileCheck {
    /// Which.
    pub file: PathBuf,
    /// How often.
    pub pace: Pace,
}

/// A URL that must answer to HEAD.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpCheck {
    /// Which; of scheme `http` or `https`, with a host.
    pub uri: Uri,
    /// Sent along.
    pub headers: HeaderMap,
    /// What it must answer.
    pub status: StatusCode,
    /// How often.
    pub pace: Pace,
}

/// A port that must be open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpCheck {
    /// `host:port`.
    pub addr: String,
    /// How often.
    pub pace: Pace,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawHealth {
    storagedriver: RawStorageCheck,
    file: Vec<RawFileCheck>,
    http: Vec<RawHttpCheck>,
    tcp: Vec<RawTcpCheck>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawStorageCheck {
    enabled: bool,
    interval: Option<GoDuration>,
    threshold: u32,
}

#[derive(Debug, Deserialize)]
struct RawFileCheck {
    file: String,
    #[serde(default)]
    interval: Option<GoDuration>,
    #[serde(default)]
    threshold: u32,
}

#[derive(Debug, Deserialize)]
struct RawHttpCheck {
    uri: String,
    #[serde(default)]
    headers: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    statuscode: u16,
    #[serde(default)]
    timeout: Option<GoDuration>,
    #[serde(default)]
    interval: Option<GoDuration>,
    #[serde(default)]
    threshold: u32,
}

#[derive(Debug, Deserialize)]
struct RawTcpCheck {
    addr: String,
    #[serde(default)]
    timeout: Option<GoDuration>,
    #[serde(default)]
    interval: Option<GoDuration>,
    #[serde(default)]
    threshold: u32,
}

pub(super) fn health(raw: RawHealth, layers: &Layers) -> Result<Health, ConfigError> {
    let RawHealth {
        storagedriver: store,
        file,
        http,
        tcp,
    } = raw;
    let numbered = |at: usize| at.to_string();
    Ok(Health {
        storage: store
            .enabled
            .then(|| pace(store.interval, None, store.threshold)),
        files: (0..)
            .zip(file)
            .map(|(at, raw)| {
                let key = ["health", "file", &numbered(at), "file"];
                file_check(raw).map_err(|message| layers.refuse(&key, message))
            })
            .collect::<Result<_, _>>()?,
        http: (0..)
            .zip(http)
            .map(|(at, raw)| {
                let at = numbered(at);
                http_check(&raw).map_err(|(below, message)| {
                    let mut key = vec!["health", "http", &at];
                    key.extend(below.iter().map(String::as_str));
                    layers.refuse(&key, message)
                })
            })
            .collect::<Result<_, _>>()?,
        tcp: (0..)
            .zip(tcp)
            .map(|(at, raw)| {
                let key = ["health", "tcp", &numbered(at), "addr"];
                tcp_check(raw).map_err(|message| layers.refuse(&key, message))
            })
            .collect::<Result<_, _>>()?,
    })
}

/// Nothing and zero are the defaults, as in distribution.
fn pace(interval: Option<GoDuration>, timeout: Option<GoDuration>, threshold: u32) -> Pace {
    let said = |given: Option<GoDuration>| given.map(|given| given.0).filter(|d| !d.is_zero());
    let interval = said(interval).unwrap_or(INTERVAL);
    Pace {
        interval,
        patience: said(timeout).unwrap_or(PATIENCE.max(interval)),
        threshold: threshold.max(1),
    }
}

fn file_check(raw: RawFileCheck) -> Result<FileCheck, &'static str> {
    if raw.file.is_empty() {
        return Err("a file is wanted here");
    }
    Ok(FileCheck {
        file: PathBuf::from(raw.file),
        pace: pace(raw.interval, None, raw.threshold),
    })
}

/// What is wrong, and with which key of the check.
type WrongKey = (Vec<String>, String);

fn http_check(raw: &RawHttpCheck) -> Result<HttpCheck, WrongKey> {
    let wrong_uri = |message: String| (vec!["uri".to_owned()], message);
    let uri: Option<Uri> = raw.uri.parse().ok();
    let uri = uri.filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    let uri = uri.ok_or_else(|| {
        wrong_uri(format!(
            "{:?} is no URL such as http://localhost:8080/",
            raw.uri
        ))
    })?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        _ => {
            return Err(wrong_uri(
                "only http and https URLs can be checked".to_owned(),
            ));
        }
    }
    let mut headers = HeaderMap::new();
    for (name, values) in &raw.headers {
        let wrong = |what: &str| (vec!["headers".to_owned(), name.clone()], what.to_owned());
        let key = HeaderName::try_from(name).map_err(|_| wrong("not the name of a header"))?;
        for value in values {
            let value =
                HeaderValue::try_from(value).map_err(|_| wrong("not the value of a header"))?;
            headers.append(&key, value);
        }
    }
    let status = match raw.statuscode {
        0 => StatusCode::OK,
        code => StatusCode::from_u16(code).map_err(|_| {
            let message = format!("{code} is no status of HTTP");
            (vec!["statuscode".to_owned()], message)
        })?,
    };
    Ok(HttpCheck {
        uri,
        headers,
        status,
        pace: pace(raw.interval, raw.timeout, raw.threshold),
    })
}

fn tcp_check(raw: RawTcpCheck) -> Result<TcpCheck, String> {
    let known = raw.addr.rsplit_once(':');
    let Some((host, _)) = known.filter(|(_, port)| port.parse::<u16>().is_ok()) else {
        return Err(format!("{:?} is no host:port", raw.addr));
    };
    Ok(TcpCheck {
        // Go dials this machine then.
        addr: match host {
            "" => format!("localhost{}", raw.addr),
            _ => raw.addr,
        },
        pace: pace(raw.interval, raw.timeout, raw.threshold),
    })
}
