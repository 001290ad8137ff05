//! `registry check`: what counts in the end, and whether it could be served.

mod report;
mod rights;

use std::io;
use std::path::Path;

use clap::Args;
use registry_core::Registry;
use registry_core::access::Secret;
use registry_core::registry::Checked;
use registry_core::storage::{Obstacle, OpenMode, Storage, Survey};

use tokio::net::UnixStream;

pub(crate) use self::report::{Report, meaning, printable};
pub(crate) use self::rights::Question;
use crate::accept::{Listener, UnixSocket};
use crate::ambient::{ambient, probe};
use crate::cli::chain;
use crate::config::{Config, Identity, LetsEncrypt, Net};
use crate::factories::Factories;
use crate::server::{self, Error};
use crate::tls::{acme, shown};

/// Repositories that are looked at, unless all are asked for.
const REPOSITORIES: u64 = 10_000;

/// The flags of `check`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct CheckArguments {
    /// Say everything as one JSON object per line
    #[arg(long)]
    json: bool,
    /// Look at every repository, and tell every trace of a crash, however many there are
    #[arg(long)]
    all: bool,
}

impl CheckArguments {
    /// Whether machines read it.
    pub(crate) fn json(self) -> bool {
        self.json
    }

    fn repositories(self) -> u64 {
        if self.all { u64::MAX } else { REPOSITORIES }
    }
}

/// Opens once what a server needs, and changes nothing; whether a server would start, where what
/// others have in use does not count.
pub(crate) async fn check(factories: &Factories, mut config: Config, report: &mut Report) -> bool {
    for setting in config.effective(factories) {
        report.setting(&setting);
    }
    for warning in config.take_warnings() {
        report.warning(&warning);
    }
    for refusal in config.refusals() {
        report.problem(&refusal);
    }
    if let Err(error) = probe() {
        report.problem(&Error::Random(error));
    }
    let warn = |warning: String| report.warning(&warning);
    if let Err(error) = server::open_auth(factories, &config, OpenMode::Check, warn).await {
        report.problem(&error);
    }
    check_tls(&config, report);
    let checked = match check_store(factories, &mut config, report).await {
        Ok(checked) => Some(checked),
        Err(error) => {
            report.problem(&error);
            None
        }
    };
    check_addresses(&config, report).await;
    report.end(checked)
}

/// Reads the certificate and its key, as a server would, or what an authority has issued.
fn check_tls(config: &Config, report: &mut Report) {
    let settings = config.http.tls.as_ref();
    if let Some(Identity::LetsEncrypt(settings)) = settings.map(|tls| &tls.identity) {
        return check_issued(config, settings, report);
    }
    match server::open_tls(config) {
        Ok(Some(tls)) => {
            for remark in tls.remarks((ambient().now)()) {
                report.warning(&format!("`http.tls`: {remark}"));
            }
            if let Some(until) = tls.until() {
                report.tls(&shown(until));
            }
        }
        Ok(None) => {}
        Err(error) => report.problem(&error),
    }
}

/// Nothing is ordered, and no folder made.
fn check_issued(config: &Config, settings: &LetsEncrypt, report: &mut Report) {
    match acme::look(settings) {
        Ok(hosts) => {
            for (host, kept) in hosts {
                match kept {
                    Ok(end) => report.certificate(&host, end.map(shown).as_deref()),
                    Err(error) => report.warning(&format!("{host}: {}", chain(&error))),
                }
            }
        }
        Err(error) => {
            let message = chain(&error);
            let path = ["http", "tls", "letsencrypt", "cachefile"];
            report.problem(&config.refuse(&path, message));
        }
    }
}

/// Listens for a moment where a server would. What another has now is no problem: before one
/// server takes the place of another, that is as it should be.
async fn check_addresses(config: &Config, report: &mut Report) {
    let first = match config.http.net {
        // To bind it would take it from a server that has it.
        Net::Unix => {
            let addr = config.http.addr.as_str();
            match look_at_socket(addr.as_ref()).await {
                Ok(()) => report.address(&addr, true),
                Err(reason) => told(&server::unheard(config, "http.addr", addr, reason), report),
            }
            None
        }
        Net::Tcp => bound(server::listen(config, None).await, report),
    };
    let Some(debug) = &config.http.debug else {
        return;
    };
    if config.http.is_debug_in_the_way(debug) {
        let reason = io::Error::other("`http.addr` is the same");
        let error = server::unheard(config, "http.debug.addr", &debug.addr, reason);
        return report.problem(&error);
    }
    let beside = server::bind_beside(config, debug).await.map(Listener::Tcp);
    bound(beside, report);
    drop(first);
}

fn bound(listener: Result<Listener, Error>, report: &mut Report) -> Option<Listener> {
    match listener {
        Ok(listener) => {
            report.address(&listener, true);
            Some(listener)
        }
        Err(error) => {
            told(&error, report);
            None
        }
    }
}

fn told(error: &Error, report: &mut Report) {
    match error {
        Error::Listen { reason, .. } if reason.kind() == io::ErrorKind::AddrInUse => {
            report.in_use(error);
        }
        _ => report.problem(error),
    }
}

/// Whether a socket could be made here. A server takes the place of one that is there.
async fn look_at_socket(path: &Path) -> io::Result<()> {
    if UnixSocket::is_at(path)? {
        return match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            _ => Err(io::ErrorKind::AddrInUse.into()),
        };
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    match dir.is_none_or(Path::is_dir) {
        true => Ok(()),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

async fn check_store(
    factories: &Factories,
    config: &mut Config,
    report: &mut Report,
) -> Result<Checked, Error> {
    let warn = |warning: String| report.warning(&warning);
    let storage = server::open_telling(factories, config, OpenMode::Check, warn).await?;
    report.store(&config.driver.kind, &storage.survey);
    if let Some(obstacle) = obstacle(&storage.survey, config.readonly) {
        let error = server::unopened(config, obstacle.into());
        match storage.survey.in_use {
            true => report.in_use(&error),
            false => report.problem(&error),
        }
    }
    let registry = open(storage, config).await?;
    let checked = registry
        .check(report.arguments().repositories(), &mut |trace| {
            report.trace(&trace);
        })
        .await;
    checked.map_err(Error::Registry)
}

fn obstacle(survey: &Survey, readonly: bool) -> Option<Obstacle> {
    match readonly {
        true => survey.read_only.clone(),
        false => survey.serve.clone(),
    }
}

async fn open(storage: Storage, config: &mut Config) -> Result<Registry, Error> {
    let mut options = server::options(config);
    options.read_only = true;
    // Nothing is uploaded, so the key of uploads need not be made.
    options.secret = Some(Secret::new(String::new()));
    Registry::open(storage, options)
        .await
        .map_err(Error::Registry)
}
