//! A connection that does not wait for ever: for a request, for its head, or for a client that
//! does not read.

use std::collections::HashMap;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::AcceptLimits;

/// How long a client may go on sending what nobody reads, so that it finds the answer. Closing
/// at once would make its kernel drop the answer together with the connection.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// What the two ends of a connection know of each other: hyper stands between them.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// Above, how often that changed; below, how many requests are being answered. A number alone
    /// could change back unseen.
    turns: AtomicU64,
    /// Whether a request's body was dropped before its end.
    unread: AtomicBool,
    /// Whether requests share the connection, which then has more to say than requests.
    shared: AtomicBool,
    /// Where they do, which answers have given something to a client that did not come for more,
    /// and when.
    untaken: Mutex<HashMap<u64, Instant>>,
    /// How often the client has taken something of what TLS made of an answer.
    moves: AtomicU64,
    /// Whether TLS was spoken where HTTP was to be.
    tls: AtomicBool,
}

/// How TLS begins, and no method of HTTP.
const HANDSHAKE: &[u8] = &[0x16, 3];

const TURN: u64 = 1 << 32;
const ANSWERING: u64 = TURN - 1;

impl Exchange {
    /// A head is complete; the answer is on its way until the value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Begun {
        let id = self.turns.fetch_add(TURN + 1, Ordering::Relaxed) & !ANSWERING;
        Begun {
            id,
            exchange: Arc::clone(self),
        }
    }

    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub(super) fn share(&self) {
        self.shared.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Relaxed)
    }

    pub(super) fn began_as_tls(&self) -> bool {
        self.tls.load(Ordering::Relaxed)
    }

    /// The client has taken something.
    pub(super) fn moved(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn oldest_untaken(&self) -> Option<Instant> {
        self.untaken().values().min().copied()
    }

    /// Nothing that is done with it can panic.
    fn untaken(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.untaken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Begun {
    id: u64,
    exchange: Arc<Exchange>,
}

impl Begun {
    pub(super) fn is_shared(&self) -> bool {
        self.exchange.is_shared()
    }

    /// The client has taken all, and comes for more.
    pub(super) fn taken(&self) {
        self.exchange.untaken().remove(&self.id);
    }

    /// The client was given something.
    pub(super) fn given(&self) {
        self.exchange.untaken().insert(self.id, Instant::now());
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // One turn more, one answer less.
        self.exchange.turns.fetch_add(TURN - 1, Ordering::Relaxed);
        if self.is_shared() {
            self.taken();
        }
    }
}

/// What reading waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// Nothing that has a limit here: a request is being answered, and its body looks after
    /// itself.
    Answer,
    /// The first byte of a head.
    Request(Instant),
    /// The rest of it.
    Head(Instant),
}

#[derive(Debug)]
pub(super) struct StallIo<T> {
    io: T,
    exchange: Arc<Exchange>,
    limits: AcceptLimits,
    seen: u64,
    /// Whether anything came.
    begun: bool,
    /// What was read too early.
    back: Vec<u8>,
    waiting: Waiting,
    reading: Alarm,
    /// When a write gives up; something while the client does not read.
    stalled: Option<Instant>,
    /// How far the client was then.
    moves: u64,
    writing: Alarm,
    /// When reading what nobody wants ends.
    linger: Option<Instant>,
}

/// A timer that exists once it is needed.
#[derive(Debug, Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    fn poll(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}

impl<T> StallIo<T> {
    pub(super) fn new(io: T, exchange: Arc<Exchange>, limits: AcceptLimits) -> Self {
        Self {
            io,
            exchange,
            limits,
            seen: 0,
            begun: false,
            back: Vec::new(),
            // Whoever connects has something to say.
            waiting: Waiting::Request(Instant::now() + limits.header_timeout),
            reading: Alarm::default(),
            stalled: None,
            moves: 0,
            writing: Alarm::default(),
            linger: None,
        }
    }

    /// Lets it be read again.
    pub(super) fn put_back(&mut self, read: &[u8]) {
        self.back = read.to_vec();
    }

    fn look(&mut self) {
        let turns = self.exchange.turns.load(Ordering::Relaxed);
        if turns != self.seen {
            self.seen = turns;
            self.waiting = match turns & ANSWERING {
                0 => Waiting::Request(Instant::now() + self.limits.idle_timeout),
                _ => Waiting::Answer,
            };
        }
    }

    fn received(&mut self) {
        self.look();
        // Where requests share a connection, what comes may as well be about the connection.
        if matches!(self.waiting, Waiting::Request(_)) && !self.exchange.is_shared() {
            self.waiting = Waiting::Head(Instant::now() + self.limits.header_timeout);
        }
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.look();
        let (at, message) = match self.waiting {
            Waiting::Answer => return Poll::Pending,
            Waiting::Request(at) => (at, "no request came in time"),
            Waiting::Head(at) => (at, "the head of a request did not come in time"),
        };
        ready!(self.reading.poll(at, cx));
        Poll::Ready(Error::new(ErrorKind::TimedOut, message))
    }

    /// The end of an answer may still be in a buffer: while the client takes it, neither the
    /// next request nor its head is late.
    fn sent(&mut self) {
        self.stalled = None;
        self.look();
        let now = Instant::now();
        match &mut self.waiting {
            Waiting::Answer => {}
            // What is sent of no answer, pings and the like, makes nobody busy.
            Waiting::Request(_) if self.exchange.is_shared() => {}
            Waiting::Request(at) => *at = (*at).max(now + self.limits.idle_timeout),
            Waiting::Head(at) => *at = now + self.limits.header_timeout,
        }
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let limit = self.limits.stall_timeout;
        // A layer below may have given something to the client, and still have more.
        let moves = self.exchange.moves.load(Ordering::Relaxed);
        if moves != self.moves {
            self.moves = moves;
            self.stalled = None;
        }
        let at = *self.stalled.get_or_insert_with(|| Instant::now() + limit);
        ready!(self.writing.poll(at, cx));
        Poll::Ready(Error::new(ErrorKind::TimedOut, "the client does not read"))
    }

    fn written(&mut self, wrote: Poll<Result<usize>>, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        match wrote {
            Poll::Ready(wrote) => {
                self.sent();
                Poll::Ready(wrote)
            }
            Poll::Pending => self.poll_stalled(cx).map(Err),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for StallIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        if !self.back.is_empty() {
            let len = self.back.len().min(buffer.remaining());
            let rest = self.back.split_off(len);
            buffer.put_slice(&self.back);
            self.back = rest;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buffer) {
            Poll::Ready(read) => {
                if buffer.filled().len() > before {
                    if !std::mem::replace(&mut self.begun, true)
                        && buffer.filled()[before..].starts_with(HANDSHAKE)
                    {
                        self.exchange.tls.store(true, Ordering::Relaxed);
                    }
                    self.received();
                }
                Poll::Ready(read)
            }
            Poll::Pending => self.poll_waiting(cx).map(Err),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for StallIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let wrote = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.written(wrote, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let wrote = Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        self.written(wrote, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Ready(flushed) => {
                self.stalled = None;
                Poll::Ready(flushed)
            }
            Poll::Pending => self.poll_stalled(cx).map(Err),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let until = match self.linger {
            Some(until) => until,
            None => {
                match Pin::new(&mut self.io).poll_shutdown(cx) {
                    Poll::Ready(ended) => ended?,
                    Poll::Pending => return self.poll_stalled(cx).map(Err),
                }
                self.look();
                // Who shares a connection says things of it until it has seen the end.
                let between =
                    matches!(self.waiting, Waiting::Request(_)) && !self.exchange.is_shared();
                if between && !self.exchange.unread.load(Ordering::Relaxed) {
                    return Poll::Ready(Ok(()));
                }
                *self.linger.insert(Instant::now() + LINGER)
            }
        };
        let mut scratch = [0; 8 << 10];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    if Instant::now() >= until {
                        return Poll::Ready(Ok(()));
                    }
                }
                // The client has closed as well, or is gone.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(self.reading.poll(until, cx));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}
