//! The accept loop: one task per connection, each with bounded time and memory, until shutdown.
//!
//! hyper has one timer, which runs from the end of an answer to the end of the next head; we want
//! two, for waiting and for sending, and more for bodies. [`io`] and [`body`] have those.

mod activation;
mod body;
mod io;
mod listen;
mod unix;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};

pub(crate) use self::activation::Passed;
use self::body::{Answer, Awaited};
use self::io::{Exchange, StallIo};
pub(crate) use self::listen::{Listen, Listener, bind};
pub(crate) use self::unix::UnixSocket;
use crate::app::PeerAddr;

/// The most that hyper gathers for one connection, in each direction. It is what an upload is
/// read in, so that smaller means slower, and what ten thousand idle connections never have.
const MAX_BUFFER: usize = 256 << 10;

/// Between two attempts to accept while that fails.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// Between two lines that say the same of connections that are not let in.
const SAY_AGAIN: Duration = Duration::from_secs(60);

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
    /// From the shutdown to the end of the last request.
    pub(crate) drain: Duration,
}

/// Serves until `shutdown`, then lets requests end for as long as `limits.drain`. Dropping the
/// future cuts every connection.
pub(crate) async fn serve<L, S>(
    mut listener: L,
    service: S,
    limits: AcceptLimits,
    shutdown: impl Future<Output = ()>,
) where
    L: Listen,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Send + Sync + 'static,
    S::Future: Send,
{
    let service = Arc::new(service);
    let slots = Arc::new(Semaphore::new(
        limits.connections.min(Semaphore::MAX_PERMITS),
    ));
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
        let connection = serve_one(stream, peer, Arc::clone(&service), limits, stopping.clone());
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
    if ended.await.is_err() {
        tracing::warn!(
            connections = tasks.len(),
            "cutting connections that did not end in time"
        );
        tasks.shutdown().await;
    }
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

/// Lets connections in, one after the other, and never gives up.
#[derive(Default)]
struct Gate {
    /// How long to wait after the next error; something while the last attempt failed.
    back_off: Option<Duration>,
    said_failing: Option<Instant>,
    said_full: Option<Instant>,
}

/// Whether to say it, after having said it at `said`.
fn say_again(said: &mut Option<Instant>) -> bool {
    let again = said.is_none_or(|said| said.elapsed() > SAY_AGAIN);
    if again {
        *said = Some(Instant::now());
    }
    again
}

impl Gate {
    async fn next<L: Listen>(
        &mut self,
        listener: &mut L,
        slots: &Arc<Semaphore>,
    ) -> Option<(L::Stream, PeerAddr, OwnedSemaphorePermit)> {
        if slots.available_permits() == 0 && say_again(&mut self.said_full) {
            tracing::warn!("`extensions.limits.connections` is reached: more have to wait");
        }
        let slot = Arc::clone(slots).acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((stream, peer)) => {
                self.back_off = None;
                Some((stream, peer, slot))
            }
            Err(error) => {
                drop(slot);
                self.failed(&error).await;
                None
            }
        }
    }

    async fn failed(&mut self, error: &std::io::Error) {
        use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        // These are about one client, who has gone again.
        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionReset | Interrupted
        ) {
            return;
        }
        // Out of file descriptors, most likely: those who end give theirs back.
        let wait = self.back_off.unwrap_or(BACK_OFF.0);
        if say_again(&mut self.said_failing) {
            tracing::error!(%error, "accepting connections; trying again until it works");
        }
        self.back_off = Some((wait * 2).min(BACK_OFF.1));
        sleep(wait).await;
    }
}

async fn serve_one<T, S>(
    stream: T,
    peer: PeerAddr,
    service: Arc<S>,
    limits: AcceptLimits,
    mut stopping: watch::Receiver<()>,
) where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send,
{
    let exchange = Arc::new(Exchange::default());
    let io = TokioIo::new(StallIo::new(stream, Arc::clone(&exchange), limits));
    let service = service_fn(move |request: Request<Incoming>| {
        let begun = exchange.begin();
        let (mut head, body) = request.into_parts();
        head.extensions.insert(peer);
        let body = Awaited::new(body, limits.stall_timeout, Arc::clone(&exchange));
        let answer = service.call(Request::from_parts(head, Body::new(body)));
        async move {
            let (head, body) = answer.await?.into_parts();
            Ok::<_, Infallible>(Response::from_parts(head, Answer::new(body, begun)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Ours are stricter; this one also bounds what ours cannot see, the beginning of a head
        // that came together with the end of the request before it.
        .header_read_timeout(limits.idle_timeout.saturating_add(limits.header_timeout))
        .max_headers(limits.headers)
        .max_header_size(limits.header)
        .max_buf_size(MAX_BUFFER.max(limits.header))
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection ended");
    }
}

#[cfg(test)]
mod tests;
