//! Tokens of others, through real files.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests write files themselves, and fail by panicking"
)]

mod given;
mod openssl;
