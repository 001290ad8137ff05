//! Bodies: from a request to pieces, from a reader to a response.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt, TryStreamExt};
use registry_core::BoxError;
use registry_core::registry::Body as Pieces;
use registry_core::storage::{BlobReader, StorageError};
use tokio::time::timeout;

/// The first piece of a response; each one after it is twice as large, while the socket drains.
const SMALLEST_PIECE: usize = 32 << 10;
/// The largest.
const LARGEST_PIECE: usize = 1 << 20;
/// Bytes of pieces that all responses together should hold.
const BUDGET: usize = 256 << 20;

/// Bytes of an unread request body that are taken off the wire before an early answer, so that
/// the client sees the answer and not a broken pipe.
const DRAIN: usize = 4 << 20;
/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(5);

static STREAMS: AtomicUsize = AtomicUsize::new(0);

/// The body of a request. What a handler leaves of it can still be drained.
pub(crate) struct RequestBody {
    stream: BodyDataStream,
    /// What was looked at before anyone took it.
    peeked: Option<Result<Bytes, BoxError>>,
    left: Left,
}

/// What is still to come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Something,
    Nothing,
    /// It will not come: the client is gone, or stands still.
    Lost,
}

impl RequestBody {
    pub(crate) fn new(body: Body) -> Self {
        let stream = body.into_data_stream();
        let left = match http_body::Body::is_end_stream(&stream) {
            true => Left::Nothing,
            false => Left::Something,
        };
        Self {
            stream,
            peeked: None,
            left,
        }
    }

    async fn next(&mut self) -> Option<Result<Bytes, BoxError>> {
        if let Some(peeked) = self.peeked.take() {
            return Some(peeked);
        }
        if self.left != Left::Something {
            return None;
        }
        let next = self.stream.next().await;
        self.left = match &next {
            Some(Ok(_)) => Left::Something,
            Some(Err(_)) => Left::Lost,
            None => Left::Nothing,
        };
        next.map(|piece| piece.map_err(BoxError::from))
    }

    /// Whether it has no byte at all: a header may say so, and only the body itself says it of
    /// one in chunks.
    pub(crate) async fn is_empty(&mut self) -> bool {
        loop {
            match self.next().await {
                None => return true,
                Some(Ok(piece)) if piece.is_empty() => {}
                something => {
                    self.peeked = something;
                    return false;
                }
            }
        }
    }

    /// As core takes it.
    pub(crate) fn pieces(&mut self) -> Pieces<'_> {
        stream::unfold(self, async |body| Some((body.next().await?, body))).boxed()
    }

    /// All of it, or `None` when it is longer than `limit`.
    pub(crate) async fn collect(&mut self, limit: usize) -> Result<Option<Bytes>, BoxError> {
        let mut pieces = self.pieces();
        let mut whole = BytesMut::new();
        while let Some(piece) = pieces.try_next().await? {
            if whole.len() + piece.len() > limit {
                return Ok(None);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(Some(whole.freeze()))
    }

    /// Takes a bounded rest off the wire.
    pub(crate) async fn drain(&mut self) {
        let mut left = DRAIN;
        let taken = async {
            while left > 0
                && let Some(Ok(piece)) = self.next().await
            {
                left = left.saturating_sub(piece.len());
            }
        };
        // Who is slower than that learns the answer while sending.
        let _ = timeout(DRAIN_TIME, taken).await;
    }

    /// Whether nothing of it is left to come.
    pub(crate) fn has_ended(&self) -> bool {
        self.left == Left::Nothing || http_body::Body::is_end_stream(&self.stream)
    }
}

/// A response body from a reader: one piece is read while the one before it is sent.
pub(crate) fn from_reader(reader: Box<dyn BlobReader>) -> Body {
    Body::from_stream(pieces_of(reader))
}

/// The pieces of a reader.
pub(crate) fn pieces_of(
    reader: Box<dyn BlobReader>,
) -> BoxStream<'static, Result<Bytes, StorageError>> {
    let counted = Counted::new();
    let ahead = Ahead::Waiting(read(reader, SMALLEST_PIECE));
    let state = (ahead, SMALLEST_PIECE, counted);
    stream::unfold(state, |(ahead, piece, counted)| async move {
        let (reader, result) = match ahead {
            Ahead::Ended => return None,
            Ahead::Ready(done) => done,
            Ahead::Waiting(reading) => reading.await,
        };
        match result {
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "a blob ends early; the connection is cut");
                Some((Err(error), (Ahead::Ended, piece, counted)))
            }
            Ok(Some(bytes)) => {
                let piece = (piece * 2).min(largest_piece());
                let mut reading = read(reader, piece);
                let poll = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await;
                let ahead = match poll {
                    Poll::Ready(done) => Ahead::Ready(done),
                    Poll::Pending => Ahead::Waiting(reading),
                };
                Some((Ok(bytes), (ahead, piece, counted)))
            }
        }
    })
    .boxed()
}

type Read = (Box<dyn BlobReader>, Result<Option<Bytes>, StorageError>);

enum Ahead {
    Ended,
    Ready(Read),
    Waiting(BoxFuture<'static, Read>),
}

fn read(mut reader: Box<dyn BlobReader>, max: usize) -> BoxFuture<'static, Read> {
    Box::pin(async move {
        let result = reader.next(max).await;
        (reader, result)
    })
}

/// The more streams, the smaller their pieces: each holds two at a time.
fn largest_piece() -> usize {
    let streams = STREAMS.load(Ordering::Relaxed).max(1);
    (BUDGET / (2 * streams)).clamp(SMALLEST_PIECE, LARGEST_PIECE)
}

struct Counted;

impl Counted {
    fn new() -> Self {
        STREAMS.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        STREAMS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Any stream of pieces as a body.
pub(crate) fn from_pieces<S>(pieces: S) -> Body
where
    S: Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
{
    Body::from_stream(pieces)
}
