//! Blobs: looking at them, reading them, listing them.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use registry_core::layout::{Dir, Key};
use registry_core::storage::{
    BlobEntry, BlobReader, BlobStat, BlobStore, ByteRange, Checkpoint, RangeSpec, RedirectRequest,
    RedirectUrl, Retired, Sweep, UploadHint, UploadId, UploadWriter,
};
use registry_core::{Algorithm, Digest, StorageError};

use crate::FsDriver;
use crate::error::{broken, fault};
use crate::listing::{self, PAGE, Page};
use crate::lists::List;
use crate::store::Store;
use crate::{records, sweep, trash, upload};

/// A blob, or a range of it, up to this size is read in the same trip that opens it.
const AT_ONCE: u64 = 64 << 10;

#[async_trait]
impl BlobStore for FsDriver {
    async fn stat(&self, digest: &Digest) -> Result<BlobStat, StorageError> {
        let digest = *digest;
        let work = move |store: &Arc<Store>| stat(&store.blob(&digest));
        self.store.run(STAT, work).await
    }

    async fn read(
        &self,
        digest: &Digest,
        range: Option<RangeSpec>,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        let digest = *digest;
        let work = move |store: &Arc<Store>| {
            let (file, metadata) = open(&store.blob(&digest))?;
            let total = metadata.len();
            let range = match range {
                None => whole(total),
                Some(range) => range.resolve(total).ok_or(StorageError::Range)?,
            };
            Reader::begin(store, Some(file), total, range)
        };
        Ok(Box::new(self.store.run(READ, work).await?))
    }

    fn list(&self, after: Option<Digest>) -> BoxStream<'_, Result<BlobEntry, StorageError>> {
        let blobs = Blobs::new(after);
        listing::pages(&self.store, "listing blobs", blobs, Blobs::page)
    }

    async fn open_upload(
        &self,
        id: &UploadId,
        from: Option<Checkpoint>,
        hint: UploadHint,
    ) -> Result<Box<dyn UploadWriter>, StorageError> {
        self.store.writable()?;
        let writer = upload::Writer::open(&self.store, *id, from, hint).await?;
        Ok(Box::new(writer))
    }

    async fn read_upload(
        &self,
        id: &UploadId,
        at: &mut Checkpoint,
    ) -> Result<Box<dyn BlobReader>, StorageError> {
        let (id, len) = (*id, at.len);
        let work = move |store: &Arc<Store>| {
            match open(&store.at(Key::UploadData(id).path().as_str())) {
                Ok((_, metadata)) if metadata.len() < len => Err(StorageError::NotFound),
                Ok((file, _)) => Reader::begin(store, Some(file), len, whole(len)),
                // A file is made with the first bytes.
                Err(StorageError::NotFound) if len == 0 => Reader::begin(store, None, 0, whole(0)),
                Err(error) => Err(error),
            }
        };
        Ok(Box::new(self.store.run("reading an upload", work).await?))
    }

    async fn abort_upload(
        &self,
        id: &UploadId,
        _at: Option<Checkpoint>,
    ) -> Result<(), StorageError> {
        self.store.writable()?;
        let id = *id;
        let work = move |store: &Arc<Store>| upload::remove(store, &id);
        self.store.run("dropping an upload", work).await
    }

    async fn sweep_uploads(
        &self,
        before: SystemTime,
        keep: &HashSet<UploadId>,
        sweep: Sweep<'_>,
    ) -> Result<u64, StorageError> {
        if sweep.removes() {
            self.store.writable()?;
        }
        sweep::uploads(&self.store, before, keep, sweep).await
    }

    async fn now(&self) -> Result<SystemTime, StorageError> {
        let doing = "asking for the time";
        let work = move |store: &Arc<Store>| store.now().map_err(fault(doing));
        self.store.run(doing, work).await
    }

    async fn retire(&self, digest: &Digest) -> Result<Retired, StorageError> {
        self.store.writable()?;
        let digest = *digest;
        let work = move |store: &Arc<Store>| trash::retire(store, digest);
        self.store.run("retiring a blob", work).await
    }

    async fn restore(&self, digest: &Digest) -> Result<BlobStat, StorageError> {
        // A store that does not change brings nothing back.
        self.store.writable().map_err(|_| StorageError::NotFound)?;
        let digest = *digest;
        let work = move |store: &Arc<Store>| trash::restore(store, &digest);
        self.store.run("restoring a blob", work).await
    }

    async fn read_retired(&self, retired: &Retired) -> Result<Box<dyn BlobReader>, StorageError> {
        let path = Key::Retired(retired.digest, retired.id).path();
        let work = move |store: &Arc<Store>| {
            let (file, metadata) = open(&store.at(path.as_str()))?;
            let len = metadata.len();
            Reader::begin(store, Some(file), len, whole(len))
        };
        Ok(Box::new(self.store.run(READ, work).await?))
    }

    async fn purge(&self, retired: &Retired) -> Result<(), StorageError> {
        self.store.writable()?;
        let path = Key::Retired(retired.digest, retired.id).path();
        let work = move |store: &Arc<Store>| trash::purge(store, &store.at(path.as_str()));
        self.store.run("purging a blob", work).await
    }

    fn list_retired(&self) -> BoxStream<'_, Result<Retired, StorageError>> {
        trash::list(&self.store)
    }

    async fn redirect(
        &self,
        _digest: &Digest,
        _request: &RedirectRequest,
    ) -> Result<Option<RedirectUrl>, StorageError> {
        Ok(None)
    }
}

