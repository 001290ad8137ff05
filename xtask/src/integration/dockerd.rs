//! A docker daemon of the test's own, in the network of the machine or in one that is its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::fixture::Fixture;
use crate::server::Daemon;
use crate::sh::{self, TempDir};

/// What the daemon sees of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// What everybody sees, without a bridge: nothing is run in it.
    Machine,
    /// Nothing but what it makes itself, which is its default bridge and published ports. It goes
    /// with the last process in it.
    Own,
}

/// The control group of every container.
const GROUP: &str = "registry-test";

#[derive(Debug)]
pub(super) struct Dockerd {
    daemon: Daemon,
    pub(super) folder: PathBuf,
    /// The path of a socket has 107 bytes at most.
    short: TempDir,
}

impl Dockerd {
    /// Starts it, and waits until it answers.
    pub(super) fn start(fixture: &Fixture, name: &str, network: Network) -> Result<Self> {
        let folder = fixture.folder(name)?;
        let short = TempDir::short(name)?;
        fs::write(folder.join("daemon.json"), "{}")?;
        let mut command = launcher(network)?;
        command.arg("--config-file").arg(folder.join("daemon.json"));
        command.arg("--data-root").arg(folder.join("data"));
        command.arg("--exec-root").arg(short.path().join("exec"));
        command.arg("--pidfile").arg(short.path().join("pid"));
        command.args(["--host", &socket(&short)]);
        command.args(["--insecure-registry", "127.0.0.0/8"]);
        command.args(["--exec-opt", "native.cgroupdriver=cgroupfs"]);
        command.args(["--cgroup-parent", &format!("/{GROUP}")]);
        let log = folder.join("log");
        let mut started = Self {
            daemon: Daemon::spawn(command, &log)?,
            folder,
            short,
        };
        sh::wait_for("the docker daemon", Duration::from_secs(60), || {
            started.daemon.expect_alive()?;
            Ok(sh::output(started.docker().arg("info")).ok())
        })
        .with_context(|| fs::read_to_string(log).unwrap_or_default())?;
        Ok(started)
    }

    /// The command line of docker, for this daemon.
    pub(super) fn docker(&self) -> Command {
        self.as_docker("docker")
    }

    /// Another program that speaks to this daemon.
    pub(super) fn as_docker(&self, program: &str) -> Command {
        let mut command = sh::command(program);
        command
            .env("DOCKER_HOST", socket(&self.short))
            .env("DOCKER_BUILDKIT", "0")
            .env("DOCKER_CONFIG", self.folder.join("config"));
        command
    }

    /// A program with these words that sees the network of the daemon.
    pub(super) fn inside(&self, program: &str, words: &[&str]) -> Command {
        let mut command = sh::command("nsenter");
        command
            .args(["--target", &self.daemon.child.id().to_string(), "--net"])
            .arg("--")
            .arg(program)
            .args(words);
        command
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // It ends its containers; its mounts and its network go with it.
        self.daemon.stop();
        remove_groups(Path::new("/sys/fs/cgroup"));
    }
}

fn socket(short: &TempDir) -> String {
    format!("unix://{}", short.path().join("d.sock").display())
}

fn launcher(network: Network) -> Result<Command> {
    let dockerd = sh::which("dockerd").context("no dockerd")?;
    if network == Network::Machine {
        let mut command = sh::command(dockerd);
        command.args(["--bridge=none", "--iptables=false", "--ip6tables=false"]);
        // A mount would be one of the machine.
        command.args(["--storage-driver", "vfs"]);
        return Ok(command);
    }
    let mut command = sh::command("unshare");
    command
        .args(["--net", "--mount", "--"])
        .args(["sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""])
        .arg(dockerd);
    Ok(command)
}

/// Removes the control group in each hierarchy, since the daemon leaves it; one that is not empty
/// is another's.
fn remove_groups(hierarchies: &Path) {
    let _ = fs::remove_dir(hierarchies.join(GROUP));
    for entry in fs::read_dir(hierarchies).into_iter().flatten().flatten() {
        let _ = fs::remove_dir(entry.path().join(GROUP));
    }
}
