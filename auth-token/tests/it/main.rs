//! Tokens of others and of our own, through real files; distribution where it is installed.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests write files themselves, and fail by panicking"
)]

mod basic;
mod distribution;
mod files;
mod given;
mod issuing;
mod openssl;
mod remote;
mod rotation;
