//! helm: charts are artifacts with a configuration of their own.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::fixture::Fixture;
use super::step;
use crate::sh;

const CHART: &str = "apiVersion: v2\nname: noise\nversion: 1.2.3\ndescription: a test\n";
const TEMPLATE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: noise\n";

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    let folder = fixture.folder("helm")?;
    let helm = || -> Result<Command> {
        let mut command = sh::command(sh::which("helm").context("no helm")?);
        command.current_dir(&folder).env("HOME", &folder);
        Ok(command)
    };
    let charts = format!("oci://{}/helm/charts", fixture.address());
    fs::create_dir_all(folder.join("noise/templates"))?;
    fs::write(folder.join("noise/Chart.yaml"), CHART)?;
    fs::write(folder.join("noise/templates/map.yaml"), TEMPLATE)?;

    step("package a chart and push it", || {
        sh::output(helm()?.args(["package", "noise"]))?;
        sh::output(helm()?.args(["push", "noise-1.2.3.tgz", &charts, "--plain-http"]))?;
        ensure!(fixture.tags("helm/charts/noise")? == ["1.2.3"]);
        Ok(())
    })?;
    step("pull it back", || {
        fs::create_dir_all(folder.join("pulled"))?;
        let chart = format!("{charts}/noise");
        let mut pull = helm()?;
        pull.args([
            "pull",
            &chart,
            "--version",
            "1.2.3",
            "--plain-http",
            "-d",
            "pulled",
        ]);
        sh::output(&mut pull)?;
        let name = "noise-1.2.3.tgz";
        ensure!(fs::read(folder.join(name))? == fs::read(folder.join("pulled").join(name))?);
        Ok(())
    })?;
    step("find the newest version by listing tags", || {
        let chart = format!("{charts}/noise");
        let shown = sh::output(helm()?.args(["show", "chart", &chart, "--plain-http"]))?;
        ensure!(shown.contains("version: 1.2.3"), "{shown}");
        Ok(())
    })
}
