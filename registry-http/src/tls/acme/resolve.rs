//! Which certificate a handshake is answered with.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::hosts::Hosts;
use super::{Acme, blocking};

/// What an authority names in a handshake of TLS-ALPN-01, and nothing else.
const ACME_TLS: &[u8] = b"acme-tls/1";

/// Answers clients with the certificate of the host that they name.
#[derive(Debug)]
pub(super) struct ForClients(pub(super) Arc<Hosts>);

impl ResolvesServerCert for ForClients {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.key(hello.server_name())
    }
}

/// Whether this is an authority that looks for the answer to its challenge.
pub(crate) fn is_authority(hello: &ClientHello<'_>) -> bool {
    let named = hello.alpn().map(|mut named| (named.next(), named.next()));
    named == Some((Some(ACME_TLS), None))
}

impl Acme {
    /// How to answer an authority that names this host; nothing is said over it but the handshake.
    /// Whatever clients are asked for, an authority has no certificate to show.
    pub(crate) async fn for_authority(&self, name: Option<&str>) -> Option<Arc<ServerConfig>> {
        let host = self.hosts.known(name?)?;
        let key = match self.challenges.pending(host) {
            Some(key) => key,
            None => {
                let (challenges, host) = (Arc::clone(&self.challenges), host.to_owned());
                let reading = blocking(move || Ok(challenges.of_another(&host)));
                reading.await.ok()??
            }
        };
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let mut config = builder
            .with_safe_default_protocol_versions()
            .ok()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = vec![ACME_TLS.to_vec()];
        config.send_tls13_tickets = 0;
        Some(Arc::new(config))
    }
}
