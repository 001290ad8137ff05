//! buildah: an image made step by step.

use std::fs;

use anyhow::{Result, ensure};

use super::fixture::Fixture;
use super::step;
use crate::buildah::Buildah;
use crate::digest::Noise;
use crate::sh;

const REPOSITORY: &str = "buildah/image";

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    let folder = fixture.folder("buildah")?;
    let buildah = Buildah::new(&folder, "rb")?;
    let image = format!("{}/{REPOSITORY}:one", fixture.address());
    let mut id = String::new();
    step("commit an image and push it", || {
        let mut bytes = vec![0; 500_000];
        Noise::new(50).fill(&mut bytes);
        fs::write(folder.join("noise"), bytes)?;
        let container = sh::output(buildah.command().args(["from", "scratch"]))?;
        sh::output(
            buildah
                .command()
                .args(["copy", &container])
                .arg(folder.join("noise"))
                .arg("/noise"),
        )?;
        let mut commit = buildah.trusting(&["commit", "--quiet"]);
        id = sh::output(commit.args([&container, &image]))?;
        let mut push = buildah.trusting(&["push", "--quiet", "--tls-verify=false"]);
        sh::output(push.arg(&image))?;
        ensure!(fixture.tags(REPOSITORY)? == ["one"]);
        Ok(())
    })?;
    step("pull it back", || {
        sh::output(buildah.command().args(["rm", "--all"]))?;
        sh::output(buildah.command().args(["rmi", "--all", "--force"]))?;
        let mut pull = buildah.trusting(&["pull", "--quiet", "--tls-verify=false"]);
        let pulled = sh::output(pull.arg(&image))?;
        ensure!(pulled == id, "{pulled} in place of {id}");
        Ok(())
    })
}
