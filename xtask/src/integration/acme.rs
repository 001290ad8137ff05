//! Certificates by ACME, from Pebble: ours, those of distribution, and one folder for both.

mod party;
mod pebble;
mod swap;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use self::party::{Party, Setup};
use self::pebble::{Pebble, Place, Ways};
use super::fixture::Fixture;
use super::{step, tools};
use crate::server::free_address;
use crate::sh;

const ONE: &str = "one.registry.test";
const TWO: &str = "two.registry.test";
/// Nobody has a certificate of it.
const OTHER: &str = "other.registry.test";

/// What all scenarios have in common.
#[derive(Debug)]
struct Stage<'a> {
    binary: &'a Path,
    folder: PathBuf,
    place: Place,
    port: u16,
}

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    if crate::server::is_stand_in() {
        sh::skip(
            "acme",
            "what is started in place of ours is not known to have it",
        );
        return Ok(());
    }
    let folder = fixture.folder("acme")?;
    let address = free_address()?;
    let port: u16 = address.rsplit_once(':').context("no port")?.1.parse()?;
    let stage = Stage {
        binary: &fixture.binary,
        place: Place::new(&folder.join("authority"), port)?,
        folder,
        port,
    };
    step(
        "hosts are certified at the first start, and at no other",
        || first_and_second(&stage),
    )?;
    step("an authority that comes late is found", || late(&stage))?;
    step(
        "a host that is refused is told of, and the others are not",
        || refused(&stage),
    )?;
    step("a certificate is renewed while it serves", || {
        renewed(&stage)
    })?;
    match tools::DISTRIBUTION_3.path() {
        Some(theirs) => swap::run(&stage, &theirs),
        None => {
            sh::skip("acme beside distribution", "it is not installed");
            Ok(())
        }
    }
}

impl Stage<'_> {
    fn setup<'a>(&'a self, binary: &'a Path, hosts: &'a [&'a str], kept: &'a Path) -> Setup<'a> {
        Setup {
            binary,
            place: &self.place,
            port: self.port,
            hosts,
            kept,
        }
    }

    fn ours(&self, name: &str, hosts: &[&str], kept: &Path) -> Result<Party> {
        self.start(name, self.binary, hosts, kept)
    }

    fn start(&self, name: &str, binary: &Path, hosts: &[&str], kept: &Path) -> Result<Party> {
        let setup = self.setup(binary, hosts, kept);
        setup.start(&self.folder.join(name))
    }

    fn kept(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}-kept"))
    }
}

fn first_and_second(stage: &Stage<'_>) -> Result<()> {
    let pebble = stage.place.start("first", Ways::default())?;
    let kept = stage.kept("first");
    let hosts = [ONE, TWO];
    let mut party = stage.ours("first", &hosts, &kept)?;
    for host in hosts {
        party.expect_trusted(host, &pebble)?;
    }
    let shown = hosts.map(|host| party.shown(Some(host)));
    let [Ok(one), Ok(two)] = shown else {
        anyhow::bail!("{shown:?}");
    };
    ensure!(one != two, "two hosts have one certificate");
    ensure!(
        party.shown(Some(OTHER)).is_err(),
        "{OTHER} has a certificate"
    );
    ensure!(party.shown(None).is_err(), "nobody has a certificate");
    expect_kept(&kept, &["acme_account+key", ONE, TWO])?;
    let log = party.log_text();
    ensure!(!log.contains("PRIVATE"), "a key is in the log: {log}");
    expect(&pebble, 2, 1)?;
    drop(party);

    let mut party = stage.ours("second", &hosts, &kept)?;
    party.expect_trusted(ONE, &pebble)?;
    ensure!(party.shown(Some(ONE))? == one, "another certificate");
    expect(&pebble, 2, 1)?;
    drop(party);

    fs::write(kept.join(TWO), "-----BEGIN EC PRIVATE KEY-----\nbroken\n")?;
    let mut party = stage.ours("third", &hosts, &kept)?;
    party.expect_trusted(TWO, &pebble)?;
    ensure!(party.shown(Some(ONE))? == one, "another certificate");
    party.expect_said("is of no use")?;
    expect(&pebble, 3, 1)?;
    check(stage, &hosts, &kept)
}

