//! The only place of this crate that touches files.
#![allow(
    clippy::disallowed_methods,
    reason = "keys are files, and this is where they are opened"
)]

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::OpenError;

/// Largest file that is read, in bytes.
pub(crate) const MAX_FILE: u64 = 1024 * 1024;

/// The whole of a file, which has a bound.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, OpenError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    read.map_err(|source| failed(path, source))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(OpenError::Content {
            path: path.to_owned(),
            what: format!("longer than {MAX_FILE} bytes"),
        });
    }
    Ok(bytes)
}

/// The folder of the keys that we make ourselves.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder, for its owner alone, if it is missing.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|source| failed(path, source))?;
        warn_of_others(path);
        Ok(Self(path.to_owned()))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Has the folder for one process, until what is returned is dropped. Others wait.
    pub(crate) fn lock(&self) -> Result<File, OpenError> {
        let file = File::open(&self.0).and_then(|file| file.lock().map(|()| file));
        file.map_err(|source| failed(&self.0, source))
    }

    /// Names of its files, in order. What another process is about to write is not among them.
    pub(crate) fn names(&self) -> Result<Vec<String>, OpenError> {
        let list = || {
            let mut names = Vec::new();
            for entry in fs::read_dir(&self.0)? {
                let name = entry?.file_name().into_string().unwrap_or_default();
                if !name.starts_with('.') {
                    names.push(name);
                }
            }
            names.sort_unstable();
            Ok(names)
        };
        list().map_err(|source| failed(&self.0, source))
    }

    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, OpenError> {
        read(&self.path(name))
    }

    /// Reads a file that nobody else should be able to read.
    pub(crate) fn read_secret(&self, name: &str) -> Result<Vec<u8>, OpenError> {
        warn_of_others(&self.path(name));
        self.read(name)
    }

    /// Puts a whole file there, with this mode, or nothing: it has its name once it is on stable
    /// storage. Called with the lock held.
    pub(crate) fn write(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), OpenError> {
        // One name for all, so that what a crash left is overwritten by the next.
        let staged = self.path(".new");
        let write = || {
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(mode)
                .open(&staged)?;
            // A umask, or what a crash left behind, may have given it another.
            file.set_permissions(Permissions::from_mode(mode))?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&staged, self.path(name))?;
            self.sync()
        };
        write().map_err(|source| failed(&self.path(name), source))
    }

    /// Removes a file, which may be gone. Called with the lock held.
    pub(crate) fn remove(&self, name: &str) -> Result<(), OpenError> {
        let removed = match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.and_then(|()| self.sync()),
        };
        removed.map_err(|source| failed(&self.path(name), source))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

/// Says so where others than the owner may look at keys. It is no error: secrets that are mounted
/// into a container often are.
fn warn_of_others(path: &Path) {
    let Ok(metadata) = fs::metadata(path) else {
        return;
    };
    let mode = metadata.permissions().mode() & 0o777;
    let others = if metadata.is_dir() { 0o022 } else { 0o077 };
    if mode & others != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = %format!("{mode:o}"),
            "others than its owner may use this: keys belong to one user alone"
        );
    }
}

fn failed(path: &Path, source: io::Error) -> OpenError {
    OpenError::File {
        path: path.to_owned(),
        source,
    }
}
