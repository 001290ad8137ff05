//! TLS: whose certificates count.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::Settings;

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// There is nobody to trust.
    #[error(
        "no certificate authority is known: neither the system's nor those of SSL_CERT_FILE and SSL_CERT_DIR{0}"
    )]
    NoRoots(String),
    /// The library does not go along.
    #[error("TLS cannot be spoken")]
    Tls(#[from] rustls::Error),
}

/// Trusts whom the system trusts, or who is in `SSL_CERT_FILE` and `SSL_CERT_DIR` where these are
/// set. It reads files, if it is going to be needed.
pub(super) fn config(settings: &Settings, secure: bool) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions()?;
    if settings.skip_verify {
        let anybody = Arc::new(Anybody(algorithms));
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(anybody);
        return Ok(builder.with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    if secure {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first();
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            return Err(TlsError::NoRoots(why));
        }
        for error in found.errors {
            tracing::warn!(%error, "some certificate authorities cannot be read");
        }
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// `skipverify`: whoever holds the key of the certificate that was shown.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
