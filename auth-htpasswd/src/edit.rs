//! Changes a file of users, for `registry htpasswd`.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

pub use crate::file::{changed, find};

/// What is done to a file while it is locked: from its text to the next one, or why not.
pub type Change<'a, E> = &'a mut dyn FnMut(&[u8]) -> Result<Vec<u8>, E>;

/// Whether the file has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)]
pub enum Begin {
    /// It has to be.
    Existing,
    /// It begins anew, whatever was there.
    Anew,
}

/// Reads a file of users.
///
/// # Errors
/// As of the file system.
#[allow(
    clippy::disallowed_methods,
    reason = "the file of users is this crate's own"
)]
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    std::fs::read(path)
}

/// Puts the next text in the place of the file, all at once, so that no reader sees half of it.
/// Two who do so take turns. Mode and owner stay; a new file is for its owner alone.
///
/// # Errors
/// What `change` says, and as of the file system.
pub fn edit<E: From<io::Error>>(path: &Path, begin: Begin, change: Change<'_, E>) -> Result<(), E> {
    let mut file = open_locked(path, begin)?;
    let mut text = Vec::new();
    if begin == Begin::Existing {
        file.read_to_end(&mut text)?;
    }
    let next = change(&text)?;
    // Links stay links.
    let path = path.canonicalize()?;
    match replace(&path, &file.metadata()?, &next) {
        // A file that is mounted, in a folder of someone else: written over, as Apache's
        // htpasswd does it everywhere.
        Err(error) if is_in_the_way(error.kind()) => overwrite(&path, &next)?,
        replaced => replaced?,
    }
    Ok(())
}

/// Opens and locks the file that the path names, until it is dropped.
fn open_locked(path: &Path, begin: Begin) -> io::Result<File> {
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(begin == Begin::Anew)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        file.lock()?;
        // Whoever had the lock may have put another file there.
        let id = |metadata: Metadata| (metadata.dev(), metadata.ino());
        if std::fs::metadata(path).ok().map(id) == file.metadata().ok().map(id) {
            return Ok(file);
        }
    }
}

fn replace(path: &Path, like: &Metadata, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut next = tempfile::Builder::new()
        .prefix(".htpasswd-")
        .tempfile_in(folder)?;
    let file = next.as_file_mut();
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (like.uid(), like.gid()) {
        fchown(&*file, Some(like.uid()), Some(like.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(like.mode() & 0o7777))?;
    file.write_all(text)?;
    file.sync_all()?;
    next.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

#[allow(
    clippy::disallowed_methods,
    reason = "the file of users is this crate's own"
)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn is_in_the_way(kind: ErrorKind) -> bool {
    use ErrorKind::{PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(kind, PermissionDenied | ReadOnlyFilesystem | ResourceBusy)
}

fn overwrite(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}
