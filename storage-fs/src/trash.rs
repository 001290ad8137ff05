//! The trash: blobs taken out of sight, brought back, destroyed.
#![allow(
    clippy::disallowed_methods,
    reason = "this crate is where files are opened and removed"
)]

use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use registry_core::layout::{Dir, Key};
use registry_core::storage::{BlobStat, Retired, RetiredId};
use registry_core::{Digest, StorageError};

use crate::error::fault;
use crate::listing::{self, Page, Walk};
use crate::lists::is_absence;
use crate::records::prune;
use crate::store::{self, Store};
use crate::{blobs, clock, upload};

const RETIRE: &str = "retiring a blob";
const RESTORE: &str = "restoring a blob";

/// One rename. The target's directories are synced first, so that no crash leaves neither.
pub(crate) fn retire(store: &Store, digest: Digest) -> Result<Retired, StorageError> {
    let data = store.blob(&digest);
    blobs::stat(&data)?;
    let id = RetiredId::new(store::random().map_err(fault(RETIRE))?);
    let copy = store.at(Key::Retired(digest, id).path().as_str());
    let moved = || -> io::Result<Metadata> {
        store.publisher.rename(&data, &copy)?;
        store.publisher.sync_entry(&copy)?;
        prune(store, &data)?;
        copy.metadata()
    };
    let metadata = moved().map_err(|error| match error.kind() {
        // Gone since we looked.
        ErrorKind::NotFound => StorageError::NotFound,
        _ => fault(RETIRE)(error),
    })?;
    Ok(entry(digest, id, &metadata))
}

/// The newest copy back to its name, its age zero; if there is none, the blob that another may
/// have brought back.
pub(crate) fn restore(store: &Store, digest: &Digest) -> Result<BlobStat, StorageError> {
    let data = store.blob(digest);
    // A blob that is there is not replaced by what someone had a reason to take away.
    match blobs::stat(&data) {
        Err(StorageError::NotFound) => {}
        found => return found,
    }
    let dir = store.at(Dir::RetiredCopies(*digest).path().as_str());
    for copy in copies(store, *digest)? {
        let path = dir.join(copy.id.to_string());
        let moved = || -> io::Result<()> {
            // Before it can be seen, so that no one sees it old.
            upload::touch(&path)?;
            store.publisher.rename(&path, &data)?;
            store.publisher.sync_entry(&data)?;
            prune(store, &path)
        };
        match moved() {
            Ok(()) => break,
            Err(error) if is_absence(&error) => {}
            Err(error) => return Err(fault(RESTORE)(error)),
        }
    }
    blobs::stat(&data)
}

/// The copies of one digest, the newest first.
fn copies(store: &Store, digest: Digest) -> Result<Vec<Retired>, StorageError> {
    let dir = store.at(Dir::RetiredCopies(digest).path().as_str());
    let list = store.lists.of(&dir).map_err(fault(RESTORE))?;
    let mut copies = Vec::new();
    for id in list
        .names()
        .filter_map(|name| name.parse::<RetiredId>().ok())
    {
        copies.extend(look(&dir.join(id.to_string()), digest, id)?);
    }
    copies.sort_by_key(|copy| std::cmp::Reverse(copy.since));
    Ok(copies)
}

/// Destroys this copy and nothing else.
pub(crate) fn purge(store: &Store, copy: &Path) -> Result<(), StorageError> {
    store::remove_file(copy)?;
    prune(store, copy).map_err(fault("purging a blob"))
}

/// Everything in the trash.
pub(crate) fn list(store: &Arc<Store>) -> BoxStream<'static, Result<Retired, StorageError>> {
    let walk = Walk::new(Dir::Trash.path().to_string(), None, usize::MAX);
    listing::pages(store, "listing the trash", walk, page)
}

fn page(store: &Arc<Store>, mut walk: Walk) -> Page<Retired, Walk> {
    let (names, more) = walk.names(store)?;
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let path = format!("{}/{name}", Dir::Trash.path());
        if let Some(Key::Retired(digest, id)) = Key::parse(&path) {
            found.extend(look(&store.at(&path), digest, id)?);
        }
    }
    Ok((found, more.then_some(walk)))
}

fn look(path: &Path, digest: Digest, id: RetiredId) -> Result<Option<Retired>, StorageError> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => Ok(Some(entry(digest, id, &metadata))),
        Ok(_) => Ok(None),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(fault("listing the trash")(error)),
    }
}

/// The rename into the trash is the last change of the file's status.
fn entry(digest: Digest, id: RetiredId, metadata: &Metadata) -> Retired {
    Retired {
        id,
        digest,
        size: metadata.len(),
        since: clock::time(metadata.ctime(), metadata.ctime_nsec()),
    }
}
