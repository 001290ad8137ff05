//! A certificate and its key, from files in PEM, and what may be wrong with them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustls::InconsistentKeys;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::TlsError;

/// Bytes of a file; no chain is as long.
const LARGEST: u64 = 1 << 20;

/// Why a file of a pair cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PairError {
    #[error("reading it")]
    Read(#[from] io::Error),
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it is larger than {LARGEST} bytes")]
    TooLarge,
    #[error("it is empty")]
    Empty,
    /// Between the lines of PEM.
    #[error("it is no PEM: {0}")]
    Pem(pem::Error),
    #[error("it has no certificate: a text with the line -----BEGIN CERTIFICATE----- is wanted")]
    NoCertificate,
    #[error("it has no private key: a text with the line -----BEGIN PRIVATE KEY----- is wanted")]
    NoKey,
    /// By the library.
    #[error("{0}")]
    Unusable(rustls::Error),
    #[error("it is not the key of the certificate")]
    Mismatch,
}

/// Reads both, and sees that they belong together.
pub(super) fn read(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let of_certificate = |source| TlsError::Certificate {
        path: certificate.to_owned(),
        source,
    };
    let of_key = |source| TlsError::Key {
        path: key.to_owned(),
        source,
    };
    let text = read_file(certificate).map_err(of_certificate)?;
    let chain = chain(&text).map_err(of_certificate)?;
    let text = read_file(key).map_err(of_key)?;
    let private = private_key(&text).map_err(of_key)?;
    CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            of_key(PairError::Mismatch)
        }
        rustls::Error::InvalidCertificate(_) => of_certificate(PairError::Unusable(error)),
        error => of_key(PairError::Unusable(error)),
    })
}

fn chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PairError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let all = all.map_err(PairError::Pem)?;
    match all.is_empty() {
        true => Err(PairError::NoCertificate),
        false => Ok(all),
    }
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, PairError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => PairError::NoKey,
        error => PairError::Pem(error),
    })
}

#[allow(
    clippy::disallowed_methods,
    reason = "a certificate is no file of the store, and belongs to the server"
)]
fn read_file(path: &Path) -> Result<Vec<u8>, PairError> {
    // To open a pipe would wait for whoever writes into it.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(PairError::NotAFile);
    }
    let mut bytes = Vec::new();
    let read = File::open(path)?
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)?;
    match read {
        0 => Err(PairError::Empty),
        read if read as u64 > LARGEST => Err(PairError::TooLarge),
        _ => Ok(bytes),
    }
}
