//! `http.tls.letsencrypt`: certificates from an authority that speaks ACME (RFC 8555), such as
//! Let's Encrypt. That a host is ours is shown by TLS-ALPN-01 (RFC 8737), at the address of the
//! registry itself.
//!
//! What is kept between two starts is kept where and as distribution keeps it (`folder.rs`), so
//! that a swap in either direction orders nothing.

mod account;
mod ask;
mod certificate;
mod challenge;
mod error;
mod folder;
mod hosts;
mod keep;
mod order;
mod resolve;
mod schedule;

use std::sync::Arc;
use std::time::SystemTime;

use registry_core::Ambient;
use rustls::server::ResolvesServerCert;
use tokio::sync::{Mutex, watch};

use self::challenge::Challenges;
pub(crate) use self::error::AcmeError;
use self::folder::Folder;
use self::hosts::Hosts;
use self::order::Authority;
use self::resolve::ForClients;
pub(crate) use self::resolve::is_authority;
use self::schedule::Jitter;
use crate::ambient::ambient;
use crate::config::LetsEncrypt;

/// The certificates of the hosts, and what keeps them.
#[derive(Debug)]
pub(crate) struct Acme {
    folder: Folder,
    hosts: Arc<Hosts>,
    challenges: Arc<Challenges>,
    /// One order at a time: an authority has no reason to be in a hurry with us.
    authority: Mutex<Authority>,
    /// Changes when somebody wants everything looked at again.
    again: watch::Sender<()>,
    ambient: Ambient,
}

impl Acme {
    /// Reads what is kept, and asks nobody yet. It reads files.
    ///
    /// # Errors
    /// [`AcmeError::File`]: a folder that cannot be written, since every start would order anew.
    pub(crate) fn open(settings: &LetsEncrypt) -> Result<Self, AcmeError> {
        let folder = Folder::open(&settings.folder)?;
        let ambient = ambient();
        let hosts = Hosts::new(&settings.hosts);
        for host in hosts.names() {
            hosts.read(host, &folder, Jitter((ambient.random)()[0]));
        }
        let authority = Authority::new(settings, folder.clone(), ambient.now);
        Ok(Self {
            challenges: Arc::new(Challenges::new(folder.clone())),
            hosts: Arc::new(hosts),
            authority: Mutex::new(authority),
            folder,
            again: watch::Sender::new(()),
            ambient,
        })
    }

    /// When the first of the certificates ends.
    pub(crate) fn until(&self) -> Option<SystemTime> {
        self.hosts.ends().into_iter().map(|(_, end)| end).min()
    }

    /// Reads the folder again, and tries again at once what has failed.
    pub(crate) fn look_again(&self) {
        self.again.send_replace(());
    }
}

/// What answers clients; nobody, where there is nothing to answer with.
pub(crate) fn for_clients(acme: Option<&Acme>) -> Arc<dyn ResolvesServerCert> {
    let none = || Arc::new(Hosts::new(&[]));
    let hosts = acme.map_or_else(none, |acme| Arc::clone(&acme.hosts));
    Arc::new(ForClients(hosts))
}

/// Until when each host has its certificate, if it has one, or what is wrong with it. It reads files
/// and makes none.
///
/// # Errors
/// [`AcmeError::File`]: a folder that could not be had.
pub(crate) fn look(settings: &LetsEncrypt) -> Result<Vec<(String, Kept)>, AcmeError> {
    let folder = Folder::look(&settings.folder)?;
    let look = |host: &String| {
        let kept = hosts::kept(host, &folder);
        let end = kept.map(|kept| kept.map(|held| held.not_after));
        (host.clone(), end)
    };
    Ok(settings.hosts.iter().map(look).collect())
}

/// Until when a certificate is valid.
pub(crate) type Kept = Result<Option<SystemTime>, AcmeError>;

/// Does what reads or writes files.
async fn blocking<T, W>(work: W) -> Result<T, AcmeError>
where
    T: Send + 'static,
    W: FnOnce() -> Result<T, AcmeError> + Send + 'static,
{
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(AcmeError::Crypto(panic.into())))
}
