//! TLS as a server speaks it: what it proves itself by, whom it asks to prove the same, and how.
//!
//! A connection takes the [`ServerConfig`] that counts when it begins, so that another one can take
//! its place while connections go on.

pub(crate) mod acme;
mod certificate;
mod clients;
mod expiry;
mod pair;
pub(crate) mod suites;
mod watch;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;

use registry_core::access::Certificate;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ProtocolVersion, ServerConfig, ServerConnection, SupportedProtocolVersion};

use self::acme::{Acme, AcmeError};
use self::expiry::Validity;
pub(crate) use self::expiry::shown;
use self::pair::PairError;
use self::watch::Seen;
pub(crate) use self::watch::watch;
use crate::config::{Identity, Tls as Settings, TlsVersion};

/// HTTP/2, and HTTP/1.1, by the names that ALPN has for them.
pub(crate) const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// Why TLS cannot be spoken as it is configured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// About the file of certificates.
    #[error("{}", path.display())]
    Certificate {
        path: PathBuf,
        #[source]
        source: PairError,
    },
    /// About the file of the key.
    #[error("{}", path.display())]
    Key {
        path: PathBuf,
        #[source]
        source: PairError,
    },
    /// About a file of those who vouch for clients.
    #[error("{}", path.display())]
    Clients {
        path: PathBuf,
        #[source]
        source: PairError,
    },
    /// About what an authority has issued.
    #[error("what is issued cannot be kept")]
    Acme(#[from] AcmeError),
    /// The library does not take it.
    #[error("preparing TLS")]
    Rustls(#[from] rustls::Error),
}

impl TlsError {
    /// The key of the configuration that it is about.
    pub(crate) fn key(&self) -> &'static [&'static str] {
        match self {
            Self::Certificate { .. } => &["http", "tls", "certificate"],
            Self::Key { .. } => &["http", "tls", "key"],
            Self::Clients { .. } => &["http", "tls", "clientcas"],
            Self::Acme(_) => &["http", "tls", "letsencrypt", "cachefile"],
            Self::Rustls(_) => &["http", "tls"],
        }
    }
}

/// What connections are told to speak, which may change while they do.
#[derive(Debug)]
pub(crate) struct Tls {
    settings: Settings,
    current: RwLock<Made>,
    seen: Mutex<Seen>,
    /// Who sees to it that there are certificates, if that is not up to the user.
    acme: Option<Arc<Acme>>,
}

/// What the files came to.
#[derive(Clone, Debug)]
struct Made {
    config: Arc<ServerConfig>,
    /// Of the certificate, if it is from files.
    validity: Option<Validity>,
    /// What is worth telling, and stops nothing.
    remarks: Vec<String>,
    /// Tells two contents of the files apart.
    content: String,
}

impl Tls {
    /// Reads what the settings name.
    ///
    /// # Errors
    /// [`TlsError`]: what protects is there whole, or nothing is served.
    pub(crate) fn open(settings: &Settings) -> Result<Self, TlsError> {
        let acme = match &settings.identity {
            Identity::Files { .. } => None,
            Identity::LetsEncrypt(settings) => Some(Arc::new(Acme::open(settings)?)),
        };
        let made = make(settings, acme.as_deref())?;
        Ok(Self {
            settings: settings.clone(),
            current: RwLock::new(made),
            seen: Mutex::default(),
            acme,
        })
    }

    /// What counts for a connection that begins now.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.made().config)
    }

    /// What is worth telling of the files, and stops nothing.
    pub(crate) fn remarks(&self, now: SystemTime) -> Vec<String> {
        let mut remarks = self.of_files();
        let ends = self.made().validity;
        let ends = ends.and_then(|validity| validity.remark(now));
        remarks.extend(ends.map(|remark| remark.text().to_owned()));
        remarks
    }

    /// The same without what time has to do with.
    pub(crate) fn of_files(&self) -> Vec<String> {
        self.made().remarks.clone()
    }

    /// Until when the certificate is valid; of several the first that ends, if there is one.
    pub(crate) fn until(&self) -> Option<SystemTime> {
        match &self.acme {
            Some(acme) => acme.until(),
            None => self.made().validity.map(|validity| validity.until),
        }
    }

    /// Who answers this client, if it is an authority that looks whether a host is ours.
    pub(crate) fn proves(&self, hello: &ClientHello<'_>) -> Option<&Acme> {
        let acme = self.acme.as_deref();
        acme.filter(|_| acme::is_authority(hello))
    }

    fn made(&self) -> RwLockReadGuard<'_, Made> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the certificate is from files, they are read.
fn make(settings: &Settings, acme: Option<&Acme>) -> Result<Made, TlsError> {
    let mut provider = default_provider();
    suites::keep(&mut provider, &settings.suites);
    let (resolver, pair): (Arc<dyn ResolvesServerCert>, _) = match &settings.identity {
        Identity::Files { certificate, key } => {
            let pair = pair::read(certificate, key, &provider)?;
            let resolver = SingleCertAndKey::from(pair.key.clone());
            (Arc::new(resolver), Some(pair))
        }
        Identity::LetsEncrypt(_) => (acme::for_clients(acme), None),
    };
    let clients = settings.clients.as_ref();
    let clients = clients.map(|clients| clients::read(clients, &provider));
    let (verifier, authorities) = clients.transpose()?.unzip();
    let config = Arc::new(server_config(settings, provider, resolver, verifier)?);
    let (validity, remarks, content) = match pair {
        Some(pair) => (Some(pair.validity), pair.remarks, pair.content),
        None => Default::default(),
    };
    Ok(Made {
        config,
        validity,
        remarks,
        content: content + &authorities.unwrap_or_default(),
    })
}

fn server_config(
    settings: &Settings,
    provider: CryptoProvider,
    resolver: Arc<dyn ResolvesServerCert>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions(settings.minimum))?;
    let asks = clients.is_some();
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(resolver);
    config.alpn_protocols = match settings.http2 {
        true => vec![H2.to_vec(), HTTP_1_1.to_vec()],
        false => vec![HTTP_1_1.to_vec()],
    };
    // What a client resumes by is with the client.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    match asks {
        // A ticket would vouch for a certificate that nobody looks at again.
        true => config.send_tls13_tickets = 0,
        false => config.ticketer = Ticketer::new()?,
    }
    Ok(config)
}

/// The newer first.
static VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

fn versions(minimum: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match minimum {
        TlsVersion::Tls12 => &VERSIONS,
        TlsVersion::Tls13 => &VERSIONS[..1],
    }
}

/// What a handshake has settled; an extension of each request of the connection, as
/// `Arc<TlsInfo>`, where TLS is spoken.
#[derive(Debug)]
pub(crate) struct TlsInfo {
    /// 1.2 or 1.3.
    pub(crate) version: Option<ProtocolVersion>,
    /// The protocol that both have chosen, if the client had a list.
    pub(crate) alpn: Option<Vec<u8>>,
    /// What the client has proved to be its own, where somebody vouches for that.
    pub(crate) client: Option<Arc<Certificate>>,
}

impl TlsInfo {
    pub(crate) fn of(connection: &ServerConnection, tls: &Tls) -> Self {
        let shown = connection
            .peer_certificates()
            .filter(|_| tls.settings.verifies_clients());
        let shown = shown.and_then(<[_]>::first);
        Self {
            version: connection.protocol_version(),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            client: shown.map(|leaf| Arc::new(certificate::identity(leaf))),
        }
    }

    /// Whether HTTP/2 was chosen.
    pub(crate) fn is_http2(&self) -> bool {
        self.alpn.as_deref() == Some(H2)
    }
}
