//! What a store must do: two small traits, [`BlobStore`] for heavy immutable bytes and
//! [`RecordStore`] for small documents. All semantics of a registry live above them.

mod blob;
mod error;
mod memory;
mod reader;
mod record;
mod spool;
mod survey;
mod sweep;
mod upload;

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

pub use self::blob::{
    BlobEntry, BlobStat, ByteRange, RangeSpec, RedirectRequest, RedirectUrl, Retired, RetiredId,
};
pub use self::error::{CommitFailed, StorageError};
pub use self::memory::MemoryDriver;
pub use self::reader::BytesReader;
pub use self::record::{
    Durability, Guarantees, ListQuery, OpenMode, Outcome, PutMode, Record, RecordEntry, Version,
};
pub use self::spool::{BlobName, Spooled, WholeBlobs};
pub use self::survey::{Obstacle, Survey};
pub use self::sweep::Sweep;
pub use self::upload::{Checkpoint, UploadHint, UploadId, Verified};

use crate::ambient::Ambient;
use crate::digest::Digest;
use crate::layout::StorePath;

/// Immutable bytes named by their digest, and the uploads that bring them in.
///
/// # Contract
/// * A blob is visible whole or not at all, and only after [`UploadWriter::commit`].
/// * Committing content that is already present succeeds and makes its age zero; if it
///   vanishes in between, the staged bytes are published as usual. A blob that is present with
///   another length than was committed is replaced.
/// * Reading what is absent is [`StorageError::NotFound`]; core then tries [`restore`] before
///   it believes that. Purging what is absent succeeds.
/// * When `commit`, `retire`, `restore` or `purge` returns, the effect is as durable as the
///   driver's configuration promises.
/// * Every time is the store's own clock.
/// * Any call may be dropped at an await: then its effect is there, or not, or comes later (over a
///   network perhaps after that of a later call), and is never half.
///
/// Core holds the locks within a process: `retire`, `restore` and `purge` of a digest never run
/// beside each other or beside a commit of it. What changes the store for a client runs in tasks
/// of core, which hold their locks to the end and are not dropped when he leaves, but only with
/// the process. Readers, listings and looks are dropped as clients like.
///
/// [`restore`]: BlobStore::restore
#[async_trait]
pub trait BlobStore: fmt::Debug + Send + Sync + 'static {
    /// Size and age.
    async fn stat(&self, digest: &Digest) -> Result<BlobStat, StorageError>;

    /// Opens the blob, or a part of it. `range` may be open or a suffix; the reader says what it
    /// came to. A range of which nothing lies inside is [`StorageError::Range`].
    async fn read(
        &self,
        digest: &Digest,
        range: Option<RangeSpec>,
    ) -> Result<Box<dyn BlobReader>, StorageError>;

    /// Every blob after `after`, in digest order. Foreign files are passed over.
    fn list(&self, after: Option<Digest>) -> BoxStream<'_, Result<BlobEntry, StorageError>>;

    /// Begins an upload, or takes it up at a checkpoint and forgets anything stored beyond it.
    /// [`StorageError::NotFound`] when the bytes of the checkpoint, or some of them, are gone; a
    /// driver that cannot see that here says so when it reads, writes or commits. Core lets in one writer per upload and process.
    async fn open_upload(
        &self,
        id: &UploadId,
        from: Option<Checkpoint>,
        hint: UploadHint,
    ) -> Result<Box<dyn UploadWriter>, StorageError>;

    /// What an upload holds, for a digest that was not hashed on the way or a hash state that is
    /// lost. A driver that must move the bytes first says in `at` where they are now; the
    /// checkpoint that was given may be dead then. [`StorageError::NotFound`] as for
    /// [`open_upload`](Self::open_upload).
    async fn read_upload(
        &self,
        id: &UploadId,
        at: &mut Checkpoint,
    ) -> Result<Box<dyn BlobReader>, StorageError>;

    /// Drops the staged bytes of an upload; absent ones are no error. `at` is the last checkpoint
    /// that core knows. Without one, none is known: then whatever can be found by the id alone is
    /// dropped, and what cannot is left to the sweep.
    async fn abort_upload(&self, id: &UploadId, at: Option<Checkpoint>)
    -> Result<(), StorageError>;

    /// Removes staged bytes begun before `before` that `keep` does not name, or only tells them:
    /// what a crash left without a record, and distribution's own unfinished uploads. Says how
    /// many.
    async fn sweep_uploads(
        &self,
        before: SystemTime,
        keep: &HashSet<UploadId>,
        sweep: Sweep<'_>,
    ) -> Result<u64, StorageError>;

    /// The store's clock, which all of its times are read from.
    async fn now(&self) -> Result<SystemTime, StorageError>;

    /// Takes the blob out of sight, to a place in the trash never used before.
    /// [`StorageError::NotFound`] when there is none.
    async fn retire(&self, digest: &Digest) -> Result<Retired, StorageError>;

    /// Brings the blob back if the trash has a copy, its age zero; if not, looks at the blob once
    /// more, since another may have brought it back. [`StorageError::NotFound`] when neither.
    async fn restore(&self, digest: &Digest) -> Result<BlobStat, StorageError>;

    /// Opens a copy in the trash, and leaves it there: for those who only look.
    /// [`StorageError::NotFound`] when it is gone.
    async fn read_retired(&self, retired: &Retired) -> Result<Box<dyn BlobReader>, StorageError>;

    /// Destroys this retired copy and nothing else.
    async fn purge(&self, retired: &Retired) -> Result<(), StorageError>;

    /// Everything in the trash.
    fn list_retired(&self) -> BoxStream<'_, Result<Retired, StorageError>>;

    /// Somewhere else the client may fetch these bytes, if there is such a place. Whether the blob
    /// is there need not be looked at: core does, before it sends anyone to it.
    async fn redirect(
        &self,
        digest: &Digest,
        request: &RedirectRequest,
    ) -> Result<Option<RedirectUrl>, StorageError>;
}

