//! What the authority is shown when it looks whether a host is ours.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use registry_core::access::Secret;
use rustls::sign::CertifiedKey;

use super::certificate::{answer, parse_answer};
use super::folder::Folder;
use super::{AcmeError, blocking};

/// The answers that are waited for. They are in the folder as well, since the authority may come to
/// another process that shares it.
#[derive(Debug)]
pub(super) struct Challenges {
    folder: Folder,
    answers: Mutex<BTreeMap<String, Arc<CertifiedKey>>>,
}

/// An answer, until this is dropped.
#[derive(Debug)]
pub(super) struct Answering {
    challenges: Arc<Challenges>,
    host: String,
}

impl Challenges {
    pub(super) fn new(folder: Folder) -> Self {
        Self {
            folder,
            answers: Mutex::default(),
        }
    }

    /// From now on the authority finds this at a host.
    pub(super) async fn answer(
        self: &Arc<Self>,
        host: &str,
        digest: &[u8; 32],
    ) -> Result<Answering, AcmeError> {
        let text = answer(host, digest)?;
        let key = parse_answer(text.expose());
        let key = key.map_err(|why| AcmeError::Crypto(why.into()))?;
        self.answers().insert(host.to_owned(), key);
        let answering = Answering {
            challenges: Arc::clone(self),
            host: host.to_owned(),
        };
        self.keep(host, text).await?;
        Ok(answering)
    }

    /// It is written before the authority is told to look, so that what cannot be written costs
    /// nothing there.
    async fn keep(&self, host: &str, text: Secret<Vec<u8>>) -> Result<(), AcmeError> {
        let (folder, name) = (self.folder.clone(), file_name(host));
        blocking(move || folder.write(&name, text.expose())).await
    }

    /// The answer of this process.
    pub(super) fn pending(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        self.answers().get(host).cloned()
    }

    /// The answer of another process that shares the folder. It reads a file.
    pub(super) fn of_another(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        let text = self.folder.read(&file_name(host)).ok()??;
        parse_answer(&text).ok()
    }

    fn answers(&self) -> MutexGuard<'_, BTreeMap<String, Arc<CertifiedKey>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answering {
    /// Takes the answer back.
    pub(super) async fn end(self) {
        let (folder, name) = (self.challenges.folder.clone(), file_name(&self.host));
        drop(self);
        if let Err(error) = blocking(move || folder.remove(&name)).await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "an answer that was given stays in the folder");
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.challenges.answers().remove(&self.host);
    }
}

fn file_name(host: &str) -> String {
    format!("{host}+token")
}
