//! Certificates of an authority that cannot be reached: what is kept in the folder, and what is
//! done about the rest. With an authority it is a step of `cargo xtask integration`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer as _, EcPrivateKeyRfc5915Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tempfile::TempDir;

use crate::client::{Request, parse};
use crate::https::{Authority, Https, Reply, pem};
use crate::process::{Ended, Process};
use crate::server::command;

const ONE: &str = "one.example.com";
const TWO: &str = "two.example.com";

/// Nobody is there.
const NOWHERE: &str = "https://127.0.0.1:1/directory";

/// A folder as distribution leaves it, and who vouches for what is in it.
struct Kept {
    authority: Authority,
    dir: TempDir,
}

impl Kept {
    fn new() -> Self {
        let kept = Self {
            authority: Authority::new("an authority"),
            dir: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(kept.folder()).unwrap();
        fs::set_permissions(kept.folder(), fs::Permissions::from_mode(0o700)).unwrap();
        kept
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("kept")
    }

    /// A certificate of this host, and the file that it is in.
    fn keep(&self, host: &str, file: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = self.authority.sign(&params, &key);
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, &key.serialize_der()).unwrap();
        let key: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().unwrap();
        let text = pem("EC PRIVATE KEY", key.as_ref()) + &certificate;
        self.write(file, &text);
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.folder().join(file);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn configure(&self, hosts: &str, directory: &str) -> PathBuf {
        let config = self.dir.path().join("config.yml");
        let folder = self.folder();
        let text = format!(
            "version: 0.1\nstorage: {{inmemory: }}\nhttp:\n  addr: 127.0.0.1:0\n  tls:\n    \
             letsencrypt: {{cachefile: {folder:?}, hosts: [{hosts}], directoryurl: '{directory}'}}\n"
        );
        fs::write(&config, text).unwrap();
        config
    }

    fn try_start(&self, hosts: &str, directory: &str) -> Result<Process, Ended> {
        let config = self.configure(hosts, directory);
        let mut command = command(&[]);
        command
            .env_clear()
            .env("SSL_CERT_FILE", self.authority.file());
        command
            .arg("serve")
            .arg(config)
            .current_dir(self.dir.path());
        Process::start(command)
    }

    fn start(&self, hosts: &str) -> Process {
        self.try_start(hosts, NOWHERE).unwrap()
    }

    /// Has the handshake of a client that names this host, and these protocols.
    fn connect(&self, process: &Process, host: &str, alpn: &[&str]) -> std::io::Result<Tls> {
        self.connect_with(process, host, alpn, true)
    }

    fn connect_with(
        &self,
        process: &Process,
        host: &str,
        alpn: &[&str],
        names: bool,
    ) -> std::io::Result<Tls> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.authority.roots())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.enable_sni = names;
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = process.connect();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(rustls::StreamOwned::new(connection, stream))
    }
}

type Tls = rustls::StreamOwned<ClientConnection, TcpStream>;

