//! A machine that has docker and the images, and nothing else.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::super::dockerd::{Dockerd, Network};
use super::super::fixture::Fixture;
use crate::digest::Noise;
use crate::server::Profile;
use crate::{package, sh};

/// What the tutorials pull from elsewhere.
pub(in super::super) const SAMPLE: &str = "ubuntu:16.04";

/// How long until a container answers.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(in super::super) struct Host {
    pub(in super::super) dockerd: Dockerd,
    sample: String,
}

impl Host {
    /// With `registry:2` and `registry:3`, which are ours, and the sample.
    pub(in super::super) fn start(fixture: &Fixture, name: &str) -> Result<Self> {
        let binary = package::static_binary(Profile::Debug)?;
        let archives = package::archives(&binary, &fixture.folder(name)?)?;
        let mut host = Self {
            dockerd: Dockerd::start(fixture, name, Network::Own)?,
            sample: String::new(),
        };
        for archive in archives {
            sh::output(
                host.dockerd
                    .docker()
                    .arg("load")
                    .arg("--input")
                    .arg(archive),
            )?;
        }
        let context = host.dockerd.folder.join("sample");
        fs::create_dir_all(&context)?;
        let mut noise = vec![0; 300_000];
        Noise::new(80).fill(&mut noise);
        fs::write(context.join("noise"), noise)?;
        fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY noise /\n")?;
        let mut build = host.dockerd.docker();
        build.args(["build", "--quiet", "--tag", SAMPLE]);
        host.sample = sh::output(build.arg(context))?;
        Ok(host)
    }

    /// What docker says to these words.
    pub(super) fn docker(&self, words: &[&str]) -> Result<String> {
        sh::output(self.dockerd.docker().args(words))
    }

    /// What docker says to words that fail, on both outputs, and with which code.
    pub(super) fn fails(&self, words: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.dockerd.docker().args(words).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let said = format!("{said}{}", String::from_utf8_lossy(&output.stderr));
        ensure!(!output.status.success(), "docker {words:?}: {said}");
        Ok((output.status.code(), said))
    }

    /// Starts a container named `registry` with these words, and removes it when the rest is done;
    /// what it had to say is in an error.
    pub(super) fn with(&self, words: &[&str], act: impl FnOnce() -> Result<()>) -> Result<()> {
        let run = ["run", "-d", "--name", "registry"];
        self.docker(&[&run, words].concat())?;
        let done = act().with_context(|| {
            let log = self.dockerd.docker().args(["logs", "registry"]).output();
            let log = log.map(|log| [log.stdout, log.stderr].concat());
            String::from_utf8_lossy(&log.unwrap_or_default()).into_owned()
        });
        let removed = self.docker(&["rm", "--force", "--volumes", "registry"]);
        done.and(removed.map(|_| ()))
    }

    /// The head of the answer that comes from a published port, once there is one.
    pub(in super::super) fn answer(&self, port: &str) -> Result<String> {
        sh::wait_for("an answer of the container", PATIENCE, || {
            Ok(self.ask("GET", port, "/v2/").ok())
        })
    }

    /// The head of an answer, whatever it is.
    pub(super) fn ask(&self, method: &str, port: &str, path: &str) -> Result<String> {
        let url = format!("http://localhost:{port}{path}");
        let accept = "Accept: application/vnd.docker.distribution.manifest.v2+json";
        let words = [
            "-sS",
            "-o",
            "/dev/null",
            "-D",
            "-",
            "-H",
            accept,
            "-X",
            method,
        ];
        sh::output(self.dockerd.inside("curl", &words).arg(url))
    }

    /// Pushes the sample there, and forgets that name of it.
    pub(in super::super) fn push(&self, name: &str) -> Result<()> {
        self.docker(&["tag", SAMPLE, name])?;
        self.docker(&["push", "--quiet", name])?;
        self.docker(&["image", "remove", name]).map(|_| ())
    }

    /// Pulls the sample from there, and forgets that name of it.
    pub(in super::super) fn pull(&self, name: &str) -> Result<()> {
        self.docker(&["pull", "--quiet", name])?;
        self.expect_sample(name)?;
        self.docker(&["image", "remove", name]).map(|_| ())
    }

    pub(super) fn expect_sample(&self, name: &str) -> Result<()> {
        let id = self.docker(&["inspect", "--format", "{{.Id}}", name])?;
        ensure!(id == self.sample, "{name} is {id}");
        Ok(())
    }

    /// Stops the container, which has to end by itself and soon, and well.
    pub(super) fn stop(&self, name: &str) -> Result<()> {
        self.docker(&["container", "stop", name])?;
        let state = "{{.State.ExitCode}} {{.State.OOMKilled}}";
        let state = self.docker(&["inspect", "--format", state, name])?;
        ensure!(state == "0 false", "{name} ended with {state}");
        Ok(())
    }
}
