//! Metrics: what is counted while serving, under distribution's names where it has them, for
//! Prometheus to read.
//!
//! A label has few values, known beforehand, and never one that a client chooses. Which of them
//! occur shows while serving: a series is looked up once, and counting in it then takes neither a
//! lock nor memory.

mod actions;
mod process;
mod requests;
mod store;
mod transfer;

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::{Error, Gauge, HistogramOpts, IntCounter, Opts, Registry, TextEncoder};

use self::actions::{Garbage, Timers};
use self::process::Process;
pub(crate) use self::requests::Measuring;
use self::requests::{Deeds, Requests};
pub(crate) use self::store::measure;

/// The form of the answer, which every release of Prometheus reads.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    all: Registry,
    requests: Requests,
    deeds: Deeds,
    store: Timers,
    garbage: Garbage,
    process: Process,
    uploads_purged: IntCounter,
    /// Registered once there is a certificate.
    certificate_ends: OnceLock<Option<Gauge>>,
}

impl Metrics {
    /// For a server on this driver.
    ///
    /// # Errors
    /// When two are called the same, which is a bug.
    pub(crate) fn new(driver: &str) -> Result<Self, Error> {
        let all = Registry::new();
        Ok(Self {
            requests: Requests::new(&all)?,
            deeds: Deeds::new(&all)?,
            store: Timers::new(&all, driver)?,
            garbage: Garbage::new(&all)?,
            process: Process::new(&all)?,
            uploads_purged: counter(
                &all,
                "registry_uploads_purged_total",
                "Unfinished uploads that were ended by their age",
            )?,
            certificate_ends: OnceLock::new(),
            all,
        })
    }

    /// As Prometheus reads them.
    pub(crate) fn encode(&self) -> Result<String, Error> {
        self.process.look();
        TextEncoder::new().encode_to_string(&self.all.gather())
    }

    /// The certificate of TLS ends then.
    pub(crate) fn certificate_ends(&self, at: SystemTime) {
        let gauge = self.certificate_ends.get_or_init(|| {
            let gauge = Gauge::new(EXPIRY, "When the certificate ends, in seconds since 1970");
            gauge.and_then(|gauge| registered(&self.all, gauge)).ok()
        });
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        if let Some(gauge) = gauge {
            gauge.set(since.as_secs_f64());
        }
    }

    pub(crate) fn purged_uploads(&self, count: u64) {
        self.uploads_purged.inc_by(count);
    }
}

/// When the certificate of TLS ends.
const EXPIRY: &str = "registry_tls_certificate_expiry_timestamp_seconds";

/// The series of a family, by the number of their labels' values; each exists once it is used.
#[derive(Debug)]
struct Series<S>(Box<[OnceLock<S>]>);

impl<S> Series<S> {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| OnceLock::new()).collect())
    }

    fn get(&self, at: usize, make: impl FnOnce() -> S) -> &S {
        self.0[at].get_or_init(make)
    }
}

fn registered<C: Collector + Clone + 'static>(all: &Registry, family: C) -> Result<C, Error> {
    all.register(Box::new(family.clone()))?;
    Ok(family)
}

fn counter(all: &Registry, name: &str, help: &str) -> Result<IntCounter, Error> {
    registered(all, IntCounter::with_opts(Opts::new(name, help))?)
}

fn buckets(name: &str, help: &str, bounds: &[f64]) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(bounds.to_vec())
}

#[cfg(test)]
mod tests;
