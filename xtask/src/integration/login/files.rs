//! Clients that have files and no store.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::super::fixture::Fixture;
use super::{Login, USER};
use crate::image::Layout;
use crate::sh;

/// Its credentials are in the folder.
struct Skopeo {
    folder: PathBuf,
    images: PathBuf,
}

pub(super) fn skopeo(fixture: &Fixture) -> Result<Box<dyn Login>> {
    let folder = fixture.folder("login-skopeo")?;
    fs::write(folder.join("auth.json"), "{}")?;
    let images = fixture.images.path.clone();
    Ok(Box::new(Skopeo { folder, images }))
}

impl Skopeo {
    fn run(&self, words: &[&str]) -> Result<()> {
        let mut command = sh::command("skopeo");
        command.arg("--insecure-policy").args(words);
        command.env("REGISTRY_AUTH_FILE", self.folder.join("auth.json"));
        sh::output(&mut command).map(|_| ())
    }
}

impl Login for Skopeo {
    fn login(&self, host: &str, password: &str) -> Result<()> {
        self.run(&[
            "login",
            "--tls-verify=false",
            "-u",
            USER,
            "-p",
            password,
            host,
        ])
    }

    fn logout(&self, host: &str) -> Result<()> {
        self.run(&["logout", host])
    }

    fn push(&self, to: &str) -> Result<()> {
        let from = format!("oci:{}:one", self.images.display());
        let to = format!("docker://{to}");
        self.run(&["copy", "--quiet", "--dest-tls-verify=false", &from, &to])
    }

    fn pull(&self, from: &str) -> Result<()> {
        let to = self.folder.join("pulled");
        let _ = fs::remove_dir_all(&to);
        let from = format!("docker://{from}");
        let to = format!("oci:{}:one", to.display());
        self.run(&["copy", "--quiet", "--src-tls-verify=false", &from, &to])
    }
}

/// It finds out at the first request whether what it was given is right.
struct Crane {
    folder: PathBuf,
}

pub(super) fn crane(fixture: &Fixture) -> Result<Box<dyn Login>> {
    let folder = fixture.folder("login-crane")?;
    let mut layout = Layout::create(folder.join("layout"))?;
    let image = layout.image(90, "amd64", &[100 << 10])?;
    layout.name("one", &image)?;
    Ok(Box::new(Crane { folder }))
}

impl Crane {
    fn run(&self, words: &[&str]) -> Result<()> {
        let mut command = sh::command(sh::which("crane").context("no crane")?);
        command.args(words).current_dir(&self.folder);
        command.env("DOCKER_CONFIG", &self.folder);
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
}

pub(super) fn helm(fixture: &Fixture) -> Result<Box<dyn Login>> {
    let folder = fixture.folder("login-helm")?;
    fs::create_dir_all(folder.join("noise/templates"))?;
    fs::create_dir_all(folder.join("pulled"))?;
    let chart = "apiVersion: v2\nname: noise\nversion: 1.2.3\n";
    fs::write(folder.join("noise/Chart.yaml"), chart)?;
    let helm = Helm { folder };
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
}

/// The folder of its charts: their names are put behind it.
fn charts(name: &str) -> String {
    format!("oci://{}", name.trim_end_matches(":one"))
}

impl Login for Helm {
    fn login(&self, host: &str, password: &str) -> Result<()> {
        let words = ["registry", "login", "--plain-http"];
        self.run(&[&words[..], &["-u", USER, "-p", password, host]].concat())
    }

    fn logout(&self, host: &str) -> Result<()> {
        self.run(&["registry", "logout", host])
    }

    fn push(&self, to: &str) -> Result<()> {
        self.run(&["push", "noise-1.2.3.tgz", &charts(to), "--plain-http"])
    }

    fn pull(&self, from: &str) -> Result<()> {
        let chart = format!("{}/noise", charts(from));
        let words = ["pull", &chart, "--version", "1.2.3", "--plain-http"];
        self.run(&[&words[..], &["-d", "pulled"]].concat())
    }
}
