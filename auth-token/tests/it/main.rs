//! Tokens of others and of our own, through real files.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests write files themselves, and fail by panicking"
)]

mod basic;
mod files;
mod given;
mod issuing;
mod openssl;
mod remote;
mod rotation;
