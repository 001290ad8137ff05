//! `storage`, but for the driver's own section.

use std::time::Duration;

use serde::Deserialize;

use super::super::ConfigError;
use super::super::duration::GoDuration;
use super::super::layers::Layers;

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
}

impl RawStorage {
    pub(super) fn delete(&self) -> bool {
        self.delete.enabled
    }

    pub(super) fn readonly(&self) -> bool {
        self.maintenance.readonly.enabled
    }

    pub(super) fn purging(&self, layers: &Layers) -> Result<UploadPurging, ConfigError> {
        let raw = &self.maintenance.uploadpurging;
        let hours = |given: Option<GoDuration>, hours: u64| {
            given.map_or(Duration::from_secs(hours * 3600), |given| given.0)
        };
        let purging = UploadPurging {
            enabled: raw.enabled.unwrap_or(true),
            age: hours(raw.age, 168),
            interval: hours(raw.interval, 24),
            dryrun: raw.dryrun,
        };
        if purging.enabled && purging.interval.is_zero() {
            return Err(layers.refuse(
                &["storage", "maintenance", "uploadpurging", "interval"],
                "must be longer than nothing",
            ));
        }
        Ok(purging)
    }
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
