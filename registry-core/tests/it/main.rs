//! The conformance suite, over every store of this crate.
#![allow(clippy::unwrap_used, reason = "nothing in here is not a test")]

mod failing_store;
mod faults;
mod image;
mod interleaving;
mod memory;
mod spooled;
