//! The pieces of an upload: how a checkpoint names them, and how they are read one after another.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{Stream, TryStreamExt};
use serde::{Deserialize, Serialize};

use super::super::{
    BlobReader, ByteRange, Checkpoint, Durability, ListQuery, Outcome, PutMode, RecordEntry,
    RecordStore, StorageError, UploadId,
};
use super::DRIVER;
use crate::layout::{Dir, Key, StorePath};

/// What the token of a checkpoint is written as; another is refused.
const VERSION: u32 = 1;

/// The pieces that one writer has written, one after another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    #[serde(with = "hex")]
    writer: u128,
    /// How many pieces; one at least.
    count: u64,
    /// The length of each but the last.
    size: u64,
    /// The length of the last.
    last: u64,
}

/// JSON has no numbers that long.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(number: &u128, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{number:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        let text = String::deserialize(from)?;
        u128::from_str_radix(&text, 16).map_err(de::Error::custom)
    }
}

impl Run {
    /// `None` where no writer of ours could have written it.
    fn len(&self) -> Option<u64> {
        if self.last == 0 || self.last > self.size {
            return None;
        }
        let full = self.count.checked_sub(1)?;
        full.checked_mul(self.size)?.checked_add(self.last)
    }
}

/// Every piece of an upload up to a checkpoint, in order. Runs and not pieces, so that a token
/// grows with the requests of an upload and not with its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pieces(Vec<Run>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    version: u32,
    runs: Vec<Run>,
}

impl Pieces {
    /// How many there are, which is the sequence number of the next.
    pub(super) fn count(&self) -> u64 {
        // Each has a byte at least, and so there are no more than bytes.
        self.0.iter().map(|run| run.count).sum()
    }

    /// Another piece of this writer. Only the last of a run may be shorter than the others.
    pub(super) fn push(&mut self, writer: u128, len: u64) {
        match self.0.last_mut() {
            Some(run) if run.writer == writer && run.last == run.size && len <= run.size => {
                run.count += 1;
                run.last = len;
            }
            _ => self.0.push(Run {
                writer,
                count: 1,
                size: len,
                last: len,
            }),
        }
    }

    /// The length of all of them, unless that is more than there can be.
    fn len(&self) -> Option<u64> {
        let add = |sum: u64, run: &Run| sum.checked_add(run.len()?);
        self.0.iter().try_fold(0, add)
    }

    /// What the checkpoint names. A token is read with suspicion, since it comes out of a store.
    pub(super) fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Self, StorageError> {
        let refuse = |why: &'static str| {
            let doing = "reading a checkpoint";
            Err(StorageError::backend(DRIVER, doing, why))
        };
        if checkpoint.len == 0 {
            return Ok(Self::default());
        }
        let Ok(token) = serde_json::from_slice::<Token>(&checkpoint.token) else {
            return refuse("the token is garbled");
        };
        if token.version != VERSION {
            return refuse("the token is of another version");
        }
        let pieces = Self(token.runs);
        if pieces.len() != Some(checkpoint.len) {
            return refuse("its pieces come to another length");
        }
        Ok(pieces)
    }

    pub(super) fn to_checkpoint(&self) -> Result<Checkpoint, StorageError> {
        let doing = "writing a checkpoint";
        let token = Token {
            version: VERSION,
            runs: self.0.clone(),
        };
        let token = serde_json::to_vec(&token)
            .map_err(|error| StorageError::backend(DRIVER, doing, error))?;
        let Some(len) = self.len() else {
            return Err(StorageError::backend(DRIVER, doing, "more than can be"));
        };
        Ok(Checkpoint {
            len,
            token: token.into(),
        })
    }

    /// Who wrote this one, and how long it is.
    fn at(&self, sequence: u64) -> Option<(u128, u64)> {
        let mut before = 0;
        for run in &self.0 {
            let index = sequence - before;
            if index < run.count {
                let is_last = index == run.count - 1;
                return Some((run.writer, if is_last { run.last } else { run.size }));
            }
            before += run.count;
        }
        None
    }
}

/// Where the pieces of one upload lie.
#[derive(Clone, Debug)]
pub(super) struct Spool {
    records: Arc<dyn RecordStore>,
    id: UploadId,
}

/// A piece that is there, whether or not a checkpoint names it.
struct Found {
    sequence: u64,
    writer: u128,
    modified: Option<SystemTime>,
}

impl Spool {
    pub(super) fn new(records: Arc<dyn RecordStore>, id: UploadId) -> Self {
        Self { records, id }
    }

    fn path(&self, sequence: u64, writer: u128) -> StorePath {
        let key = Key::UploadPiece {
            upload: self.id,
            sequence,
            writer,
        };
        key.path()
    }

