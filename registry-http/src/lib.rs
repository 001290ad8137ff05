//! The registry over HTTP: wiring, configuration, and the server itself.
#![warn(missing_docs)]

mod accept;
mod app;
mod auth;
mod body;
mod builtin;
pub mod config;
mod endpoint;
mod env;
mod error;
mod factories;
mod handlers;
mod range;
mod telemetry;
mod yaml;

pub use self::env::variables;
