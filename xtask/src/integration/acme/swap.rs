//! One folder for distribution and ours, in turns.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::pebble::Ways;
use super::{ONE, Stage, TWO, expect};
use crate::integration::step;

pub(super) fn run(stage: &Stage<'_>, theirs: &Path) -> Result<()> {
    step("what distribution was issued serves here", || {
        theirs_first(stage, theirs)
    })?;
    step("what was issued here serves distribution", || {
        ours_first(stage, theirs)
    })
}

fn theirs_first(stage: &Stage<'_>, theirs: &Path) -> Result<()> {
    let pebble = stage.place.start("theirs-first", Ways::default())?;
    let kept = stage.kept("theirs-first");
    let party = stage.start("theirs-first-a", theirs, &[ONE], &kept)?;
    party.ask(ONE, &pebble).with_context(|| party.log_text())?;
    let shown = party.shown(Some(ONE))?;
    expect(&pebble, 1, 1)?;
    drop(party);

    // The second host is ordered with their account.
    let mut party = stage.ours("theirs-first-b", &[ONE, TWO], &kept)?;
    party.expect_trusted(ONE, &pebble)?;
    ensure!(party.shown(Some(ONE))? == shown, "another certificate");
    party.expect_trusted(TWO, &pebble)?;
    expect(&pebble, 2, 1)
}

fn ours_first(stage: &Stage<'_>, theirs: &Path) -> Result<()> {
    let pebble = stage.place.start("ours-first", Ways::default())?;
    let kept = stage.kept("ours-first");
    let mut party = stage.ours("ours-first-a", &[ONE], &kept)?;
    party.expect_trusted(ONE, &pebble)?;
    let shown = party.shown(Some(ONE))?;
    drop(party);

    // Theirs orders with our account.
    let party = stage.start("ours-first-b", theirs, &[ONE, TWO], &kept)?;
    party.ask(ONE, &pebble).with_context(|| party.log_text())?;
    ensure!(party.shown(Some(ONE))? == shown, "another certificate");
    expect(&pebble, 1, 1)?;
    party.ask(TWO, &pebble).with_context(|| party.log_text())?;
    expect(&pebble, 2, 1)
}
