//! What is spoken and what is not, by curl and by openssl.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use super::{NAME, curl, fails, start};
use crate::digest::digest;
use crate::integration::fixture::Fixture;
use crate::server::{Server, Tls};
use crate::sh;

/// Those of TLS 1.2 that a certificate with an RSA key goes with, as OpenSSL calls them.
const SPOKEN_1_2: [&str; 3] = [
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
];

/// Those of TLS 1.3.
const SPOKEN_1_3: [&str; 3] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];

/// Without forward secrecy, without authenticated encryption, without either.
const UNSPOKEN: [&str; 4] = [
    "AES128-GCM-SHA256",
    "AES128-SHA",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-RSA-AES256-SHA",
];

pub(super) fn check(fixture: &Fixture, tls: &Tls) -> Result<()> {
    let server = start(fixture, "tls-protocol", tls)?;
    let checked = trust(fixture, &server, tls)
        .and_then(|()| versions(&server, tls))
        .and_then(|()| suites(&server));
    if checked.is_err() {
        server.print_log();
    }
    checked?;

    let mut strict = tls.clone();
    strict
        .variables
        .push(("REGISTRY_HTTP_TLS_MINIMUMTLS", "tls1.3"));
    let server = start(fixture, "tls-strict", &strict)?;
    refused(&server, &["-tls1_2"])?;
    ensure!(accepted(&server, &["-tls1_3"])?.contains("TLSv1.3"));

    let mut one = tls.clone();
    one.variables.push((
        "REGISTRY_HTTP_TLS_CIPHERSUITES",
        "[TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]",
    ));
    let server = start(fixture, "tls-suites", &one)?;
    refused(&server, &["-tls1_2", "-cipher", SPOKEN_1_2[0]])?;
    accepted(&server, &["-tls1_2", "-cipher", SPOKEN_1_2[1]]).map(|_| ())
}

/// The session of the tutorials.
fn trust(fixture: &Fixture, server: &Server, tls: &Tls) -> Result<()> {
    let (_, port) = server.address.rsplit_once(':').unwrap_or_default();
    let ca = tls.ca.display().to_string();
    let resolve = format!("{NAME}:{port}:{}", super::ADDRESS);
    for base in [
        format!("https://{}", server.address),
        format!("https://{NAME}:{port}"),
    ] {
        let ask = |trusting: &[&str], path: &str| {
            let words = [trusting, &["--resolve", &resolve, &format!("{base}{path}")]];
            curl(&words.concat())
        };
        fails("curl without --cacert", ask(&[], "/v2/"), "curl: (60)")?;
        push(fixture, &base, &["--cacert", &ca, "--resolve", &resolve])?;
        let catalog = ask(&["--cacert", &ca], "/v2/_catalog")?;
        ensure!(catalog == r#"{"repositories":["tls/image"]}"#, "{catalog}");
        let tags = ask(&["--cacert", &ca], "/v2/tls/image/tags/list")?;
        ensure!(tags == r#"{"name":"tls/image","tags":["one"]}"#, "{tags}");
        let unchecked = ask(&["--insecure"], "/v2/tls/image/tags/list")?;
        ensure!(unchecked == tags, "{unchecked}");
    }
    // As `update-ca-certificates` would make it, at the place where it puts it.
    let store = Path::new("/etc/ssl/certs/ca-certificates.crt");
    let with_ours = tls.ca.with_extension("store");
    fs::write(&with_ours, [fs::read(store)?, fs::read(&tls.ca)?].concat())?;
    let mut mount = sh::command("mount");
    sh::output(mount.arg("--bind").arg(&with_ours).arg(store))?;
    let url = format!("https://{}/v2/_catalog", server.address);
    let asked = curl(&[&url]);
    sh::output(sh::command("umount").arg(store))?;
    asked?;
    fails("curl without the store", curl(&[&url]), "curl: (60)")?;

    let plain = format!("http://{}/v2/", server.address);
    let said = curl(&["-i", &plain])?;
    ensure!(
        said.starts_with("HTTP/1.1 400 ") || said.starts_with("HTTP/1.0 400 "),
        "{said}"
    );
    ensure!(said.contains("HTTPS"), "{said}");
    Ok(())
}

/// A manifest with nothing in it, and its blob, over each version of either protocol.
fn push(fixture: &Fixture, base: &str, trusting: &[&str]) -> Result<()> {
    let folder = fixture.folder("tls-push")?;
    for (tls, http) in [
        (["--tlsv1.2", "--tls-max", "1.2"], "--http1.1"),
        (["--tlsv1.2", "--tls-max", "1.2"], "--http2"),
        (["--tlsv1.3", "--tls-max", "1.3"], "--http1.1"),
        (["--tlsv1.3", "--tls-max", "1.3"], "--http2"),
    ] {
        let curl = |words: &[&str]| curl(&[&tls[..], &[http, "-f"], trusting, words].concat());
        let blob = format!("{tls:?} {http} {base}").into_bytes();
        let digest = digest(&blob);
        let file = folder.join("blob");
        fs::write(&file, &blob)?;
        let from = format!("@{}", file.display());
        let to = format!("{base}/v2/tls/image/blobs/uploads/?digest={digest}");
        curl(&["-X", "POST", "--data-binary", &from, &to])?;
        let back = curl(&[&format!("{base}/v2/tls/image/blobs/{digest}")])?;
        ensure!(back.as_bytes() == blob, "{back}");
        let described = format!(
            r#"{{"mediaType":"application/octet-stream","digest":"{digest}","size":{}}}"#,
            blob.len()
        );
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{described},"layers":[{described}]}}"#
        );
        let to = format!("{base}/v2/tls/image/manifests/one");
        let header = format!("Content-Type: {kind}");
        curl(&["-X", "PUT", "-H", &header, "-d", &manifest, &to])?;
        let accept = format!("Accept: {kind}");
        ensure!(curl(&["-H", &accept, &to])? == manifest);
        let version = curl(&[
            "-o",
            "/dev/null",
            "-w",
            "%{http_version}",
            &to,
            "-H",
            &accept,
        ])?;
        let wanted = match http {
            "--http2" => "2",
            _ => "1.1",
        };
        ensure!(version == wanted, "{http}: {version}");
    }
    Ok(())
}

