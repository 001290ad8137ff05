//! Certificates that change while the server serves.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::*;
use crate::process::wait_for;

/// The first certificate of a text.
fn first(text: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(text.as_bytes()).unwrap()
}

/// What a connection of now is shown.
fn shown(server: &Server, files: &Files) -> CertificateDer<'static> {
    let stream = connect(server, files.client(Version::Tls13, &[])).unwrap();
    stream.conn.peer_certificates().unwrap()[0].clone()
}

fn wait_until_shown(server: &Server, files: &Files, text: &str) {
    let wanted = first(text);
    wait_for(|| (shown(server, files) == wanted).then_some(()));
}

/// A request on a connection that goes on; its status.
fn ask(stream: &mut Stream) -> u16 {
    stream
        .write_all(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n{}") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    parse(&answer).unwrap().status
}

/// Whatever fails, those who load the server are to end.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
pub(crate) fn another_pair_counts_for_new_connections_and_cuts_no_other() {
    let files = Files::new();
    let server = files.start("", "", "");
    let mut old = connect(&server, files.client(Version::Tls13, &[])).unwrap();
    assert_eq!(ask(&mut old), 200);
    let (certificate, key) = files.authority.pair(&["localhost"]);
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let load: Vec<_> = [Version::Tls12, Version::Tls13]
            .map(|version| {
                let (files, server, stop, asked) = (&files, &server, &stop, &asked);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let mut stream = connect(server, files.client(version, &[])).unwrap();
                        assert_eq!(ask(&mut stream), 200);
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .into();
        let stopping = Stop(&stop);
        wait_for(|| (asked.load(Ordering::Relaxed) > 0).then_some(()));
        files.write(&certificate, &key);
        wait_until_shown(&server, &files, &certificate);
        let then = asked.load(Ordering::Relaxed);
        wait_for(|| (asked.load(Ordering::Relaxed) > then + 4).then_some(()));
        drop(stopping);
        for one in load {
            one.join().unwrap();
        }
    });
    assert_eq!(ask(&mut old), 200);
    server
        .process
        .log
        .wait("read the certificate of `http.tls` and its key again");
}

#[test]
pub(crate) fn a_link_that_points_elsewhere_is_a_change() {
    let files = Files::new();
    // As Kubernetes mounts secrets: each file a link through a folder that is one.
    let at = |path: &str| files.folder().join(path);
    let put = |folder: &str, (certificate, key): &(String, String)| {
        fs::create_dir(at(folder)).unwrap();
        fs::write(at(folder).join("server.crt"), certificate).unwrap();
        fs::write(at(folder).join("server.key"), key).unwrap();
    };
    let pairs = [0, 1].map(|_| files.authority.pair(&["localhost"]));
    put("first", &pairs[0]);
    put("second", &pairs[1]);
    symlink("first", at("data")).unwrap();
    for name in ["server.crt", "server.key"] {
        fs::remove_file(at(name)).unwrap();
        symlink(format!("data/{name}"), at(name)).unwrap();
    }
    let server = files.start("", "", "");
    assert_eq!(shown(&server, &files), first(&pairs[0].0));
    symlink("second", at("new")).unwrap();
    fs::rename(at("new"), at("data")).unwrap();
    wait_until_shown(&server, &files, &pairs[1].0);
}

#[test]
pub(crate) fn what_cannot_be_used_leaves_the_old_until_it_can() {
    let files = Files::new();
    let server = files.start("", "", "");
    let before = shown(&server, &files);
    let (certificate, key) = files.authority.pair(&["localhost"]);
    // The key comes a long time after the certificate.
    fs::write(files.certificate(), &certificate).unwrap();
    let line = server
        .process
        .log
        .wait("the files of `http.tls` cannot be used");
    assert!(
        line.contains("it is not the key of the certificate"),
        "{line}"
    );
    assert_eq!(shown(&server, &files), before);
    fs::write(files.key(), key).unwrap();
    wait_until_shown(&server, &files, &certificate);
    fs::remove_file(files.key()).unwrap();
    server
        .process
        .log
        .wait("server.key: reading it: No such file");
    assert_eq!(shown(&server, &files), first(&certificate));
}

#[test]
pub(crate) fn a_signal_has_the_files_read_at_once() {
    let files = Files::new();
    let server = files.start("", "", "");
    let (certificate, key) = files.authority.pair(&["localhost"]);
    fs::write(files.certificate(), &certificate).unwrap();
    server.process.signal("HUP");
    server
        .process
        .log
        .wait("it is not the key of the certificate");
    fs::write(files.key(), key).unwrap();
    server.process.signal("HUP");
    wait_until_shown(&server, &files, &certificate);
}

#[test]
pub(crate) fn an_end_that_is_near_is_told_in_the_log_and_as_a_metric() {
    let files = Files::new();
    let (certificate, key) = files.authority.pair_of(2001..2002);
    files.write(&certificate, &key);
    let debug = "debug: {addr: '127.0.0.1:0', prometheus: {enabled: true}}, ";
    let server = files.start(debug, "", "");
    server
        .process
        .log
        .wait("the certificate has expired at 2002-01-01T00:00:00Z");
    let line = server.process.log.wait("serving; ");
    let told = line.split("debug=").nth(1).unwrap();
    let address = told
        .split([' ', '"'])
        .find(|part| part.contains(':'))
        .unwrap();
    let metrics = exchange(
        address.parse().unwrap(),
        &Request::new("GET", "/metrics").wire(),
    );
    let metrics = String::from_utf8(metrics).unwrap();
    let name = "registry_tls_certificate_expiry_timestamp_seconds";
    assert!(
        metrics.contains(&format!("\n{name} 1009843200\n")),
        "{metrics}"
    );
}
