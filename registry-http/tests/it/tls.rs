//! The API over TLS, from the real binary.

pub(crate) mod files;
pub(crate) mod reload;
mod secrets;
pub(crate) mod stalled;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ClientConfig, ClientConnection, ProtocolVersion, StreamOwned};
use tempfile::TempDir;

use crate::client::{Answer, Request, exchange, parse};
use crate::https::Authority;
use crate::server::{Server, Setup};

/// Files that a server proves itself by, and who vouches for them.
pub(crate) struct Files {
    pub(crate) authority: Authority,
    folder: TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        let files = Self {
            authority: Authority::new("an authority"),
            folder: tempfile::tempdir().unwrap(),
        };
        let (certificate, key) = files.authority.pair(&["localhost", "127.0.0.1"]);
        files.write(&certificate, &key);
        files
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, certificate: &str, key: &str) {
        std::fs::write(self.certificate(), certificate).unwrap();
        std::fs::write(self.key(), key).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(self.key(), mode).unwrap();
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("server.crt")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("server.key")
    }

    /// The section of the configuration, with more keys of `http` and of `http.tls`.
    pub(crate) fn section(&self, http: &str, tls: &str) -> String {
        let (certificate, key) = (self.certificate(), self.key());
        format!("http: {{{http}tls: {{certificate: {certificate:?}, key: {key:?}, {tls}}}}}\n")
    }

    pub(crate) fn start(&self, http: &str, tls: &str, more: &str) -> Server {
        let setup = Setup {
            more: &format!("{}{more}", self.section(http, tls)),
            ..Setup::default()
        };
        Server::with("inmemory", setup)
    }

    /// A client that offers these protocols in this version of TLS.
    pub(crate) fn client(&self, version: Version, alpn: &[&str]) -> Arc<ClientConfig> {
        let versions = match version {
            Version::Tls12 => [&TLS12],
            Version::Tls13 => [&TLS13],
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&versions)
            .unwrap()
            .with_root_certificates(self.authority.roots())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Version {
    Tls12,
    Tls13,
}

pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A connection that has had its handshake, or why not.
pub(crate) fn connect(server: &Server, config: Arc<ClientConfig>) -> std::io::Result<Stream> {
    shake(TcpStream::connect(server.address)?, config)
}

/// The same on one on which something was said already.
pub(crate) fn shake(mut stream: TcpStream, config: Arc<ClientConfig>) -> std::io::Result<Stream> {
    let limit = Some(Duration::from_secs(60));
    stream.set_read_timeout(limit)?;
    stream.set_write_timeout(limit)?;
    // Or a request waits until the end of the handshake was acknowledged, which takes its time.
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(config, name).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

pub(crate) fn send(stream: &mut Stream, request: &Request) -> Answer {
    stream.write_all(&request.wire()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    parse(&bytes).unwrap_or_else(|| panic!("no answer: {bytes:?}"))
}

#[test]
pub(crate) fn http_1_is_spoken_over_both_versions_of_tls() {
    let files = Files::new();
    let server = files.start("", "", "");
    for (version, spoken) in [
        (Version::Tls12, ProtocolVersion::TLSv1_2),
        (Version::Tls13, ProtocolVersion::TLSv1_3),
    ] {
        for alpn in [&[] as &[&str], &["http/1.1"]] {
            let mut stream = connect(&server, files.client(version, alpn)).unwrap();
            assert_eq!(stream.conn.protocol_version(), Some(spoken));
            let answer = send(&mut stream, &Request::new("GET", "/v2/"));
            assert_eq!(answer.status, 200);
        }
    }
}

#[test]
pub(crate) fn http_without_tls_is_told_what_is_wrong() {
    let server = Files::new().start("", "", "");
    let post = Request::new("POST", "/v2/a/blobs/uploads/").body(&vec![7; 1 << 20]);
    for request in [Request::new("GET", "/v2/"), post] {
        let answer = exchange(server.address, &request.wire());
        let answer = parse(&answer).unwrap_or_else(|| panic!("{answer:?}"));
        answer.expect(400, "UNSUPPORTED");
        let message = answer.json()["errors"][0]["message"].clone();
        assert_eq!(message, "Client sent an HTTP request to an HTTPS server.");
    }
    // Neither is what it looks like.
    assert_eq!(exchange(server.address, b"\0\0"), b"");
}

#[test]
pub(crate) fn a_version_below_the_oldest_that_was_asked_for_is_not_spoken() {
    let files = Files::new();
    let server = files.start("", "minimumtls: tls1.3", "");
    let error = connect(&server, files.client(Version::Tls12, &[])).unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    connect(&server, files.client(Version::Tls13, &[])).unwrap();
}

#[test]
pub(crate) fn urls_begin_as_the_connection_did() {
    let files = Files::new();
    let server = files.start("relativeurls: false, ", "", "");
    let mut stream = connect(&server, files.client(Version::Tls13, &[])).unwrap();
    let answer = send(&mut stream, &Request::new("POST", "/v2/a/blobs/uploads/"));
    let told = answer.header("location");
    assert!(
        told.starts_with("https://registry/v2/a/blobs/uploads/"),
        "{told}"
    );
}

#[test]
pub(crate) fn suites_are_those_of_the_list() {
    let files = Files::new();
    let spoken = |server: &Server, version| {
        let stream = connect(server, files.client(version, &[])).ok()?;
        stream
            .conn
            .negotiated_cipher_suite()
            .map(|suite| suite.suite())
    };
    let (old, new) = (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    );
    let names = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_CHACHA20_POLY1305_SHA256";
    let server = files.start("", &format!("ciphersuites: [{names}]"), "");
    assert_eq!(spoken(&server, Version::Tls12), Some(old));
    assert_eq!(spoken(&server, Version::Tls13), Some(new));
    let server = files.start("", "ciphersuites: [TLS_CHACHA20_POLY1305_SHA256]", "");
    assert_eq!(spoken(&server, Version::Tls12), None);
    assert_eq!(spoken(&server, Version::Tls13), Some(new));
}

#[test]
pub(crate) fn http_2_is_offered_unless_it_is_disabled() {
    let files = Files::new();
    let chosen = |server: &Server, alpn: &[&str]| {
        let stream = connect(server, files.client(Version::Tls13, alpn)).unwrap();
        let chosen = stream.conn.alpn_protocol().unwrap_or_default();
        String::from_utf8(chosen.to_vec()).unwrap()
    };
    let server = files.start("", "", "");
    assert_eq!(chosen(&server, &["h2", "http/1.1"]), "h2");
    assert_eq!(chosen(&server, &["http/1.1"]), "http/1.1");
    assert_eq!(chosen(&server, &[]), "");
    let server = files.start("http2: {disabled: true}, ", "", "");
    assert_eq!(chosen(&server, &["h2", "http/1.1"]), "http/1.1");
}
