//! The registry over HTTP: routes, wiring, configuration.
#![warn(missing_docs)]
mod app;
mod auth;
mod body;
mod endpoint;
mod error;
mod handlers;
mod range;
mod telemetry;
