//! A certificate and its key, from files in PEM, and what may be wrong with them.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use registry_core::Algorithm;
use registry_core::hasher::digest_of;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::TlsError;
use super::expiry::Validity;

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
    #[error(
        "it is no PEM; if it is DER, `openssl {0} -inform DER -in OLD -out NEW` makes PEM of it"
    )]
    NotPem(&'static str),
    /// Within the lines of PEM. What the library says of it quotes the file, which may be a key.
    #[error("its PEM is broken: {0}")]
    Broken(&'static str),
    #[error("it has no certificate, which begins with -----BEGIN CERTIFICATE-----{0}")]
    NoCertificate(&'static str),
    #[error("its certificate number {0} is none")]
    NotACertificate(usize),
    #[error("it has no private key, which begins with -----BEGIN PRIVATE KEY-----{0}")]
    NoKey(&'static str),
    #[error(
        "its key is encrypted, and nobody is there to type the password: \
         `openssl pkey -in OLD -out NEW` decrypts it"
    )]
    Encrypted,
    #[error(
        "its key is none that is known: RSA from 2048 bits, ECDSA of P-256, P-384 or P-521, Ed25519"
    )]
    UnknownKey,
    #[error("it is not the key of the certificate in {0}")]
    Mismatch(String),
    #[error("it is the key of certificate number {0} in {1}, and has to be that of the first")]
    Order(usize, String),
    /// Of one that is to vouch for others.
    #[error("its certificate number {at} cannot be used: {why}")]
    Authority { at: usize, why: String },
}

/// What a server proves itself by.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: CertifiedKey,
    pub(super) validity: Validity,
    /// What is worth telling, and stops nothing.
    pub(super) remarks: Vec<String>,
    /// Tells two contents of the files apart.
    pub(super) content: String,
}

/// Reads both, and sees that they belong together.
pub(super) fn read(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<Pair, TlsError> {
    let of_certificate = |source| TlsError::Certificate {
        path: certificate.to_owned(),
        source,
    };
    let of_key = |source| TlsError::Key {
        path: key.to_owned(),
        source,
    };
    let (certificates, _) = read_file(certificate).map_err(of_certificate)?;
    let chain = chain(&certificates).map_err(of_certificate)?;
    let facts = facts(&chain).map_err(of_certificate)?;
    let (text, metadata) = read_file(key).map_err(of_key)?;
    let private = private_key(&text, provider).map_err(of_key)?;
    belongs(&*private, &facts, certificate).map_err(of_key)?;
    let mut remarks = Vec::new();
    if metadata.mode() & 0o004 != 0 {
        let path = key.display();
        remarks.push(format!(
            "everyone on this machine may read the key {path}: chmod 600"
        ));
    }
    if facts.first().is_some_and(is_nameless) {
        let path = certificate.display();
        remarks.push(format!(
            "the certificate {path} has no alternative names, and clients refuse it: they do not \
             look at CN"
        ));
    }
    let content = [certificates, text].map(|text| digest_of(Algorithm::Sha256, &text).to_string());
    Ok(Pair {
        content: content.concat(),
        key: CertifiedKey::new(chain, private),
        validity: Validity::of(
            facts
                .iter()
                .map(|certificate| certificate.tbs_certificate()),
        ),
        remarks,
    })
}

pub(super) fn chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PairError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let all = all.map_err(|error| PairError::Broken(torn(&error)))?;
    if !all.is_empty() {
        return Ok(all);
    }
    Err(match has(text, "PRIVATE KEY-----") {
        _ if !has(text, "-----BEGIN ") => PairError::NotPem("x509"),
        true => PairError::NoCertificate(": it has a key, as if the two files had changed places"),
        false => PairError::NoCertificate(""),
    })
}

/// Reads certificates as they are: numbers and dates that RFC 5280 forbids are the clients' concern.
fn facts(chain: &[CertificateDer<'_>]) -> Result<Vec<CertificateInner<Raw>>, PairError> {
    let numbered = (1..).zip(chain);
    let read = numbered.map(|(number, der)| {
        CertificateInner::from_der(der).map_err(|_| PairError::NotACertificate(number))
    });
    read.collect()
}

/// Whether it names nobody whom clients could have asked. What cannot be read is theirs to judge.
fn is_nameless(certificate: &CertificateInner<Raw>) -> bool {
    let names = certificate
        .tbs_certificate()
        .get_extension::<SubjectAltName>();
    match names {
        Ok(names) => names.is_none_or(|(_, names)| names.0.is_empty()),
        Err(_) => false,
    }
}

fn private_key(text: &[u8], provider: &CryptoProvider) -> Result<Arc<dyn SigningKey>, PairError> {
    if has(text, "-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(text, "Proc-Type: 4,ENCRYPTED") {
        return Err(PairError::Encrypted);
    }
    let key = PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound if !has(text, "-----BEGIN ") => PairError::NotPem("pkey"),
        pem::Error::NoItemsFound if has(text, "-----BEGIN CERTIFICATE-----") => {
            PairError::NoKey(": it has a certificate, as if the two files had changed places")
        }
        pem::Error::NoItemsFound => PairError::NoKey(""),
        error => PairError::Broken(torn(&error)),
    })?;
    let key = provider.key_provider.load_private_key(key);
    key.map_err(|_| PairError::UnknownKey)
}

/// What is wrong with PEM, and nothing of what is in it: an error has the rest of the line with it,
/// and where the line breaks are lost that is the whole key.
pub(super) fn torn(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => {
            "what begins in it does not end: -----BEGIN … and -----END … are lines of their own"
        }
        pem::Error::IllegalSectionStart { .. } => "its -----BEGIN … does not end with -----",
        pem::Error::Base64Decode(_) => "between its lines is what is not base64",
        _ => "it cannot be read",
    }
}

fn has(text: &[u8], what: &str) -> bool {
    let mut places = text.windows(what.len());
    places.any(|place| place == what.as_bytes())
}

/// Whether the key is that of the first certificate, which is the server's own.
fn belongs(
    key: &dyn SigningKey,
    certificates: &[CertificateInner<Raw>],
    path: &Path,
) -> Result<(), PairError> {
    // A key that does not say what its public half is was taken by nobody else, either.
    let Some(public) = key.public_key() else {
        return Ok(());
    };
    let public = SubjectPublicKeyInfoOwned::from_der(&public).ok();
    let public = public.as_ref().map(|info| &info.subject_public_key);
    let mut known = certificates.iter().map(|certificate| {
        let info = certificate.tbs_certificate().subject_public_key_info();
        Some(&info.subject_public_key)
    });
    let path = || path.display().to_string();
    match known.position(|known| known == public) {
        Some(0) => Ok(()),
        Some(other) => Err(PairError::Order(other + 1, path())),
        None => Err(PairError::Mismatch(path())),
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a certificate is no file of the store, and belongs to the server"
)]
pub(super) fn read_file(path: &Path) -> Result<(Vec<u8>, Metadata), PairError> {
    // To open a pipe would wait for whoever writes into it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(PairError::NotAFile);
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    match file.take(LARGEST + 1).read_to_end(&mut bytes)? {
        0 => Err(PairError::Empty),
        read if read as u64 > LARGEST => Err(PairError::TooLarge),
        _ => Ok((bytes, metadata)),
    }
}