/// An open blob, or the range of it that was asked for.
#[async_trait]
pub trait BlobReader: Send {
    /// Size of the whole blob, and the part of it that this reader yields.
    fn extent(&self) -> (u64, ByteRange);

    /// The next piece, at most `max` bytes and not empty; `None` at the end. A blob that turns
    /// out shorter than its extent is an error, never a clean end.
    async fn next(&mut self, max: usize) -> Result<Option<Bytes>, StorageError>;

    /// The file behind it and where the range begins, if there is one: a server may have a
    /// faster way to send a file.
    fn as_file(&self) -> Option<(Arc<File>, u64)> {
        None
    }
}

/// The one writer of an upload. Dropping it loses what came after the last checkpoint and
/// nothing else.
#[async_trait]
pub trait UploadWriter: Send {
    /// Appends a batch. Core gathers it, and hashes it while this writes it. After an error the
    /// writer is only good for `abort`.
    async fn write(&mut self, batch: Vec<Bytes>) -> Result<(), StorageError>;

    /// Makes all accepted bytes survive a crash of the process. The previous checkpoint stays
    /// usable until the upload is opened, committed or aborted from the new one.
    async fn checkpoint(self: Box<Self>) -> Result<Checkpoint, StorageError>;

    /// Publishes the accepted bytes as a blob. A [`Verified`] can be made only by core, after
    /// hashing every one of them; the driver need not hash again. A failure says from which
    /// checkpoint, if any, the upload can go on.
    async fn commit(self: Box<Self>, content: Verified) -> Result<(), CommitFailed>;

    /// Gives up what was accepted since the writer was opened.
    async fn abort(self: Box<Self>) -> Result<(), StorageError>;
}

/// Small documents under validated paths. One fact, one record: nothing shared between requests
/// is ever read, changed and written back.
///
/// # Contract
/// * `put` replaces atomically; a reader sees the old value or the new one.
/// * Of several concurrent `Create` or `IfVersion` puts exactly one is `Done`.
/// * A `get` or `list` that begins after a `put` or a delete returned sees it.
/// * Records are small: those that core writes come to a few kilobytes, but for the pieces of
///   [`Spooled`], a mebibyte each, and referrers, whose annotations may be as long as the manifest
///   that they are of.
/// * `list` yields in the byte order of the full key; a directory sorts as `name/`.
/// * Deleting what is absent is `Done`; a directory left empty is gone, except that a store which
///   has directories keeps those without which distribution takes a repository, or its tags, for
///   absent ([`outlasts_its_records`](crate::layout::outlasts_its_records)).
/// * A call that is dropped is as for [`BlobStore`].
/// * An I/O fault is an error and never "absent".
#[async_trait]
pub trait RecordStore: fmt::Debug + Send + Sync + 'static {
    /// The record, or `None` where there is none.
    async fn get(&self, path: &StorePath) -> Result<Option<Record>, StorageError>;

    /// Writes the whole record under the condition of `mode`.
    async fn put(
        &self,
        path: &StorePath,
        value: Bytes,
        mode: PutMode,
        durability: Durability,
    ) -> Result<Outcome, StorageError>;

    /// Removes the record, if it is still this version; durably.
    async fn delete(
        &self,
        path: &StorePath,
        if_version: Option<&Version>,
    ) -> Result<Outcome, StorageError>;

    /// Removes whatever lies below the directory, records or not, whoever wrote it, and the
    /// directory with it; durably. Not at once: some of it may be gone while the rest is there,
    /// after a failure too. What is put there meanwhile may stay. Nothing there is no error.
    async fn delete_below(&self, dir: &StorePath) -> Result<(), StorageError>;

    /// What the query asks for, as a stream: nothing is gathered beyond a bounded page.
    fn list(&self, query: ListQuery) -> BoxStream<'_, Result<RecordEntry, StorageError>>;

    /// A mark that differs after any entry directly below `dir` has come or gone, by whomever.
    /// `None` where the store has no such thing, or cannot tell at this moment.
    async fn stamp(&self, dir: &StorePath) -> Result<Option<Version>, StorageError>;

    /// What was found at opening. Core refuses what needs more.
    fn guarantees(&self) -> Guarantees;
}

/// What a driver factory returns. The halves may come from different drivers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Storage {
    /// Heavy immutable bytes.
    pub blobs: Arc<dyn BlobStore>,
    /// Small documents.
    pub records: Arc<dyn RecordStore>,
    /// What the driver says of the store, if it was opened with [`OpenMode::Check`].
    pub survey: Survey,
}

impl Storage {
    /// From two halves.
    #[must_use]
    pub fn new(blobs: Arc<dyn BlobStore>, records: Arc<dyn RecordStore>) -> Self {
        Self {
            blobs,
            records,
            survey: Survey::default(),
        }
    }

    /// The same, with what the driver says of it.
    #[must_use]
    pub fn surveyed(mut self, survey: Survey) -> Self {
        self.survey = survey;
        self
    }

    /// From one driver that is both.
    pub fn from_driver<D: BlobStore + RecordStore>(driver: D) -> Self {
        let driver = Arc::new(driver);
        Self::new(Arc::clone(&driver) as _, driver)
    }

    /// From one driver that takes whole blobs only; uploads are kept among its records.
    pub fn spooled<D: WholeBlobs + RecordStore>(driver: D, ambient: Ambient) -> Self {
        let driver = Arc::new(driver);
        let spooled = Spooled::new(Arc::clone(&driver) as _, Arc::clone(&driver) as _, ambient);
        Self::new(Arc::new(spooled), driver)
    }
}
