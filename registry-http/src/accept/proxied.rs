//! The PROXY protocol: with its first bytes, a proxy says whom it speaks for, in a line of text or
//! in binary. What follows is the client's.
//!
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Duration;

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

use crate::app::PeerAddr;
use crate::proxies::Proxies;

/// What binary ones begin with, four bytes before their length ends.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED: usize = 16;

/// Bytes of the shortest line, `PROXY UNKNOWN`, and of the longest.
const LINE: (usize, usize) = (15, 107);

/// Bytes of what a binary one may say beyond its first: addresses, and what we do not read.
const LONGEST: usize = 4 << 10;

const CONFIG: ParseConfig = ParseConfig {
    include_tlvs: false,
    allow_v1: true,
    allow_v2: true,
};

/// For whom `peer` speaks: itself, if it says nothing else.
///
/// # Errors
/// Where it is no proxy, or does not say it as it has to, within `limit`.
pub(super) async fn told<T>(
    io: &mut T,
    peer: PeerAddr,
    proxies: &Proxies,
    limit: Duration,
) -> Result<PeerAddr>
where
    T: AsyncRead + Unpin,
{
    if !proxies.trusts(peer.0.map(|peer| peer.ip())) {
        let message =
            "the PROXY protocol is spoken here, and `extensions.proxies` does not name it";
        return Err(Error::new(ErrorKind::PermissionDenied, message));
    }
    let header = timeout(limit, read(io)).await;
    let header =
        header.map_err(|_| Error::new(ErrorKind::TimedOut, "it did not end in time"))??;
    Ok(said(&header)?.map_or(peer, |client| PeerAddr(Some(client))))
}

/// Exactly the header.
async fn read<T: AsyncRead + Unpin>(io: &mut T) -> Result<Vec<u8>> {
    let mut header = vec![0; LINE.0];
    io.read_exact(&mut header[..1]).await.map_err(|error| {
        // Whoever only looks whether there is someone.
        Error::new(ErrorKind::NotConnected, error)
    })?;
    io.read_exact(&mut header[1..]).await?;
    if header.starts_with(b"PROXY ") {
        while !header.ends_with(b"\n") {
            if header.len() == LINE.1 {
                return Err(malformed());
            }
            header.push(io.read_u8().await?);
        }
    } else if header.starts_with(SIGNATURE) {
        header.push(io.read_u8().await?);
        let rest = usize::from(u16::from_be_bytes([header[FIXED - 2], header[FIXED - 1]]));
        if rest > LONGEST {
            return Err(malformed());
        }
        header.resize(FIXED + rest, 0);
        io.read_exact(&mut header[FIXED..]).await?;
    } else {
        let message = "it begins without the PROXY protocol, which is spoken here";
        return Err(Error::new(ErrorKind::InvalidData, message));
    }
    Ok(header)
}

/// The client, unless the proxy speaks for itself or for one without an address.
fn said(header: &[u8]) -> Result<Option<SocketAddr>> {
    let parsed = ProxyHeader::parse(header, CONFIG);
    let (parsed, len) = parsed.map_err(|_| malformed())?;
    if len != header.len() {
        return Err(malformed());
    }
    Ok(parsed.proxied_address().map(|client| client.source))
}

fn malformed() -> Error {
    Error::new(
        ErrorKind::InvalidData,
        "what it says of the PROXY protocol is malformed",
    )
}

#[cfg(test)]
mod tests;
