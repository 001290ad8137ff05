//! Tokens as people made them for years: an RSA key and a certificate by openssl, the key called as
//! libtrust would, or by its certificate. openssl is mandatory in CI.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use auth_token::TokenAuth;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::given::{config, is_believed, true_ambient};

fn openssl(folder: &Path, arguments: &str, input: &[u8]) -> Option<Vec<u8>> {
    let started = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match started {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        started => started.unwrap(),
    };
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments}");
    Some(output.stdout)
}

/// Past the harness, which would keep it to itself.
fn skip(what: &str) {
    let ci = std::env::var("CI").unwrap_or_default();
    assert!(ci.is_empty() || ci == "false", "{what}: openssl is missing");
    let _ = writeln!(std::io::stderr(), "SKIP {what}: openssl is not installed");
}

/// Groups of four of the base32 of 30 bytes of the hash of the public key.
fn libtrust(public: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, public);
    let bits: Vec<u8> = hash.as_ref()[..30]
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
        .collect();
    let letters: Vec<char> = bits
        .chunks(5)
        .map(|five| five.iter().fold(0, |all, bit| all << 1 | usize::from(*bit)))
        .map(|at| char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[at]))
        .collect();
    let groups: Vec<String> = letters
        .chunks(4)
        .map(|four| four.iter().collect())
        .collect();
    groups.join(":")
}

#[tokio::test]
async fn a_token_by_an_rsa_key_and_its_certificate_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &str, input: &[u8]| openssl(folder.path(), arguments, input);
    let made = run(
        "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out root.crt -days 36500 -subj /CN=auth",
        b"",
    );
    if made.is_none() {
        return skip("tokens made by openssl");
    }
    let mut config = config();
    config.roots = Some(folder.path().join("root.crt"));
    let auth = TokenAuth::open(config, true_ambient()).unwrap();

    let public = run("pkey -in key.pem -pubout -outform DER", b"").unwrap();
    let now = (true_ambient().now)().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap().as_secs();
    let claims = json!({
        "iss": "issuer", "sub": "alice", "aud": "service", "access": [],
        "exp": now + 300, "nbf": now, "iat": now, "jti": "1",
    });
    let sign = |header: &Value| {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(&claims));
        let signature = run("dgst -sha256 -sign key.pem -binary", signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let named = json!({"typ": "JWT", "alg": "RS256", "kid": libtrust(&public)});
    assert!(is_believed(&auth, &sign(&named)).await);
    let other = json!({"typ": "JWT", "alg": "RS256", "kid": libtrust(b"other")});
    assert!(!is_believed(&auth, &sign(&other)).await);
    let der = run("x509 -in root.crt -outform DER", b"").unwrap();
    fs::write(folder.path().join("root.der"), &der).unwrap();
    let certified = json!({"typ": "JWT", "alg": "RS256", "x5c": [STANDARD.encode(&der)]});
    assert!(is_believed(&auth, &sign(&certified)).await);
}