const STAT: &str = "looking at a blob";
const READ: &str = "reading a blob";

impl Store {
    /// Where the bytes of this blob lie.
    pub(crate) fn blob(&self, digest: &Digest) -> std::path::PathBuf {
        self.at(Key::Blob(*digest).path().as_str())
    }
}

/// Size and age of the blob at `path`. That something else stands there is a fault.
pub(crate) fn stat(path: &Path) -> Result<BlobStat, StorageError> {
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => entry(&metadata),
        Ok(_) => Err(broken(STAT, "it is not a file")),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(StorageError::NotFound),
        Err(error) => Err(fault(STAT)(error)),
    }
}

fn entry(metadata: &Metadata) -> Result<BlobStat, StorageError> {
    let modified = metadata.modified().map_err(fault(STAT))?;
    Ok(BlobStat {
        size: metadata.len(),
        modified,
    })
}

fn open(path: &Path) -> Result<(File, Metadata), StorageError> {
    match records::open(path) {
        Ok((_, metadata)) if !metadata.is_file() => Err(broken(READ, "it is not a file")),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(StorageError::NotFound),
        opened => opened.map_err(fault(READ)),
    }
}

fn whole(len: u64) -> ByteRange {
    ByteRange { start: 0, len }
}

/// Reads a range in pieces as large as they are asked for, one trip to the blocking pool each.
struct Reader {
    store: Arc<Store>,
    file: Option<Arc<File>>,
    total: u64,
    range: ByteRange,
    /// What of the range was read from the file.
    read: u64,
    /// What was read and not yet handed out.
    ahead: Bytes,
}

impl Reader {
    fn begin(
        store: &Arc<Store>,
        file: Option<File>,
        total: u64,
        range: ByteRange,
    ) -> Result<Self, StorageError> {
        let mut ahead = Bytes::new();
        if let Some(file) = &file
            && (1..=AT_ONCE).contains(&range.len)
        {
            ahead = read_at(file, range.start, range.len)?;
        }
        Ok(Self {
            store: Arc::clone(store),
            file: file.map(Arc::new),
            total,
            range,
            read: ahead.len() as u64,
            ahead,
        })
    }
}

#[async_trait]
impl BlobReader for Reader {
    fn extent(&self) -> (u64, ByteRange) {
        (self.total, self.range)
    }

    async fn next(&mut self, max: usize) -> Result<Option<Bytes>, StorageError> {
        let max = max.max(1);
        if self.ahead.is_empty() {
            let rest = self.range.len - self.read;
            let (Some(file), 1..) = (&self.file, rest) else {
                return Ok(None);
            };
            let (file, at) = (Arc::clone(file), self.range.start + self.read);
            let len = rest.min(max as u64);
            let work = move |_: &Arc<Store>| read_at(&file, at, len);
            self.ahead = self.store.run(READ, work).await?;
            self.read += self.ahead.len() as u64;
        }
        let len = self.ahead.len().min(max);
        Ok(Some(self.ahead.split_to(len)))
    }

    fn as_file(&self) -> Option<(Arc<File>, u64)> {
        Some((Arc::clone(self.file.as_ref()?), self.range.start))
    }
}

