//! The conformance suite, over every store of this crate.
#![allow(clippy::unwrap_used, reason = "nothing in here is not a test")]

mod distant;
mod elsewhere;
mod faults;
mod memory;
mod spooled;
