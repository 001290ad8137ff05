//! One store, served by distribution and by ours in turn: what one writes, all serve, and what
//! one collects, nobody misses.

mod content;
mod party;
mod place;
mod shelf;
mod traces;
mod writer;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use self::party::{Kind, Party};
use self::place::Place;
pub(super) use self::place::TREE;
use self::shelf::{Holds, Shelf};
use super::fixture::Fixture;
use super::{step, tools};
use crate::s3::{Endpoint, Minio};
use crate::sh;

/// Our collections: what they leave must be what lives.
const OURS: [&[&str]; 3] = [&["--dry-run"], &[], &["--now"]];
/// Theirs.
const THEIRS: [&[&str]; 2] = [&["--dry-run"], &[]];

/// With distribution 2.
pub(super) fn two(fixture: &Fixture) -> Result<()> {
    in_files(fixture, Kind::Two)
}

/// With distribution 3.
pub(super) fn three(fixture: &Fixture) -> Result<()> {
    in_files(fixture, Kind::Three)
}

/// With distribution 2, in a bucket of MinIO.
pub(super) fn two_in_a_bucket(fixture: &Fixture) -> Result<()> {
    in_a_bucket(fixture, Kind::Two)
}

/// With distribution 3, in a bucket of MinIO.
pub(super) fn three_in_a_bucket(fixture: &Fixture) -> Result<()> {
    in_a_bucket(fixture, Kind::Three)
}

fn in_files(fixture: &Fixture, kind: Kind) -> Result<()> {
    let folder = fixture.folder(&format!("swap-{kind:?}"))?;
    run(&Swap::new(fixture, kind, folder, None)?)
}

fn in_a_bucket(fixture: &Fixture, kind: Kind) -> Result<()> {
    let folder = fixture.folder(&format!("s3-swap-{kind:?}"))?;
    let minio = Minio::start(&folder.join("minio"))?;
    run(&Swap::new(
        fixture,
        kind,
        folder,
        Some(minio.endpoint.clone()),
    )?)
}

/// Who takes turns, and where.
#[derive(Debug)]
struct Swap {
    /// Of distribution, of either version, as far as it is here.
    others: Vec<Party>,
    theirs: Party,
    ours: Party,
    folder: PathBuf,
    /// Where the buckets are, if stores are not folders.
    buckets: Option<Endpoint>,
}

impl Swap {
    fn new(
        fixture: &Fixture,
        kind: Kind,
        folder: PathBuf,
        buckets: Option<Endpoint>,
    ) -> Result<Self> {
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
        let ours = Party {
            kind: Kind::Ours,
            binary: fixture.binary.clone(),
        };
        Ok(Self {
            theirs: theirs.context("it is not installed")?.clone(),
            others,
            ours,
            folder,
            buckets,
        })
    }

    /// A store with nothing in it.
    fn place(&self, name: &str) -> Result<Place> {
        Place::new(self.folder.join(name), self.buckets.as_ref(), name)
    }

    fn all(&self) -> Vec<&Party> {
        self.others.iter().chain([&self.ours]).collect()
    }
}

fn run(swap: &Swap) -> Result<()> {
    if crate::server::is_stand_in() {
        sh::skip("swap", "it needs our own server");
        return Ok(());
    }
    let (theirs, ours, all) = (&swap.theirs, &swap.ours, swap.all());
    let turns = [theirs, ours, theirs, ours];
    step("either writes, all serve", || {
        take_turns(&turns, &all, ours, &swap.place("turns")?)
    })?;
    let mut shelf = Shelf::default();
    let collections = swap.place("collections")?;
    step("either collects, nobody misses anything", || {
        collect_in_turns(&turns, &all, ours, &mut shelf, &collections)
    })?;
    step("either collects what is untagged", || {
        for (party, name) in [(theirs, "untagged-theirs"), (ours, "untagged-ours")] {
            let copy = swap.place(name)?;
            collections.copy_to(&copy)?;
            collect_untagged(party, &all, shelf.clone(), &copy)
                .with_context(|| format!("{:?} collects", party.kind))?;
        }
        Ok(())
    })?;
    if swap.buckets.is_some() {
        // Of a crash a bucket keeps whole objects or none.
        return Ok(());
    }
    step("what crashes leave is served around", || {
        traces::run(theirs, ours, &swap.others, &swap.place("traces")?)
    })
}

/// With sha512, which a collection of distribution would destroy.
fn take_turns(turns: &[&Party], all: &[&Party], ours: &Party, place: &Place) -> Result<()> {
    let mut shelf = Shelf::default();
    for (turn, party) in (1..).zip(turns) {
        party.serve(place, |to| {
            content::write(to, party, turn, true, &mut shelf)?;
            shelf.check(to, party)
        })?;
        check(&shelf, all, place).with_context(|| format!("after turn {turn}"))?;
    }
    collect(&mut shelf, ours, &OURS, all, place)
}

fn collect_in_turns(
    turns: &[&Party],
    all: &[&Party],
    ours: &Party,
    shelf: &mut Shelf,
    place: &Place,
) -> Result<()> {
    for (turn, party) in (1..).zip(turns) {
        party.serve(place, |to| content::write(to, party, turn, false, shelf))?;
        check(shelf, all, place).with_context(|| format!("after turn {turn}"))?;
        let (collector, flags) = match party.kind {
            Kind::Ours => (turns[0], &THEIRS[..]),
            // The second time the trash stays full, for theirs to meet.
            _ if turn > 1 => (ours, &OURS[..2]),
            _ => (ours, &OURS[..]),
        };
        collect(shelf, collector, flags, all, place)?;
    }
    Ok(())
}

/// The store is a copy: what distribution takes here, it should not.
fn collect_untagged(party: &Party, all: &[&Party], mut shelf: Shelf, place: &Place) -> Result<()> {
    // The configuration names the store by its path.
    party.serve(place, |from| shelf.check(from, party))?;
    party.collect(place, &["--delete-untagged", "--dry-run"])?;
    check(&shelf, all, place)?;
    party.collect(place, &["--delete-untagged"])?;
    let holds = match party.kind {
        Kind::Ours => Holds::Subjects,
        Kind::Two => Holds::Tags,
        Kind::Three => Holds::Children,
    };
    // Distribution keeps what is tagged in any repository.
    shelf.keep_held(holds, party.kind == Kind::Ours);
    check(&shelf, all, place)
}

fn collect(
    shelf: &mut Shelf,
    collector: &Party,
    runs: &[&[&str]],
    all: &[&Party],
    place: &Place,
) -> Result<()> {
    for flags in runs {
        collector.collect(place, flags)?;
        let dry_run = flags.contains(&"--dry-run");
        if !dry_run {
            shelf.keep_needed();
            if let Some(wanted) = shelf.bytes() {
                let found = place.bytes()?;
                ensure!(
                    found == wanted,
                    "{:?} collected {flags:?} and left {:?} too many and {:?} too few",
                    collector.kind,
                    found.difference(&wanted),
                    wanted.difference(&found)
                );
            }
        }
        let who = collector.kind;
        // What a dry run changed, one sees as well as all.
        let readers = if dry_run { &[collector] } else { all };
        check(shelf, readers, place)
            .with_context(|| format!("after {who:?} collected {flags:?}"))?;
    }
    Ok(())
}

fn check(shelf: &Shelf, all: &[&Party], place: &Place) -> Result<()> {
    for party in all {
        party.serve(place, |from| {
            shelf.check(from, party)?;
            shelf.check_gone(from)
        })?;
    }
    Ok(())
}
