//! Connections that come through a socket of the file system.

use std::fs::{metadata, symlink_metadata};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::Listen;
use crate::app::PeerAddr;

/// A listener, and the file by which clients find it.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    listener: UnixListener,
    /// What is to be removed at the end: nothing if someone else made it.
    _file: Option<SocketFile>,
}

/// A socket that we made. Its place may be another's by the time it is removed.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl UnixSocket {
    /// Takes the place of a socket that is there already, as distribution does, and of nothing
    /// else.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] of what is no socket.
    pub(crate) fn bind(path: &Path) -> Result<Self> {
        if Self::is_at(path)? {
            remove(path)?;
        }
        let listener = UnixListener::bind(path)?;
        let file = SocketFile {
            path: path.to_owned(),
            identity: identity(path)?,
        };
        Ok(Self {
            listener,
            _file: Some(file),
        })
    }

    /// Whether there is one already.
    ///
    /// # Errors
    /// As [`UnixSocket::bind`].
    pub(crate) fn is_at(path: &Path) -> Result<bool> {
        match metadata(path) {
            Ok(there) if there.file_type().is_socket() => Ok(true),
            Ok(_) => {
                let message = format!("{} exists and is not a socket", path.display());
                Err(Error::new(ErrorKind::AlreadyExists, message))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Of one that someone else made, and will remove.
    pub(crate) fn of(listener: UnixListener) -> Self {
        Self {
            listener,
            _file: None,
        }
    }

    /// Where its file is, if it has one.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        let addr = self.listener.local_addr().ok()?;
        addr.as_pathname().map(Path::to_owned)
    }
}

impl Listen for UnixSocket {
    type Stream = UnixStream;

    async fn accept(&mut self) -> Result<(UnixStream, PeerAddr)> {
        let (stream, _unnamed) = self.listener.accept().await?;
        Ok((stream, PeerAddr(None)))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity)
            && let Err(error) = remove(&self.path)
        {
            let path = self.path.display();
            tracing::warn!(%path, %error, "removing the socket");
        }
    }
}

fn identity(path: &Path) -> Result<(u64, u64)> {
    let metadata = symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[allow(
    clippy::disallowed_methods,
    reason = "a socket is no file of the store, and belongs to the listener"
)]
fn remove(path: &Path) -> Result<()> {
    std::fs::remove_file(path)
}
