//! A registry, ours or distribution, that has its certificates from an authority.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::pebble::{Pebble, Place};
use crate::server::Daemon;
use crate::sh;

/// How long a start may take, and how long an order.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a registry is configured.
#[derive(Debug)]
pub(super) struct Setup<'a> {
    pub(super) binary: &'a Path,
    pub(super) place: &'a Place,
    pub(super) port: u16,
    pub(super) hosts: &'a [&'a str],
    /// `cachefile`.
    pub(super) kept: &'a Path,
}

#[derive(Debug)]
pub(super) struct Party {
    daemon: Daemon,
    log: PathBuf,
    port: u16,
}

impl Setup<'_> {
    /// The same configuration for everyone.
    pub(super) fn configure(&self, folder: &Path) -> Result<PathBuf> {
        let text = format!(
            "version: 0.1\n\
             log: {{level: info}}\n\
             storage: {{inmemory: {{}}}}\n\
             http:\n  addr: 127.0.0.1:{}\n  tls:\n    letsencrypt:\n      \
             cachefile: {}\n      email: someone@registry.test\n      hosts: [{}]\n      \
             directoryurl: {}\n",
            self.port,
            self.kept.display(),
            self.hosts.join(", "),
            self.place.directory(),
        );
        let config = folder.join("config.yml");
        fs::write(&config, text)?;
        Ok(config)
    }

    /// Starts it, and waits until it listens; that is not yet a certificate.
    pub(super) fn start(&self, folder: &Path) -> Result<Party> {
        fs::create_dir_all(folder)?;
        let config = self.configure(folder)?;
        let log = folder.join("server.log");
        let mut command = sh::command(self.binary);
        command.arg("serve").arg(config);
        command.env("SSL_CERT_FILE", &self.place.certificate);
        command.env("OTEL_TRACES_EXPORTER", "none");
        let mut daemon = Daemon::spawn(command, &log)?;
        let listening = sh::wait_for("the port of the registry", PATIENCE, || {
            daemon.expect_alive()?;
            Ok(TcpStream::connect(("127.0.0.1", self.port)).ok().map(drop))
        });
        let party = Party {
            daemon,
            log,
            port: self.port,
        };
        listening.with_context(|| party.log_text())?;
        Ok(party)
    }
}

impl Party {
    /// Waits until a client who trusts the authority gets an answer.
    pub(super) fn expect_trusted(&mut self, host: &str, pebble: &Pebble) -> Result<()> {
        let trusted = sh::wait_for("an answer over TLS", PATIENCE, || {
            self.daemon.expect_alive()?;
            Ok(self.ask(host, pebble).ok())
        });
        trusted.map(|_| ()).with_context(|| self.log_text())
    }

    /// What curl gets, once. Distribution orders now, if it has to.
    pub(super) fn ask(&self, host: &str, pebble: &Pebble) -> Result<String> {
        let port = self.port;
        let mut curl = sh::command("curl");
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "60"]);
        curl.args(["--resolve", &format!("{host}:{port}:127.0.0.1")]);
        curl.arg("--cacert").arg(&pebble.root);
        sh::output(curl.arg(format!("https://{host}:{port}/v2/")))
    }

    /// The certificate that a client is shown who names this host, or nobody.
    pub(super) fn shown(&self, host: Option<&str>) -> Result<String> {
        let mut openssl = sh::command("openssl");
        openssl.args(["s_client", "-connect", &format!("127.0.0.1:{}", self.port)]);
        match host {
            Some(host) => openssl.args(["-servername", host]),
            None => openssl.arg("-noservername"),
        };
        let said = sh::output(&mut openssl)?;
        let end = "-----END CERTIFICATE-----";
        let begun = said.find("-----BEGIN CERTIFICATE-----");
        let ended = said.find(end);
        match begun.zip(ended) {
            Some((begun, ended)) => Ok(said[begun..ended + end.len()].to_owned()),
            None => bail!("no certificate was shown: {said}"),
        }
    }

    pub(super) fn signal(&self, name: &str) -> Result<()> {
        let pid = self.daemon.child.id().to_string();
        sh::output(sh::command("kill").args([&format!("-{name}"), &pid])).map(|_| ())
    }

    pub(super) fn expect_alive(&mut self) -> Result<()> {
        self.daemon.expect_alive()
    }

    pub(super) fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until its log says so.
    pub(super) fn expect_said(&self, what: &str) -> Result<()> {
        let said = sh::wait_for(what, PATIENCE, || {
            Ok(self.log_text().contains(what).then_some(()))
        });
        said.with_context(|| self.log_text())
    }
}
