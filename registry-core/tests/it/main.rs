//! The conformance suite, over every store of this crate.

mod memory;
