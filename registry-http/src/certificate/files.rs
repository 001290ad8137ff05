//! Where the files go: each comes to be in one step, with the mode that it is to have.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Failed, absolute};

/// The name that the files of an authority have.
pub(super) const AUTHORITY: &str = "ca";

/// Bytes of a certificate or a key that is read.
const LARGEST: u64 = 1 << 20;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its owner.
    Key,
    /// Everybody.
    Certificate,
}

/// A folder that is there.
#[derive(Debug)]
pub(super) struct Output {
    folder: PathBuf,
}

/// Of files that belong together: nothing but a name, and not that of the authority.
pub(super) fn name(text: &str) -> Result<String, String> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    match text {
        AUTHORITY => Err("that is what the files of an authority are called".to_owned()),
        "" => Err("it is empty".to_owned()),
        _ if text.starts_with(['.', '-']) || !text.chars().all(plain) => {
            Err("a name of letters, digits, ., _ and - is wanted; --out names the folder".into())
        }
        _ => Ok(text.to_owned()),
    }
}

impl Output {
    /// Makes the folder where there is none.
    pub(super) fn open(folder: &Path) -> Result<Self, Failed> {
        let folder = absolute(folder);
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&folder);
        made.map_err(|error| Failed::File(folder.clone(), error))?;
        Ok(Self { folder })
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Fails where something has this name, a link to nowhere, too.
    pub(super) fn expect_free(&self, paths: [&PathBuf; 2]) -> Result<(), Failed> {
        for path in paths {
            match path.symlink_metadata() {
                Ok(_) => return Err(Failed::Exists(path.clone())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Failed::File(path.clone(), error)),
            }
        }
        Ok(())
    }

    /// The text of a file, if it is there.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Failed> {
        match read(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failed::File(path.to_owned(), error)),
        }
    }

    /// All of the file or nothing; what was there stays, unless it is to be replaced.
    pub(super) fn write(
        &self,
        path: &Path,
        text: &str,
        kind: Kind,
        replace: bool,
    ) -> Result<(), Failed> {
        match self.try_write(path, text, kind, replace) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Failed::Exists(path.to_owned()))
            }
            Err(error) => Err(Failed::File(path.to_owned(), error)),
        }
    }

    fn try_write(&self, path: &Path, text: &str, kind: Kind, replace: bool) -> io::Result<()> {
        // Nobody else can read it at any time.
        let mut next = tempfile::Builder::new()
            .prefix(".certificate-")
            .tempfile_in(&self.folder)?;
        let file = next.as_file_mut();
        file.write_all(text.as_bytes())?;
        let mode = match kind {
            Kind::Key => 0o600,
            Kind::Certificate => 0o644,
        };
        // Whatever the umask takes away.
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        let kept = match replace {
            true => next.persist(path),
            false => next.persist_noclobber(path),
        };
        kept.map_err(|error| error.error)?;
        sync(&self.folder)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "what the operator keeps here is no part of the store"
)]
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::new();
    file.take(LARGEST).read_to_end(&mut text)?;
    Ok(text)
}

#[allow(
    clippy::disallowed_methods,
    reason = "to make what was renamed durable"
)]
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
