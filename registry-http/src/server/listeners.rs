//! Where a server listens.

use tokio::net::TcpListener;

use super::Error;
use super::refused::unheard;
use super::services::numbered;
use crate::accept::{self, Listener, Passed, UnixSocket};
use crate::config::{Config, Debug, Net};

/// On the socket that was passed, or else where the configuration says.
pub(crate) async fn listen(config: &Config, passed: Option<Passed>) -> Result<Listener, Error> {
    let addr = &config.http.addr;
    let opened = match (passed, config.http.net) {
        (Some(passed), _) => passed.listen(),
        (None, Net::Tcp) => accept::bind(&numbered(addr)).await.map(Listener::Tcp),
        (None, Net::Unix) => UnixSocket::bind(addr.as_ref()).map(Listener::Unix),
    };
    opened.map_err(|reason| unheard(config, "http.addr", addr, reason))
}

/// Where the second listener listens.
pub(crate) async fn bind_beside(config: &Config, debug: &Debug) -> Result<TcpListener, Error> {
    let bound = accept::bind(&numbered(&debug.addr)).await;
    bound.map_err(|reason| unheard(config, "http.debug.addr", &debug.addr, reason))
}
