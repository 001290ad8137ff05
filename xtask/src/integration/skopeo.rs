//! skopeo: layouts in and out, lists, deletion.

use std::process::Command;

use anyhow::{Result, ensure};

use super::fixture::Fixture;
use super::step;
use crate::image::{Layout, only_digest};
use crate::sh;

const REPOSITORY: &str = "skopeo/image";

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    images(fixture)?;
    step("push and pull a layer of 1 GiB", || {
        let (layout, image) = fixture.big()?;
        push(fixture, layout, "big", "skopeo/big:one")?;
        ensure!(pull(fixture, "skopeo/big:one", "big")? == image.digest);
        // Not kept: it is a gigabyte.
        Ok(std::fs::remove_dir_all(
            fixture.folder("skopeo")?.join("big"),
        )?)
    })
}

/// All but what takes long.
pub(super) fn images(fixture: &Fixture) -> Result<()> {
    let images = &fixture.images;
    step("push an image", || {
        push(fixture, images, "one", &format!("{REPOSITORY}:one"))?;
        fixture.expect(REPOSITORY, "one", &fixture.one.digest)
    })?;
    step("push it again", || {
        push(fixture, images, "one", &format!("{REPOSITORY}:again"))
    })?;
    step("push it to another repository", || {
        push(fixture, images, "one", "skopeo/other/name:one")?;
        fixture.expect("skopeo/other/name", "one", &fixture.one.digest)
    })?;
    step("pull it back", || {
        ensure!(pull(fixture, &format!("{REPOSITORY}:one"), "one")? == fixture.one.digest);
        Ok(())
    })?;
    step("push a multi-arch index and pull it back", || {
        push(fixture, images, "both", &format!("{REPOSITORY}:both"))?;
        fixture.expect(REPOSITORY, "both", &fixture.both.digest)?;
        fixture.expect(REPOSITORY, &fixture.two.digest, &fixture.two.digest)?;
        ensure!(pull(fixture, &format!("{REPOSITORY}:both"), "both")? == fixture.both.digest);
        Ok(())
    })?;
    step("list tags", || {
        let url = format!("docker://{}/{REPOSITORY}", fixture.address());
        let text = sh::output(skopeo().args(["list-tags", "--tls-verify=false", &url]))?;
        let list: serde_json::Value = serde_json::from_str(&text)?;
        ensure!(
            list["Tags"] == serde_json::json!(["again", "both", "one"]),
            "{list}"
        );
        Ok(())
    })?;
    step("inspect", || {
        let url = format!("docker://{}/{REPOSITORY}:one", fixture.address());
        let text = sh::output(skopeo().args(["inspect", "--tls-verify=false", &url]))?;
        let found: serde_json::Value = serde_json::from_str(&text)?;
        ensure!(found["Digest"] == fixture.one.digest.as_str(), "{found}");
        Ok(())
    })?;
    step("delete an image, which takes its tags along", || {
        let url = format!("docker://{}/skopeo/other/name:one", fixture.address());
        sh::output(skopeo().args(["delete", "--tls-verify=false", &url]))?;
        fixture.expect_absent("skopeo/other/name", "one")?;
        fixture.expect_absent("skopeo/other/name", &fixture.one.digest)
    })?;
    step("attach an artifact and find it", || {
        let note = fixture.put_artifact(REPOSITORY, &fixture.one)?;
        if let Some(found) = fixture.referrers(REPOSITORY, &fixture.one.digest)? {
            ensure!(found == [note.as_str()], "found {found:?}");
        }
        ensure!(pull(fixture, &format!("{REPOSITORY}@{note}"), "note")? == note);
        Ok(())
    })
}

/// Puts an image of a layout under a name in the registry, unchanged.
pub(super) fn push(fixture: &Fixture, from: &Layout, name: &str, to: &str) -> Result<()> {
    let from = format!("oci:{}:{name}", from.path.display());
    let to = format!("docker://{}/{to}", fixture.address());
    copy(["--dest-tls-verify=false", &from, &to])
}

/// Fetches it into a layout of its own, and says what is in there.
fn pull(fixture: &Fixture, from: &str, name: &str) -> Result<String> {
    let folder = fixture.folder("skopeo")?.join(name);
    let from = format!("docker://{}/{from}", fixture.address());
    copy([
        "--src-tls-verify=false",
        &from,
        &format!("oci:{}:{name}", folder.display()),
    ])?;
    only_digest(&folder)
}

fn copy(args: [&str; 3]) -> Result<()> {
    let mut command = skopeo();
    command
        .args(["copy", "--quiet", "--all", "--preserve-digests"])
        .args(args);
    sh::output(&mut command).map(|_| ())
}

fn skopeo() -> Command {
    let mut command = sh::command("skopeo");
    command.arg("--insecure-policy");
    command
}
