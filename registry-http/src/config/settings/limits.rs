//! `extensions.limits`: how much of anything.

use std::time::Duration;

use registry_core::manifest::MAX_BYTES;
use serde::Deserialize;

use super::super::ConfigError;
use super::super::duration::GoDuration;
use super::super::layers::Layers;

/// How much of anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a manifest.
    pub manifest: usize,
    /// Bytes of a request's line and headers.
    pub header: usize,
    /// Headers of a request.
    pub headers: usize,
    /// Connections at a time, and as many requests that share one, as those of HTTP/2 do.
    pub connections: usize,
    /// Handshakes of TLS at a time, half of `connections` at most; the oldest makes room.
    pub handshakes: usize,
    /// How long a handshake of TLS may take.
    pub handshake_timeout: Duration,
    /// How long a request's head may take, from its first byte.
    pub header_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// How long a body may stand still, in either direction.
    pub stall_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest: 4 << 20,
            header: 32 << 10,
            headers: 100,
            connections: 10_000,
            handshakes: 1000,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(60),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawLimits {
    manifest: Option<usize>,
    header: Option<usize>,
    headers: Option<usize>,
    connections: Option<usize>,
    handshakes: Option<usize>,
    handshake_timeout: Option<GoDuration>,
    header_timeout: Option<GoDuration>,
    idle_timeout: Option<GoDuration>,
    stall_timeout: Option<GoDuration>,
}

pub(super) fn limits(raw: &RawLimits, layers: &Layers) -> Result<Limits, ConfigError> {
    let counted = |name: &str, given: Option<usize>, default: usize| match given {
        Some(0) => Err(layers.refuse(&["extensions", "limits", name], "must be more than zero")),
        given => Ok(given.unwrap_or(default)),
    };
    let timed = |name: &str, given: Option<GoDuration>, default: Duration| match given {
        Some(GoDuration(Duration::ZERO)) => {
            let message = "must be longer than nothing";
            Err(layers.refuse(&["extensions", "limits", name], message))
        }
        given => Ok(given.map_or(default, |given| given.0)),
    };
    let default = Limits::default();
    let manifest = counted("manifest", raw.manifest, default.manifest)?;
    if manifest > MAX_BYTES {
        let message = format!("must be at most {MAX_BYTES}");
        return Err(layers.refuse(&["extensions", "limits", "manifest"], message));
    }
    Ok(Limits {
        manifest,
        header: counted("header", raw.header, default.header)?,
        headers: counted("headers", raw.headers, default.headers)?,
        connections: counted("connections", raw.connections, default.connections)?,
        handshakes: counted("handshakes", raw.handshakes, default.handshakes)?,
        handshake_timeout: timed(
            "handshake_timeout",
            raw.handshake_timeout,
            default.handshake_timeout,
        )?,
        header_timeout: timed("header_timeout", raw.header_timeout, default.header_timeout)?,
        idle_timeout: timed("idle_timeout", raw.idle_timeout, default.idle_timeout)?,
        stall_timeout: timed("stall_timeout", raw.stall_timeout, default.stall_timeout)?,
    })
}
