//! Bodies: from a request to pieces, from a reader to a response.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use prometheus::IntCounter;
use registry_core::registry::Body as Pieces;
use registry_core::storage::{BlobReader, StorageError};
use registry_core::{BoxError, RegistryError};
use tokio::time::{Instant, timeout, timeout_at};

use crate::budget::{Budget, Held, SMALL};
use crate::error::ApiError;

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

/// Bytes in a second that a body has to bring on the average, once it has had the time in which
/// any body may stand still. Without that a byte a minute would hold for ever what is counted;
/// with it the largest manifest, of 4 MiB, may still take five minutes, over a modem.
const RATE: u32 = 16 << 10;

/// A client that sends, but too slowly for what it holds.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the client sends too slowly")]
pub(crate) struct Slow;

/// How long so many bytes may take.
fn fair(bytes: usize) -> Duration {
    Duration::from_secs(bytes as u64) / RATE
}

static STREAMS: AtomicUsize = AtomicUsize::new(0);

/// The body of a request. What a handler leaves of it can still be drained.
pub(crate) struct RequestBody {
    stream: BodyDataStream,
    /// What was looked at before anyone took it.
    peeked: Option<Result<Bytes, BoxError>>,
    left: Left,
    /// For what was collected.
    held: Held,
    /// Bytes that have come.
    came: u64,
    counter: Option<IntCounter>,
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
            held: Held::default(),
            came: 0,
            counter: None,
        }
    }

    /// Counts its bytes there, as they come.
    pub(crate) fn count_into(&mut self, counter: Option<IntCounter>) {
        self.counter = counter;
    }

    /// How many bytes have come.
    pub(crate) fn came(&self) -> u64 {
        self.came
    }

    async fn next(&mut self) -> Option<Result<Bytes, BoxError>> {
        if let Some(peeked) = self.peeked.take() {
            return Some(peeked);
        }
        if self.left != Left::Something {
            return None;
        }
        let next = self.stream.next().await;
        if let Some(Ok(piece)) = &next {
            self.came += piece.len() as u64;
            if let Some(counter) = &self.counter {
                counter.inc_by(piece.len() as u64);
            }
        }
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

    /// All of it, unless it is longer than `limit`. The budget counts it until `self` is dropped.
    pub(crate) async fn collect(
        &mut self,
        limit: usize,
        budget: &Budget,
        patience: Duration,
    ) -> Result<Bytes, ApiError> {
        let collected = self.gather(limit, budget, patience).await;
        if collected.is_err() {
            // What came is gone already, and the client may take its time to see the answer.
            self.held = Held::default();
        }
        collected
    }

    /// It takes room twice as large as what it had, so that who promises much and sends little
    /// holds little.
    async fn gather(
        &mut self,
        limit: usize,
        budget: &Budget,
        patience: Duration,
    ) -> Result<Bytes, ApiError> {
        let most = http_body::Body::size_hint(&self.stream).exact();
        let most = most.map_or(limit, |most| usize::try_from(most).unwrap_or(limit));
        let mut whole = Vec::new();
        let mut begun = Instant::now();
        while let Some(piece) = self.next_by(begun + patience + fair(whole.len())).await? {
            let len = whole.len() + piece.len();
            if len > limit {
                return Err(ApiError::ManifestTooLarge { limit });
            }
            if len > whole.capacity() {
                let room = (2 * whole.capacity())
                    .clamp(SMALL, most.max(SMALL))
                    .max(len);
                let waiting = Instant::now();
                budget.draw(&mut self.held, room - whole.capacity()).await?;
                // That was not the client's time.
                begun += waiting.elapsed();
                whole.reserve_exact(room - whole.len());
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.into())
    }

    async fn next_by(&mut self, due: Instant) -> Result<Option<Bytes>, ApiError> {
        let next = match timeout_at(due, self.next()).await {
            Ok(next) => next.transpose(),
            Err(_) => {
                self.left = Left::Lost;
                Err(Slow.into())
            }
        };
        next.map_err(|error| RegistryError::Body(error).into())
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

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 4 << 20;

    fn body_of(pieces: Vec<Vec<u8>>) -> RequestBody {
        let pieces = stream::iter(pieces.into_iter().map(Ok::<_, BoxError>));
        RequestBody::new(Body::from_stream(pieces))
    }

    #[tokio::test]
    async fn a_body_is_collected_whole_up_to_its_limit() {
        let budget = Budget::new(MOST);
        for sizes in [
            vec![],
            vec![0, 1],
            vec![70_000, 1, 300_000],
            vec![1000; 200],
        ] {
            let pieces: Vec<_> = sizes.iter().map(|size| vec![b'x'; *size]).collect();
            let expected = pieces.concat();
            let mut body = body_of(pieces.clone());
            let long = Duration::from_secs(60);
            let whole = body.collect(expected.len(), &budget, long).await;
            assert!(whole.unwrap() == expected, "{sizes:?}");
            assert!(body.has_ended());
            let Some(less) = expected.len().checked_sub(1) else {
                continue;
            };
            let refused = body_of(pieces).collect(less, &budget, long).await;
            assert_eq!(refused.unwrap_err().status(), 413, "{sizes:?}");
        }
    }

    #[tokio::test]
    async fn a_body_that_trickles_ends_however_often_a_byte_comes() {
        let every = tokio::time::interval(Duration::from_millis(5));
        let trickle = stream::unfold(every, async |mut every| {
            every.tick().await;
            Some((Ok::<_, BoxError>(Bytes::from_static(b"x")), every))
        });
        let mut body = RequestBody::new(Body::from_stream(trickle));
        let budget = Budget::new(MOST);
        let collected = body.collect(MOST, &budget, Duration::from_millis(50));
        let ended = timeout(Duration::from_secs(30), collected).await.unwrap();
        assert_eq!(ended.unwrap_err().status(), 408);
        assert!(!body.has_ended());
    }

    #[test]
    fn a_manifest_has_time_for_its_size() {
        assert_eq!(fair(0), Duration::ZERO);
        assert_eq!(fair(16 << 10), Duration::from_secs(1));
        assert_eq!(fair(4 << 20), Duration::from_secs(256));
    }
}