fn versions(server: &Server, tls: &Tls) -> Result<()> {
    for old in ["-tls1", "-tls1_1"] {
        // OpenSSL speaks these only when it is told that it may.
        refused(server, &[old, "-cipher", "DEFAULT@SECLEVEL=0"])?;
    }
    for (flag, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = accepted(server, &[flag])?;
        ensure!(said.contains(name), "{said}");
    }
    let verified = accepted(
        server,
        &[
            "-CAfile",
            &tls.ca.display().to_string(),
            "-verify_return_error",
        ],
    )?;
    ensure!(verified.contains("Verify return code: 0"), "{verified}");
    let negotiated = accepted(server, &["-alpn", "h2,http/1.1"])?;
    ensure!(negotiated.contains("ALPN protocol: h2"), "{negotiated}");
    let renegotiated = accepted(server, &["-tls1_2"])?;
    ensure!(
        renegotiated.contains("Secure Renegotiation IS supported")
            && renegotiated.contains("Compression: NONE"),
        "{renegotiated}"
    );
    Ok(())
}

fn suites(server: &Server) -> Result<()> {
    for suite in SPOKEN_1_2 {
        accepted(server, &["-tls1_2", "-cipher", suite])?;
    }
    for suite in SPOKEN_1_3 {
        accepted(server, &["-tls1_3", "-ciphersuites", suite])?;
    }
    for suite in UNSPOKEN {
        let cipher = format!("{suite}:@SECLEVEL=0");
        refused(server, &["-tls1_2", "-cipher", &cipher])?;
    }
    Ok(())
}

/// What a handshake says that goes well.
fn accepted(server: &Server, words: &[&str]) -> Result<String> {
    let mut client = sh::command("openssl");
    client.args(["s_client", "-connect", &server.address]);
    sh::output(client.args(words))
}

/// A handshake that the server ends.
fn refused(server: &Server, words: &[&str]) -> Result<()> {
    let what = format!("openssl s_client {}", words.join(" "));
    fails(&what, accepted(server, words), "alert")
}
