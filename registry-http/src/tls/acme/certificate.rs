//! A certificate with its key, as one text: first the key, then the chain.

use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::encoding::{AsDer as _, EcPrivateKeyRfc5915Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use registry_core::BoxError;
use registry_core::access::Secret;
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use x509_cert::der::Decode as _;

use super::AcmeError;
use crate::tls::pair::torn;

/// What a handshake is answered with, and how long that is good.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

impl Held {
    /// Takes a text apart, and sees that it is what this host needs. Its times are not looked at.
    ///
    /// # Errors
    /// What is wrong with it; nothing of the key.
    pub(super) fn parse(pem: &[u8], host: &str) -> Result<Self, String> {
        let key = key_of(pem)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let chain = chain.map_err(|error| format!("a certificate of it: {}", torn(&error)))?;
        let Some(leaf) = chain.first() else {
            return Err("there is no certificate in it".to_owned());
        };
        let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
        let parsed = ParsedCertificate::try_from(leaf).map_err(|error| error.to_string())?;
        verify_server_name(&parsed, &name).map_err(|error| error.to_string())?;
        let (not_before, not_after) = times(leaf).map_err(|error| error.to_string())?;
        let key = CertifiedKey::from_der(chain, key, &default_provider());
        Ok(Self {
            key: Arc::new(key.map_err(|error| error.to_string())?),
            not_before,
            not_after,
        })
    }
}

/// A key and a chain that nobody has to believe: what is in an answer to a challenge is critical, so
/// that a check would refuse it.
pub(super) fn parse_answer(pem: &[u8]) -> Result<Arc<CertifiedKey>, String> {
    let key = default_provider()
        .key_provider
        .load_private_key(key_of(pem)?)
        .map_err(|error| error.to_string())?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(Arc::new(CertifiedKey::new(chain, key))),
        _ => Err("there is no certificate in it".to_owned()),
    }
}

fn key_of(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => "there is no key in it".to_owned(),
        error => format!("its key: {}", torn(&error)),
    })
}

/// From when to when.
fn times(leaf: &CertificateDer<'_>) -> x509_cert::der::Result<(SystemTime, SystemTime)> {
    let certificate = x509_cert::Certificate::from_der(leaf)?;
    let validity = certificate.tbs_certificate().validity();
    let (from, to) = (validity.not_before, validity.not_after);
    Ok((from.to_system_time(), to.to_system_time()))
}

/// A key, and the request for a certificate of it.
pub(super) struct Request {
    key: KeyPair,
    pub(super) der: Vec<u8>,
}

impl Request {
    pub(super) fn new(host: &str) -> Result<Self, AcmeError> {
        let key = KeyPair::generate().map_err(crypto)?;
        let csr = params(host)?.serialize_request(&key).map_err(crypto)?;
        let der = csr.der().to_vec();
        Ok(Self { key, der })
    }

    /// The text of the key and the chain that the authority has given for it.
    pub(super) fn with(&self, chain: &str) -> Result<Secret<Vec<u8>>, AcmeError> {
        let mut text = key_pem(&self.key.serialize_der())?;
        text.push_str(chain);
        Ok(Secret::new(text.into_bytes()))
    }
}

/// What the authority looks for at this host (RFC 8737): a certificate by nobody, with the digest.
pub(super) fn answer(host: &str, digest: &[u8; 32]) -> Result<Secret<Vec<u8>>, AcmeError> {
    let key = KeyPair::generate().map_err(crypto)?;
    let mut params = params(host)?;
    let extension = CustomExtension::new_acme_identifier(digest);
    params.custom_extensions.push(extension);
    let certificate = params.self_signed(&key).map_err(crypto)?;
    let mut text = key_pem(&key.serialize_der())?;
    text.push_str(&pem("CERTIFICATE", certificate.der()));
    Ok(Secret::new(text.into_bytes()))
}

fn params(host: &str) -> Result<CertificateParams, AcmeError> {
    let mut params = CertificateParams::new([host.to_owned()]).map_err(crypto)?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params)
}

