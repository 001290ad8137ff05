//! Unfinished uploads, and how they end.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use registry_core::Registry;

use crate::ambient::ambient;
use crate::config::{Config, UploadPurging};
use crate::metrics::Metrics;

/// How to purge, if that may be done at all.
pub(crate) fn purging(config: &Config) -> Option<UploadPurging> {
    let purging = config.uploadpurging;
    (purging.enabled && !config.readonly).then_some(purging)
}

/// Ends what nobody will finish, or says what that would be, now and then, until it is dropped.
pub(crate) async fn purge(
    registry: Registry,
    purging: Option<UploadPurging>,
    metrics: Option<Arc<Metrics>>,
) {
    let Some(purging) = purging else {
        return pending().await;
    };
    let mut wait = first_wait(purging.interval);
    loop {
        tokio::time::sleep(wait).await;
        let mut tell = |upload: &str| tracing::info!(upload, "would purge, but for `dryrun`");
        let swept = match purging.dryrun {
            true => registry.find_abandoned_uploads(&mut tell).await,
            false => registry.purge_uploads().await,
        };
        match swept {
            Ok(0) => {}
            Ok(count) if purging.dryrun => tracing::info!(count, "would purge uploads"),
            Ok(count) => {
                if let Some(metrics) = &metrics {
                    metrics.purged_uploads(count);
                }
                tracing::info!(count, "purged uploads that were never finished");
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "purging unfinished uploads");
            }
        }
        wait = purging.interval;
    }
}

/// Within the first hour, so that replicas which start together do not purge together.
fn first_wait(interval: Duration) -> Duration {
    let [byte, ..] = (ambient().random)();
    (Duration::from_secs(3600) / 256 * u32::from(byte)).min(interval)
}
