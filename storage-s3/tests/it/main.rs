//! The S3 of the tests, and the driver on it.
#![allow(clippy::unwrap_used, reason = "these are tests and their helpers")]

mod abandoned;
mod answers;
mod blobs;
mod collection;
mod conformance;
mod held;
mod large;
mod lengths;
mod lists;
mod odd;
mod policy;
mod records;
mod server;
mod settings;
mod several;
mod traps;
mod uploads;
