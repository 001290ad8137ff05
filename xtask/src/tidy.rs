//! `tidy`: the invariants of ARCHITECTURE.md and the house rules that no compiler checks.

mod graph;
mod lines;
mod manifests;
mod source;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::flags::Args;
use crate::sh;

/// A file longer than this is named; longer than [`TOO_LONG`] it fails.
const LONG: usize = 400;
const TOO_LONG: usize = 600;
/// How many of the longest files are shown.
const SHOWN: usize = 5;

/// What was found to be wrong, each with where.
#[derive(Debug, Default)]
struct Findings(Vec<String>);

impl Findings {
    fn add(&mut self, place: impl std::fmt::Display, what: impl std::fmt::Display) {
        self.0.push(format!("{place}: {what}"));
    }
}

pub(crate) fn run(_: &Args) -> Result<()> {
    let metadata = metadata()?;
    let files = source::tracked()?;
    let mut findings = Findings::default();
    graph::check(&metadata, &mut findings)?;
    manifests::check(&files, &mut findings);
    lines::check(&files, &mut findings);
    let longest = lengths(&files, &mut findings);

    println!("longest files: {longest}");
    if findings.0.is_empty() {
        println!("tidy: {} files, nothing to say", files.len());
        return Ok(());
    }
    for finding in &findings.0 {
        println!("{finding}");
    }
    bail!("{} findings", findings.0.len())
}

/// What cargo knows of the workspace, resolved with all features.
pub(crate) fn metadata() -> Result<Value> {
    let text = sh::output(sh::cargo().args(["metadata", "--format-version=1", "--all-features"]))?;
    serde_json::from_str(&text).context("cargo metadata is not JSON")
}

fn lengths(files: &[source::File], findings: &mut Findings) -> String {
    let mut lengths: Vec<_> = files
        .iter()
        .filter(|file| file.is_rust())
        .map(|file| (file.text.lines().count(), file.path.as_str()))
        .collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    for (length, path) in lengths.iter().take_while(|(length, _)| *length > LONG) {
        if *length > TOO_LONG {
            findings.add(
                path,
                format!("{length} lines, more than {TOO_LONG}: split it by concept"),
            );
        } else {
            println!("warning: {path}: {length} lines, more than {LONG}");
        }
    }
    let shown: Vec<_> = lengths
        .iter()
        .take(SHOWN)
        .map(|(length, path)| format!("{path} ({length})"))
        .collect();
    shown.join(", ")
}
