//! The registry over HTTP: wiring, configuration, and the server itself.
//!
//! It takes distribution's file and variables ([`config`]), opens the driver that they name, and
//! answers the API of the distribution specification. A driver of someone else is one call:
//!
//! ```no_run
//! use registry_core::storage::{MemoryDriver, Storage};
//! use registry_http::{Server, ambient};
//!
//! #[derive(serde::Deserialize)]
//! struct Tape {}
//!
//! fn main() -> std::process::ExitCode {
//!     Server::builder()
//!         .with_builtin()
//!         .storage("tape", |Tape {}, _mode| async {
//!             Ok::<_, std::io::Error>(Storage::from_driver(MemoryDriver::new(ambient())))
//!         })
//!         .run()
//! }
//! ```
//!
//! What a registry means is not decided here but in `registry_core`, and no driver is named but
//! in `builtin.rs`.
#![warn(missing_docs)]

mod accept;
mod access_log;
mod ambient;
mod app;
mod auth;
mod body;
mod budget;
mod builtin;
mod certificate;
mod check;
mod cli;
mod client;
mod collect;
pub mod config;
mod debug;
mod endpoint;
mod env;
mod error;
mod factories;
mod follow;
mod framing;
mod fsck;
mod handlers;
mod health;
#[cfg(feature = "htpasswd")]
mod htpasswd;
mod image;
mod metrics;
mod outlet;
mod proxies;
mod purge;
mod range;
mod server;
mod telemetry;
mod tls;
#[cfg_attr(
    not(feature = "token"),
    allow(dead_code, reason = "nobody hands out tokens")
)]
mod tokens;
mod yaml;

pub use self::ambient::ambient;
pub use self::env::variables;
pub use self::server::{Builder, Error, Server};
