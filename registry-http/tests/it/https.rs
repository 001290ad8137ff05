//! A server of HTTPS, and the authority that vouches for it, whom nobody knows who is not told.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

/// Certifies servers.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    folder: TempDir,
}

/// A text as the files of OpenSSL are.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let text = pem("CERTIFICATE", certificate.der());
        std::fs::write(folder.path().join("ca.pem"), text).unwrap();
        let certificate = certificate.der().clone();
        let issuer = Issuer::new(params, key);
        Self {
            issuer,
            certificate,
            folder,
        }
    }

    /// The file that tells who it is, for `SSL_CERT_FILE`.
    pub(crate) fn file(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    /// What a client trusts who trusts nobody else.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }

    /// A certificate for these names and addresses, and its key, each as a file in PEM would have
    /// it.
    pub(crate) fn pair(&self, hosts: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let params = CertificateParams::new(hosts).unwrap();
        let certificate = self.sign(&params, &key);
        (certificate, pem("PRIVATE KEY", &key.serialize_der()))
    }

    /// A certificate of this key, as a file has it.
    pub(crate) fn sign(&self, params: &CertificateParams, key: &KeyPair) -> String {
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        pem("CERTIFICATE", certificate.der())
    }

    /// The same, valid in these years alone.
    pub(crate) fn pair_of(&self, years: Range<i32>) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (
            pem("CERTIFICATE", certificate.der()),
            pem("PRIVATE KEY", &key.serialize_der()),
        )
    }

    /// A certificate by an authority that this one vouches for, which comes after it; and its key.
    pub(crate) fn chain(&self) -> (String, String) {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().unwrap();
        let between = params.signed_by(&key, &self.issuer).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let own = params.signed_by(&key, &issuer).unwrap();
        let chain = [own.der(), between.der()].map(|der| pem("CERTIFICATE", der));
        (chain.concat(), pem("PRIVATE KEY", &key.serialize_der()))
    }

    /// What a server speaks that has a certificate for this host.
    pub(crate) fn certify(&self, host: &str) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }
}

/// What is done with a connection.
#[derive(Clone)]
pub(crate) enum Reply {
    /// These bytes, and its end.
    Bytes(Vec<u8>),
    /// These bytes, and nothing more.
    Stall(Vec<u8>),
    /// Not even a handshake.
    Silence,
}

impl Reply {
    pub(crate) fn status(status: &str) -> Self {
        Self::answer(status, "")
    }

    /// A status, with lines of more headers if there are any, and no body.
    pub(crate) fn answer(status: &str, headers: &str) -> Self {
        Self::Bytes(format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n").into())
    }

    pub(crate) fn body(body: &[u8]) -> Self {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        Self::Bytes([head.as_bytes(), body].concat())
    }
}

/// A server on connections of one request each.
pub(crate) struct Https {
    pub(crate) address: SocketAddr,
    told: Arc<Told>,
}

struct Told {
    tls: Arc<ServerConfig>,
    reply: Mutex<Reply>,
    asked: Mutex<Vec<Vec<String>>>,
}

impl Https {
    /// One whose certificate is for this host.
    pub(crate) fn start(authority: &Authority, host: &str, reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Told {
            tls: Arc::new(authority.certify(host)),
            reply: Mutex::new(reply),
            asked: Mutex::default(),
        });
        let serving = Arc::clone(&told);
        // It ends with the tests.
        thread::spawn(move || {
            let mut kept: Vec<Box<dyn Send>> = Vec::new();
            for stream in listener.incoming() {
                // A client that hangs up, or believes no certificate, is none of its business.
                kept.extend(stream.and_then(|stream| serving.serve(stream)).ok());
            }
        });
        Self { address, told }
    }

    pub(crate) fn replies(&self, reply: Reply) {
        *self.told.reply.lock().unwrap() = reply;
    }

    /// The lines of the head of each request.
    pub(crate) fn asked(&self) -> Vec<Vec<String>> {
        self.told.asked.lock().unwrap().clone()
    }
}

impl Told {
    /// What is not to be closed.
    fn serve(&self, stream: TcpStream) -> std::io::Result<Box<dyn Send>> {
        let reply = self.reply.lock().unwrap().clone();
        let (bytes, stalls) = match reply {
            Reply::Silence => return Ok(Box::new(stream)),
            Reply::Bytes(bytes) => (bytes, false),
            Reply::Stall(bytes) => (bytes, true),
        };
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_write_timeout(Some(Duration::from_secs(60)))?;
        let tls = ServerConnection::new(Arc::clone(&self.tls)).unwrap();
        let mut stream = StreamOwned::new(tls, stream);
        let mut head = Vec::new();
        for line in BufReader::new(&mut stream).lines() {
            match line? {
                line if line.is_empty() => break,
                line => head.push(line),
            }
        }
        self.asked.lock().unwrap().push(head);
        stream.write_all(&bytes)?;
        stream.flush()?;
        if stalls {
            return Ok(Box::new(stream));
        }
        stream.conn.send_close_notify();
        stream.flush()?;
        Ok(Box::new(()))
    }
}