fn status(mut stream: Tls) -> u16 {
    let request = Request::new("GET", "/v2/");
    stream.write_all(&request.wire()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    parse(&bytes).unwrap().status
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
pub(crate) fn what_is_kept_is_served_and_the_authority_is_not_asked() {
    let kept = Kept::new();
    let directory = Https::start(&kept.authority, "127.0.0.1", Reply::status("500 No"));
    kept.keep(ONE, ONE);
    let url = format!("https://{}/directory", directory.address);
    let process = kept.try_start("One.Example.com.", &url).unwrap();
    let stream = kept.connect(&process, ONE, &[]).unwrap();
    assert_eq!(status(stream), 200);
    kept.keep(TWO, TWO);
    let process = kept.try_start(&format!("{ONE}, {TWO}"), &url).unwrap();
    for host in [ONE, TWO] {
        let stream = kept.connect(&process, host, &["http/1.1"]).unwrap();
        assert_eq!(status(stream), 200, "{host}");
    }
    assert_eq!(process.log.count("ordering"), 0);
    assert!(directory.asked().is_empty());
}

#[test]
fn only_hosts_of_the_list_have_certificates() {
    let kept = Kept::new();
    kept.keep(ONE, ONE);
    kept.keep(TWO, TWO);
    let process = kept.start(ONE);
    kept.connect(&process, ONE, &[]).unwrap();
    kept.connect(&process, TWO, &[]).unwrap_err();
    // Whoever names nobody can only mean the one that there is.
    let unnamed = |process: &Process| kept.connect_with(process, ONE, &[], false);
    unnamed(&process).unwrap();
    let process = kept.start(&format!("{ONE}, {TWO}"));
    unnamed(&process).unwrap_err();
    kept.connect(&process, TWO, &[]).unwrap();
}

#[test]
fn a_file_that_is_broken_is_told_of_and_ordered_anew() {
    let kept = Kept::new();
    kept.keep(ONE, TWO);
    let of_another = fs::read_to_string(kept.folder().join(TWO)).unwrap();
    for text in ["", "hush", of_another.as_str()] {
        kept.write(TWO, text);
        let process = kept.start(TWO);
        process.log.wait("is of no use");
        process.log.wait("no certificate was issued");
        kept.connect(&process, TWO, &[]).unwrap_err();
        process.log.wait("there is no certificate of this host yet");
        assert_eq!(process.log.count("hush") + process.log.count("PRIVATE"), 0);
    }
}

#[test]
fn what_is_made_belongs_to_its_owner_alone() {
    let kept = Kept::new();
    fs::remove_dir(kept.folder()).unwrap();
    let process = kept.start(ONE);
    let line = process.log.wait("no certificate was issued");
    assert!(line.contains("127.0.0.1:1"), "{line}");
    let account = kept.folder().join("acme_account+key");
    assert_eq!((mode(&kept.folder()), mode(&account)), (0o700, 0o600));
    let text = fs::read_to_string(&account).unwrap();
    assert!(
        text.starts_with("-----BEGIN EC PRIVATE KEY-----\n"),
        "{text}"
    );
    assert_eq!(process.log.count(text.lines().nth(1).unwrap()), 0);
}

#[test]
fn an_authority_that_wants_to_be_left_alone_is() {
    let kept = Kept::new();
    let reply = Reply::answer("503 Busy", "Retry-After: 7200\r\nContent-Length: 0\r\n");
    let directory = Https::start(&kept.authority, "127.0.0.1", reply);
    let url = format!("https://{}/directory", directory.address);
    let process = kept.try_start(ONE, &url).unwrap();
    let line = process.log.wait("no certificate was issued");
    assert!(line.contains("again_in=720"), "{line}");
    // Whoever runs the registry may know better.
    process.signal("HUP");
    crate::process::wait_for(|| (directory.asked().len() == 2).then_some(()));
}

#[test]
fn the_answer_of_another_process_is_given_to_an_authority_and_to_nobody_else() {
    let kept = Kept::new();
    kept.keep(ONE, ONE);
    let process = kept.start(&format!("{ONE}, {TWO}"));
    let challenge = ["acme-tls/1"];
    kept.connect(&process, TWO, &challenge).unwrap_err();
    kept.keep(TWO, "two.example.com+token");
    let mut stream = kept.connect(&process, TWO, &challenge).unwrap();
    assert_eq!(stream.conn.alpn_protocol(), Some(b"acme-tls/1".as_slice()));
    // There is nothing more to say.
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(rest, b"");
    kept.connect(&process, TWO, &[]).unwrap_err();
    kept.connect(&process, ONE, &challenge).unwrap_err();
    let both = ["acme-tls/1", "http/1.1"];
    assert_eq!(status(kept.connect(&process, ONE, &both).unwrap()), 200);
}

#[test]
fn a_folder_that_cannot_be_had_stops_the_start() {
    let kept = Kept::new();
    fs::remove_dir(kept.folder()).unwrap();
    fs::write(kept.folder(), "").unwrap();
    let ended = kept.try_start(ONE, NOWHERE).err().unwrap();
    let last = ended.lines.last().unwrap();
    let begins = "registry: `http.tls.letsencrypt.cachefile` (";
    assert!(last.starts_with(begins), "{last}");
    assert!(last.ends_with("a file, where a folder is wanted"), "{last}");
}

#[test]
fn a_look_makes_nothing_and_tells_what_is_kept() {
    let kept = Kept::new();
    kept.keep(ONE, ONE);
    let before: Vec<_> = fs::read_dir(kept.folder()).unwrap().collect();
    assert_eq!(before.len(), 1);
    let config = kept.configure(&format!("{ONE}, {TWO}"), NOWHERE);
    let check = || {
        let mut check = command(&[]);
        let output = check.env_clear().arg("check").arg(&config).output();
        let output = output.unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (success, told) = check();
    assert!(success, "{told}");
    for host in [ONE, TWO] {
        assert!(told.contains(host), "{told}");
    }
    assert_eq!(fs::read_dir(kept.folder()).unwrap().count(), 1);
    fs::remove_dir_all(kept.folder()).unwrap();
    fs::write(kept.folder(), "").unwrap();
    let (success, told) = check();
    assert!(!success, "{told}");
    assert!(told.contains("http.tls.letsencrypt.cachefile"), "{told}");
}
