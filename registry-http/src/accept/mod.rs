//! The accept loop: one task per connection, each with bounded time and memory, until shutdown.
//!
//! hyper has one timer, which runs from the end of an answer to the end of the next head; we want
//! two, for waiting and for sending, and more for bodies. [`io`] and [`body`] have those.

mod activation;
mod body;
mod gate;
mod h2c;
mod io;
mod listen;
mod lobby;
mod proxied;
mod refused;
mod secure;
mod unix;
mod wire;

use std::convert::Infallible;
use std::io::ErrorKind::NotConnected;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

pub(crate) use self::activation::Passed;
pub(crate) use self::body::Stalled;
use self::body::{Answer, Awaited};
use self::gate::Gate;
use self::io::{Exchange, StallIo};
pub(crate) use self::listen::{Listen, Listener, bind};
use self::refused::Refused;
use self::secure::{Admitted, Secure};
pub(crate) use self::unix::UnixSocket;
use crate::app::PeerAddr;
use crate::proxies::Proxies;
use crate::tls::{Tls, TlsInfo};

/// The most that hyper gathers for one connection, in each direction. It is what an upload is
/// read in, so that smaller means slower, and what ten thousand idle connections never have.
const MAX_BUFFER: usize = 256 << 10;

/// How much and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AcceptLimits {
    /// Connections at a time; more wait in the queue of the kernel.
    pub(crate) connections: usize,
    /// Bytes of a request's line and headers.
    pub(crate) header: usize,
    /// Headers of a request.
    pub(crate) headers: usize,
    /// From the first byte of a head to its last; and to the first byte of a connection.
    pub(crate) header_timeout: Duration,
    /// From an answer to the next request.
    pub(crate) idle_timeout: Duration,
    /// Without a byte of a body, in either direction.
    pub(crate) stall_timeout: Duration,
    /// Handshakes of TLS at a time; the oldest makes room for one more.
    pub(crate) handshakes: usize,
    /// From the beginning of a connection to the end of its handshake.
    pub(crate) handshake_timeout: Duration,
    /// Whether HTTP/2 is spoken with those who begin with it.
    pub(crate) h2c: bool,
    /// From the shutdown to the end of the last request.
    pub(crate) drain: Duration,
}

/// Serves until `shutdown`, then lets requests end for as long as `limits.drain`; says whether all
/// did. Dropping the future cuts every connection. Where there are `proxies`, who connects is one of
/// them and says for whom; where there is `tls`, nothing else is spoken.
pub(crate) async fn serve<L, S>(
    mut listener: L,
    proxies: Option<Arc<Proxies>>,
    tls: Option<Arc<Tls>>,
    service: S,
    limits: AcceptLimits,
    shutdown: impl Future<Output = ()>,
) -> bool
where
    L: Listen,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let service = Arc::new(service);
    let secure = tls.map(|tls| Arc::new(Secure::new(tls, &limits)));
    let slots = Arc::new(Semaphore::new(
        limits.connections.min(Semaphore::MAX_PERMITS),
    ));
    // Requests that share connections are no more at a time than connections are.
    let places = Arc::new(Semaphore::new(
        limits.connections.min(Semaphore::MAX_PERMITS),
    ));
    let refused = Arc::new(Refused::default());
    let (stop, stopping) = watch::channel(());
    let mut tasks = JoinSet::new();
    let mut gate = Gate::default();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let next = tokio::select! {
            biased;
            () = &mut shutdown => break,
            next = gate.next(&mut listener, &slots) => next,
        };
        while let Some(ended) = tasks.try_join_next() {
            report(ended);
        }
        let Some((stream, peer, slot)) = next else {
            continue;
        };
        let handler = Handler {
            service: Arc::clone(&service),
            peer,
            limits,
            places: Arc::clone(&places),
            refused: Arc::clone(&refused),
            exchange: Arc::default(),
            tls: None,
        };
        // Who comes by a proxy is who it says.
        let admitted = secure.as_ref().filter(|_| proxies.is_none());
        let admitted = admitted.map(|secure| secure.admit(peer));
        let connection = connect(
            stream,
            proxies.clone(),
            (secure.clone(), admitted),
            handler,
            stopping.clone(),
        );
        tasks.spawn(hold(slot, connection));
    }
    drop(listener);
    // Whoever listens has a receiver, or is gone.
    let _ = stop.send(());
    let ended = timeout(limits.drain, async {
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
    });
    let all = ended.await.is_ok();
    if !all {
        tracing::warn!(
            connections = tasks.len(),
            "cutting connections that did not end in time"
        );
        tasks.shutdown().await;
    }
    all
}

async fn hold(_slot: OwnedSemaphorePermit, connection: impl Future<Output = ()>) {
    connection.await;
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a connection ended with a panic, which is a bug: {error}");
    }
}

/// Hands the requests of one connection to the service.
struct Handler<S> {
    service: Arc<S>,
    peer: PeerAddr,
    limits: AcceptLimits,
    places: Arc<Semaphore>,
    refused: Arc<Refused>,
    exchange: Arc<Exchange>,
    /// What a handshake has settled, if there was one.
    tls: Option<Arc<TlsInfo>>,
}

