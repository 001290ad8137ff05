//! A certificate that changes while clients are busy.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::certificates::Certificates;
use super::{replace, start};
use crate::integration::fixture::Fixture;
use crate::server::{Server, Tls};
use crate::sh;

/// Clients at a time. Each request of theirs makes a connection of its own.
const CLIENTS: usize = 3;

/// How long a change may take that nobody was told of.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn check(fixture: &Fixture, made: &Certificates) -> Result<()> {
    let folder = fixture.folder("tls-reload")?;
    let mut now = made.tutorial.clone();
    now.certificate = folder.join("domain.crt");
    now.key = folder.join("domain.key");
    // Clients trust both.
    now.ca = folder.join("trusted.pem");
    let put = |tls: &Tls| -> Result<()> {
        replace(&tls.certificate, &now.certificate)?;
        replace(&tls.key, &now.key)
    };
    put(&made.tutorial)?;
    let both = [fs::read(&made.tutorial.ca)?, fs::read(&made.another.ca)?];
    fs::write(&now.ca, both.concat())?;
    let server = start(fixture, "tls-reload", &now)?;
    let first = fingerprint(&server)?;

    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let changed = thread::scope(|scope| {
        let ask = || -> Result<()> {
            while !stop.load(Ordering::Relaxed) {
                let status = server.status("/v2/", &[])?;
                ensure!(status == 200, "{status}");
                asked.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
        let changed = change(&server, made, &now.certificate, &put, &first, &asked);
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            let asked = client.join().ok().context("a client panicked")?;
            asked.context("under a change")?;
        }
        changed
    });
    if changed.is_err() {
        server.print_log();
    }
    changed
}

/// By time, by a signal, and by what is no certificate.
fn change(
    server: &Server,
    made: &Certificates,
    certificate: &std::path::Path,
    put: &dyn Fn(&Tls) -> Result<()>,
    first: &str,
    asked: &AtomicUsize,
) -> Result<()> {
    put(&made.another)?;
    sh::wait_for("the other certificate", PATIENCE, || {
        Ok((fingerprint(server)? != first).then_some(()))
    })?;
    let second = fingerprint(server)?;
    fs::write(certificate, "no certificate")?;
    server.signal("HUP")?;
    let before = asked.load(Ordering::Relaxed);
    sh::wait_for("more answers", PATIENCE, || {
        Ok((asked.load(Ordering::Relaxed) > before + 20).then_some(()))
    })?;
    ensure!(
        fingerprint(server)? == second,
        "a broken file took the certificate away"
    );
    put(&made.tutorial)?;
    server.signal("HUP")?;
    sh::wait_for("the first certificate", PATIENCE, || {
        Ok((fingerprint(server)? == first).then_some(()))
    })
}

/// Of what a new connection sees.
fn fingerprint(server: &Server) -> Result<String> {
    let mut client = sh::command("openssl");
    client.args(["s_client", "-connect", &server.address]);
    let said = sh::output(&mut client)?;
    let begin = said.find("-----BEGIN CERTIFICATE-----");
    let end = said.find("-----END CERTIFICATE-----");
    let (begin, end) = begin.zip(end).context("no certificate")?;
    Ok(said[begin..end].to_owned())
}
