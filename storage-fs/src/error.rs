//! What can go wrong when a store is opened, and how faults of the system are told to core.

use std::fmt;
use std::io;
use std::path::PathBuf;

use registry_core::{BoxError, StorageError};

/// How this driver is named in errors.
pub(crate) const DRIVER: &str = "filesystem";

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the root for itself.
    #[error("{root} is in use by {holder}", root = root.display())]
    Locked {
        /// The root directory.
        root: PathBuf,
        /// Who has it, as far as the system tells.
        holder: Holder,
    },
    /// Files could not be renamed from one of these directories into the other.
    #[error("{first} and {second} must be on one filesystem", first = first.display(), second = second.display())]
    SeveralDevices {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// The root cannot be used.
    #[error("{doing} {path}", path = path.display())]
    Unusable {
        /// What was being done.
        doing: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// The process that holds the lock of a root.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Its process id, unless the system hides it (another container, no `/proc`).
    pub pid: Option<u32>,
    /// Its name, likewise.
    pub name: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &self.name) {
            (Some(pid), Some(name)) => write!(f, "process {pid} ({name})"),
            (Some(pid), None) => write!(f, "process {pid}"),
            (None, _) => f.write_str("another process"),
        }
    }
}

/// A fault of the system while `doing` something. Never "absent": who may find nothing asks for
/// that before.
pub(crate) fn fault(doing: &'static str) -> impl Fn(io::Error) -> StorageError {
    move |error| match is_full(&error) {
        true => StorageError::Full,
        false => StorageError::Backend {
            driver: DRIVER,
            doing,
            temporary: may_pass(&error),
            source: error.into(),
        },
    }
}

/// A fault that is not the system's.
pub(crate) fn broken(doing: &'static str, why: impl Into<BoxError>) -> StorageError {
    StorageError::backend(DRIVER, doing, why)
}

/// Whether there is no room, which passes.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Shortage of file descriptors or memory goes away when others finish.
fn may_pass(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN]
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    fn of(errno: Errno) -> StorageError {
        fault("testing")(io::Error::from(errno))
    }

    #[test]
    fn a_full_disk_and_an_exhausted_quota_are_full_and_nothing_else_is() {
        assert!(matches!(of(Errno::NOSPC), StorageError::Full));
        assert!(matches!(of(Errno::DQUOT), StorageError::Full));
        assert!(matches!(
            of(Errno::IO),
            StorageError::Backend {
                temporary: false,
                ..
            }
        ));
        assert!(matches!(
            of(Errno::MFILE),
            StorageError::Backend {
                temporary: true,
                ..
            }
        ));
    }

    #[test]
    fn absence_that_nobody_asked_for_is_a_fault() {
        assert!(matches!(of(Errno::NOENT), StorageError::Backend { .. }));
    }
}