impl<S> Handler<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Answer>, Infallible>> + Send + use<S> {
        let begun = self.exchange.begin();
        let (mut head, body) = request.into_parts();
        let shared = self.exchange.is_shared();
        let too_many = shared && head.headers.len() > self.limits.headers;
        let places = shared.then(|| Arc::clone(&self.places));
        head.extensions.insert(self.peer);
        if let Some(tls) = &self.tls {
            head.extensions.insert(Arc::clone(tls));
        }
        let exchange = Arc::clone(&self.exchange);
        let body = Awaited::new(body, self.limits.stall_timeout, exchange);
        let answer = self
            .service
            .call(Request::from_parts(head, Body::new(body)));
        async move {
            if too_many {
                let mut refusal = Response::new(Answer::new(Body::empty(), begun, None));
                *refusal.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                return Ok(refusal);
            }
            let place = match places {
                Some(places) => places.acquire_owned().await.ok(),
                None => None,
            };
            let (head, body) = answer.await?.into_parts();
            Ok(Response::from_parts(head, Answer::new(body, begun, place)))
        }
    }
}

/// Serves one connection, over TLS if there is any.
async fn connect<T, S>(
    mut stream: T,
    proxies: Option<Arc<Proxies>>,
    (secure, admitted): (Option<Arc<Secure>>, Option<Admitted>),
    mut handler: Handler<S>,
    mut stopping: watch::Receiver<()>,
) where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + 'static,
    S::Future: Send + 'static,
{
    if let Some(proxies) = proxies {
        let limit = handler.limits.header_timeout;
        let told = tokio::select! {
            told = proxied::told(&mut stream, handler.peer, &proxies, limit) => told,
            _ = stopping.changed() => return,
        };
        match told {
            Ok(peer) => handler.peer = peer,
            Err(error) if error.kind() == NotConnected => return,
            Err(error) => {
                return handler
                    .refused
                    .tell(handler.peer, &error, "a connection is closed");
            }
        }
    }
    let enter = || Some(secure?.admit(handler.peer));
    let Some(admitted) = admitted.or_else(enter) else {
        return serve_one(stream, handler, stopping).await;
    };
    let handshake = admitted.handshake(stream, Arc::clone(&handler.exchange));
    let shaken = tokio::select! {
        shaken = handshake => shaken,
        _ = stopping.changed() => return,
    };
    match shaken {
        Ok((stream, info)) => {
            let (peer, version) = (handler.peer, info.version);
            tracing::debug!(%peer, ?version, http2 = info.is_http2(), "a handshake of TLS");
            handler.tls = Some(Arc::new(info));
            serve_one(stream, handler, stopping).await;
        }
        // The client does not believe us or cannot be believed, which somebody will look for.
        Err(error)
            if error
                .get_ref()
                .is_some_and(|error| error.is::<rustls::Error>()) =>
        {
            handler
                .refused
                .tell(handler.peer, &error, "no handshake of TLS");
        }
        Err(error) => tracing::debug!(peer = %handler.peer, %error, "no handshake of TLS"),
    }
}

async fn serve_one<T, S>(stream: T, handler: Handler<S>, mut stopping: watch::Receiver<()>)
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + 'static,
    S::Future: Send + 'static,
{
    let Handler { peer, limits, .. } = handler;
    let exchange = Arc::clone(&handler.exchange);
    let refused = Arc::clone(&handler.refused);
    let mut io = StallIo::new(stream, Arc::clone(&exchange), limits);
    if let Some(tls) = &handler.tls {
        if tls.is_http2() {
            exchange.share();
        }
    } else if limits.h2c {
        let is_http2 = tokio::select! {
            told = h2c::is_http2(&mut io) => told,
            _ = stopping.changed() => return,
        };
        match is_http2 {
            Ok(true) => exchange.share(),
            Ok(false) => {}
            Err(error) => return tracing::debug!(%peer, %error, "connection ended"),
        }
    }
    let (io, service) = (
        TokioIo::new(io),
        service_fn(|request| handler.answer(request)),
    );
    let ended = if exchange.is_shared() {
        let connection = pin!(h2c::builder(limits).serve_connection(io, service));
        let stop = http2::Connection::graceful_shutdown;
        tokio::select! {
            ended = until_stopped(connection, stop, stopping) => ended,
            () = h2c::untaken(&exchange, limits.stall_timeout) => {
                return tracing::debug!(%peer, "the client does not read an answer");
            }
        }
    } else {
        let connection = pin!(http1(limits).serve_connection(io, service));
        let stop = http1::Connection::graceful_shutdown;
        until_stopped(connection, stop, stopping).await
    };
    if let Err(error) = ended {
        if error.is_parse() && exchange.began_as_tls() {
            refused.tell_of_tls(peer);
        } else if error.is_parse() {
            refused.tell(
                peer,
                &error,
                "a request is no HTTP, or its head is too large",
            );
        }
        tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection ended");
    }
}

/// Serves a connection to its end, which is asked for at the shutdown.
async fn until_stopped<C: Future>(
    mut connection: Pin<&mut C>,
    stop: fn(Pin<&mut C>),
    mut stopping: watch::Receiver<()>,
) -> C::Output {
    tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopping.changed() => {
            stop(connection.as_mut());
            connection.await
        }
    }
}

fn http1(limits: AcceptLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // Ours are stricter; this one also bounds what ours cannot see, the beginning of a head
        // that came together with the end of the request before it.
        .header_read_timeout(limits.idle_timeout.saturating_add(limits.header_timeout))
        // As distribution writes them, and as scripts look for them.
        .title_case_headers(true)
        .max_headers(limits.headers)
        .max_header_size(limits.header)
        .max_buf_size(MAX_BUFFER.max(limits.header));
    builder
}

#[cfg(test)]
mod tests;
