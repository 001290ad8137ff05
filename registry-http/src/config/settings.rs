//! The settings that are honoured: how they stand in the file, and what they come to.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use registry_core::access::Secret;
use registry_core::manifest::MAX_BYTES;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::duration::GoDuration;
use super::layers::Layers;
use super::{Config, ConfigError, Driver, Notes};

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

/// How unfinished uploads end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadPurging {
    /// Whether they do at all.
    pub enabled: bool,
    /// After how long.
    pub age: Duration,
    /// How often that is looked at.
    pub interval: Duration,
    /// Only say which.
    pub dryrun: bool,
}

/// How and where to serve.
#[derive(Debug)]
#[non_exhaustive]
pub struct Http {
    /// `host:port`; an empty host is every address.
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
    /// How long requests may take to end at shutdown.
    pub draintimeout: Duration,
}

/// Which platforms of an index have to be there when it is pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Platforms {
    /// All of them.
    All,
    /// None needs to be.
    None,
    /// Those of this operating system and architecture.
    Listed(Vec<(String, String)>),
}

/// How much of anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a manifest.
    pub manifest: usize,
    /// Bytes of a request's line and headers.
    pub header: usize,
    /// Headers of a request.
    pub headers: usize,
    /// Connections at a time.
    pub connections: usize,
    /// How long a request's head may take, from its first byte.
    pub header_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// How long a body may stand still, in either direction.
    pub stall_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest: 4 << 20,
            header: 32 << 10,
            headers: 100,
            connections: 10_000,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(60),
        }
    }
}

/// `docker stop` kills after ten seconds.
const DRAIN: Duration = Duration::from_secs(8);

/// Where distribution's own example serves.
const ADDR: &str = ":5000";

#[derive(Debug, Deserialize)]
pub(super) struct Root {
    version: String,
    #[serde(default)]
    log: RawLog,
    #[serde(default)]
    loglevel: String,
    #[serde(default)]
    storage: RawStorage,
    #[serde(default, rename = "auth")]
    _auth: Accepted,
    #[serde(default)]
    http: RawHttp,
    #[serde(default)]
    catalog: RawCatalog,
    #[serde(default)]
    tags: RawTags,
    #[serde(default)]
    validation: RawValidation,
    #[serde(default)]
    extensions: RawExtensions,
}

/// A section that `refuse.rs` has looked at, and that says nothing more.
#[derive(Debug, Default, Deserialize)]
struct Accepted {
    #[serde(default, rename = "none")]
    _none: Option<Anything>,
}

