//! What a store is asked to do, how long that takes, and what it comes to.

use std::time::{Duration, Instant};

use prometheus::{
    DEFAULT_BUCKETS, Error, Histogram, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};
use registry_core::storage::StorageError;

use super::{Metrics, Series, buckets, registered};

/// What a store is asked to do: under distribution's names what means the same there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    Abort,
    Checkpoint,
    Commit,
    Delete,
    GetContent,
    List,
    Now,
    Purge,
    PutContent,
    Read,
    Reader,
    Restore,
    Retire,
    Stamp,
    Stat,
    Sweep,
    UrlFor,
    Write,
    Writer,
}

pub(super) const ACTIONS: [&str; 19] = [
    "Abort",
    "Checkpoint",
    "Commit",
    "Delete",
    "GetContent",
    "List",
    "Now",
    "Purge",
    "PutContent",
    "Read",
    "Reader",
    "Restore",
    "Retire",
    "Stamp",
    "Stat",
    "Sweep",
    "URLFor",
    "Write",
    "Writer",
];

/// How long a store takes, and how often it fails.
#[derive(Debug)]
pub(super) struct Timers {
    driver: String,
    seconds: (HistogramVec, Series<Histogram>),
    errors: (IntCounterVec, Series<IntCounter>),
}

impl Timers {
    pub(super) fn new(all: &Registry, driver: &str) -> Result<Self, Error> {
        let labels = ["action", "driver"];
        let seconds = buckets(
            "registry_storage_action_seconds",
            "The number of seconds that the storage action takes",
            DEFAULT_BUCKETS,
        );
        let seconds = registered(all, HistogramVec::new(seconds, &labels)?)?;
        let errors = Opts::new(
            "registry_storage_errors_total",
            "Faults of the store, among them that it is full",
        );
        let errors = registered(all, IntCounterVec::new(errors, &labels)?)?;
        Ok(Self {
            driver: driver.to_owned(),
            seconds: (seconds, Series::new(ACTIONS.len())),
            errors: (errors, Series::new(ACTIONS.len())),
        })
    }

    pub(super) fn took(&self, action: Action, time: Duration) {
        let values = [ACTIONS[action as usize], &self.driver];
        let (family, series) = &self.seconds;
        series
            .get(action as usize, || family.with_label_values(&values))
            .observe(time.as_secs_f64());
    }

    /// What is absent, busy or refused is an answer, and no fault.
    pub(super) fn saw(&self, action: Action, error: &StorageError) {
        if !matches!(error, StorageError::Backend { .. } | StorageError::Full) {
            return;
        }
        let values = [ACTIONS[action as usize], &self.driver];
        let (family, series) = &self.errors;
        series
            .get(action as usize, || family.with_label_values(&values))
            .inc();
    }
}

/// What came into the trash and out of it.
#[derive(Debug)]
pub(super) struct Garbage {
    pub(super) retired: Heap,
    pub(super) restored: Heap,
    pub(super) purged: Heap,
}

/// Blobs, and their bytes.
#[derive(Debug)]
pub(super) struct Heap {
    blobs: IntCounter,
    bytes: IntCounter,
}

impl Garbage {
    pub(super) fn new(all: &Registry) -> Result<Self, Error> {
        let family = |name, help| {
            let family = IntCounterVec::new(Opts::new(name, help), &["action"])?;
            registered(all, family)
        };
        let blobs = family(
            "registry_garbage_blobs_total",
            "Blobs that went into the trash, came back, or were destroyed",
        )?;
        let bytes = family("registry_garbage_bytes_total", "The bytes of such blobs")?;
        let heap = |action| Heap {
            blobs: blobs.with_label_values(&[action]),
            bytes: bytes.with_label_values(&[action]),
        };
        Ok(Self {
            retired: heap("retired"),
            restored: heap("restored"),
            purged: heap("purged"),
        })
    }
}

impl Heap {
    pub(super) fn add(&self, bytes: u64) {
        self.blobs.inc();
        self.bytes.inc_by(bytes);
    }
}

impl Metrics {
    /// Counts a call of the store and its time, and whether it failed.
    pub(super) async fn timed<T>(
        &self,
        action: Action,
        call: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let begun = Instant::now();
        let done = call.await;
        self.store.took(action, begun.elapsed());
        done.inspect_err(|error| self.store.saw(action, error))
    }
}
