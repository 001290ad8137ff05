//! The folder, and the names in it: those of golang.org/x/crypto/acme/autocert, which distribution
//! uses. `<host>` is the key of a certificate and its chain, `<host>+token` those that answer a
//! challenge, `acme_account+key` the key of the account; all of it PEM.
#![allow(
    clippy::disallowed_methods,
    reason = "certificates from ACME are files, and this is where they are opened"
)]

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::AcmeError;

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;
/// Where a file is written before it has its name.
const STAGED: &str = ".new";

/// The folder of `cachefile`, which belongs to its owner alone.
#[derive(Clone, Debug)]
pub(super) struct Folder(Arc<Path>);

impl Folder {
    /// Makes the folder if it is missing, and writes in it once, to see that it can be done.
    pub(super) fn open(path: &Path) -> Result<Self, AcmeError> {
        let folder = Self(path.into());
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|source| folder.failed("", explained(path, source)))?;
        folder.warn_of_others();
        let tried = folder.alone(|| {
            folder.stage(b"")?;
            fs::remove_file(folder.0.join(STAGED))
        });
        tried.map_err(|source| folder.failed("", source))?;
        Ok(folder)
    }

    /// Whether it could be opened, without making anything.
    pub(super) fn look(path: &Path) -> Result<Self, AcmeError> {
        let folder = Self(path.into());
        let found = path.ancestors().find(|path| path.exists());
        let nearest = match found {
            Some(nearest) if !nearest.as_os_str().is_empty() => nearest,
            _ => Path::new("."),
        };
        let wrong = match nearest.is_dir() {
            true => rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK)
                .map_err(io::Error::from)
                .err(),
            false => Some(explained(nearest, io::ErrorKind::NotADirectory.into())),
        };
        match wrong {
            None => Ok(folder),
            Some(source) => Err(AcmeError::File {
                path: nearest.to_owned(),
                source,
            }),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The whole of a file, which has a bound; `None` if it is not there.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, AcmeError> {
        let mut bytes = Vec::new();
        let path = self.path(name);
        let read = File::open(&path).and_then(|file| {
            let mode = file.metadata()?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                told_of_others(&path, mode);
            }
            file.take(MAX_FILE + 1).read_to_end(&mut bytes)
        });
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.failed(name, source)),
            Ok(_) if bytes.len() as u64 > MAX_FILE => Err(AcmeError::Content {
                path,
                what: format!("longer than {MAX_FILE} bytes"),
            }),
            Ok(_) => Ok(Some(bytes)),
        }
    }

    /// Puts a whole file there, for its owner alone, or nothing: it has its name once it is on
    /// stable storage.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), AcmeError> {
        let written = self.alone(|| {
            self.stage(bytes)?;
            fs::rename(self.path(STAGED), self.path(name))?;
            self.sync()
        });
        written.map_err(|source| self.failed(name, source))
    }

    /// Gives a file another name.
    pub(super) fn put_aside(&self, name: &str, aside: &str) -> Result<(), AcmeError> {
        let moved = self.alone(|| {
            fs::rename(self.path(name), self.path(aside))?;
            self.sync()
        });
        moved.map_err(|source| self.failed(name, source))
    }

    /// Removes a file, which may be gone.
    pub(super) fn remove(&self, name: &str) -> Result<(), AcmeError> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|source| self.failed(name, source)),
        }
    }

    /// Does something with the folder locked against other processes of ours.
    fn alone(&self, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let folder = File::open(&self.0)?;
        folder.lock()?;
        work()
    }

    /// One name for all, so that what a crash left is overwritten by the next.
    fn stage(&self, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(self.path(STAGED))?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    fn warn_of_others(&self) {
        let Ok(metadata) = fs::metadata(&self.0) else {
            return;
        };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o022 != 0 {
            told_of_others(&self.0, mode);
        }
    }

    fn failed(&self, name: &str, source: io::Error) -> AcmeError {
        let path = match name.is_empty() {
            true => self.0.to_path_buf(),
            false => self.path(name),
        };
        AcmeError::File { path, source }
    }
}

/// `cachefile` is called a file, and is a folder.
fn explained(path: &Path, error: io::Error) -> io::Error {
    match path.is_file() {
        true => io::Error::new(error.kind(), "a file, where a folder is wanted"),
        false => error,
    }
}

/// It is no error: secrets that are mounted into a container often are like that.
fn told_of_others(path: &Path, mode: u32) {
    tracing::warn!(
        path = %path.display(),
        mode = %format!("{mode:o}"),
        "others than its owner may use this: keys belong to one user alone"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_written_belongs_to_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let folder = Folder::open(&path).unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        folder.write("host", b"first").unwrap();
        folder.write("host", b"second").unwrap();
        assert_eq!(folder.read("host").unwrap().unwrap(), b"second");
        assert_eq!((mode(&path), mode(&path.join("host"))), (0o700, 0o600));
        folder.put_aside("host", "aside").unwrap();
        assert!(folder.read("host").unwrap().is_none());
        folder.remove("aside").unwrap();
        folder.remove("aside").unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    }

    #[test]
    fn what_a_crash_left_is_taken_over() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join(STAGED);
        fs::write(&left, "half of a longer text").unwrap();
        fs::set_permissions(&left, Permissions::from_mode(0o644)).unwrap();
        let folder = Folder::open(parent.path()).unwrap();
        folder.write("host", b"whole").unwrap();
        assert_eq!(folder.read("host").unwrap().unwrap(), b"whole");
        assert_eq!(mode(&parent.path().join("host")), 0o600);
    }

    #[test]
    fn a_file_that_is_too_long_is_not_read() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::open(parent.path()).unwrap();
        let file = File::create(parent.path().join("host")).unwrap();
        file.set_len(MAX_FILE).unwrap();
        assert_eq!(folder.read("host").unwrap().unwrap().len() as u64, MAX_FILE);
        file.set_len(MAX_FILE + 1).unwrap();
        let error = folder.read("host").unwrap_err().to_string();
        assert!(
            error.ends_with("host: longer than 1048576 bytes"),
            "{error}"
        );
    }

    #[test]
    fn to_look_makes_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        Folder::look(&path).unwrap();
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let opened = [Folder::open(&path), Folder::look(&path)];
            assert!(opened.iter().all(Result::is_err), "{opened:?}");
        }
        let error = Folder::open(&file).unwrap_err();
        let AcmeError::File { source, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(source.to_string(), "a file, where a folder is wanted");
    }
}
