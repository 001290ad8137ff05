//! Rows on a bucket: registries on one bucket of the same MinIO, near it and 30 ms away.

mod contender;
mod image;
mod rows;
mod table;
mod work;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use self::contender::Contender;
use self::rows::{ROWS, Row};
use super::Scale;
use crate::s3::Minio;
use crate::sh;

const BUCKET: &str = "bench";

/// The rows whose names have some of these words.
pub(super) fn rows(only: &[&str]) -> Vec<&'static Row> {
    let wanted = |row: &&Row| only.is_empty() || only.iter().any(|part| row.name.contains(part));
    ROWS.iter().filter(wanted).collect()
}

/// The table, and which limits were passed. `None` where there is no store.
pub(super) fn run(
    all: &[(String, PathBuf)],
    rows: &[&'static Row],
    folder: &Path,
    scale: Scale,
) -> Result<Option<(String, Vec<String>)>> {
    if Minio::program().is_none() {
        sh::skip("rows on a bucket", "install minio");
        return Ok(None);
    }
    let folder = folder.join("bucket");
    let minio = Minio::start(&folder.join("minio"))?;
    let mut contenders = Vec::new();
    let (_, first) = all.first().context("there is nothing to measure")?;
    println!("filling a bucket");
    minio.endpoint.make_bucket(BUCKET)?;
    contender::fill(first, &folder.join("fill"), &minio.endpoint, BUCKET, scale)?;
    for (number, (name, path)) in (1..).zip(all) {
        let folder = folder.join(number.to_string());
        // They share the tree, but not what they push.
        let own = (BUCKET, number << 32);
        let contender = Contender::open(name, path, &folder, &minio.endpoint, own);
        contenders.push(contender.with_context(|| name.clone())?);
    }
    let ours = all.first().is_some_and(|(name, _)| super::is_ours(name));
    let mut results = Vec::new();
    for row in rows {
        results.push(measure(row, &mut contenders, scale)?);
    }
    let names: Vec<_> = contenders.iter().map(|one| one.name.clone()).collect();
    let failures = results.iter().filter_map(|one| one.failure(ours, scale));
    let failures = failures.collect();
    Ok(Some((table::table(&names, &results, scale), failures)))
}

/// A row in so many rounds, in which they take turns.
fn measure(row: &'static Row, contenders: &mut [Contender], scale: Scale) -> Result<table::Result> {
    println!("{}", row.name);
    let mut result = table::Result::new(row, contenders.len());
    let rounds = if row.once { 1 } else { scale.rounds };
    for round in 0..rounds {
        for (who, contender) in contenders.iter_mut().enumerate() {
            let measured = (row.run)(contender, scale)
                .with_context(|| format!("{} of {}, round {round}", row.name, contender.name))?;
            result.add(who, measured);
        }
    }
    for (who, contender) in contenders.iter().enumerate() {
        let (cell, note) = (result.cell(who), result.note(who));
        println!("  {:<20} {cell} {note}", contender.name);
    }
    Ok(result)
}