/// `registry check` orders nothing, and says what there is.
fn check(stage: &Stage<'_>, hosts: &[&str], kept: &Path) -> Result<()> {
    let folder = stage.folder.join("check");
    fs::create_dir_all(&folder)?;
    let setup = stage.setup(stage.binary, hosts, kept);
    let config = setup.configure(&folder)?;
    let said = sh::output(sh::command(stage.binary).arg("check").arg(config))?;
    for host in hosts {
        ensure!(said.contains(host), "{host} is not told of: {said}");
    }
    Ok(())
}

fn late(stage: &Stage<'_>) -> Result<()> {
    let kept = stage.kept("late");
    let mut party = stage.ours("late", &[ONE], &kept)?;
    party.expect_said("no certificate was issued")?;
    ensure!(party.shown(Some(ONE)).is_err(), "there is a certificate");
    party.expect_said("there is no certificate of this host yet")?;
    let pebble = stage.place.start("late", Ways::default())?;
    party.signal("HUP")?;
    party.expect_trusted(ONE, &pebble)?;
    ensure!(
        party.shown(None)? == party.shown(Some(ONE))?,
        "the only host"
    );
    expect(&pebble, 1, 1)
}

fn refused(stage: &Stage<'_>) -> Result<()> {
    let ways = Ways {
        refuses: TWO,
        ..Ways::default()
    };
    let pebble = stage.place.start("refused", ways)?;
    let kept = stage.kept("refused");
    let mut party = stage.ours("refused", &[TWO, ONE], &kept)?;
    party.expect_trusted(ONE, &pebble)?;
    party.expect_said("rejectedIdentifier")?;
    ensure!(pebble.issued()? == 1, "issued what is refused");
    drop((party, pebble));

    // The name leads elsewhere, to where nobody has an answer.
    let nowhere = free_address()?;
    let port = nowhere.rsplit_once(':').context("no port")?.1.parse()?;
    let ways = Ways {
        looks_at: Some(port),
        ..Ways::default()
    };
    let pebble = stage.place.start("elsewhere", ways)?;
    let mut party = stage.ours("elsewhere", &[TWO], &stage.kept("elsewhere"))?;
    party.expect_said("the authority could not validate this host")?;
    party.expect_said("Failed to connect to 127.0.0.1")?;
    party.expect_alive()?;
    ensure!(pebble.orders()? == 1, "it is asked again at once");
    Ok(())
}

fn renewed(stage: &Stage<'_>) -> Result<()> {
    let ways = Ways {
        lifetime: Duration::from_secs(30),
        ..Ways::default()
    };
    let pebble = stage.place.start("renewed", ways)?;
    let kept = stage.kept("renewed");
    let mut party = stage.ours("renewed", &[ONE], &kept)?;
    party.expect_trusted(ONE, &pebble)?;
    let first = party.shown(Some(ONE))?;
    sh::wait_for("another certificate", Duration::from_secs(120), || {
        party.expect_alive()?;
        Ok((party.shown(Some(ONE))? != first).then_some(()))
    })
    .with_context(|| party.log_text())?;
    ensure!(pebble.issued()? >= 2, "nothing was issued");
    ensure!(pebble.accounts()? == 1, "several accounts");
    Ok(())
}

fn expect(pebble: &Pebble, issued: usize, accounts: usize) -> Result<()> {
    let found = (pebble.issued()?, pebble.orders()?, pebble.accounts()?);
    ensure!(
        found == (issued, issued, accounts),
        "issued, ordered, accounts: {found:?}"
    );
    Ok(())
}

/// Nothing else is there, and all of it belongs to its owner alone.
fn expect_kept(folder: &Path, names: &[&str]) -> Result<()> {
    let mode = |path: &Path| Ok(fs::metadata(path)?.permissions().mode() & 0o777) as Result<u32>;
    ensure!(mode(folder)? == 0o700, "the folder is open to others");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        ensure!(mode(&entry.path())? == 0o600, "{name} is open to others");
        found.push(name);
    }
    found.sort();
    ensure!(found == names, "{found:?} are kept");
    Ok(())
}
