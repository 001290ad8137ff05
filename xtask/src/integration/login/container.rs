//! Clients that have a store of images.

use std::cell::RefCell;
use std::fs;

use anyhow::Result;

use super::super::ctr::Containerd;
use super::super::dockerd::{Dockerd, Network};
use super::super::fixture::Fixture;
use super::super::podman::Podman;
use super::{Login, USER, Wire};
use crate::buildah::Buildah;
use crate::sh;

struct Docker {
    dockerd: Dockerd,
}

pub(super) fn docker(fixture: &Fixture, _: &Wire) -> Result<Box<dyn Login>> {
    let dockerd = Dockerd::start(fixture, "login-docker", Network::Machine)?;
    let context = dockerd.folder.join("context");
    fs::create_dir_all(&context)?;
    fs::write(context.join("noise"), "noise")?;
    let text = "FROM scratch\nCOPY noise /noise\nCMD [\"/none\"]\n";
    fs::write(context.join("Dockerfile"), text)?;
    let mut build = dockerd.docker();
    build.args(["build", "--quiet", "--tag", "noise"]);
    sh::output(build.arg(&context))?;
    Ok(Box::new(Docker { dockerd }))
}

impl Docker {
    fn run(&self, words: &[&str]) -> Result<()> {
        sh::output(self.dockerd.docker().args(words)).map(|_| ())
    }
}

impl Login for Docker {
    fn login(&self, host: &str, password: &str) -> Result<()> {
        self.run(&["login", "-u", USER, "-p", password, host])
    }

    fn logout(&self, host: &str) -> Result<()> {
        self.run(&["logout", host])
    }

    fn push(&self, to: &str) -> Result<()> {
        self.run(&["tag", "noise", to])?;
        self.run(&["push", "--quiet", to])
    }

    fn pull(&self, from: &str) -> Result<()> {
        self.run(&["pull", "--quiet", from])
    }
}

struct Container {
    podman: Podman,
    id: String,
    unverified: Option<&'static str>,
}

/// What tells podman and buildah not to look at certificates.
const UNVERIFIED: &str = "--tls-verify=false";

pub(super) fn podman(fixture: &Fixture, wire: &Wire) -> Result<Box<dyn Login>> {
    let podman = Podman::new(fixture, "login-podman")?;
    let unverified = wire.unless_tls(UNVERIFIED);
    let from = format!("oci:{}:one", fixture.images.path.display());
    let id = podman.pull_with(unverified, &from)?;
    Ok(Box::new(Container {
        podman,
        id,
        unverified,
    }))
}

impl Container {
    fn run(&self, words: &[&str], last: &[&str]) -> Result<()> {
        let mut command = self.podman.command();
        command.args(words).args(self.unverified).args(last);
        sh::output(&mut command).map(|_| ())
    }
}

impl Login for Container {
    fn login(&self, host: &str, password: &str) -> Result<()> {
        self.run(&["login", "-u", USER, "-p", password], &[host])
    }

    fn logout(&self, host: &str) -> Result<()> {
        sh::output(self.podman.command().args(["logout", host])).map(|_| ())
    }

    fn push(&self, to: &str) -> Result<()> {
        self.run(&["push"], &[&self.id, &format!("docker://{to}")])
    }

    fn pull(&self, from: &str) -> Result<()> {
        self.podman.pull_with(self.unverified, from).map(|_| ())
    }
}

struct Built {
    buildah: Buildah,
    id: String,
    unverified: Option<&'static str>,
}

pub(super) fn buildah(fixture: &Fixture, wire: &Wire) -> Result<Box<dyn Login>> {
    let buildah = Buildah::new(&fixture.folder("login-buildah")?, "rl")?;
    let mut pull = buildah.trusting(&["pull", "--quiet"]);
    let id = sh::output(pull.arg(format!("oci:{}:one", fixture.images.path.display())))?;
    Ok(Box::new(Built {
        buildah,
        id,
        unverified: wire.unless_tls(UNVERIFIED),
    }))
}

impl Login for Built {
    fn login(&self, host: &str, password: &str) -> Result<()> {
        let mut login = self.buildah.command();
        login.args(["login", "-u", USER, "-p", password]);
        sh::output(login.args(self.unverified).arg(host)).map(|_| ())
    }

    fn logout(&self, host: &str) -> Result<()> {
        sh::output(self.buildah.command().args(["logout", host])).map(|_| ())
    }

    fn push(&self, to: &str) -> Result<()> {
        let mut push = self.buildah.trusting(&["push", "--quiet"]);
        push.args(self.unverified).arg(&self.id);
        sh::output(push.arg(format!("docker://{to}"))).map(|_| ())
    }

    fn pull(&self, from: &str) -> Result<()> {
        let mut pull = self
            .buildah
            // What it has it would not ask for.
            .trusting(&["pull", "--policy=always", "--quiet"]);
        sh::output(pull.args(self.unverified).arg(from)).map(|_| ())
    }
}

/// It keeps no credentials: each command is given them.
struct Ctr {
    containerd: Containerd,
    credentials: RefCell<Option<String>>,
    wire: Wire,
}

pub(super) fn ctr(fixture: &Fixture, wire: &Wire) -> Result<Box<dyn Login>> {
    let containerd = Containerd::start(fixture, "login-ctr", "rlc")?;
    containerd.import(&fixture.images, "noise")?;
    Ok(Box::new(Ctr {
        containerd,
        credentials: RefCell::default(),
        wire: wire.clone(),
    }))
}

impl Ctr {
    fn run(&self, words: &[&str], name: &str) -> Result<()> {
        let mut command = self.containerd.ctr();
        command
            .args(words)
            .args(self.wire.unless_tls("--plain-http"));
        if let Some(hosts) = self.wire.hosts() {
            command.arg("--hosts-dir").arg(hosts);
        }
        if let Some(credentials) = self.credentials.borrow().as_ref() {
            command.args(["--user", credentials]);
        }
        sh::output(command.arg(name)).map(|_| ())
    }
}

impl Login for Ctr {
    fn asks(&self) -> bool {
        false
    }

    fn login(&self, _: &str, password: &str) -> Result<()> {
        self.credentials.replace(Some(format!("{USER}:{password}")));
        Ok(())
    }

    fn logout(&self, _: &str) -> Result<()> {
        self.credentials.replace(None);
        Ok(())
    }

    fn push(&self, to: &str) -> Result<()> {
        let mut tag = self.containerd.ctr();
        sh::output(tag.args(["images", "tag", "--force", "noise:one", to]))?;
        self.run(&["images", "push"], to)
    }

    fn pull(&self, from: &str) -> Result<()> {
        self.run(&["images", "pull", "--snapshotter", "native"], from)
    }
}
