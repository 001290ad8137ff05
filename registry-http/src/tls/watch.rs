//! Files that change: looked at again and again, and read once they are others.
//!
//! A certificate and its key change one after the other, so that what does not fit is no error for
//! ever: what was read before goes on counting, and the next change is the next chance.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::expiry::{Remark, Reminder};
use super::{Made, Tls, make, shown};
use crate::ambient::ambient;
use crate::metrics::Metrics;

/// Looks are this far apart, and what was changed as late may not be all yet.
const INTERVAL: Duration = Duration::from_secs(1);

/// What changes without end is read as it is, after as long.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was last found.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Of the files whose content is known, if they could not have changed since unseen.
    signatures: Option<Signatures>,
    /// Since when they change without end.
    restless: Option<SystemTime>,
    /// What was said of them, which is not said again.
    complaint: Option<String>,
}

/// One for each file; nothing of what is not there.
type Signatures = Vec<Option<Signature>>;

/// Tells two states of a path apart, whether the file was written, renamed over, or a link to it
/// was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signature {
    file: (u64, u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Signature {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino(), metadata.size()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether it is old enough for a later change to look different, and for whoever wrote it
    /// to have come to an end.
    fn is_settled(&self, now: SystemTime) -> bool {
        let (seconds, nanos) = self.changed;
        let since_epoch = Duration::new(
            u64::try_from(seconds).unwrap_or(0),
            u32::try_from(nanos).unwrap_or(0),
        );
        let changed = SystemTime::UNIX_EPOCH + since_epoch;
        now.duration_since(changed).is_ok_and(|age| age >= INTERVAL)
    }
}

fn signatures(paths: &[PathBuf]) -> Signatures {
    let of = |path: &PathBuf| {
        std::fs::metadata(path)
            .ok()
            .map(|found| Signature::of(&found))
    };
    paths.iter().map(of).collect()
}

fn are_settled(signatures: &[Option<Signature>], now: SystemTime) -> bool {
    signatures.iter().flatten().all(|one| one.is_settled(now))
}

impl Tls {
    /// Looks at the files, and reads them if one has changed. It blocks.
    fn look(&self) {
        // A disk that does not answer is not to keep more than one thread.
        let Ok(mut seen) = self.seen.try_lock() else {
            return;
        };
        let now = (ambient().now)();
        let found = signatures(&self.settings.files());
        if seen.signatures.as_ref() == Some(&found) {
            return;
        }
        if are_settled(&found, now) {
            seen.restless = None;
        } else {
            // A time to come is of a clock that was set back.
            let since = seen.restless.filter(|since| *since <= now).unwrap_or(now);
            seen.restless = Some(since);
            if now
                .duration_since(since)
                .is_ok_and(|since| since < PATIENCE)
            {
                return;
            }
        }
        self.read(&mut seen, found, now);
    }

    /// Reads the files whatever they look like. It blocks.
    pub(crate) fn reload(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever asks wants to be told.
        seen.complaint = None;
        let found = signatures(&self.settings.files());
        self.read(&mut seen, found, (ambient().now)());
        if let Some(acme) = &self.acme {
            acme.look_again();
        }
    }

    fn read(&self, seen: &mut Seen, found: Signatures, now: SystemTime) {
        let made = make(&self.settings, self.acme.as_deref());
        // What cannot be used need not be read again, either.
        let unchanged = are_settled(&found, now) && signatures(&self.settings.files()) == found;
        seen.signatures = unchanged.then_some(found);
        match made {
            Ok(made) => {
                let changed = made.content != self.made().content;
                if seen.complaint.take().is_some() || changed {
                    tell(&made);
                }
                if changed {
                    let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                    *current = made;
                }
            }
            Err(error) => {
                let complaint = crate::cli::chain(&error);
                if seen.complaint.as_ref() != Some(&complaint) {
                    tracing::error!(
                        error = complaint,
                        "the files of `http.tls` cannot be used; what was read before goes on \
                         counting"
                    );
                    seen.complaint = Some(complaint);
                }
            }
        }
    }

    /// Says once a day that the certificate ends, and tells those who watch when.
    fn remind(&self, reminder: &mut Reminder, metrics: Option<&Metrics>) {
        if let (Some(metrics), Some(until)) = (metrics, self.until()) {
            metrics.certificate_ends(until);
        }
        let made = self.made();
        // Who orders another tells what comes of it.
        let Some(validity) = made.validity else {
            return;
        };
        reminder.look_at(&made.content);
        let now = (ambient().now)();
        match validity.remark(now) {
            Some(remark) if reminder.is_due(now) => match remark {
                Remark::Warning(text) => tracing::warn!("`http.tls`: {text}"),
                Remark::Error(text) => tracing::error!("`http.tls`: {text}"),
            },
            _ => {}
        }
    }
}

fn tell(made: &Made) {
    let expires = made.validity.map(|validity| shown(validity.until));
    tracing::info!(
        expires,
        "read the certificate of `http.tls` and its key again"
    );
    for remark in &made.remarks {
        tracing::warn!("`http.tls`: {remark}");
    }
}

/// Keeps what counts as the files are; for ever.
pub(crate) async fn watch(tls: Option<Arc<Tls>>, metrics: Option<Arc<Metrics>>) {
    let Some(tls) = tls else {
        return std::future::pending().await;
    };
    let keeping = async {
        match &tls.acme {
            Some(acme) => acme.keep().await,
            None => std::future::pending().await,
        }
    };
    tokio::join!(look_again_and_again(&tls, metrics.as_deref()), keeping);
}

async fn look_again_and_again(tls: &Arc<Tls>, metrics: Option<&Metrics>) {
    let mut reminder = Reminder::default();
    loop {
        tls.remind(&mut reminder, metrics);
        sleep(INTERVAL).await;
        let looking = Arc::clone(tls);
        // It has panicked, which was told.
        let _ = spawn_blocking(move || looking.look()).await;
    }
}
