//! The image as compose runs it: with our file, and with that of the tutorials.

mod images;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::fixture::Fixture;
use super::image::Host;
use super::step;
use crate::s3::Minio;
use crate::sh;

/// How long all of them may take to find each other.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the tutorials write, but for what needs certificates.
const TUTORIAL: &str = "\
version: '3'
services:
  registry:
    restart: always
    image: registry:2
    ports:
      - 5000:5000
    environment:
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: /data
      REGISTRY_STORAGE_DELETE_ENABLED: 'true'
      REGISTRY_HTTP_HEADERS_X-Said-By: '[compose]'
    volumes:
      - ./data:/data
";

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    if crate::server::is_stand_in() {
        sh::skip("compose", "it needs our own server");
        return Ok(());
    }
    let host = Host::start(fixture, "compose")?;
    step("our file keeps what was pushed", || {
        let file = sh::root().join("docs/deploy/compose.yml");
        let compose = |words: &[&str]| compose(&host, &file, words);
        compose(&["up", "-d"])?;
        host.answer("5000")?;
        host.push("localhost:5000/kept")?;
        compose(&["down"])?;
        compose(&["up", "-d"])?;
        host.answer("5000")?;
        host.pull("localhost:5000/kept")?;
        compose(&["down", "--volumes"])
    })?;
    step("the file of a tutorial is as good", || {
        let file = host.dockerd.folder.join("docker-compose.yml");
        fs::write(&file, TUTORIAL)?;
        let compose = |words: &[&str]| compose(&host, &file, words);
        compose(&["up", "-d"])?;
        let answer = host.answer("5000")?;
        ensure!(answer.contains("compose"), "{answer}");
        host.push("localhost:5000/tutorial")?;
        compose(&["restart"])?;
        host.answer("5000")?;
        host.pull("localhost:5000/tutorial")?;
        ensure!(host.dockerd.folder.join("data/docker").is_dir());
        compose(&["exec", "-T", "registry", "registry", "--version"])?;
        compose(&["down"])
    })?;
    let (Some(nginx), Some(minio)) = (sh::which("nginx"), Minio::program()) else {
        ensure!(!sh::in_ci(), "there is no nginx, or no MinIO");
        sh::skip("compose: replicas", "there is no nginx, or no MinIO");
        return Ok(());
    };
    images::nginx(&host, &nginx)?;
    images::minio(&host, &minio)?;
    step(
        "three replicas behind nginx, of which one is killed",
        || replicas(&host),
    )
}

fn replicas(host: &Host) -> Result<()> {
    let file = sh::root().join("docs/deploy/compose.replicas.yml");
    let compose = |words: &[&str]| compose(host, &file, words);
    let told = |all: Result<()>| {
        all.inspect_err(|_| {
            let mut logs: Command = host.dockerd.as_docker("docker-compose");
            logs.args(["--project-name", "test", "--file"]).arg(&file);
            println!("{}", sh::output(logs.args(["logs"])).unwrap_or_default());
        })
    };
    compose(&["up", "-d"])?;
    told(sh::wait_for("a replica", PATIENCE, || {
        let answer = host.answer("5000")?;
        Ok(answer.contains(" 200 ").then_some(()))
    }))?;
    told(host.push("localhost:5000/kept"))?;
    compose(&["kill", "registry-2"])?;
    for number in 0..3 {
        told(host.pull("localhost:5000/kept"))?;
        told(host.push(&format!("localhost:5000/more:{number}")))?;
    }
    compose(&["up", "-d"])?;
    told(host.pull("localhost:5000/more:2"))?;
    compose(&["down", "--volumes"])
}

fn compose(host: &Host, file: &Path, words: &[&str]) -> Result<()> {
    let mut command: Command = host.dockerd.as_docker("docker-compose");
    command.args(["--project-name", "test", "--file"]).arg(file);
    sh::output(command.args(words)).map(|_| ())
}
