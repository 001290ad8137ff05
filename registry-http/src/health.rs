//! Health: what is looked at now and then, beside all requests, and whether all of it is well.

mod look;

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use registry_core::storage::RecordStore;
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::look::Look;
use crate::client::Client;
use crate::config;
use crate::config::Pace;

/// What was seen last. Requests read one number of it.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failing: AtomicUsize,
    verdicts: Vec<Verdict>,
}

#[derive(Debug)]
struct Verdict {
    name: String,
    /// Why it fails, if it does.
    reason: Mutex<Option<String>>,
}

impl Verdict {
    fn reason(&self) -> MutexGuard<'_, Option<String>> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something to look at, and what it is called.
#[derive(Debug)]
struct Check {
    name: String,
    look: Look,
    pace: Pace,
}

/// What is to be looked at, from when it is run to when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Checks(Vec<Check>);

impl Checks {
    /// Those of the configuration, under the names that distribution gives them.
    pub(crate) fn new(
        config: &config::Health,
        driver: &str,
        records: &Arc<dyn RecordStore>,
    ) -> Self {
        let store = config.storage.map(|pace| Check {
            name: format!("storagedriver_{driver}"),
            look: Look::Store(Arc::clone(records)),
            pace,
        });
        let files = config.files.iter().map(|check| Check {
            name: check.file.display().to_string(),
            look: Look::File(check.file.clone()),
            pace: check.pace,
        });
        let client = Client::default();
        let http = config.http.iter().map(|check| Check {
            name: check.uri.to_string(),
            look: Look::Http(Box::new(check.clone()), client.clone()),
            pace: check.pace,
        });
        let tcp = config.tcp.iter().map(|check| Check {
            name: check.addr.clone(),
            look: Look::Tcp(check.addr.clone()),
            pace: check.pace,
        });
        Self(
            store
                .into_iter()
                .chain(files)
                .chain(http)
                .chain(tcp)
                .collect(),
        )
    }

    /// Where it will be seen what they find; all is well at first.
    pub(crate) fn health(&self) -> Health {
        let verdict = |check: &Check| Verdict {
            name: check.name.clone(),
            reason: Mutex::default(),
        };
        Health {
            failing: AtomicUsize::new(0),
            verdicts: self.0.iter().map(verdict).collect(),
        }
    }

    /// Looks at everything, at once and then again and again, and never ends.
    pub(crate) async fn run(self, health: Arc<Health>) {
        let checks = self.0.iter().zip(&health.verdicts);
        join_all(checks.map(|(check, verdict)| check.run(verdict, &health.failing))).await;
        pending().await
    }
}

impl Check {
    async fn run(&self, verdict: &Verdict, failing: &AtomicUsize) {
        let mut failures = 0;
        let mut judge = |found: Result<(), String>| {
            failures = match found {
                Ok(()) => 0,
                Err(_) => self.pace.threshold.min(failures + 1),
            };
            let reason = found.err().filter(|_| failures >= self.pace.threshold);
            verdict.turn(reason, failing);
        };
        let mut every = interval(self.pace.interval);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let mut look = std::pin::pin!(self.look.look());
            // What has been asked of a disk cannot be taken back, and is not asked again before
            // there is an answer: a disk that hangs would have one thread more each time.
            let found = loop {
                match timeout(self.pace.patience, &mut look).await {
                    Ok(found) => break found,
                    Err(_) if self.look.can_be_dropped() => break Err(late(self.pace.patience)),
                    Err(_) => judge(Err(late(self.pace.patience))),
                }
            };
            judge(found);
        }
    }
}

fn late(patience: Duration) -> String {
    format!("no answer within {patience:?}")
}

impl Verdict {
    fn turn(&self, reason: Option<String>, failing: &AtomicUsize) {
        let mut old = self.reason();
        match (&*old, &reason) {
            (None, Some(reason)) => {
                failing.fetch_add(1, Ordering::Relaxed);
                let check = self.name.as_str();
                tracing::warn!(
                    check,
                    reason,
                    "a health check fails: requests are answered 503"
                );
            }
            (Some(_), None) => {
                failing.fetch_sub(1, Ordering::Relaxed);
                tracing::info!(check = self.name, "a health check passes again");
            }
            _ => {}
        }
        *old = reason;
    }
}

impl Health {
    /// Whether anything is wrong.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed) > 0
    }

    /// What is wrong, by the name of the check.
    pub(crate) fn reasons(&self) -> BTreeMap<&str, String> {
        let failing = |verdict: &'_ Verdict| verdict.reason().clone();
        self.verdicts
            .iter()
            .filter_map(|verdict| Some((verdict.name.as_str(), failing(verdict)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
