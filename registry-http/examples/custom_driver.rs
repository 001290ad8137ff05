//! A whole registry with a storage driver of its own: `storage: {tape: {capacity: 1000000}}`.
//!
//! The driver is the least that one can be. It takes a blob whole and reads a range of it; how
//! uploads are resumed and blobs retired is the business of `registry_core::storage::Spooled`,
//! which `Storage::spooled` puts around it. The tape is kept in memory, so that this file shows
//! the contract and nothing else: what is written here is lost when the process ends.
//!
//! ```console
//! $ cargo run --example custom_driver -- serve config.yml
//! $ cargo test --example custom_driver
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::future::ready;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt};
use registry_core::layout::StorePath;
use registry_core::storage::{
    BlobName, BlobReader, BlobStat, ByteRange, BytesReader, Durability, Guarantees, ListQuery,
    MemoryDriver, OpenMode, Outcome, PutMode, Record, RecordEntry, RecordStore, Storage,
    StorageError, Version, WholeBlobs,
};
use registry_core::{Ambient, BoxError};
use serde::Deserialize;

/// Registers the driver beside the ones that were compiled in. The configuration selects it.
///
/// A driver with something to open does so in this closure, and its error ends the start. The
/// mode says what for; a tape that is always new and empty has no use for it.
fn main() -> std::process::ExitCode {
    registry_http::Server::builder()
        .with_builtin()
        .storage("tape", |config: Config, _mode: OpenMode| async move {
            Ok::<_, BoxError>(Storage::spooled(
                Tape::new(config),
                registry_http::ambient(),
            ))
        })
        .run()
}

/// How the driver calls itself in errors.
const DRIVER: &str = "tape";

/// How much of a blob is asked for at once.
const PIECE: usize = 64 * 1024;

/// The section of the configuration. A value of the wrong type is an error that names the key,
/// and a key that is not here a warning; the driver sees neither.
#[derive(Debug, Deserialize)]
struct Config {
    /// Bytes that all visible blobs may take together; as many as there is memory if absent.
    capacity: Option<u64>,
}

/// Both halves of a store: blobs of its own, and records that it leaves to a driver that is there
/// already. `Storage::new` takes two halves that know nothing of each other.
struct Tape {
    capacity: u64,
    /// Ordered as `list` must yield: the derived order of `BlobName`.
    blobs: Mutex<BTreeMap<BlobName, Blob>>,
    records: MemoryDriver,
    /// One clock for blobs, records and, through `Storage::spooled`, for `now()`.
    ambient: Ambient,
}

struct Blob {
    bytes: Bytes,
    modified: SystemTime,
}

impl Blob {
    fn stat(&self) -> BlobStat {
        BlobStat {
            size: self.bytes.len() as u64,
            modified: self.modified,
        }
    }
}

impl Tape {
    fn new(Config { capacity }: Config) -> Self {
        let ambient = registry_http::ambient();
        Self {
            capacity: capacity.unwrap_or(u64::MAX),
            blobs: Mutex::default(),
            records: MemoryDriver::new(ambient),
            ambient,
        }
    }

    /// A fault is an error and never an absence: a holder of the lock that panicked may have left
    /// half a change, and what is not found then is not known to be absent.
    fn blobs(&self) -> Result<MutexGuard<'_, BTreeMap<BlobName, Blob>>, StorageError> {
        self.blobs
            .lock()
            .map_err(|_| StorageError::backend(DRIVER, "taking a lock", "a holder of it panicked"))
    }
}

