//! Bodies: from a request to pieces, from a reader to a response.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt, TryStreamExt};
use registry_core::BoxError;
use registry_core::registry::Body as Pieces;
use registry_core::storage::{BlobReader, StorageError};

/// The first piece of a response; each one after it is twice as large, while the socket drains.
const SMALLEST_PIECE: usize = 32 << 10;
/// The largest.
const LARGEST_PIECE: usize = 1 << 20;
/// Bytes of pieces that all responses together should hold.
const BUDGET: usize = 256 << 20;

/// Bytes of an unread request body that are taken off the wire before an early answer, so that
/// the client sees the answer and not a broken pipe.
const DRAIN: usize = 4 << 20;

static STREAMS: AtomicUsize = AtomicUsize::new(0);

/// The body of a request. What a handler leaves of it can still be drained.
pub(crate) struct RequestBody {
    stream: BodyDataStream,
    ended: bool,
}

impl RequestBody {
    pub(crate) fn new(body: Body) -> Self {
        Self {
            stream: body.into_data_stream(),
            ended: false,
        }
    }

    /// As core takes it.
    pub(crate) fn pieces(&mut self) -> Pieces<'_> {
        let ended = &mut self.ended;
        let pieces = self.stream.by_ref().map_err(BoxError::from);
        pieces
            .chain(stream::poll_fn(move |_| {
                *ended = true;
                Poll::Ready(None)
            }))
            .boxed()
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
        while !self.ended && left > 0 {
            match self.stream.next().await {
                Some(Ok(piece)) => left = left.saturating_sub(piece.len()),
                _ => self.ended = true,
            }
        }
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
