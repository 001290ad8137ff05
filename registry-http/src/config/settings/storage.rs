//! `storage`, but for the driver's own section.

use std::time::Duration;

use serde::Deserialize;

use super::super::duration::GoDuration;
use super::super::layers::Layers;
use super::super::{ConfigError, Notes};

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

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawStorage {
    delete: RawEnabled,
    maintenance: RawMaintenance,
    cache: RawCache,
    redirect: RawRedirect,
    tag: RawTag,
}

impl RawStorage {
    pub(super) fn delete(&self) -> bool {
        self.delete.enabled
    }

    pub(super) fn readonly(&self) -> bool {
        self.maintenance.readonly.enabled
    }

    pub(super) fn redirect(&self) -> bool {
        !self.redirect.disable
    }

    /// Looks at what asks for nothing that we would do otherwise: facts that cannot change are
    /// remembered, tags are looked up in bounded numbers.
    pub(super) fn check(&self, layers: &Layers, notes: &mut Notes) -> Result<(), ConfigError> {
        if self.tag.concurrencylimit < 0 {
            let path = ["storage", "tag", "concurrencylimit"];
            return Err(layers.refuse(&path, "must not be negative"));
        }
        let (name, cache) = match self.cache.blobdescriptor.as_str() {
            "" => ("layerinfo", self.cache.layerinfo.as_str()),
            cache => ("blobdescriptor", cache),
        };
        let origin = layers.origin(&["storage", "cache", name]);
        match cache {
            "" | "inmemory" => {}
            "redis" => notes.warn(format!(
                "`storage.cache.{name}` ({origin}): nothing is kept in redis, and replicas need \
                 not share what this registry keeps in memory: it cannot change"
            )),
            other => notes.warn(format!(
                "`storage.cache.{name}` ({origin}): {other:?} is not one of inmemory, redis"
            )),
        }
        Ok(())
    }

    pub(super) fn purging(&self, layers: &Layers, notes: &mut Notes) -> UploadPurging {
        let raw = &self.maintenance.uploadpurging;
        let hours = |given: Option<GoDuration>, hours: u64| {
            given.map_or(Duration::from_secs(hours * 3600), |given| given.0)
        };
        let mut purging = UploadPurging {
            enabled: raw.enabled.unwrap_or(true),
            age: hours(raw.age, 168),
            interval: hours(raw.interval, 24),
            dryrun: raw.dryrun,
        };
        if purging.enabled && purging.interval.is_zero() {
            purging.interval = Duration::from_secs(24 * 3600);
            let path = ["storage", "maintenance", "uploadpurging", "interval"];
            notes.warn(format!(
                "`{}` ({}) is no time at all: 24h counts",
                path.join("."),
                layers.origin(&path)
            ));
        }
        purging
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawEnabled {
    enabled: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawCache {
    blobdescriptor: String,
    #[serde(rename = "blobdescriptorsize")]
    _blobdescriptorsize: i64,
    /// What `blobdescriptor` was called once.
    layerinfo: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawRedirect {
    disable: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawTag {
    concurrencylimit: i64,
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
