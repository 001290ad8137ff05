//! TLS: whose certificates count, and for which name.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::ClientError;

/// Trusts whom the system trusts, or who is in `SSL_CERT_FILE` and `SSL_CERT_DIR` where these are
/// set. It reads files.
pub(super) fn connector() -> Result<TlsConnector, ClientError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first();
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        return Err(ClientError::NoRoots(why));
    }
    for error in found.errors {
        tracing::warn!(%error, "some certificate authorities cannot be read");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Tls(error.into()))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The name or address that the certificate must have.
pub(super) fn name(host: &str) -> io::Result<ServerName<'static>> {
    let name = ServerName::try_from(host.to_owned());
    name.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}
