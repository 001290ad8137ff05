//! The units, as systemd reads them.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::fixture::Fixture;
use super::step;
use crate::sh;

const UNITS: [&str; 2] = ["registry.service", "registry.socket"];

/// Out of 100: how much of the machine the service may reach at most.
const EXPOSURE: &str = "15";

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    let units = fixture.folder("systemd")?;
    for unit in UNITS {
        let from = sh::root().join("docs/deploy").join(unit);
        let text = fs::read_to_string(&from).with_context(|| format!("no {}", from.display()))?;
        // It wants the program to be where it is installed.
        let binary = fixture.binary.display().to_string();
        fs::write(
            units.join(unit),
            text.replace("/usr/local/bin/registry", &binary),
        )?;
    }
    step("nothing is wrong with them", || {
        let mut verify = sh::command("systemd-analyze");
        verify
            .arg("verify")
            .args(UNITS.map(|unit| units.join(unit)));
        let output = verify.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && said.is_empty(), "{said}");
        Ok(())
    })?;
    step("the service reaches little", || {
        let mut security = sh::command("systemd-analyze");
        security.args(["security", "--offline=yes", "--threshold", EXPOSURE]);
        sh::output(security.arg(units.join(UNITS[0]))).map(|_| ())
    })
}
