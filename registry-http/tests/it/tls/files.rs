//! Certificates and keys in files, in every form that they come in.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::server::command;

/// What OpenSSL says, on both outputs, and whether that went well.
fn openssl(folder: &Path, arguments: &str, input: &[u8]) -> Option<(bool, String)> {
    let started = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        started => started.unwrap(),
    };
    // It may have no use for it.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Some((output.status.success(), said))
}

/// Past the harness, which would keep it to itself.
fn skip(what: &str) {
    let ci = std::env::var("CI").unwrap_or_default();
    assert!(ci.is_empty() || ci == "false", "{what}: openssl is missing");
    let _ = writeln!(std::io::stderr(), "SKIP {what}: openssl is not installed");
}

/// As tutorials make them: such a certificate is an authority, too.
const SELF_SIGNED: &str = "req -x509 -new -key server.key -out server.crt -days 365 \
                           -subj /CN=localhost -addext subjectAltName=DNS:localhost";

#[test]
fn keys_and_certificates_of_openssl_are_served_to_openssl() {
    for make in [
        // PKCS#1, PKCS#8, SEC1 with what the curve is before it, and without.
        "genrsa -traditional -out server.key 2048",
        "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out server.key",
        "ecparam -name prime256v1 -genkey -out server.key",
        "ecparam -name secp384r1 -genkey -noout -out server.key",
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out server.key",
        "genpkey -algorithm ED25519 -out server.key",
    ] {
        let files = Files::new();
        let run = |arguments: &str, input: &[u8]| openssl(files.folder(), arguments, input);
        let Some((true, _)) = run(make, b"") else {
            return skip("keys and certificates of openssl");
        };
        assert!(run(SELF_SIGNED, b"").unwrap().0, "{make}");
        let server = files.start("", "", "");
        let port = server.address.port();
        for version in ["-tls1_2", "-tls1_3"] {
            let client = format!(
                "s_client -quiet -verify_return_error -CAfile server.crt -verify_hostname \
                 localhost -connect 127.0.0.1:{port} {version} -ign_eof"
            );
            let (well, said) = run(&client, &Request::new("GET", "/v2/").wire()).unwrap();
            assert!(well && said.contains("HTTP/1.1 200 OK"), "{make}: {said}");
        }
    }
}

#[test]
pub(crate) fn a_chain_is_served_whole() {
    let files = Files::new();
    let (chain, key) = files.authority.chain();
    files.write(&chain, &key);
    let server = files.start("", "", "");
    let stream = connect(&server, files.client(Version::Tls13, &[])).unwrap();
    assert_eq!(stream.conn.peer_certificates().unwrap().len(), 2);
}

