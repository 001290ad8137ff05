//! Certificates that clients show, good ones and others.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use tempfile::TempDir;

use crate::https::pem;
use crate::tls::{Files, Version};

/// What a client shows; nothing if it has nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown(Option<Arc<CertifiedKey>>);

impl Shown {
    pub(crate) fn new(chain: &[&Certificate], key: &KeyPair) -> Self {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let key = any_supported_type(&key).unwrap();
        let chain = chain.iter().map(|certificate| certificate.der().clone());
        // Whether they belong together is for the other side to find out.
        Self(Some(Arc::new(CertifiedKey::new(chain.collect(), key))))
    }

    /// A client that shows this, in this version of TLS.
    pub(crate) fn client(&self, files: &Files, version: Version, alpn: &[&str]) -> ClientConfig {
        let mut config = ClientConfig::clone(&files.client(version, alpn));
        config.client_auth_cert_resolver = Arc::new(self.clone());
        config
    }

    pub(crate) fn leaf(&self) -> &CertificateDer<'static> {
        &self.0.as_ref().unwrap().cert[0]
    }
}

impl ResolvesClientCert for Shown {
    /// Whoever is asked for: some clients show what they have to anyone.
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

/// Shows nothing, and keeps who was asked for.
#[derive(Debug, Default)]
pub(crate) struct Asked(pub(crate) Mutex<Option<Vec<Vec<u8>>>>);

impl ResolvesClientCert for Asked {
    fn resolve(&self, hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let hints = hints.iter().map(|hint| hint.to_vec()).collect();
        *self.0.lock().unwrap() = Some(hints);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// `CN=name,O=Example`, for clients.
pub(crate) fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let subject = &mut params.distinguished_name;
    subject.push(DnType::OrganizationName, "Example");
    subject.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// Vouches for clients.
pub(crate) struct Voucher {
    pub(crate) certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Voucher {
    fn params(name: &str) -> CertificateParams {
        let mut params = params(name);
        params.extended_key_usages = Vec::new();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
    }

    pub(crate) fn new(name: &str) -> Self {
        Self::with(Self::params(name))
    }

    /// Nobody believes it any more.
    pub(crate) fn expired(name: &str) -> Self {
        let mut params = Self::params(name);
        params.not_after = date_time_ymd(2020, 1, 1);
        Self::with(params)
    }

    fn with(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        Self {
            certificate,
            issuer,
        }
    }

    /// One for whom this one vouches.
    pub(crate) fn below(&self, name: &str) -> Self {
        let params = Self::params(name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let issuer = Issuer::new(params, key);
        Self {
            certificate,
            issuer,
        }
    }

    /// A certificate like this, and those that the client sends after it.
    pub(crate) fn client(&self, params: &CertificateParams, after: &[&Certificate]) -> Shown {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        Shown::new(&[&[&leaf], after].concat(), &key)
    }

    /// The same, shown by who has another key.
    fn stolen(&self, params: &CertificateParams) -> Shown {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        Shown::new(&[&leaf], &KeyPair::generate().unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", self.certificate.der())
    }
}

/// A certificate that vouches for itself, as `openssl req -x509` makes it.
fn own() -> (Certificate, Shown) {
    let mut params = params("own");
    params.extended_key_usages = Vec::new();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let shown = Shown::new(&[&certificate], &key);
    (certificate, shown)
}

/// Whom a server trusts, and everyone who may come.
pub(crate) struct World {
    pub(crate) files: Files,
    pub(crate) voucher: Voucher,
    folder: TempDir,
    /// Names, whether somebody vouches for them, and what they show.
    pub(crate) clients: Vec<(&'static str, bool, Shown)>,
    /// Whose certificate is not theirs.
    pub(crate) thief: Shown,
}

impl World {
    pub(crate) fn new() -> Self {
        let (voucher, other) = (Voucher::new("voucher"), Voucher::new("voucher"));
        let (past, below) = (Voucher::expired("past"), voucher.below("below"));
        let (own, shows_own) = own();
        let usages = |usages: &[ExtendedKeyUsagePurpose]| {
            let mut params = params("build");
            params.extended_key_usages = usages.to_vec();
            voucher.client(&params, &[])
        };
        let mut old = params("build");
        old.not_after = date_time_ymd(2020, 1, 1);
        let mut early = params("build");
        early.not_before = date_time_ymd(4000, 1, 1);
        let good = params("build");
        let between = [&below.certificate];
        let clients = vec![
            ("good", true, voucher.client(&good, &[])),
            ("without usages", true, usages(&[])),
            ("for all", true, usages(&[ExtendedKeyUsagePurpose::Any])),
            ("chain", true, below.client(&good, &between)),
            ("own", true, shows_own),
            ("half a chain", false, below.client(&good, &[])),
            (
                "for servers",
                false,
                usages(&[ExtendedKeyUsagePurpose::ServerAuth]),
            ),
            ("expired", false, voucher.client(&old, &[])),
            ("not yet valid", false, voucher.client(&early, &[])),
            ("expired voucher", false, past.client(&good, &[])),
            (
                "other voucher",
                false,
                other.client(&good, &[&other.certificate]),
            ),
            ("own, not trusted", false, self::own().1),
        ];
        let world = Self {
            files: Files::new(),
            thief: voucher.stolen(&good),
            folder: tempfile::tempdir().unwrap(),
            clients,
            voucher,
        };
        // Several in a file, and several files.
        let own = pem("CERTIFICATE", own.der());
        world.write("a.pem", &format!("{}\n{}", world.voucher.pem(), past.pem()));
        world.write("b.pem", &own);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The keys below `http.tls`.
    pub(crate) fn keys(&self, auth: &str) -> String {
        let auth = match auth {
            "" => String::new(),
            auth => format!(", clientauth: {auth}"),
        };
        let (a, b) = (self.path("a.pem"), self.path("b.pem"));
        format!("clientcas: [{a:?}, {b:?}]{auth}")
    }

    pub(crate) fn find(&self, name: &str) -> &Shown {
        let mut clients = self.clients.iter();
        let known = clients.find(|(known, _, _)| *known == name);
        &known.unwrap().2
    }

    /// One for whom somebody vouches, by this subject and these names.
    pub(crate) fn client(&self, name: &str, names: Vec<SanType>) -> Shown {
        let mut params = params(name);
        params.subject_alt_names = names;
        self.voucher.client(&params, &[])
    }
}
