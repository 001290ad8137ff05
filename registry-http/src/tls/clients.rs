//! Whether clients are asked for a certificate, and which one will do.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use registry_core::Algorithm;
use registry_core::hasher::digest_of;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter, KeyUsage};

use super::TlsError;
use super::certificate::{self, Facts};
use super::pair::{PairError, chain, read_file};
use crate::config::{ClientAuth, Clients as Settings};

/// `clientAuth`, and the usage that stands for all (RFC 5280, section 4.2.1.12).
const USAGES: [&[usize]; 2] = [KeyUsage::CLIENT_AUTH_REPR, &[2, 5, 29, 37, 0]];

/// Bytes of names that clients are told. TLS has no room for more than 64 KiB with all around them,
/// and Go's clients take no longer message.
const HINTS: usize = 60 << 10;

/// Reads the files, and makes of them what [`verifier`] says; with it comes what tells two contents
/// of them apart.
///
/// # Errors
/// [`TlsError::Clients`] says which file it is, and what is wrong with it.
pub(super) fn read(
    settings: &Settings,
    provider: &CryptoProvider,
) -> Result<(Arc<dyn ClientCertVerifier>, String), TlsError> {
    let mut files = Vec::new();
    let mut content = String::new();
    for path in &settings.authorities {
        let (text, _) = read_file(path).map_err(|source| about(path, source))?;
        content += &digest_of(Algorithm::Sha256, &text).to_string();
        files.push((path.as_path(), text));
    }
    Ok((verifier(settings.auth, &files, provider)?, content))
}

fn about(path: &Path, source: PairError) -> TlsError {
    TlsError::Clients {
        path: path.to_owned(),
        source,
    }
}

/// Who looks at what clients show: at the path to one of these certificates, in the modes that
/// verify, and in all of them at the proof of who has the key.
///
/// # Errors
/// Which file it is, and what is wrong with it.
pub(super) fn verifier(
    auth: ClientAuth,
    files: &[(&Path, Vec<u8>)],
    provider: &CryptoProvider,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut authorities = Vec::new();
    for (path, text) in files {
        let read = Authority::of_file(text);
        authorities.extend(read.map_err(|source| about(path, source))?);
    }
    let hints = authorities.iter().map(|authority: &Authority| {
        let subject = authority.anchor.subject.as_ref();
        DistinguishedName::in_sequence(subject)
    });
    Ok(Arc::new(Clients {
        auth,
        hints: hints_within(HINTS, hints.collect()),
        authorities,
        algorithms: provider.signature_verification_algorithms,
    }))
}

/// Where there are too many, a client is told none, and shows what it has.
fn hints_within(bound: usize, hints: Vec<DistinguishedName>) -> Vec<DistinguishedName> {
    // Each has its length before it.
    let bytes: usize = hints.iter().map(|hint| hint.as_ref().len() + 2).sum();
    match bytes <= bound {
        true => hints,
        false => Vec::new(),
    }
}

/// A certificate that vouches for clients.
struct Authority {
    der: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
    facts: Facts,
}

impl Authority {
    /// All that are in a file.
    fn of_file(text: &[u8]) -> Result<Vec<Self>, PairError> {
        let all = chain(text)?.into_iter().enumerate().map(|(at, der)| {
            let wrong = |why| PairError::Authority { at: at + 1, why };
            let facts = certificate::facts(&der).map_err(wrong)?;
            let anchor = webpki::anchor_from_trusted_cert(&der);
            let anchor = anchor.map_err(|error| wrong(error.to_string()))?;
            Ok(Self {
                anchor: anchor.to_owned(),
                der: der.clone(),
                facts,
            })
        });
        all.collect()
    }

    fn in_force(&self, now: UnixTime) -> Result<(), CertificateError> {
        let valid = &self.facts.valid;
        match now.as_secs() {
            now if now < *valid.start() => Err(CertificateError::NotValidYet),
            now if now > *valid.end() => Err(CertificateError::Expired),
            _ => Ok(()),
        }
    }
}

/// What is asked of clients, and by whose word.
struct Clients {
    auth: ClientAuth,
    authorities: Vec<Authority>,
    /// So that a client with several certificates knows which one is wanted.
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Clients {
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        // A certificate that was made by `openssl req -x509` is its own authority. A path would have
        // to begin and to end with it; in Go, as here, what is trusted by itself needs none.
        let mut authorities = self.authorities.iter();
        if let Some(own) = authorities.find(|authority| authority.der == *leaf) {
            own.in_force(now)?;
            return match own.facts.is_for_clients {
                true => Ok(()),
                false => Err(CertificateError::InvalidPurpose),
            };
        }
        // That of an authority counts no longer than any other, as in Go.
        let authorities = self.authorities.iter();
        let current = authorities.filter(|authority| authority.in_force(now).is_ok());
        let anchors: Vec<TrustAnchor<'_>> =
            current.map(|authority| authority.anchor.clone()).collect();
        let leaf = EndEntityCert::try_from(leaf).map_err(refusal)?;
        let path = leaf.verify_for_usage(
            self.algorithms.all,
            &anchors,
            between,
            now,
            ForClients,
            None,
            None,
        );
        path.map(|_| ()).map_err(refusal)
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients")
            .field("auth", &self.auth)
            .field("authorities", &self.authorities.len())
            .finish_non_exhaustive()
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.auth.is_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // Who only asks is told by the signature that the client has the key, and believes nothing
        // of what the certificate says.
        if self.auth.verifies() {
            self.verify(leaf, between, now)?;
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// As Go has it: a certificate without usages is for all of them.
struct ForClients;

impl ExtendedKeyUsageValidator for ForClients {
    fn validate(&self, usages: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let usages: Vec<KeyPurposeId<'_>> = usages.collect::<Result<_, _>>()?;
        let mut decoded = usages.iter().map(KeyPurposeId::to_decoded_oid);
        match usages.is_empty() || decoded.any(|usage| USAGES.contains(&usage.as_slice())) {
            true => Ok(()),
            false => Err(webpki::Error::RequiredEkuNotFoundContext(
                webpki::RequiredEkuNotFoundContext {
                    required: KeyUsage::client_auth(),
                    present: usages.iter().map(KeyPurposeId::to_decoded_oid).collect(),
                },
            )),
        }
    }
}

/// As the client is told it, by an alert.
fn refusal(error: webpki::Error) -> CertificateError {
    use webpki::Error as Why;
    match error {
        Why::CertExpired { .. } => CertificateError::Expired,
        Why::CertNotValidYet { .. } => CertificateError::NotValidYet,
        Why::UnknownIssuer => CertificateError::UnknownIssuer,
        Why::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        Why::BadDer | Why::BadDerTime | Why::TrailingData(_) => CertificateError::BadEncoding,
        Why::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    }
}
