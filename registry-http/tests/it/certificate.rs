//! `registry certificate`: what it makes is believed by the clients it is made for.

mod openssl;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use serde_json::Value;
use tempfile::TempDir;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode as _;

use crate::server::command;

const DAY: u64 = 24 * 60 * 60;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.at(name)).unwrap()
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.at(name)).unwrap().mode() & 0o7777
    }

    /// What is there, by name.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_as(&[], arguments)
    }

    fn run_as(&self, through: &[&str], arguments: &[&str]) -> Output {
        let mut command = command(through);
        command.arg("certificate").args(arguments);
        command.current_dir(self.0.path()).output().unwrap()
    }

    /// What it prints.
    #[track_caller]
    fn make(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        assert_eq!(output.stderr, b"");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it says while it makes nothing.
    #[track_caller]
    fn refuses(&self, arguments: &[&str]) -> String {
        let before = self.names();
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
        assert_eq!(self.names(), before, "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn certificate(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.at(name)).unwrap()
    }

    /// Since 1970, from and until when it is valid.
    fn validity(&self, name: &str) -> (u64, u64) {
        let parsed = CertificateInner::<Raw>::from_der(&self.certificate(name)).unwrap();
        let validity = parsed.tbs_certificate().validity();
        let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
        (seconds(validity.not_before), seconds(validity.not_after))
    }

    /// As rustls and its like verify: whether a server at `host` is believed by who trusts this.
    fn is_believed(&self, leaf: &str, trust: &str, host: &str) -> bool {
        let (leaf, trust) = (self.certificate(leaf), self.certificate(trust));
        let anchor = anchor_from_trusted_cert(&trust).unwrap();
        let leaf = EndEntityCert::try_from(&leaf).unwrap();
        let server = ServerName::try_from(host).unwrap();
        leaf.verify_for_usage(
            ALL_VERIFICATION_ALGS,
            &[anchor],
            &[],
            UnixTime::now(),
            KeyUsage::server_auth(),
            None,
            None,
        )
        .is_ok()
            && leaf.verify_is_valid_for_subject_name(&server).is_ok()
    }
}

const HOSTS: [&str; 8] = [
    "--host",
    "Registry.Example:5000",
    "--host=*.mirror.example",
    "--host=10.1.2.3:5000",
    "--host=[fd00::1]:5000",
    "--host=::1",
    "--host=registry.example",
    "--host=registry.example:5000",
];

pub(crate) fn one_that_signs_itself_is_believed_by_who_trusts_it() {
    for more in [&[][..], &["--rsa"]] {
        let folder = Folder::new();
        folder.make(&[&HOSTS, more].concat());
        assert_eq!(folder.names(), ["registry.crt", "registry.key"]);
        for host in [
            "registry.example",
            "a.mirror.example",
            "10.1.2.3",
            "fd00::1",
            "::1",
        ] {
            let believed = folder.is_believed("registry.crt", "registry.crt", host);
            assert!(believed, "{host} {more:?}");
        }
        for host in ["mirror.example", "a.b.mirror.example", "10.1.2.4", "other"] {
            let believed = folder.is_believed("registry.crt", "registry.crt", host);
            assert!(!believed, "{host} {more:?}");
        }
        let key = PrivateKeyDer::from_pem_file(folder.at("registry.key")).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let certificate = vec![folder.certificate("registry.crt")];
        rustls::sign::CertifiedKey::from_der(certificate, key, &provider)
            .unwrap()
            .keys_match()
            .unwrap();
    }
}

#[test]
fn an_authority_is_made_once_and_signs_what_comes_later() {
    let folder = Folder::new();
    let text = folder.make(&["--host", "registry.example:5000", "--ca"]);
    let all = ["ca.crt", "ca.key", "registry.crt", "registry.key"];
    assert_eq!(folder.names(), all);
    assert!(text.contains("/ca.crt /etc/docker/certs.d/registry.example:5000/ca.crt\n"));
    assert!(folder.is_believed("registry.crt", "ca.crt", "registry.example"));
    let authority = [folder.bytes("ca.crt"), folder.bytes("ca.key")];

    let more = ["--host", "mirror", "--ca", "--name", "mirror"];
    let text = folder.make(&more);
    assert!(!text.contains("wrote ca."), "{text}");
    folder.make(&["--host", "new.example", "--ca", "--force"]);
    assert_eq!([folder.bytes("ca.crt"), folder.bytes("ca.key")], authority);
    assert!(folder.is_believed("mirror.crt", "ca.crt", "mirror"));
    assert!(folder.is_believed("registry.crt", "ca.crt", "new.example"));
    assert!(!folder.is_believed("registry.crt", "mirror.crt", "new.example"));

    let other = Folder::new();
    other.make(&["--host", "registry.example", "--ca"]);
    fs::copy(other.at("ca.crt"), folder.at("other.crt")).unwrap();
    assert!(!folder.is_believed("registry.crt", "other.crt", "new.example"));
}

#[test]
fn modes_do_not_hang_on_the_umask() {
    for umask in ["umask 0", "umask 777", "umask 027"] {
        let folder = Folder::new();
        let line = format!("{umask}; exec \"$0\" \"$@\"");
        let output = folder.run_as(&["sh", "-c", &line], &["--host", "a", "--ca"]);
        assert!(output.status.success(), "{umask}: {output:?}");
        for (name, mode) in [
            ("ca.crt", 0o644),
            ("ca.key", 0o600),
            ("registry.crt", 0o644),
            ("registry.key", 0o600),
        ] {
            assert_eq!(folder.mode(name), mode, "{umask}: {name}");
        }
    }
}

#[test]
fn what_is_there_stays_unless_it_is_to_be_replaced() {
    let folder = Folder::new();
    folder.make(&["--host", "a"]);
    let before = [folder.bytes("registry.crt"), folder.bytes("registry.key")];
    let said = folder.refuses(&["--host", "b"]);
    assert!(said.contains("registry.crt is there already"), "{said}");
    fs::remove_file(folder.at("registry.crt")).unwrap();
    let said = folder.refuses(&["--host", "b"]);
    assert!(said.contains("registry.key is there already"), "{said}");
    assert_eq!(folder.bytes("registry.key"), before[1]);
    symlink("nowhere", folder.at("registry.crt")).unwrap();
    let said = folder.refuses(&["--host", "b"]);
    assert!(said.contains("registry.crt is there already"), "{said}");

    fs::write(folder.at("registry.key"), "a key").unwrap();
    folder.make(&["--host", "b", "--force"]);
    assert_eq!(folder.names(), ["registry.crt", "registry.key"]);
    assert_eq!(folder.mode("registry.key"), 0o600);
    assert!(folder.is_believed("registry.crt", "registry.crt", "b"));
    assert_ne!(folder.bytes("registry.key"), before[1]);
}

#[test]
fn half_an_authority_and_one_that_cannot_sign_are_refused() {
    let arguments = ["--host", "a", "--ca", "--force"];
    let folder = Folder::new();
    folder.make(&["--host", "a", "--ca"]);
    let (crt, key) = (folder.bytes("ca.crt"), folder.bytes("ca.key"));
    let leaf = folder.bytes("registry.crt");
    let expect = |crt: Option<&[u8]>, key: Option<&[u8]>, why: &str| {
        for (name, text) in [("ca.crt", crt), ("ca.key", key)] {
            match text {
                Some(text) => fs::write(folder.at(name), text).unwrap(),
                None => fs::remove_file(folder.at(name)).unwrap(),
            }
        }
        let said = folder.refuses(&arguments);
        assert!(said.contains(why), "{said}");
        assert_eq!(folder.bytes("registry.crt"), leaf);
    };
    let other = Folder::new();
    other.make(&["--host", "a", "--ca"]);
    let (other_key, other_leaf) = (other.bytes("ca.key"), other.bytes("registry.crt"));
    let of_leaf = other.bytes("registry.key");
    expect(Some(&crt), Some(b"junk"), "has no key in PEM");
    expect(Some(b"junk"), Some(&key), "has no certificate in PEM");
    expect(Some(&crt), Some(&other_key), "it is for another key");
    expect(
        Some(&other_leaf),
        Some(&of_leaf),
        "not that of an authority",
    );
    expect(Some(&crt), None, "ca.crt is there, but not");
    fs::write(folder.at("ca.key"), &key).unwrap();
    expect(None, Some(&key), "ca.key is there, but not");
}

#[test]
fn what_cannot_be_made_is_told_and_leaves_nothing() {
    let folder = Folder::new();
    fs::write(folder.at("file"), "").unwrap();
    let table: [(&[&str], &str); 16] = [
        (&[], "--host"),
        (&["--host"], "--host"),
        (&["--host", ""], "it is empty"),
        (&["--host", "https://registry.example"], "a URL"),
        (&["--host", "bücher.example"], "xn--"),
        (&["--host", "[::1"], "not an address"),
        (&["--host", "*.example"], "two more behind it"),
        (&["--host", "a", "--host", "b:0"], "1 to 65535"),
        (&["--host", "a", "--days", "0"], "1..=825"),
        (&["--host", "a", "--days", "826"], "1..=825"),
        (&["--host", "a", "--days", "-1"], "-1"),
        (&["--host", "a", "--name", "ca"], "authority"),
        (&["--host", "a", "--name", "../a"], "--out names the folder"),
        (&["--host", "a", "--out", "file"], "file"),
        (&["--host", "a", "--out", "/proc/none"], "/proc/none"),
        (&["--host", "a", "--out", "file/in"], "file/in"),
    ];
    for (arguments, why) in table {
        let said = folder.refuses(arguments);
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
}

#[test]
fn a_certificate_is_valid_for_as_many_days_and_no_longer_than_its_authority() {
    let folder = Folder::new();
    let now = UnixTime::now().as_secs();
    folder.make(&["--host", "a", "--ca"]);
    let (from, until) = folder.validity("registry.crt");
    assert_eq!(until - from, 825 * DAY);
    assert!(from < now && until > now + 824 * DAY);
    let (_, until) = folder.validity("ca.crt");
    assert!(until > now + 3649 * DAY);
    folder.make(&["--host", "a", "--force", "--days", "1"]);
    let (from, until) = folder.validity("registry.crt");
    assert_eq!(until - from, DAY);
}

#[test]
fn three_hundred_hosts_fit_and_ten_thousand_do_not() {
    let folder = Folder::new();
    let hosts = |count: u32| {
        let hosts = (0..count).map(|number| format!("--host=host-{number}.example:5000"));
        hosts.collect::<Vec<_>>()
    };
    let many = hosts(300);
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let text = folder.make(&many);
    assert!(folder.is_believed("registry.crt", "registry.crt", "host-299.example"));
    assert!(text.contains("and so for 297 more hosts"), "{text}");
    let most = hosts(10_000);
    let most: Vec<_> = most.iter().map(String::as_str).collect();
    let said = folder.refuses(&[&most[..], &["--name", "other"]].concat());
    assert!(said.contains("so many names"), "{said}");
}

#[test]
fn each_client_is_told_of_the_certificate_where_it_looks() {
    let folder = Folder::new();
    let root = fs::canonicalize(folder.0.path()).unwrap();
    let arguments = ["--host=a.example:5000", "--host=[::1]:5001", "--out=tls/x"];
    let text = folder.make(&arguments);
    let certificate = root.join("tls/x/registry.crt").display().to_string();
    for line in [
        format!("wrote {certificate}"),
        format!("certificate: {certificate}"),
        format!("REGISTRY_HTTP_TLS_CERTIFICATE={certificate}"),
        format!("{certificate} /etc/docker/certs.d/a.example:5000/ca.crt"),
        format!("{certificate} /etc/containers/certs.d/[::1]:5001/ca.crt"),
        "in /etc/containerd/certs.d/a.example:5000/hosts.toml:".to_owned(),
        "server = \"https://a.example:5000\"".to_owned(),
        "[host.\"https://[::1]:5001\"]".to_owned(),
        format!("ca = \"{certificate}\""),
        "update-ca-certificates".to_owned(),
        "update-ca-trust".to_owned(),
    ] {
        assert!(
            text.lines().any(|all| all.contains(&line)),
            "{line}: {text}"
        );
    }
    assert!(!text.contains("a port other than 443"), "{text}");

    let text = folder.make(&["--host=*.a.example", "--out=it's tls"]);
    let quoted = format!("'{}/it'\\''s tls/registry.crt'", root.display());
    let docker = "/etc/docker/certs.d/NAME.a.example/ca.crt";
    let line = format!("    install -D -m 644 {quoted} {docker}");
    assert!(text.lines().any(|all| all == line), "{line}: {text}");
    let yaml = format!("certificate: '{}/it''s tls/registry.crt'", root.display());
    assert!(text.contains(&yaml), "{text}");
    assert!(text.contains("NAME is each name"), "{text}");
    assert!(text.contains("a port other than 443"), "{text}");

    let text = folder.make(&["--host=a", "--ca", "--json"]);
    let made: Value = serde_json::from_str(&text).unwrap();
    let at = |name: &str| root.join(name).display().to_string();
    assert_eq!(made["certificate"], at("registry.crt"));
    assert_eq!(made["key"], at("registry.key"));
    assert_eq!(made["trust"], at("ca.crt"));
    assert_eq!(made["wrote"].as_array().unwrap().len(), 4);
    assert_eq!(made["hosts"][0]["docker"], "/etc/docker/certs.d/a/ca.crt");
    let digest = crate::server::sha256(&folder.certificate("registry.crt"));
    assert_eq!(
        format!("sha256:{}", made["sha256"].as_str().unwrap()),
        digest
    );
    let until: jiff::Timestamp = made["until"].as_str().unwrap().parse().unwrap();
    let until = Duration::from_secs(u64::try_from(until.as_second()).unwrap());
    assert_eq!(until.as_secs(), folder.validity("registry.crt").1);
}
