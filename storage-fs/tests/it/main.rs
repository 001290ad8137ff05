//! The driver on real files.
#![allow(clippy::unwrap_used, reason = "these are tests and their helpers")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests play distribution, an operator and a crash"
)]

mod blobs;
mod conformance;
mod opening;
mod records;
mod referrers;
mod semantics;
mod store;
mod tags;
mod uploads;
