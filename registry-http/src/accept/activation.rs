//! The socket that systemd has opened for us.

use std::io::{Error, Result};
use std::net;
use std::os::unix::net as unix;

use listenfd::ListenFd;
use tokio::net::{TcpListener, UnixListener};

use super::{Listener, UnixSocket};

/// A socket that listens already.
#[derive(Debug)]
pub(crate) enum Passed {
    Tcp(net::TcpListener),
    Unix(unix::UnixListener),
}

impl Passed {
    /// Takes it, if there is one. This changes the environment of the process, so that nothing
    /// that we start finds it again: to be called before there are threads.
    ///
    /// # Errors
    /// When there are several, or it is of another kind.
    pub(crate) fn take() -> Result<Option<Self>> {
        let mut passed = ListenFd::from_env();
        if passed.len() > 1 {
            let message = format!("{} were passed, and there must be one", passed.len());
            return Err(Error::other(message));
        }
        if let Ok(listener) = passed.take_tcp_listener(0) {
            return Ok(listener.map(Self::Tcp));
        }
        Ok(passed.take_unix_listener(0)?.map(Self::Unix))
    }

    pub(crate) fn listen(self) -> Result<Listener> {
        match self {
            Self::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Listener::Tcp)
            }
            Self::Unix(listener) => {
                listener.set_nonblocking(true)?;
                let listener = UnixListener::from_std(listener)?;
                Ok(Listener::Unix(UnixSocket::of(listener)))
            }
        }
    }
}
