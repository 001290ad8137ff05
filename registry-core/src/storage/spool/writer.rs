//! The writer of an upload, which gathers small writes into pieces.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::super::{Checkpoint, CommitFailed, StorageError, UploadWriter, Verified};
use super::pieces::{Pieces, PiecesReader, Spool};
use super::{BlobName, DRIVER, WholeBlobs};

/// How long a piece is, unless it is the last before a checkpoint.
pub(super) const PIECE: usize = 1024 * 1024;

pub(super) struct Writer {
    blobs: Arc<dyn WholeBlobs>,
    spool: Spool,
    /// Those of the checkpoint it was opened from, and its own behind them.
    pieces: Pieces,
    opened: Option<Checkpoint>,
    /// The first sequence number of its own.
    first: u64,
    /// In the name of each piece of its own.
    unique: u128,
    /// Not yet written; always shorter than a piece.
    tail: BytesMut,
    /// A put has failed, or was dropped on the way: its bytes are in no piece.
    torn: bool,
}

impl Writer {
    pub(super) fn new(
        blobs: Arc<dyn WholeBlobs>,
        spool: Spool,
        pieces: Pieces,
        opened: Option<Checkpoint>,
        unique: u128,
    ) -> Self {
        Self {
            blobs,
            spool,
            first: pieces.count(),
            pieces,
            opened,
            unique,
            tail: BytesMut::new(),
            torn: false,
        }
    }

    async fn put(&mut self, piece: Bytes) -> Result<(), StorageError> {
        if self.torn {
            let why = "an earlier write did not come to its end";
            return Err(StorageError::backend(DRIVER, "writing a piece", why));
        }
        self.torn = true;
        let len = piece.len() as u64;
        let sequence = self.pieces.count();
        self.spool.put(sequence, self.unique, piece).await?;
        self.pieces.push(self.unique, len);
        self.torn = false;
        Ok(())
    }

    /// Writes what is left as a piece of its own, and says where that is.
    async fn flush(&mut self) -> Result<Checkpoint, StorageError> {
        if self.torn || !self.tail.is_empty() {
            let tail = self.tail.split().freeze();
            self.put(tail).await?;
        }
        self.pieces.to_checkpoint()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl UploadWriter for Writer {
    async fn write(&mut self, batch: Vec<Bytes>) -> Result<(), StorageError> {
        for mut bytes in batch {
            while !bytes.is_empty() {
                if self.tail.is_empty() && bytes.len() >= PIECE {
                    self.put(bytes.split_to(PIECE)).await?;
                    continue;
                }
                let room = PIECE - self.tail.len();
                let part = bytes.split_to(room.min(bytes.len()));
                self.tail.extend_from_slice(&part);
                if self.tail.len() == PIECE {
                    let piece = self.tail.split().freeze();
                    self.put(piece).await?;
                }
            }
        }
        Ok(())
    }

    async fn checkpoint(mut self: Box<Self>) -> Result<Checkpoint, StorageError> {
        self.flush().await
    }

    async fn commit(mut self: Box<Self>, content: Verified) -> Result<(), CommitFailed> {
        let here = match self.flush().await {
            Ok(here) => here,
            Err(source) => return Err(CommitFailed::new(self.opened, source)),
        };
        if here.len != content.len() {
            let why = "more or less was staged than was verified";
            let source = StorageError::backend(DRIVER, "committing", why);
            return Err(CommitFailed::new(Some(here), source));
        }
        let name = BlobName::Live(*content.digest());
        let staged = PiecesReader::new(self.spool.clone(), self.pieces);
        // What is present is stored once more, for the sake of its age.
        if let Err(source) = self.blobs.store(&name, Box::new(staged)).await {
            return Err(CommitFailed::new(Some(here), source));
        }
        // The blob is published, whatever becomes of these; a sweep finds what stays.
        if let Err(error) = self.spool.remove_all().await {
            tracing::debug!(?error, "pieces of a committed upload stay");
        }
        Ok(())
    }

    async fn abort(self: Box<Self>) -> Result<(), StorageError> {
        // One more than were written: a put that failed may have reached the store.
        for sequence in self.first..=self.pieces.count() {
            self.spool.remove(sequence, self.unique).await?;
        }
        Ok(())
    }
}
