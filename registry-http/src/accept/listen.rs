//! Where connections come from.

use std::fmt;
use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, lookup_host};

use super::UnixSocket;
use crate::app::PeerAddr;

/// Something that connections come from.
pub(crate) trait Listen: Send {
    /// What is read from and written to.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next one.
    fn accept(&mut self) -> impl Future<Output = Result<(Self::Stream, PeerAddr)>> + Send;
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> Result<(TcpStream, PeerAddr)> {
        let (stream, peer) = Self::accept(self).await?;
        // Answers are written in one piece as far as they go; waiting for more helps nobody.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "setting TCP_NODELAY");
        }
        Ok((stream, PeerAddr(Some(peer))))
    }
}

/// Where a server listens.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixSocket),
}

impl Listener {
    /// The address, unless it is a file.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }
}

/// The address or the path.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match self {
            Self::Tcp(_) => None,
            Self::Unix(socket) => socket.path(),
        };
        match (self.local_addr(), path) {
            (Some(addr), _) => addr.fmt(f),
            (None, Some(path)) => path.display().fmt(f),
            (None, None) => f.write_str("a socket without a name"),
        }
    }
}

/// Listens on `host:port` as Go does: without a host on every address, of a name's addresses on
/// the first of IPv4.
pub(crate) async fn bind(addr: &str) -> Result<TcpListener> {
    let (host, port) = split(addr)
        .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "host:port or :port is wanted"))?;
    if host.is_empty() {
        return match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            Ok(listener) => Ok(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse => Err(error),
            // A machine without IPv6.
            Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
        };
    }
    let addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
    let first = addresses.iter().find(|address| address.is_ipv4());
    match first.or(addresses.first()) {
        Some(address) => TcpListener::bind(address).await,
        None => Err(Error::new(ErrorKind::NotFound, "the host has no address")),
    }
}

fn split(addr: &str) -> Option<(&str, u16)> {
    let (host, port) = addr.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_as_go_splits_them() {
        let table = [
            (":5000", Some(("", 5000))),
            ("127.0.0.1:5000", Some(("127.0.0.1", 5000))),
            ("[::1]:5000", Some(("::1", 5000))),
            ("[::]:0", Some(("::", 0))),
            ("localhost:80", Some(("localhost", 80))),
            ("::1:5000", None),
            ("[::1:5000", None),
            ("localhost", None),
            ("localhost:", None),
            ("localhost:65536", None),
            ("/run/registry.sock", None),
            ("", None),
        ];
        for (addr, expected) in table {
            assert_eq!(split(addr), expected, "{addr:?}");
        }
    }

    #[tokio::test]
    async fn each_form_is_listened_on() {
        let local = bind("127.0.0.1:0").await.unwrap();
        assert!(local.local_addr().unwrap().ip().is_loopback());
        let named = bind("localhost:0").await.unwrap();
        assert!(named.local_addr().unwrap().ip().is_loopback());
        let every = bind(":0").await.unwrap();
        assert!(every.local_addr().unwrap().ip().is_unspecified());
        let error = bind("nonsense").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let taken = format!(":{}", every.local_addr().unwrap().port());
        let error = bind(&taken).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
}
