//! Bodies that are watched for silence.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use object_store::client::{HttpError, HttpErrorKind, HttpRequestBody};
use tokio::time::{Instant, Sleep, sleep};

use super::{Whole, silent};

/// As much of a body is handed over at once: less than what the connection holds back, so that
/// the next piece is asked for only when bytes have left.
const PIECE: usize = 64 * 1024;

/// When bytes of a request have last moved.
#[derive(Clone, Debug)]
pub(super) struct Watch(Arc<Mutex<Instant>>);

impl Default for Watch {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Watch {
    pub(super) fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moved(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// The body of a request.
#[derive(Debug)]
pub(super) struct Sent {
    body: HttpRequestBody,
    piece: Bytes,
    watch: Watch,
}

impl Sent {
    pub(super) fn new(body: HttpRequestBody, watch: Watch) -> Self {
        let piece = Bytes::new();
        Self { body, piece, watch }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        while self.piece.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => self.piece = frame.into_data().unwrap_or_default(),
                end => return Poll::Ready(end),
            }
        }
        self.watch.moved();
        let len = self.piece.len().min(PIECE);
        let piece = self.piece.split_to(len);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.size_hint().exact().unwrap_or_default();
        SizeHint::with_exact(rest + self.piece.len() as u64)
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Taken {
    body: Incoming,
    patience: Duration,
    /// Runs only while somebody waits: who reads slowly is no fault of the store.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Taken {
    pub(super) fn new(body: Incoming, patience: Duration) -> Self {
        Self {
            body,
            patience,
            waiting: None,
        }
    }
}

impl Body for Taken {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.waiting = None;
            let broken = |error| {
                HttpError::new_boxed(
                    HttpErrorKind::Interrupted,
                    Box::new(Whole::<hyper::Error>(error)),
                )
            };
            return Poll::Ready(frame.map(|frame| frame.map_err(broken)));
        }
        let patience = this.patience;
        let waiting = this
            .waiting
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Some(Err(silent(patience))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
