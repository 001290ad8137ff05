//! crane: the Go library that many other clients are built on.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::fixture::Fixture;
use super::step;
use crate::image::{Layout, only_digest};
use crate::sh;

const REPOSITORY: &str = "crane/image";

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    let folder = fixture.folder("crane")?;
    let name = |tag: &str| format!("{}/{REPOSITORY}:{tag}", fixture.address());
    // It wants a layout with a single image, or pushes the layout's own index.
    let mut layout = Layout::create(folder.join("layout"))?;
    let image = layout.image(60, "amd64", &[200 << 10])?;
    layout.name("one", &image)?;

    step("push an image", || {
        sh::output(crane()?.arg("push").arg(&layout.path).arg(name("one")))?;
        fixture.expect(REPOSITORY, "one", &image.digest)
    })?;
    step("pull it back and validate it", || {
        let pulled = folder.join("pulled");
        sh::output(
            crane()?
                .args(["pull", "--format", "oci", &name("one")])
                .arg(&pulled),
        )?;
        ensure!(only_digest(&pulled)? == image.digest);
        sh::output(crane()?.args(["validate", "--remote", &name("one")])).map(|_| ())
    })?;
    step("ask for its digest", || {
        ensure!(sh::output(crane()?.args(["digest", &name("one")]))? == image.digest);
        Ok(())
    })?;
    step("copy to another repository, which mounts", || {
        let other = format!("{}/crane/other:one", fixture.address());
        sh::output(crane()?.args(["copy", &name("one"), &other]))?;
        fixture.expect("crane/other", "one", &image.digest)
    })?;
    step("push an index of images", || {
        sh::output(
            crane()?
                .arg("push")
                .arg("--index")
                .arg(&fixture.images.path)
                .arg(name("all")),
        )?;
        fixture.expect(REPOSITORY, &fixture.both.digest, &fixture.both.digest)?;
        sh::output(crane()?.args(["validate", "--remote", &name("all")])).map(|_| ())
    })?;
    step("tag and list", || {
        sh::output(crane()?.args(["tag", &name("one"), "two"]))?;
        let tags =
            sh::output(crane()?.args(["ls", &format!("{}/{REPOSITORY}", fixture.address())]))?;
        ensure!(tags.lines().eq(["all", "one", "two"]), "{tags}");
        Ok(())
    })?;
    step("list the catalog", || {
        let all = sh::output(crane()?.args(["catalog", fixture.address()]))?;
        ensure!(all.lines().any(|line| line == REPOSITORY), "{all}");
        Ok(())
    })?;
    step("delete by digest", || {
        let target = format!("{}/{REPOSITORY}@{}", fixture.address(), image.digest);
        sh::output(crane()?.args(["delete", &target]))?;
        fixture.expect_absent(REPOSITORY, "one")?;
        fixture.expect_absent(REPOSITORY, "two")
    })?;
    if !crate::server::is_stand_in() {
        step("delete a tag alone", || {
            sh::output(crane()?.args([
                "tag",
                &format!("{}/crane/other:one", fixture.address()),
                "x",
            ]))?;
            sh::output(crane()?.args(["delete", &format!("{}/crane/other:x", fixture.address())]))?;
            fixture.expect_absent("crane/other", "x")?;
            fixture.expect("crane/other", "one", &image.digest)
        })?;
    }
    Ok(())
}

fn crane() -> Result<Command> {
    let mut command = sh::command(sh::which("crane").context("no crane")?);
    // Credentials of the user are nobody's business here.
    command.env("DOCKER_CONFIG", sh::target());
    Ok(command)
}