/// Any value, on purpose: its keys are nobody's.
#[derive(Debug, Default)]
struct Anything;

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IgnoredAny)?;
        Ok(Self)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawLog {
    level: String,
    formatter: String,
    accesslog: RawAccessLog,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawAccessLog {
    disabled: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawStorage {
    delete: RawEnabled,
    maintenance: RawMaintenance,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawEnabled {
    enabled: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawMaintenance {
    uploadpurging: RawPurging,
    readonly: RawEnabled,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawPurging {
    enabled: Option<bool>,
    age: Option<GoDuration>,
    interval: Option<GoDuration>,
    dryrun: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawHttp {
    addr: String,
    net: String,
    host: String,
    prefix: String,
    secret: String,
    relativeurls: Option<bool>,
    headers: BTreeMap<String, Vec<String>>,
    draintimeout: Option<GoDuration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawCatalog {
    maxentries: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawTags {
    maxtags: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawValidation {
    manifests: RawManifests,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawManifests {
    indexes: RawIndexes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawIndexes {
    platforms: String,
    platformlist: Vec<RawPlatform>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawPlatform {
    os: String,
    architecture: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawExtensions {
    limits: RawLimits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawLimits {
    manifest: Option<usize>,
    header: Option<usize>,
    headers: Option<usize>,
    connections: Option<usize>,
    header_timeout: Option<GoDuration>,
    idle_timeout: Option<GoDuration>,
    stall_timeout: Option<GoDuration>,
}

impl Root {
    /// Checks what a type alone cannot say.
    pub(super) fn settle(
        self,
        layers: Layers,
        driver: Driver,
        mut notes: Notes,
    ) -> Result<Config, ConfigError> {
        if self.version != "0.1" {
            return Err(layers.refuse(
                &["version"],
                format!("version {:?} is not supported; 0.1 is", self.version),
            ));
        }
        let page = |configured: i64| match usize::try_from(configured) {
            Ok(max) if max > 0 => max,
            _ => 1000,
        };
        if self.tags.maxtags < 0 {
            return Err(layers.refuse(&["tags", "maxtags"], "must not be negative"));
        }
        let purging = self.storage.maintenance.uploadpurging;
        let hours = |given: Option<GoDuration>, hours: u64| {
            given.map_or(Duration::from_secs(hours * 3600), |given| given.0)
        };
        let uploadpurging = UploadPurging {
            enabled: purging.enabled.unwrap_or(true),
            age: hours(purging.age, 168),
            interval: hours(purging.interval, 24),
            dryrun: purging.dryrun,
        };
        if uploadpurging.enabled && uploadpurging.interval.is_zero() {
            return Err(layers.refuse(
                &["storage", "maintenance", "uploadpurging", "interval"],
                "must be longer than nothing",
            ));
        }
        Ok(Config {
            log: log(&self.log, &self.loglevel, &layers, &mut notes)?,
            delete: self.storage.delete.enabled,
            readonly: self.storage.maintenance.readonly.enabled,
            uploadpurging,
            http: http(self.http, &layers, &mut notes)?,
            catalog_max: page(self.catalog.maxentries),
            tags_max: page(self.tags.maxtags),
            platforms: platforms(self.validation.manifests.indexes, &layers, &mut notes)?,
            limits: limits(&self.extensions.limits, &layers)?,
            driver,
            notes,
            layers,
        })
    }
}

fn log(raw: &RawLog, old: &str, layers: &Layers, notes: &mut Notes) -> Result<Log, ConfigError> {
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

fn http(raw: RawHttp, layers: &Layers, notes: &mut Notes) -> Result<Http, ConfigError> {
    if !matches!(raw.net.as_str(), "" | "tcp") {
        return Err(layers.refuse(&["http", "net"], "this release listens on tcp only"));
    }
    let host = match raw.host.as_str() {
        "" => None,
        host => Some(absolute(host).ok_or_else(|| {
            let message = format!("{host:?} is no URL such as https://registry.example");
            layers.refuse(&["http", "host"], message)
        })?),
    };
    if raw.relativeurls == Some(false) && host.is_none() {
        notes.warn(format!(
            "`http.relativeurls` ({}) is false and `http.host` is not set: URLs begin with http:// \
             and the host that was asked, which is wrong behind a proxy with TLS; set `http.host`",
            layers.origin(&["http", "relativeurls"])
        ));
    }
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
    Ok(Http {
        addr: match raw.addr.is_empty() {
            true => ADDR.to_owned(),
            false => raw.addr,
        },
        host,
        prefix: match prefix {
            "" => "/".to_owned(),
            prefix => format!("/{prefix}/"),
        },
        secret: (!raw.secret.is_empty()).then(|| Secret::new(raw.secret)),
        relativeurls: raw.relativeurls,
        headers,
        draintimeout: raw.draintimeout.map_or(DRAIN, |given| given.0),
    })
}

fn absolute(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    (known && uri.authority().is_some()).then_some(uri)
}

fn platforms(
    raw: RawIndexes,
    layers: &Layers,
    notes: &mut Notes,
) -> Result<Platforms, ConfigError> {
    let path = ["validation", "manifests", "indexes", "platforms"];
    match raw.platforms.to_ascii_lowercase().as_str() {
        "" | "all" => Ok(Platforms::All),
        "none" => Ok(Platforms::None),
        // As distribution does, which asks for everything when nothing is listed.
        "list" if raw.platformlist.is_empty() => Ok(Platforms::All),
        "list" => {
            notes.warn(format!(
                "`{}` ({}): this release checks all platforms or none; with a list it is none",
                path.join("."),
                layers.origin(&path),
            ));
            let pair = |platform: RawPlatform| (platform.os, platform.architecture);
            Ok(Platforms::Listed(
                raw.platformlist.into_iter().map(pair).collect(),
            ))
        }
        other => Err(layers.refuse(&path, format!("{other:?} is not one of all, none, list"))),
    }
}

fn limits(raw: &RawLimits, layers: &Layers) -> Result<Limits, ConfigError> {
    let counted = |name: &str, given: Option<usize>, default: usize| match given {
        Some(0) => Err(layers.refuse(&["extensions", "limits", name], "must be more than zero")),
        given => Ok(given.unwrap_or(default)),
    };
    let timed = |name: &str, given: Option<GoDuration>, default: Duration| match given {
        Some(GoDuration(Duration::ZERO)) => {
            let message = "must be longer than nothing";
            Err(layers.refuse(&["extensions", "limits", name], message))
        }
        given => Ok(given.map_or(default, |given| given.0)),
    };
    let default = Limits::default();
    let manifest = counted("manifest", raw.manifest, default.manifest)?;
    if manifest > MAX_BYTES {
        let message = format!("must be at most {MAX_BYTES}");
        return Err(layers.refuse(&["extensions", "limits", "manifest"], message));
    }
    Ok(Limits {
        manifest,
        header: counted("header", raw.header, default.header)?,
        headers: counted("headers", raw.headers, default.headers)?,
        connections: counted("connections", raw.connections, default.connections)?,
        header_timeout: timed("header_timeout", raw.header_timeout, default.header_timeout)?,
        idle_timeout: timed("idle_timeout", raw.idle_timeout, default.idle_timeout)?,
        stall_timeout: timed("stall_timeout", raw.stall_timeout, default.stall_timeout)?,
    })
}
