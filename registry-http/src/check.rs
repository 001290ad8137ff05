//! `registry check`: what counts in the end, and whether it could be served.

mod report;
mod rights;

use clap::Args;
use registry_core::Registry;
use registry_core::access::Secret;
use registry_core::registry::Checked;
use registry_core::storage::{Obstacle, OpenMode, Storage, Survey};

pub(crate) use self::report::Report;
pub(crate) use self::rights::Question;
use crate::ambient::probe;
use crate::config::{Config, Net};
use crate::factories::Factories;
use crate::server::{self, Error};

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

/// Opens once what a server needs, and changes nothing; whether a server would start.
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
    let checked = match check_store(factories, &mut config, report).await {
        Ok(checked) => Some(checked),
        Err(error) => {
            report.problem(&error);
            None
        }
    };
    match config.http.net {
        // To bind it would take it from a server that has it.
        Net::Unix => report.address(&config.http.addr, false),
        Net::Tcp => match server::listen(&config, None).await {
            Ok(listener) => report.address(&listener, true),
            Err(error) => report.problem(&error),
        },
    }
    report.end(checked)
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
        report.problem(&server::unopened(config, obstacle.into()));
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