/// What `registry check` says, and how it ends.
fn check(files: &Files) -> (Option<i32>, String) {
    let config = files.folder().join("c.yml");
    let text = format!(
        "version: 0.1\nstorage: {{inmemory: }}\n{}",
        files.section("", "")
    );
    fs::write(&config, text).unwrap();
    let mut check = command(&[]);
    check.arg("check").arg(config).env_clear();
    check.env("REGISTRY_HTTP_ADDR", "127.0.0.1:0");
    let output = check.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
pub(crate) fn what_is_wrong_with_a_file_is_told_with_its_name() {
    let files = Files::new();
    let (certificate, key) = files.authority.pair(&["localhost"]);
    let (other, _) = files.authority.pair(&["localhost"]);
    let swapped = format!("{other}{certificate}");
    let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let old = key.replace("KEY-----\nM", "KEY-----\nProc-Type: 4,ENCRYPTED\n\nM");
    let torn = certificate.replace("-----END", "--END");
    let nonsense = crate::https::pem("CERTIFICATE", b"nonsense");
    let unknown = crate::https::pem("PRIVATE KEY", b"nonsense");
    let table = [
        ("", &*key, "certificate", "it is empty"),
        (&certificate, "", "key", "it is empty"),
        (
            &key,
            &certificate,
            "certificate",
            "no certificate, which begins with -----BEGIN CERTIFICATE-----: it has a key, as if the two files had changed places",
        ),
        (
            &certificate,
            &certificate,
            "key",
            "no private key, which begins with -----BEGIN PRIVATE KEY-----: it has a certificate, as if",
        ),
        (
            "0\x20\x20",
            &key,
            "certificate",
            "it is no PEM; if it is DER, `openssl x509 -inform DER -in OLD -out NEW`",
        ),
        (
            &certificate,
            "0\x20\x20",
            "key",
            "it is no PEM; if it is DER, `openssl pkey -inform DER",
        ),
        (&torn, &key, "certificate", "its PEM is broken: "),
        (
            &nonsense,
            &key,
            "certificate",
            "its certificate number 1 is none",
        ),
        (
            &certificate,
            &unknown,
            "key",
            "its key is none that is known: RSA from 2048 bits, ",
        ),
        (
            &certificate,
            &encrypted,
            "key",
            "it is encrypted, and nobody is there to type the password: `openssl pkey -in",
        ),
        (&certificate, &old, "key", "is encrypted"),
        (
            &other,
            &key,
            "key",
            "it is not the key of the certificate in ",
        ),
        (
            &swapped,
            &key,
            "key",
            "it is the key of certificate number 2 in ",
        ),
    ];
    for (certificate, key, named, says) in table {
        files.write(certificate, key);
        let file = match named {
            "key" => files.key(),
            _ => files.certificate(),
        };
        let (code, said) = check(&files);
        let says = says.replace("it is encrypted", "its key is encrypted");
        assert!(code == Some(1) && said.contains(&says), "{says:?}: {said}");
        let start = format!("registry: `http.tls.{named}` (");
        let line = said.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("{start}: {said}"));
        assert!(line.contains(&format!("): {}: ", file.display())), "{line}");
    }
    fs::remove_file(files.key()).unwrap();
    assert!(
        check(&files)
            .1
            .contains("server.key: reading it: No such file")
    );
    fs::create_dir(files.key()).unwrap();
    assert!(
        check(&files)
            .1
            .contains("server.key: it is not a regular file")
    );
}

/// As a secret that went through a variable: its lines are lost, and the whole key is one.
#[test]
fn nothing_of_a_broken_key_is_told() {
    let files = Files::new();
    let (certificate, key) = files.authority.pair(&["localhost"]);
    let inside = &key[60..80];
    let line = key.replace('\n', " ");
    let unclosed = key.replacen("KEY-----\n", "KEY----", 1);
    for (certificate, key) in [
        (&certificate, &line),
        (&certificate, &unclosed),
        (&line, &key),
    ] {
        files.write(certificate, key);
        let (code, said) = check(&files);
        assert!(
            code == Some(1) && said.contains("its PEM is broken: "),
            "{said}"
        );
        let bytes = format!("{:?}", inside.as_bytes());
        let bytes = bytes.trim_matches(['[', ']']);
        assert!(!said.contains(inside) && !said.contains(bytes), "{said}");
    }
}

#[test]
pub(crate) fn what_clients_refuse_is_served_and_told() {
    let files = Files::new();
    let (certificate, key) = files.authority.pair_of(2001..2002);
    files.write(&certificate, &key);
    fs::set_permissions(files.key(), PermissionsExt::from_mode(0o644)).unwrap();
    let (code, said) = check(&files);
    assert_eq!(code, Some(0), "{said}");
    let readable = format!(
        "everyone on this machine may read the key {}",
        files.key().display()
    );
    let expired = "the certificate has expired at 2002-01-01T00:00:00Z, and clients refuse it";
    let shown = "the certificate expires at 2002-01-01T00:00:00Z";
    for says in [&*readable, expired, shown] {
        assert!(said.contains(says), "{says}: {said}");
    }
    let server = files.start("", "", "");
    server.process.log.wait(expired);
    let error = connect(&server, files.client(Version::Tls13, &[])).unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
}

/// As tutorials of old make them, with a name in `CN` alone.
#[test]
fn a_certificate_without_alternative_names_is_served_and_told() {
    let files = Files::new();
    let says = "has no alternative names, and clients refuse it";
    for (hosts, is_told) in [(&[][..], true), (&["localhost"], false)] {
        let (certificate, key) = files.authority.pair(hosts);
        files.write(&certificate, &key);
        let (code, said) = check(&files);
        assert_eq!((code, said.contains(says)), (Some(0), is_told), "{said}");
    }
}
