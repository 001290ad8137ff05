//! HTTP/2 on the port of HTTP/1.1, without TLS: the first bytes of a connection tell which.
//!
//! A builder that tells them apart exists, but would not let us bound the heads of HTTP/1.1.

use std::future::pending;
use std::io::Result;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, sleep};

use super::AcceptLimits;
use super::io::{Exchange, StallIo};

/// What a client of HTTP/2 says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Requests that one connection may have at a time, as many as the specification advises.
const STREAMS: u32 = 100;

/// Bytes of a body that a client may send before it is read, for each request and for all of a
/// connection.
const WINDOW: u32 = 256 << 10;
const WINDOWS: u32 = 1 << 20;

/// Bytes of an answer that wait for their client in its buffer.
const SEND_BUFFER: usize = 64 << 10;

/// Requests that a client takes back, beyond which it is sent away.
const RESETS: usize = 20;
/// The same of requests that were refused for their form.
const REFUSED: usize = 100;

/// Whether the connection is one of HTTP/2. What was read for that is read again.
pub(super) async fn is_http2<T: AsyncRead + Unpin>(io: &mut StallIo<T>) -> Result<bool> {
    let mut begin = [0; PREFACE.len()];
    let mut len = 0;
    while len < PREFACE.len() && PREFACE.starts_with(&begin[..len]) {
        match io.read(&mut begin[len..]).await? {
            0 => break,
            read => len += read,
        }
    }
    io.put_back(&begin[..len]);
    Ok(begin == *PREFACE)
}

/// With every bound that there is. Who does not answer a ping has gone.
pub(super) fn builder(limits: AcceptLimits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(limits.header).unwrap_or(u32::MAX))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOWS)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(REFUSED)
        .keep_alive_interval(limits.stall_timeout)
        .keep_alive_timeout(limits.header_timeout);
    builder
}

/// Ends when a client has left what an answer gave it for too long. The connection itself may be
/// idle then: it is the client who says how much of each answer it wants.
pub(super) async fn untaken(exchange: &Exchange, stall: Duration) {
    let Some(pause) = stall.checked_div(4).filter(|pause| !pause.is_zero()) else {
        return pending().await;
    };
    loop {
        sleep(pause).await;
        let oldest = exchange.oldest_untaken();
        if oldest.is_some_and(|given| Instant::now().duration_since(given) > stall) {
            return;
        }
    }
}