/// Drivers are printed in errors and logs, where nobody wants to read the blobs.
impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl WholeBlobs for Tape {
    /// All or nothing. The pieces are gathered aside, so that a fault of the reader, or a client
    /// that goes away and drops this call at the await, leaves what was under the name as it was.
    /// No lock is held across an await.
    async fn store(
        &self,
        name: &BlobName,
        mut content: Box<dyn BlobReader>,
    ) -> Result<(), StorageError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = content.next(PIECE).await? {
            if (whole.len() + piece.len()) as u64 > self.capacity {
                return Err(StorageError::Full);
            }
            whole.extend_from_slice(&piece);
        }
        let mut blobs = self.blobs()?;
        // What is replaced makes room. The trash does not count: retiring stores a copy first,
        // and a full tape could otherwise never be collected.
        if matches!(name, BlobName::Live(_)) {
            let others: u64 = blobs
                .iter()
                .filter(|(other, _)| matches!(other, BlobName::Live(_)) && *other != name)
                .map(|(_, blob)| blob.stat().size)
                .sum();
            if whole.len() as u64 > self.capacity.saturating_sub(others) {
                // Not a fault: it has a status of its own at the edge.
                return Err(StorageError::Full);
            }
        }
        let stored = Blob {
            bytes: whole.freeze(),
            // Over a blob that is there already too: to store it again makes its age zero, which
            // keeps the collector from taking what was just pushed.
            modified: (self.ambient.now)(),
        };
        blobs.insert(*name, stored);
        Ok(())
    }

    /// The range is resolved already. One that does not lie inside, since the blob became
    /// another, is refused by `BytesReader`. A reader goes on when its blob is removed: it shares
    /// the bytes. Where yours cannot, it ends in an error and never early.
    async fn load(
        &self,
        name: &BlobName,
        range: Option<ByteRange>,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        let blobs = self.blobs()?;
        let blob = blobs.get(name).ok_or(StorageError::NotFound)?;
        Ok(Box::new(BytesReader::new(&blob.bytes, range)?))
    }

    /// `NotFound` says that the driver has looked and there is nothing.
    async fn stat(&self, name: &BlobName) -> Result<BlobStat, StorageError> {
        let blobs = self.blobs()?;
        blobs
            .get(name)
            .map(Blob::stat)
            .ok_or(StorageError::NotFound)
    }

    /// To remove what is absent is to find the work done.
    async fn remove(&self, name: &BlobName) -> Result<(), StorageError> {
        self.blobs()?.remove(name);
        Ok(())
    }

    /// In the order of the names, and after a name that need not exist. A stream: it takes the
    /// lock for one entry at a time and gathers nothing, however long the tape is.
    fn list(
        &self,
        after: Option<BlobName>,
    ) -> BoxStream<'_, Result<(BlobName, BlobStat), StorageError>> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        stream::try_unfold(start, |start| {
            ready(self.blobs().map(|blobs| {
                let (name, blob) = blobs.range((start, Bound::Unbounded)).next()?;
                Some(((*name, blob.stat()), Bound::Excluded(*name)))
            }))
        })
        .boxed()
    }
}

/// Small documents, and among them the pieces of unfinished uploads. What `RecordStore` asks for
/// (atomic puts under a condition, listings in byte order) is what `MemoryDriver` is the readable
/// definition of.
#[async_trait]
impl RecordStore for Tape {
    async fn get(&self, path: &StorePath) -> Result<Option<Record>, StorageError> {
        self.records.get(path).await
    }

    async fn put(
        &self,
        path: &StorePath,
        value: Bytes,
        mode: PutMode,
        durability: Durability,
    ) -> Result<Outcome, StorageError> {
        self.records.put(path, value, mode, durability).await
    }

    async fn delete(
        &self,
        path: &StorePath,
        if_version: Option<&Version>,
    ) -> Result<Outcome, StorageError> {
        self.records.delete(path, if_version).await
    }

    async fn delete_below(&self, dir: &StorePath) -> Result<(), StorageError> {
        self.records.delete_below(dir).await
    }

    fn list(&self, query: ListQuery) -> BoxStream<'_, Result<RecordEntry, StorageError>> {
        RecordStore::list(&self.records, query)
    }

    async fn stamp(&self, dir: &StorePath) -> Result<Option<Version>, StorageError> {
        self.records.stamp(dir).await
    }

    /// Promise no more than what holds: core relies on it. This memory is the process's alone.
    fn guarantees(&self) -> Guarantees {
        self.records.guarantees()
    }
}

/// The suite: each clause of the contract is a test, named by the sentence that it checks.
#[cfg(test)]
mod tests {
    use registry_core::Digest;

    use super::*;

    fn tape(capacity: Option<u64>) -> Tape {
        Tape::new(Config { capacity })
    }

    /// An empty store. The second place keeps alive what must outlive the test.
    async fn open() -> (Storage, ()) {
        let storage = Storage::spooled(tape(None), registry_http::ambient());
        (storage, ())
    }

    registry_core::storage_conformance!(open);

    /// What is the driver's own, the suite cannot know.
    #[tokio::test]
    async fn a_full_tape_takes_no_more_and_keeps_what_it_has() {
        let tape = tape(Some(10));
        let [first, second] = [1, 2].map(|n| BlobName::Live(Digest::Sha256([n; 32])));
        let of = |len| Box::new(BytesReader::new(&vec![0; len].into(), None).unwrap());
        tape.store(&first, of(6)).await.unwrap();
        let refused = tape.store(&second, of(5)).await;
        assert!(matches!(refused, Err(StorageError::Full)));
        let refused = tape.store(&first, of(11)).await;
        assert!(matches!(refused, Err(StorageError::Full)));
        assert_eq!(WholeBlobs::stat(&tape, &first).await.unwrap().size, 6);
        tape.store(&first, of(10)).await.unwrap();
        tape.remove(&first).await.unwrap();
        tape.store(&second, of(10)).await.unwrap();
    }
}
