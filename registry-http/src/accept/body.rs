//! Bodies at the edge: a request's that does not stand still for ever, an answer's that tells
//! when it has ended.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use registry_core::BoxError;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};

use super::io::{Begun, Exchange};

/// A client that sent nothing for too long, while it was waited for.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the client stopped sending")]
pub(crate) struct Stalled;

/// The body of a request. While it is waited for and nothing comes for the configured time, it
/// is the error [`Stalled`].
#[derive(Debug)]
pub(super) struct Awaited {
    incoming: Incoming,
    stall: Duration,
    /// Runs while nothing comes.
    timer: Option<Pin<Box<Sleep>>>,
    ended: bool,
    exchange: Arc<Exchange>,
}

impl Awaited {
    pub(super) fn new(incoming: Incoming, stall: Duration, exchange: Arc<Exchange>) -> Self {
        Self {
            incoming,
            stall,
            timer: None,
            ended: false,
            exchange,
        }
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep(self.stall)));
        timer.as_mut().poll(cx)
    }
}

impl http_body::Body for Awaited {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.timer = None;
                self.ended |= frame.is_none();
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                ready!(self.poll_stalled(cx));
                Poll::Ready(Some(Err(Stalled.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if !self.ended && !http_body::Body::is_end_stream(&self.incoming) {
            self.exchange.leave_unread();
        }
    }
}

/// The most of an answer that a client is given at once where requests share a connection.
const PIECE: usize = 64 << 10;

/// The body of an answer, and the knowledge that it is being sent.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    /// What is too much for one piece.
    rest: Bytes,
    begun: Begun,
    /// A place among those that share connections, if it needed one.
    _place: Option<OwnedSemaphorePermit>,
}

impl Answer {
    pub(super) fn new(body: Body, begun: Begun, place: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            begun,
            _place: place,
        }
    }

    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.begun.taken();
        if self.rest.is_empty() {
            let frame = match ready!(http_body::Body::poll_frame(Pin::new(&mut self.body), cx)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(bytes) => self.rest = bytes,
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        self.begun.given();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.begun.is_shared() {
            return self.poll_piece(cx);
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let upper = hint.upper().map(|upper| upper.saturating_add(rest));
        if let Some(upper) = upper {
            hint.set_upper(upper);
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}
