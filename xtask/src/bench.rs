//! `bench`: our release build beside others, row by row, in interleaved rounds.
//!
//! Only ratios of one run mean anything; with server and client on the same cores, processor
//! seconds per unit of work are the figure to trust.

mod bucket;
mod load;
mod login;
mod report;
mod rows;
mod secure;
mod store;
mod upload;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use self::login::{Issuer, Login, Scheme};
use self::report::Report;
use self::rows::{ROWS, Row, Sample, Work};
use self::store::Store;
use crate::flags::Args;
use crate::server::{Profile, binary, is_stand_in};
use crate::sh;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    rounds: usize,
    /// How long a row of requests per second runs.
    seconds: f64,
    /// Of the large blob.
    large: u64,
    tags: usize,
}

impl Scale {
    /// In a bucket there are more of them.
    fn bucket_tags(self) -> usize {
        self.tags * 5
    }

    fn is_quick(self) -> bool {
        self.rounds == QUICK.rounds
    }
}

const FULL: Scale = Scale {
    rounds: 5,
    seconds: 4.0,
    large: 1 << 30,
    tags: 2_000,
};
const QUICK: Scale = Scale {
    rounds: 1,
    seconds: 1.0,
    large: 64 << 20,
    tags: 200,
};

pub(crate) fn run(args: &Args) -> Result<()> {
    let scale = if args.has("--quick") { QUICK } else { FULL };
    let only: Vec<_> = args.values("--row").collect();
    let rows: Vec<&Row> = ROWS
        .iter()
        .filter(|row| only.is_empty() || only.iter().any(|part| row.name.contains(part)))
        .collect();
    let on_bucket = bucket::rows(&only);
    ensure!(
        !(rows.is_empty() && on_bucket.is_empty()),
        "no row is called that"
    );
    let folder = match args.values("--dir").last() {
        Some(parent) => sh::TempDir::under(&sh::root().join(parent), "bench")?,
        None => sh::TempDir::new("bench")?,
    };

    let all = contenders(args)?;
    ensure!(!all.is_empty(), "there is nothing to measure");
    let (mut secure, mut rows): (Vec<&Row>, Vec<&Row>) = rows
        .into_iter()
        .partition(|row| matches!(row.work, Work::Secure(_)));
    let issuer = issuer(&all, &mut rows, folder.path())?;
    secure::keep_possible(&mut secure)?;
    let mut tables = Vec::new();
    if !rows.is_empty() {
        let mut stores = stores(&all, &rows, issuer.as_ref(), folder.path(), scale)?;
        let names = stores.iter().map(|store| store.name.clone()).collect();
        let report = compare(names, &rows, &mut stores, scale, |store, row| {
            let measured = row.measure(store, scale)?;
            store.clean_up()?;
            Ok(measured)
        })?;
        tables.push(report.table());
    }
    if !secure.is_empty() {
        let mut fronts = secure::open(&all, folder.path(), scale)?;
        let names = fronts.iter().map(|front| front.name.clone()).collect();
        let report = compare(names, &secure, &mut fronts, scale, |front, row| {
            Ok((front.measure(row, scale)?, None))
        })?;
        tables.push(report.table());
    }
    let mut failures = Vec::new();
    if !on_bucket.is_empty() {
        let all = on_a_bucket(&all, args);
        if let Some((table, failed)) = bucket::run(&all, &on_bucket, folder.path(), scale)? {
            tables.push(table);
            failures = failed;
        }
    }
    ensure!(!tables.is_empty(), "none of these rows can be measured");
    tables.push(report::footer(scale, folder.path()));
    let text = tables.join("\n");
    let file = sh::target().join("bench.md");
    fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    println!("\n{text}\nalso in {}", file.display());
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// Each row in so many rounds, in which they take turns.
fn compare<C>(
    names: Vec<String>,
    rows: &[&Row],
    contenders: &mut [C],
    scale: Scale,
    measure: impl Fn(&mut C, &Row) -> Result<(Sample, Option<Sample>)>,
) -> Result<Report> {
    let mut report = Report::new(names);
    for row in rows {
        report.begin(row);
        for round in 0..scale.rounds {
            for (who, contender) in contenders.iter_mut().enumerate() {
                let measured = measure(contender, row).with_context(|| {
                    format!("{} of {}, round {round}", row.name, report.name(who))
                });
                let (sample, open) = measured?;
                report.add(who, &sample, open.as_ref());
            }
        }
        report.end();
    }
    Ok(report)
}

/// All of them with what is read in their stores.
fn stores(
    all: &[(String, PathBuf)],
    rows: &[&Row],
    issuer: Option<&Issuer>,
    folder: &Path,
    scale: Scale,
) -> Result<Vec<Store>> {
    let with_login = rows.iter().any(|row| matches!(row.work, Work::Login(_)));
    let mut stores = Vec::new();
    for (number, (name, path)) in all.iter().enumerate() {
        println!("filling {name}");
        let folder = folder.join(number.to_string());
        fs::create_dir_all(&folder)?;
        let mut store = Store::open(name, path, &folder, scale).with_context(|| name.clone())?;
        if with_login {
            let login = match is_ours(name) {
                true => Login::ours(path, &folder),
                false => Login::theirs(path, &folder, issuer),
            };
            store.login = Some(login.with_context(|| name.clone())?);
        }
        stores.push(store);
    }
    Ok(stores)
}

/// Of the peers that were not named, the one whose bucket is to be ours.
fn on_a_bucket(all: &[(String, PathBuf)], args: &Args) -> Vec<(String, PathBuf)> {
    let named = args.values("--peer").next().is_some();
    let wanted = |name: &str| named || is_ours(name) || name.starts_with("distribution 3");
    let all = all.iter().filter(|(name, _)| wanted(name));
    all.cloned().collect()
}

/// Whether a contender has what only ours has.
fn is_ours(name: &str) -> bool {
    name == "ours" && !is_stand_in()
}

/// Who gives tokens, where there are rows about them; without us, there are no such rows.
fn issuer(
    all: &[(String, PathBuf)],
    rows: &mut Vec<&Row>,
    folder: &Path,
) -> Result<Option<Issuer>> {
    let wants_token = |row: &&Row| matches!(row.work, Work::Login(Scheme::Bearer));
    if !rows.iter().any(wants_token) {
        return Ok(None);
    }
    let Some((_, binary)) = all.iter().find(|(name, _)| is_ours(name)) else {
        sh::skip("rows with tokens", "tokens are ours, and we are left out");
        rows.retain(|row| !wants_token(row));
        return Ok(None);
    };
    Issuer::start(binary, &folder.join("issuer")).map(Some)
}

/// Ours first, then the peers that were named, or those that are installed.
fn contenders(args: &Args) -> Result<Vec<(String, PathBuf)>> {
    let mut peers: Vec<PathBuf> = args.values("--peer").map(PathBuf::from).collect();
    if peers.is_empty() {
        peers.extend(sh::which("docker-registry"));
        peers.extend(sh::which("registry"));
    }
    if peers.is_empty() {
        sh::skip("peers", "install docker-registry, or give --peer PATH");
    }
    let ours = (!args.has("--peers-only"))
        .then(|| binary(Profile::Release))
        .transpose()?;
    let mut all = Vec::new();
    for path in ours.iter().chain(&peers) {
        let name = match Some(path) == ours.as_ref() {
            true => "ours".to_owned(),
            false => name_of(path)?,
        };
        all.push((name, path.clone()));
    }
    Ok(all)
}

/// What it says of itself: `registry github.com/distribution/distribution/v3 v3.1.1`.
fn name_of(path: &Path) -> Result<String> {
    let said = sh::output(sh::command(path).arg("--version"))?;
    let version = said.split_whitespace().last().unwrap_or_default();
    let version = version
        .trim_start_matches('v')
        .split(['+', '~'])
        .next()
        .unwrap_or_default();
    Ok(format!("distribution {version}"))
}