    pub(super) async fn put(
        &self,
        sequence: u64,
        writer: u128,
        bytes: Bytes,
    ) -> Result<(), StorageError> {
        let path = self.path(sequence, writer);
        // Not `Create`: nobody else writes under this name, and a store that repeats a put whose
        // answer was lost would find itself in the way.
        let put = self
            .records
            .put(&path, bytes, PutMode::Replace, Durability::Volatile);
        match put.await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Conflict => {
                let why = "the store refused to replace a record";
                Err(StorageError::backend(DRIVER, "writing a piece", why))
            }
        }
    }

    pub(super) async fn remove(&self, sequence: u64, writer: u128) -> Result<(), StorageError> {
        let path = self.path(sequence, writer);
        match self.records.delete(&path, None).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Conflict => {
                let why = "the store refused to delete a record";
                Err(StorageError::backend(DRIVER, "removing a piece", why))
            }
        }
    }

    fn found(&self) -> impl Stream<Item = Result<Found, StorageError>> + Unpin + Send {
        let dir = Dir::Upload(self.id).path();
        let entries = self.records.list(ListQuery::children(dir.clone()));
        Box::pin(entries.try_filter_map(move |entry| {
            let key = Key::parse(&format!("{dir}/{}", entry.name()));
            let found = match (key, entry) {
                (
                    Some(Key::UploadPiece {
                        sequence, writer, ..
                    }),
                    RecordEntry::Record { modified, .. },
                ) => Some(Found {
                    sequence,
                    writer,
                    modified,
                }),
                _ => None,
            };
            std::future::ready(Ok(found))
        }))
    }

    /// Whether all of these are there: a commit or an end that was interrupted leaves some.
    pub(super) async fn look_for(&self, pieces: &Pieces) -> Result<(), StorageError> {
        let wanted = pieces.count();
        let mut there = 0;
        if wanted > 0 {
            let mut found = self.found();
            while let Some(piece) = found.try_next().await? {
                let named = pieces.at(piece.sequence);
                there += u64::from(named.is_some_and(|(writer, _)| writer == piece.writer));
            }
        }
        if there == wanted {
            Ok(())
        } else {
            Err(StorageError::NotFound)
        }
    }

    /// When the oldest piece was written, if there is one.
    pub(super) async fn begun(&self) -> Result<Option<SystemTime>, StorageError> {
        let mut begun: Option<SystemTime> = None;
        let mut found = self.found();
        while let Some(piece) = found.try_next().await? {
            let modified = match piece.modified {
                Some(modified) => modified,
                None => {
                    let path = self.path(piece.sequence, piece.writer);
                    let Some(record) = self.records.get(&path).await? else {
                        continue;
                    };
                    record.modified
                }
            };
            begun = Some(begun.map_or(modified, |begun| begun.min(modified)));
        }
        Ok(begun)
    }

    pub(super) async fn remove_all(&self) -> Result<(), StorageError> {
        let mut found = self.found();
        while let Some(piece) = found.try_next().await? {
            self.remove(piece.sequence, piece.writer).await?;
        }
        Ok(())
    }
}

/// Yields the pieces of a checkpoint as one blob. Holds one piece at a time.
pub(super) struct PiecesReader {
    spool: Spool,
    pieces: Pieces,
    size: u64,
    /// The sequence number of the piece after `rest`.
    next: u64,
    rest: Bytes,
}

impl PiecesReader {
    pub(super) fn new(spool: Spool, pieces: Pieces) -> Self {
        Self {
            spool,
            size: pieces.len().unwrap_or_default(),
            pieces,
            next: 0,
            rest: Bytes::new(),
        }
    }
}

#[async_trait]
impl BlobReader for PiecesReader {
    fn extent(&self) -> (u64, ByteRange) {
        let whole = ByteRange {
            start: 0,
            len: self.size,
        };
        (self.size, whole)
    }

    async fn next(&mut self, max: usize) -> Result<Option<Bytes>, StorageError> {
        if self.rest.is_empty() {
            let Some((writer, len)) = self.pieces.at(self.next) else {
                return Ok(None);
            };
            let path = self.spool.path(self.next, writer);
            let piece = self.spool.records.get(&path).await?;
            let whole = piece.filter(|record| record.value.len() as u64 == len);
            let Some(record) = whole else {
                let why = "a piece is gone or of another length";
                return Err(StorageError::backend(DRIVER, "reading an upload", why));
            };
            self.rest = record.value;
            self.next += 1;
        }
        let len = self.rest.len().min(max.max(1));
        Ok(Some(self.rest.split_to(len)))
    }
}
