//! Clients that are told whose certificates to believe, and have a user.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::super::fixture::Fixture;
use super::super::podman::Podman;
use crate::image::{Layout, only_digest};
use crate::sh;

pub(super) const USER: &str = "alice";
pub(super) const PASSWORD: &str = "secret";

const LOGIN: [&str; 5] = ["login", "-u", USER, "-p", PASSWORD];

pub(super) struct Trusting {
    folder: PathBuf,
    certificate: PathBuf,
    /// A folder with the certificate alone.
    certificates: PathBuf,
}

impl Trusting {
    pub(super) fn new(folder: &Path, certificate: &Path) -> Result<Self> {
        let certificates = folder.join("certificates");
        fs::create_dir_all(&certificates)?;
        fs::copy(certificate, certificates.join("ca.crt"))?;
        fs::write(folder.join("auth.json"), "{}")?;
        Ok(Self {
            folder: folder.to_owned(),
            certificate: certificate.to_owned(),
            certificates,
        })
    }

    /// What it prints.
    pub(super) fn curl(&self, words: &[&str]) -> Result<String> {
        let mut curl = sh::command("curl");
        curl.args(["--silent", "--show-error", "--cacert"]);
        sh::output(curl.arg(&self.certificate).args(words))
    }

    fn skopeo(&self, words: &[&str]) -> Result<()> {
        let mut skopeo = sh::command("skopeo");
        skopeo.arg("--insecure-policy").args(words);
        skopeo.env("REGISTRY_AUTH_FILE", self.folder.join("auth.json"));
        sh::output(&mut skopeo).map(|_| ())
    }

    pub(super) fn skopeo_login(&self, host: &str) -> Result<()> {
        let certificates = self.certificates.display().to_string();
        let more = ["--cert-dir", certificates.as_str(), host];
        self.skopeo(&[&LOGIN[..], &more].concat())
    }

    pub(super) fn skopeo_there_and_back(
        &self,
        from: &Layout,
        image: &str,
        name: &str,
    ) -> Result<()> {
        let certificates = self.certificates.display().to_string();
        let local = format!("oci:{}:{image}", from.path.display());
        let remote = format!("docker://{name}");
        let copy = ["copy", "--quiet", "--preserve-digests"];
        let there = ["--dest-cert-dir", &certificates, &local, &remote];
        self.skopeo(&[&copy[..], &there].concat())?;
        let pulled = self.folder.join("pulled");
        let target = format!("oci:{}:one", pulled.display());
        let back = ["--src-cert-dir", &certificates, &remote, &target];
        self.skopeo(&[&copy[..], &back].concat())?;
        only_digest(&pulled)?;
        Ok(fs::remove_dir_all(pulled)?)
    }

    pub(super) fn podman_there_and_back(
        &self,
        fixture: &Fixture,
        host: &str,
        name: &str,
    ) -> Result<()> {
        let podman = Podman::new(fixture, "nginx-podman")?;
        let run = |words: &[&str], last: &str| {
            let mut command = podman.command();
            command
                .args(words)
                .arg("--cert-dir")
                .arg(&self.certificates);
            sh::output(command.arg(last))
        };
        let id = podman.pull(&format!("oci:{}:one", fixture.images.path.display()))?;
        run(&LOGIN, host)?;
        sh::output(podman.command().args(["tag", &id, name]))?;
        run(&["push", "--quiet"], name)?;
        sh::output(podman.command().args(["rmi", "--all", "--force"]))?;
        let option = format!("--cert-dir={}", self.certificates.display());
        let pulled = podman.pull_with(Some(&option), name)?;
        ensure!(pulled == id, "{pulled} in place of {id}");
        Ok(())
    }

    pub(super) fn crane_there_and_back(&self, crane: &Path, host: &str, name: &str) -> Result<()> {
        let layout = self.folder.join("layout");
        let mut images = Layout::create(layout.clone())?;
        let image = images.image(90, "amd64", &[100 << 10])?;
        images.name("one", &image)?;
        let run = |words: &[&str]| {
            let mut command = Command::new(crane);
            command.current_dir(&self.folder).args(words);
            command.env("DOCKER_CONFIG", &self.folder);
            sh::output(command.env("SSL_CERT_FILE", &self.certificate))
        };
        run(&["auth", "login", "-u", USER, "-p", PASSWORD, host])?;
        run(&["push", "layout", name])?;
        ensure!(run(&["digest", name])? == image.digest);
        run(&["validate", "--remote", name]).map(|_| ())
    }
}
