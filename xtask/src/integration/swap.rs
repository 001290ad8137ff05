//! One store, served by distribution and by ours in turn: what one writes, all serve, and what
//! one collects, nobody misses.

mod content;
mod party;
mod shelf;
mod traces;
mod writer;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use self::party::{Kind, Party};
use self::shelf::{Holds, Shelf};
use super::fixture::Fixture;
use super::{step, tools};
use crate::sh;

/// Our collections: what they leave must be what lives.
const OURS: [&[&str]; 3] = [&["--dry-run"], &[], &["--now"]];
/// Theirs.
const THEIRS: [&[&str]; 2] = [&["--dry-run"], &[]];

/// With distribution 2.
pub(super) fn two(fixture: &Fixture) -> Result<()> {
    run(fixture, Kind::Two)
}

/// With distribution 3.
pub(super) fn three(fixture: &Fixture) -> Result<()> {
    run(fixture, Kind::Three)
}

fn run(fixture: &Fixture, kind: Kind) -> Result<()> {
    if crate::server::is_stand_in() {
        sh::skip("swap", "it needs our own server");
        return Ok(());
    }
    let ours = Party {
        kind: Kind::Ours,
        binary: fixture.binary.clone(),
    };
    let others: Vec<Party> = [
        (Kind::Two, &tools::DISTRIBUTION_2),
        (Kind::Three, &tools::DISTRIBUTION_3),
    ]
    .into_iter()
    .filter_map(|(kind, tool)| {
        let binary = tool.path()?;
        Some(Party { kind, binary })
    })
    .collect();
    let theirs = others.iter().find(|party| party.kind == kind);
    let theirs = theirs.context("it is not installed")?;
    let all: Vec<&Party> = others.iter().chain([&ours]).collect();
    let folder = fixture.folder(&format!("swap-{kind:?}"))?;
    let turns = [theirs, &ours, theirs, &ours];
    step("either writes, all serve", || {
        take_turns(&turns, &all, &ours, &folder.join("turns"))
    })?;
    let mut shelf = Shelf::default();
    let collections = folder.join("collections");
    step("either collects, nobody misses anything", || {
        collect_in_turns(&turns, &all, &ours, &mut shelf, &collections)
    })?;
    step("either collects what is untagged", || {
        for party in [theirs, &ours] {
            let copy = folder.join(format!("untagged-{:?}", party.kind));
            sh::output(sh::command("cp").arg("-a").arg(&collections).arg(&copy))?;
            collect_untagged(party, &all, shelf.clone(), &copy)
                .with_context(|| format!("{:?} collects", party.kind))?;
        }
        Ok(())
    })?;
    step("what crashes leave is served around", || {
        let folder = folder.join("traces");
        fs::create_dir_all(&folder)?;
        traces::run(theirs, &ours, &others, &folder)
    })
}

/// With sha512, which a collection of distribution would destroy.
fn take_turns(turns: &[&Party], all: &[&Party], ours: &Party, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut shelf = Shelf::default();
    for (turn, party) in (1..).zip(turns) {
        party.serve(folder, |to| {
            content::write(to, party, turn, true, &mut shelf)?;
            shelf.check(to, party)
        })?;
        check(&shelf, all, folder).with_context(|| format!("after turn {turn}"))?;
    }
    collect(&mut shelf, ours, &OURS, all, folder)
}

fn collect_in_turns(
    turns: &[&Party],
    all: &[&Party],
    ours: &Party,
    shelf: &mut Shelf,
    folder: &Path,
) -> Result<()> {
    fs::create_dir_all(folder)?;
    for (turn, party) in (1..).zip(turns) {
        party.serve(folder, |to| content::write(to, party, turn, false, shelf))?;
        check(shelf, all, folder).with_context(|| format!("after turn {turn}"))?;
        let (collector, flags) = match party.kind {
            Kind::Ours => (turns[0], &THEIRS[..]),
            // The second time the trash stays full, for theirs to meet.
            _ if turn > 1 => (ours, &OURS[..2]),
            _ => (ours, &OURS[..]),
        };
        collect(shelf, collector, flags, all, folder)?;
    }
    Ok(())
}

/// The folder is a copy: what distribution takes here, it should not.
fn collect_untagged(party: &Party, all: &[&Party], mut shelf: Shelf, folder: &Path) -> Result<()> {
    // The configuration names the store by its path.
    party.serve(folder, |from| shelf.check(from, party))?;
    party.collect(folder, &["--delete-untagged", "--dry-run"])?;
    check(&shelf, all, folder)?;
    party.collect(folder, &["--delete-untagged"])?;
    let holds = match party.kind {
        Kind::Ours => Holds::Subjects,
        Kind::Two => Holds::Tags,
        Kind::Three => Holds::Children,
    };
    // Distribution keeps what is tagged in any repository.
    shelf.keep_held(holds, party.kind == Kind::Ours);
    check(&shelf, all, folder)
}

fn collect(
    shelf: &mut Shelf,
    collector: &Party,
    runs: &[&[&str]],
    all: &[&Party],
    folder: &Path,
) -> Result<()> {
    for flags in runs {
        collector.collect(folder, flags)?;
        let dry_run = flags.contains(&"--dry-run");
        if !dry_run {
            shelf.keep_needed();
        }
        let who = collector.kind;
        // What a dry run changed, one sees as well as all.
        let readers = if dry_run { &[collector] } else { all };
        check(shelf, readers, folder)
            .with_context(|| format!("after {who:?} collected {flags:?}"))?;
    }
    Ok(())
}

fn check(shelf: &Shelf, all: &[&Party], folder: &Path) -> Result<()> {
    for party in all {
        party.serve(folder, |from| {
            shelf.check(from, party)?;
            shelf.check_gone(from)
        })?;
    }
    Ok(())
}