/// Up to `len` bytes, and at least one.
fn read_at(file: &File, at: u64, len: u64) -> Result<Bytes, StorageError> {
    let len = usize::try_from(len).map_err(|error| broken(READ, error))?;
    let mut piece = Vec::with_capacity(len);
    loop {
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut piece), at) {
            Ok(0) => return Err(fault(READ)(ErrorKind::UnexpectedEof.into())),
            Ok(_) => {
                // The allocation may be larger than was asked for.
                piece.truncate(len);
                return Ok(piece.into());
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(fault(READ)(errno.into())),
        }
    }
}

/// A walk over all blobs, in the order of digests.
struct Blobs {
    after: Option<Digest>,
    /// Algorithms still to come, the next one last.
    algorithms: Vec<Algorithm>,
    shards: Option<(Algorithm, Arc<List>, usize)>,
    shard: Option<(String, Arc<List>, usize)>,
}

impl Blobs {
    fn new(after: Option<Digest>) -> Self {
        let mut algorithms: Vec<Algorithm> = Algorithm::ALL
            .into_iter()
            .filter(|algorithm| after.is_none_or(|after| *algorithm >= after.algorithm()))
            .collect();
        algorithms.reverse();
        Self {
            after,
            algorithms,
            shards: None,
            shard: None,
        }
    }

    fn page(store: &Arc<Store>, mut blobs: Self) -> Page<BlobEntry, Self> {
        let mut found = Vec::new();
        // Bounded also where there is little to be found.
        for _ in 0..4 * PAGE {
            if found.len() == PAGE {
                break;
            }
            if !blobs.step(store, &mut found)? {
                return Ok((found, None));
            }
        }
        Ok((found, Some(blobs)))
    }

    /// One entry of some directory further; `false` at the end.
    fn step(&mut self, store: &Store, found: &mut Vec<BlobEntry>) -> Result<bool, StorageError> {
        let Some((algorithm, shards, next)) = &mut self.shards else {
            let Some(algorithm) = self.algorithms.pop() else {
                return Ok(false);
            };
            let list = self.open(store, Dir::Blobs(algorithm).path().as_str())?;
            // Names of one length: a prefix of it sorts before the shard itself.
            let start = self
                .after_in(algorithm)
                .map_or(0, |hex| list.first_after(&hex[..2]));
            self.shards = Some((algorithm, list, start));
            return Ok(true);
        };
        let algorithm = *algorithm;
        if let Some((shard, list, at)) = &mut self.shard {
            let Some(key) = list.at(*at) else {
                self.shard = None;
                return Ok(true);
            };
            *at += 1;
            let digest = key
                .strip_suffix('/')
                .filter(|hex| hex.starts_with(shard.as_str()))
                .and_then(|hex| Digest::from_hex(algorithm, hex).ok());
            if let Some(digest) = digest {
                found.extend(Self::entry(store, digest)?);
            }
            return Ok(true);
        }
        let Some(key) = shards.at(*next).map(str::to_owned) else {
            self.shards = None;
            return Ok(true);
        };
        *next += 1;
        if let Some(name) = key.strip_suffix('/')
            && name.len() == 2
        {
            let dir = format!("{}/{name}", Dir::Blobs(algorithm).path());
            let list = self.open(store, &dir)?;
            let start = self
                .after_in(algorithm)
                .map_or(0, |hex| list.first_after(&format!("{hex}/")));
            self.shard = Some((name.to_owned(), list, start));
        }
        Ok(true)
    }

    fn open(&self, store: &Store, dir: &str) -> Result<Arc<List>, StorageError> {
        let list = store.lists.of(&store.at(dir));
        list.map_err(fault("listing blobs"))
    }

    fn after_in(&self, algorithm: Algorithm) -> Option<String> {
        let after = self.after.filter(|after| after.algorithm() == algorithm)?;
        Some(after.hex())
    }

    /// Where a directory holds no blob, or one that belongs to another shard, there is none.
    fn entry(store: &Store, digest: Digest) -> Result<Option<BlobEntry>, StorageError> {
        match store.blob(&digest).symlink_metadata() {
            Ok(metadata) if metadata.is_file() => Ok(Some(BlobEntry {
                digest,
                stat: entry(&metadata)?,
            })),
            Ok(_) => Ok(None),
            Err(error) if crate::lists::is_absence(&error) => Ok(None),
            Err(error) => Err(fault("listing blobs")(error)),
        }
    }
}
