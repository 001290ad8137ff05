//! containerd's ctr, with a daemon of its own.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::fixture::Fixture;
use super::proxy::CuttingProxy;
use super::step;
use crate::image::Layout;
use crate::server::Daemon;
use crate::sh::{self, TempDir};

const REPOSITORY: &str = "ctr/image";

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    let folder = fixture.folder("ctr")?;
    let short = TempDir::short("rc")?;
    let socket = short.path().join("c.sock");
    let mut command = sh::command(sh::which("containerd").context("no containerd")?);
    fs::write(
        folder.join("config.toml"),
        "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n",
    )?;
    command
        .arg("--config")
        .arg(folder.join("config.toml"))
        .arg("--address")
        .arg(&socket);
    command
        .arg("--root")
        .arg(folder.join("root"))
        .arg("--state")
        .arg(short.path().join("state"));
    let mut daemon = Daemon::spawn(command, &folder.join("log"))?;
    let ctr = || -> Command {
        let mut command = sh::command("ctr");
        command.arg("--address").arg(&socket);
        command
    };
    sh::wait_for("containerd", Duration::from_secs(60), || {
        daemon.expect_alive()?;
        Ok(sh::output(ctr().arg("version")).ok())
    })
    .with_context(|| fs::read_to_string(folder.join("log")).unwrap_or_default())?;

    let base = format!("{}/{REPOSITORY}", fixture.address());
    let import = |layout: &Layout, base: &str| -> Result<()> {
        let archive = folder.join("images.tar");
        sh::output(
            sh::command("tar")
                .arg("-cf")
                .arg(&archive)
                .arg("-C")
                .arg(&layout.path)
                .arg("."),
        )?;
        let mut import = ctr();
        import.args([
            "images",
            "import",
            "--no-unpack",
            "--all-platforms",
            "--base-name",
            base,
        ]);
        sh::output(import.arg(archive)).map(|_| ())
    };
    let digest = |name: &str| -> Result<String> {
        let list = sh::output(ctr().args(["images", "list", &format!("name=={name}")]))?;
        let found = list
            .split_whitespace()
            .find(|word| word.starts_with("sha256:"));
        Ok(found
            .with_context(|| format!("{name} is not in:\n{list}"))?
            .to_owned())
    };
    let pull = |name: &str| -> Result<()> {
        let mut pull = ctr();
        pull.args([
            "images",
            "pull",
            "--plain-http",
            "--snapshotter",
            "native",
            name,
        ]);
        sh::output(&mut pull).map(|_| ())
    };
    // Only what has no other user is collected, so it would not be fetched again.
    let forget =
        |name: &str| sh::output(ctr().args(["images", "remove", "--sync", name])).map(|_| ());
    import(&fixture.images, &base)?;

    step("push an image and an index", || {
        for (tag, what) in [("one", &fixture.one), ("both", &fixture.both)] {
            let name = format!("{base}:{tag}");
            sh::output(ctr().args(["images", "push", "--plain-http", &name]))?;
            fixture.expect(REPOSITORY, tag, &what.digest)?;
        }
        Ok(())
    })?;
    step("pull them back", || {
        for tag in ["one", "two", "both"] {
            forget(&format!("{base}:{tag}"))?;
        }
        for (tag, what) in [("one", &fixture.one), ("both", &fixture.both)] {
            let name = format!("{base}:{tag}");
            pull(&name)?;
            ensure!(digest(&name)? == what.digest);
        }
        Ok(())
    })?;
    step("a pull that is cut goes on where it was", || {
        let mut layout = Layout::create(folder.join("layout"))?;
        let image = layout.image(80, "amd64", &[24 << 20])?;
        layout.name("large", &image)?;
        import(&layout, &base)?;
        sh::output(ctr().args(["images", "push", "--plain-http", &format!("{base}:large")]))?;
        forget(&format!("{base}:large"))?;
        let proxy = CuttingProxy::start(fixture.address(), 10 << 20, 1)?;
        let name = format!("{}/{REPOSITORY}:large", proxy.address);
        pull(&name)?;
        proxy.expect_resumed()?;
        ensure!(digest(&name)? == image.digest);
        Ok(())
    })?;
    daemon.stop();
    Ok(())
}