/// The text of a key of P-256, as autocert writes it: SEC 1.
pub(super) fn key_pem(pkcs8: &[u8]) -> Result<String, AcmeError> {
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8);
    let pair = pair.map_err(|error| AcmeError::Crypto(error.into()))?;
    let sec1: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().map_err(crypto)?;
    Ok(pem("EC PRIVATE KEY", sec1.as_ref()))
}

/// The key of a text as PKCS#8, if it is one of P-256.
pub(super) fn pkcs8(pem: &[u8]) -> Result<PrivatePkcs8KeyDer<'static>, String> {
    let key = key_of(pem)?;
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pair = EcdsaKeyPair::from_private_key_der(algorithm, key.secret_der());
    let document = pair
        .map_err(|_| "its key is none of P-256")?
        .to_pkcs8v1()
        .map_err(|error| error.to_string())?;
    Ok(PrivatePkcs8KeyDer::from(document.as_ref().to_vec()))
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem + &format!("-----END {label}-----\n")
}

fn crypto(error: impl Into<BoxError>) -> AcmeError {
    AcmeError::Crypto(error.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOST: &str = "registry.example.com";

    /// As the folder has one, with a life of so many days from now on.
    fn issued(host: &str, days: u64) -> (Request, String) {
        let request = Request::new(host).unwrap();
        let mut params = params(host).unwrap();
        let now = (crate::ambient::ambient().now)();
        params.not_before = now.into();
        params.not_after = (now + Duration::from_secs(days * 86_400)).into();
        let certificate = params.self_signed(&request.key).unwrap();
        (request, pem("CERTIFICATE", certificate.der()))
    }

    #[test]
    fn what_was_issued_is_written_and_read_again() {
        let (request, chain) = issued(HOST, 90);
        let text = request.with(&(chain.clone() + &chain)).unwrap();
        let held = Held::parse(text.expose(), HOST).unwrap();
        assert_eq!(held.key.cert.len(), 2);
        let life = held.not_after.duration_since(held.not_before).unwrap();
        assert_eq!(life, Duration::from_secs(90 * 86_400));
        assert!(
            text.expose()
                .starts_with(b"-----BEGIN EC PRIVATE KEY-----\n")
        );
    }

    #[track_caller]
    fn check_broken(text: &[u8], expected: &str) {
        let why = Held::parse(text, HOST).unwrap_err();
        assert!(why.contains(expected), "{why}");
        assert!(!why.contains("hush"), "{why}");
    }

    #[test]
    fn what_is_broken_is_told_without_its_key() {
        let (request, chain) = issued(HOST, 90);
        let whole = request.with(&chain).unwrap();
        let whole = whole.expose();
        let key = request.with("").unwrap();
        check_broken(b"", "no key");
        check_broken(b"hush", "no key");
        check_broken(chain.as_bytes(), "no key");
        check_broken(key.expose(), "no certificate");
        check_broken(&whole[..whole.len() - 40], "certificate");
        let line = String::from_utf8_lossy(whole).replace('\n', " ");
        check_broken(line.as_bytes(), "its key: what begins in it does not end");
        check_broken(
            &[
                key.expose().as_slice(),
                &pem("CERTIFICATE", b"hush").into_bytes(),
            ]
            .concat(),
            "",
        );
        let (_, of_another_key) = issued(HOST, 90);
        check_broken(
            request.with(&of_another_key).unwrap().expose(),
            "KeyMismatch",
        );
        let (request, chain) = issued("other.example.com", 90);
        check_broken(request.with(&chain).unwrap().expose(), "not valid for name");
    }

    #[test]
    fn an_answer_has_the_digest_where_only_an_authority_looks() {
        let text = answer(HOST, &[7; 32]).unwrap();
        let key = parse_answer(text.expose()).unwrap();
        let leaf = key.cert[0].as_ref();
        let mut extension = vec![0x01, 0x01, 0xff, 0x04, 0x22, 0x04, 0x20];
        extension.extend_from_slice(&[7; 32]);
        let is_in = |bytes: &[u8]| leaf.windows(bytes.len()).any(|window| window == bytes);
        assert!(is_in(&extension), "critical, and the digest");
    }
}
