//! Clients that have files and no store.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::super::fixture::Fixture;
use super::{Login, USER, Wire};
use crate::image::Layout;
use crate::sh;

/// Its credentials are in the folder.
struct Skopeo {
    folder: PathBuf,
    images: PathBuf,
    wire: Wire,
}

pub(super) fn skopeo(fixture: &Fixture, wire: &Wire) -> Result<Box<dyn Login>> {
    let folder = fixture.folder("login-skopeo")?;
    fs::write(folder.join("auth.json"), "{}")?;
    let images = fixture.images.path.clone();
    Ok(Box::new(Skopeo {
        folder,
        images,
        wire: wire.clone(),
    }))
}

impl Skopeo {
    fn run(&self, words: &[&str], unverified: Option<&'static str>, last: &[&str]) -> Result<()> {
        let mut command = sh::command("skopeo");
        command.arg("--insecure-policy").args(words);
        let unverified = unverified.and_then(|flag| self.wire.unless_tls(flag));
        command.args(unverified).args(last);
        command.env("REGISTRY_AUTH_FILE", self.folder.join("auth.json"));
        sh::output(&mut command).map(|_| ())
    }
}

impl Login for Skopeo {
    fn login(&self, host: &str, password: &str) -> Result<()> {
        let words = ["login", "-u", USER, "-p", password];
        self.run(&words, Some("--tls-verify=false"), &[host])
    }

    fn logout(&self, host: &str) -> Result<()> {
        self.run(&["logout"], None, &[host])
    }

    fn push(&self, to: &str) -> Result<()> {
        let from = format!("oci:{}:one", self.images.display());
        let to = format!("docker://{to}");
        let unverified = Some("--dest-tls-verify=false");
        self.run(&["copy", "--quiet"], unverified, &[&from, &to])
    }

    fn pull(&self, from: &str) -> Result<()> {
        let to = self.folder.join("pulled");
        let _ = fs::remove_dir_all(&to);
        let from = format!("docker://{from}");
        let to = format!("oci:{}:one", to.display());
        let unverified = Some("--src-tls-verify=false");
        self.run(&["copy", "--quiet"], unverified, &[&from, &to])
    }
}

/// It finds out at the first request whether what it was given is right.
struct Crane {
    folder: PathBuf,
    wire: Wire,
}

pub(super) fn crane(fixture: &Fixture, wire: &Wire) -> Result<Box<dyn Login>> {
    let folder = fixture.folder("login-crane")?;
    let mut layout = Layout::create(folder.join("layout"))?;
    let image = layout.image(90, "amd64", &[100 << 10])?;
    layout.name("one", &image)?;
    let wire = wire.clone();
    Ok(Box::new(Crane { folder, wire }))
}

impl Crane {
    fn run(&self, words: &[&str]) -> Result<()> {
        let mut command = sh::command(sh::which("crane").context("no crane")?);
        command.args(words).current_dir(&self.folder);
        command.env("DOCKER_CONFIG", &self.folder);
        if let Some(ca) = self.wire.ca() {
            command.env("SSL_CERT_FILE", ca);
        }
        sh::output(&mut command).map(|_| ())
    }
}

impl Login for Crane {
    fn asks(&self) -> bool {
        false
    }

    fn login(&self, host: &str, password: &str) -> Result<()> {
        self.run(&["auth", "login", "-u", USER, "-p", password, host])
    }

    fn logout(&self, host: &str) -> Result<()> {
        self.run(&["auth", "logout", host])
    }

    fn push(&self, to: &str) -> Result<()> {
        self.run(&["push", "layout", to])
    }

    fn pull(&self, from: &str) -> Result<()> {
        self.run(&["pull", "--format", "oci", from, "pulled"])
    }
}

struct Helm {
    folder: PathBuf,
    wire: Wire,
}

pub(super) fn helm(fixture: &Fixture, wire: &Wire) -> Result<Box<dyn Login>> {
    let folder = fixture.folder("login-helm")?;
    fs::create_dir_all(folder.join("noise/templates"))?;
    fs::create_dir_all(folder.join("pulled"))?;
    let chart = "apiVersion: v2\nname: noise\nversion: 1.2.3\n";
    fs::write(folder.join("noise/Chart.yaml"), chart)?;
    let wire = wire.clone();
    let helm = Helm { folder, wire };
    sh::output(helm.command()?.args(["package", "noise"]))?;
    Ok(Box::new(helm))
}

impl Helm {
    fn command(&self) -> Result<Command> {
        let mut command = sh::command(sh::which("helm").context("no helm")?);
        command.current_dir(&self.folder).env("HOME", &self.folder);
        Ok(command)
    }

    fn run(&self, words: &[&str]) -> Result<()> {
        sh::output(self.command()?.args(words)).map(|_| ())
    }

    /// The same about a registry.
    fn ask(&self, words: &[&str]) -> Result<()> {
        let mut command = self.command()?;
        command
            .args(words)
            .args(self.wire.unless_tls("--plain-http"));
        if let Some(ca) = self.wire.ca() {
            command.arg("--ca-file").arg(ca);
        }
        sh::output(&mut command).map(|_| ())
    }
}

/// The folder of its charts: their names are put behind it.
fn charts(name: &str) -> String {
    format!("oci://{}", name.trim_end_matches(":one"))
}

impl Login for Helm {
    fn login(&self, host: &str, password: &str) -> Result<()> {
        self.ask(&["registry", "login", "-u", USER, "-p", password, host])
    }

    fn logout(&self, host: &str) -> Result<()> {
        self.run(&["registry", "logout", host])
    }

    fn push(&self, to: &str) -> Result<()> {
        self.ask(&["push", "noise-1.2.3.tgz", &charts(to)])
    }

    fn pull(&self, from: &str) -> Result<()> {
        let chart = format!("{}/noise", charts(from));
        self.ask(&["pull", &chart, "--version", "1.2.3", "-d", "pulled"])
    }
}
