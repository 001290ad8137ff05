//! The S3 of the tests, and the driver on it.
#![allow(clippy::unwrap_used, reason = "these are tests and their helpers")]

mod blobs;
mod conformance;
mod large;
mod odd;
mod records;
mod server;
mod settings;
mod uploads;
