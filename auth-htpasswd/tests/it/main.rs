//! Users of a real file, with a clock that the test sets.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and works on real files"
)]

mod edit;
mod fixture;
mod flood;
mod login;
mod opening;
mod reload;
