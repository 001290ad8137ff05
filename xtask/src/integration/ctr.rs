//! containerd's ctr, with a daemon of its own.

use std::fs;
use std::path::PathBuf;
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
    let containerd = Containerd::start(fixture, "ctr", "rc")?;
    let ctr = || containerd.ctr();
    let folder = &containerd.folder;

    let base = format!("{}/{REPOSITORY}", fixture.address());
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
    containerd.import(&fixture.images, &base)?;

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
        containerd.import(&layout, &base)?;
        sh::output(ctr().args(["images", "push", "--plain-http", &format!("{base}:large")]))?;
        forget(&format!("{base}:large"))?;
        let proxy = CuttingProxy::start(fixture.address(), 10 << 20, 1)?;
        let name = format!("{}/{REPOSITORY}:large", proxy.address);
        pull(&name)?;
        proxy.expect_resumed()?;
        ensure!(digest(&name)? == image.digest);
        Ok(())
    })
}

/// A daemon of the test's own.
pub(super) struct Containerd {
    // Ends before its folders go.
    daemon: Daemon,
    pub(super) folder: PathBuf,
    /// The path of a socket has 107 bytes at most.
    short: TempDir,
}

impl Containerd {
    /// Starts it, and waits until it answers.
    pub(super) fn start(fixture: &Fixture, name: &str, short: &str) -> Result<Self> {
        let folder = fixture.folder(name)?;
        let short = TempDir::short(short)?;
        let mut command = sh::command(sh::which("containerd").context("no containerd")?);
        fs::write(
            folder.join("config.toml"),
            "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n",
        )?;
        command.arg("--config").arg(folder.join("config.toml"));
        command.arg("--address").arg(short.path().join("c.sock"));
        command.arg("--root").arg(folder.join("root"));
        command.arg("--state").arg(short.path().join("state"));
        let log = folder.join("log");
        let mut started = Self {
            daemon: Daemon::spawn(command, &log)?,
            folder,
            short,
        };
        sh::wait_for("containerd", Duration::from_secs(60), || {
            started.daemon.expect_alive()?;
            Ok(sh::output(started.ctr().arg("version")).ok())
        })
        .with_context(|| fs::read_to_string(log).unwrap_or_default())?;
        Ok(started)
    }

    /// The command line, for this daemon.
    pub(super) fn ctr(&self) -> Command {
        let mut command = sh::command("ctr");
        command
            .arg("--address")
            .arg(self.short.path().join("c.sock"));
        command
    }

    /// Takes the images of a layout in, each as `base` with its name as the tag.
    pub(super) fn import(&self, layout: &Layout, base: &str) -> Result<()> {
        let archive = self.folder.join("images.tar");
        let mut tar = sh::command("tar");
        tar.arg("-cf").arg(&archive).arg("-C").arg(&layout.path);
        sh::output(tar.arg("."))?;
        let mut import = self.ctr();
        import.args(["images", "import", "--no-unpack", "--all-platforms"]);
        import.args(["--base-name", base]);
        sh::output(import.arg(archive)).map(|_| ())
    }
}
