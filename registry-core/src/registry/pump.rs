//! From a client's body into an upload: while one batch is written and hashed, the next arrives.
//!
//! The request reads its body, and a task that outlives it writes: the two meet in a channel.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future;
use tokio::sync::mpsc;

use super::aside::on_the_pool;
use super::uploads::Body;
use crate::error::RegistryError;
use crate::hasher::Hasher;
use crate::storage::{StorageError, UploadWriter};

/// Most bytes gathered before they are written: large enough that a trip to the blocking pool is
/// cheap beside the work, small enough that two of them per upload are no burden.
const LARGEST_BATCH: usize = 512 << 10;
/// However many uploads there are, less is not worth the trip.
const SMALLEST_BATCH: usize = 64 << 10;
/// Bytes that the batches of all uploads together should hold.
const BUDGET: usize = 32 << 20;

static PUMPS: AtomicUsize = AtomicUsize::new(0);

/// One of the pumps that run.
struct Counted;

impl Counted {
    fn new() -> Self {
        PUMPS.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        PUMPS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How much one of so many pumps gathers; each has two batches at a time. A client that stands
/// still keeps less than one, so that what they all keep is bounded.
fn batch(pumps: usize) -> usize {
    (BUDGET / (2 * pumps.max(1))).clamp(SMALLEST_BATCH, LARGEST_BATCH)
}

/// Below this, hashing costs less than a trip to the blocking pool.
const HASH_INLINE: usize = 32 << 10;

/// A batch, and how the body ended if it did. A channel that closes before an end says that the
/// request has gone.
type Part = (Vec<Bytes>, Option<Result<(), RegistryError>>);

/// What a request hands over of its body.
pub(super) type Parts = mpsc::Receiver<Part>;

/// How a pump ended: the hash of all that was written, how much that was, and what cut it short.
pub(super) struct Pumped {
    pub(super) hasher: Hasher,
    pub(super) received: u64,
    pub(super) cut: Result<(), RegistryError>,
}

impl Pumped {
    /// Unless it was cut short, or is not as long as was declared.
    pub(super) fn whole(self, len: Option<u64>) -> Result<Self, RegistryError> {
        self.cut?;
        if len.is_some_and(|len| len != self.received) {
            let received = format!("received {}", self.received);
            return Err(RegistryError::SizeInvalid(received));
        }
        let cut = Ok(());
        Ok(Self { cut, ..self })
    }
}

/// A channel for one body: a batch is gathered while another is written, and no third is held. It
/// is full at first, with nothing, so that no body is read (and no client told to send it) before
/// someone is ready to take it.
pub(super) fn channel() -> (mpsc::Sender<Part>, Parts) {
    let (to, parts) = mpsc::channel(1);
    // There is room, and the receiver is there.
    let _ = to.try_send((Vec::new(), None));
    (to, parts)
}

/// Reads a body to its end, or for as long as someone wants it.
pub(super) async fn feed(body: &mut Body<'_>, to: mpsc::Sender<Part>) {
    while let Ok(room) = to.reserve().await {
        let (batch, end) = gather(body).await;
        let ended = end.is_some();
        room.send((batch, end));
        if ended {
            return;
        }
    }
}

/// Moves all that comes; without a writer it is hashed and no more. An error of the body is told
/// in `cut`, and what arrived is written; an error of the store ends everything.
pub(super) async fn pump(
    parts: &mut Parts,
    mut writer: Option<&mut dyn UploadWriter>,
    mut hasher: Hasher,
) -> Result<Pumped, StorageError> {
    let _counted = Counted::new();
    let mut received = 0;
    loop {
        let gone = || Some(Err(RegistryError::Body("the request has gone".into())));
        let (batch, end) = parts.recv().await.unwrap_or_else(|| (Vec::new(), gone()));
        if !batch.is_empty() {
            received += length(&batch) as u64;
            let pieces = batch.clone();
            let write = async {
                match &mut writer {
                    Some(writer) => writer.write(pieces).await,
                    None => Ok(()),
                }
            };
            hasher = future::try_join(write, hash(hasher, batch)).await?.1;
        }
        if let Some(cut) = end {
            return Ok(Pumped {
                hasher,
                received,
                cut,
            });
        }
    }
}

/// The next batch, and how the body ended if it did.
async fn gather(body: &mut Body<'_>) -> (Vec<Bytes>, Option<Result<(), RegistryError>>) {
    let (mut batch, mut len) = (Vec::new(), 0);
    while len < self::batch(PUMPS.load(Ordering::Relaxed)) {
        match body.next().await {
            None => return (batch, Some(Ok(()))),
            Some(Err(error)) => return (batch, Some(Err(RegistryError::Body(error)))),
            Some(Ok(piece)) if piece.is_empty() => {}
            Some(Ok(piece)) => {
                len += piece.len();
                batch.push(piece);
            }
        }
    }
    (batch, None)
}

fn length(batch: &[Bytes]) -> usize {
    batch.iter().map(Bytes::len).sum()
}

/// Hashes a batch: off the workers when it is worth the trip.
pub(super) async fn hash(mut hasher: Hasher, batch: Vec<Bytes>) -> Result<Hasher, StorageError> {
    if length(&batch) <= HASH_INLINE {
        batch.iter().for_each(|piece| hasher.update(piece));
        return Ok(hasher);
    }
    let work = move || {
        batch.iter().for_each(|piece| hasher.update(piece));
        hasher
    };
    on_the_pool("hashing", work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_uploads_the_smaller_their_batches() {
        assert_eq!(batch(0), LARGEST_BATCH);
        assert_eq!(batch(1), LARGEST_BATCH);
        assert_eq!(batch(32), LARGEST_BATCH);
        assert_eq!(batch(128), LARGEST_BATCH / 4);
        assert_eq!(batch(10_000), SMALLEST_BATCH);
        for pumps in 1..=256 {
            assert!(2 * pumps * batch(pumps) <= BUDGET, "{pumps}");
        }
    }
}
