//! What comes before HTTP where TLS is spoken.

use std::io::{Error, ErrorKind, Result};
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::AcceptLimits;
use super::io::{Exchange, LINGER};
use super::lobby::{Lobby, Seat};
use super::wire::Wire;
use crate::app::PeerAddr;
use crate::tls::acme::Acme;
use crate::tls::{Tls, TlsInfo};

/// Bytes that wait for their client once they are encrypted: some whole records, which are what an
/// answer is sent in.
const BUFFER: usize = 256 << 10;

/// What the first byte of TLS says: a record of a handshake.
const HANDSHAKE: u8 = 0x16;

/// What is answered to HTTP that is spoken without TLS where TLS is: the words of Go's server.
const REFUSAL: &str = "\
{\"errors\":[{\"code\":\"UNSUPPORTED\",\"message\":\"Client sent an HTTP request to an HTTPS \
server.\",\"detail\":\"use https\"}]}\n";

/// How connections come to speak TLS.
#[derive(Debug)]
pub(super) struct Secure {
    tls: Arc<Tls>,
    lobby: Arc<Lobby>,
    /// For what takes a processor, and not a client: as many as there are processors, so that
    /// those who have had their handshake come in between.
    turns: Semaphore,
    timeout: Duration,
}

impl Secure {
    pub(super) fn new(tls: Arc<Tls>, limits: &AcceptLimits) -> Self {
        let processors = available_parallelism().map_or(1, NonZero::get);
        // Whoever has had a handshake is to find a connection, too.
        let bound = limits.handshakes.min(limits.connections / 2);
        Self {
            tls,
            lobby: Arc::new(Lobby::new(bound)),
            turns: Semaphore::new(processors),
            timeout: limits.handshake_timeout,
        }
    }

    /// Lets one more have its handshake; to be called in the order in which they came.
    pub(super) fn admit(self: &Arc<Self>, peer: PeerAddr) -> Admitted {
        Admitted {
            secure: Arc::clone(self),
            seat: self.lobby.enter(peer),
        }
    }
}

/// A connection that may have its handshake.
#[derive(Debug)]
pub(super) struct Admitted {
    secure: Arc<Secure>,
    seat: Seat,
}

impl Admitted {
    /// Has it, and says what came of it.
    pub(super) async fn handshake<T>(
        mut self,
        io: T,
        exchange: Arc<Exchange>,
    ) -> Result<(TlsStream<Wire<T>>, TlsInfo)>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let dismissed = || Error::new(ErrorKind::TimedOut, "more recent handshakes had to begin");
        tokio::select! {
            shaken = shake(&self.secure, io, exchange) => shaken,
            () = self.seat.dismissed() => Err(dismissed()),
        }
    }
}

async fn shake<T>(
    secure: &Secure,
    io: T,
    exchange: Arc<Exchange>,
) -> Result<(TlsStream<Wire<T>>, TlsInfo)>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let until = Instant::now() + secure.timeout;
    let mut wire = Wire::new(io, exchange);
    let late = |_| {
        Error::new(
            ErrorKind::TimedOut,
            "the handshake of TLS did not end in time",
        )
    };
    let first = timeout_at(until, wire.read_u8()).await.map_err(late)??;
    if first != HANDSHAKE {
        return Err(refuse(wire, first).await);
    }
    wire.put_back(&[first]);
    let shaken = timeout_at(until, async {
        let mut hello = LazyConfigAcceptor::new(Acceptor::default(), wire).await?;
        if let Some(acme) = secure.tls.proves(&hello.client_hello()) {
            hello = prove(hello, acme).await?;
        }
        let settle = |connection: &mut rustls::ServerConnection| {
            connection.set_buffer_limit(Some(BUFFER));
        };
        let turn = secure.turns.acquire().await;
        let going_on = hello.into_stream_with(secure.tls.config(), settle);
        drop(turn);
        going_on.await
    });
    let stream = shaken.await.map_err(late)??;
    let info = TlsInfo::of(stream.get_ref().1, &secure.tls);
    Ok((stream, info))
}

/// Shows an authority that a host is ours, which is all that it comes for. What is not ours is given
/// back.
async fn prove<T>(hello: StartHandshake<Wire<T>>, acme: &Acme) -> Result<StartHandshake<Wire<T>>>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let host = hello.client_hello().server_name().map(str::to_owned);
    let Some(config) = acme.for_authority(host.as_deref()).await else {
        return Ok(hello);
    };
    let mut stream = hello.into_stream(config).await?;
    tracing::info!(host, "an authority has seen that this host is ours");
    stream.shutdown().await?;
    Err(Error::other("it was an authority"))
}

/// Tells a client who speaks HTTP what is wrong, and leaves all others.
async fn refuse<T>(mut wire: Wire<T>, first: u8) -> Error
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    // The first letter of a method.
    if !first.is_ascii_uppercase() {
        return Error::new(ErrorKind::InvalidData, "neither TLS nor HTTP");
    }
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        REFUSAL.len()
    );
    // Who closes at once, with something unread, takes back the answer.
    let _ = timeout(LINGER, async {
        wire.write_all(format!("{head}{REFUSAL}").as_bytes())
            .await?;
        wire.shutdown().await?;
        let mut scratch = [0; 4 << 10];
        while wire.read(&mut scratch).await? > 0 {}
        Result::Ok(())
    })
    .await;
    Error::new(ErrorKind::InvalidData, "HTTP without TLS")
}
