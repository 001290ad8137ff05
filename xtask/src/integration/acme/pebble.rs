//! Pebble: Let's Encrypt's server of ACME for tests, and the names that it looks up.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::super::tools;
use crate::server::{Daemon, free_address};
use crate::sh;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where an authority is, and how it is known, whether it runs or not.
#[derive(Debug)]
pub(super) struct Place {
    folder: PathBuf,
    address: String,
    management: String,
    /// Where names are looked up: all of them are on this machine.
    names: String,
    _resolver: Daemon,
    /// Where it looks for those who want a certificate.
    port: u16,
    /// What its own TLS is trusted by.
    pub(super) certificate: PathBuf,
    key: PathBuf,
}

/// A running authority. Its roots, its accounts and its orders go with it.
#[derive(Debug)]
pub(super) struct Pebble {
    _daemon: Daemon,
    log: PathBuf,
    /// What the certificates that it issues are trusted by.
    pub(super) root: PathBuf,
}

/// What an authority does that another does not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ways {
    /// How long its certificates are good.
    pub(super) lifetime: Duration,
    /// A name that it issues nothing for.
    pub(super) refuses: &'static str,
    /// Where it looks for a host, other than where it is.
    pub(super) looks_at: Option<u16>,
}

impl Default for Ways {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(90 * 24 * 60 * 60),
            refuses: "refused.example",
            looks_at: None,
        }
    }
}

impl Place {
    /// For a registry at this port.
    pub(super) fn new(folder: &Path, port: u16) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (certificate, key) = (folder.join("pebble.crt"), folder.join("pebble.key"));
        certify(&certificate, &key)?;
        let names = free_address()?;
        let mut resolver = sh::command(tools::PEBBLE_NAMES.path().context("no resolver")?);
        resolver.args(["-dnsserver", &names, "-management", &free_address()?]);
        resolver.args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]);
        // Nothing but names.
        resolver.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""]);
        let mut resolver = Daemon::spawn(resolver, &folder.join("names.log"))?;
        sh::wait_for("the resolver", PATIENCE, || {
            resolver.expect_alive()?;
            Ok(TcpStream::connect(&names).ok().map(drop))
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            address: free_address()?,
            management: free_address()?,
            names,
            _resolver: resolver,
            port,
            certificate,
            key,
        })
    }

    /// The URL of the directory.
    pub(super) fn directory(&self) -> String {
        format!("https://{}/dir", self.address)
    }

    /// Starts it, and waits until it answers.
    pub(super) fn start(&self, name: &str, ways: Ways) -> Result<Pebble> {
        let config = self.folder.join(format!("{name}.json"));
        let text = json!({"pebble": {
            "listenAddress": self.address,
            "managementListenAddress": self.management,
            "certificate": self.certificate,
            "privateKey": self.key,
            "httpPort": 1,
            "tlsPort": ways.looks_at.unwrap_or(self.port),
            "domainBlocklist": [ways.refuses],
            "retryAfter": {"authz": 1, "order": 1},
            "profiles": {"default": {
                "description": "as the test wants it",
                "validityPeriod": ways.lifetime.as_secs(),
            }},
        }});
        fs::write(&config, text.to_string())?;
        let mut command = sh::command(tools::PEBBLE.path().context("no Pebble")?);
        command.arg("-strict").arg("-config").arg(&config);
        command.args(["-dnsserver", &self.names]);
        // What it does at random to try clients would make it a matter of luck how long this takes.
        command.env("PEBBLE_VA_NOSLEEP", "1");
        command.env("PEBBLE_WFE_NONCEREJECT", "0");
        command.env("PEBBLE_AUTHZREUSE", "0");
        let log = self.folder.join(format!("{name}.log"));
        let mut daemon = Daemon::spawn(command, &log)?;
        let root = self.folder.join(format!("{name}.root.crt"));
        sh::wait_for("an answer of the authority", PATIENCE, || {
            daemon.expect_alive()?;
            let directory = self.fetch(&self.directory());
            let found = self.fetch(&format!("https://{}/roots/0", self.management));
            Ok(directory.ok().and(found.ok()))
        })
        .and_then(|found| Ok(fs::write(&root, found)?))?;
        Ok(Pebble {
            _daemon: daemon,
            log,
            root,
        })
    }

    fn fetch(&self, url: &str) -> Result<String> {
        let mut curl = sh::command("curl");
        curl.args(["--silent", "--fail", "--max-time", "5", "--cacert"]);
        sh::output(curl.arg(&self.certificate).arg(url))
    }
}

/// A certificate that vouches for itself, and for nobody else.
fn certify(certificate: &Path, key: &Path) -> Result<()> {
    let mut openssl = sh::command("openssl");
    openssl.args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"]);
    openssl.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    openssl.args(["-subj", "/CN=pebble", "-addext"]);
    openssl.args(["subjectAltName=IP:127.0.0.1", "-addext"]);
    openssl.args(["basicConstraints=critical,CA:FALSE", "-keyout"]);
    sh::output(openssl.arg(key).arg("-out").arg(certificate)).map(|_| ())
}

impl Pebble {
    /// How many certificates it has issued.
    pub(super) fn issued(&self) -> Result<usize> {
        self.said("Issued certificate serial")
    }

    /// How many orders it has been given.
    pub(super) fn orders(&self) -> Result<usize> {
        self.said(" orders in the db")
    }

    /// How many accounts it has.
    pub(super) fn accounts(&self) -> Result<usize> {
        self.said(" accounts in memory")
    }

    fn said(&self, what: &str) -> Result<usize> {
        let log = fs::read_to_string(&self.log)?;
        Ok(log.lines().filter(|line| line.contains(what)).count())
    }
}
