//! The image as compose runs it: with our file, and with that of the tutorials.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::fixture::Fixture;
use super::image::Host;
use super::step;
use crate::sh;

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
    })
}

fn compose(host: &Host, file: &Path, words: &[&str]) -> Result<()> {
    let mut command: Command = host.dockerd.as_docker("docker-compose");
    command.args(["--project-name", "test", "--file"]).arg(file);
    sh::output(command.args(words)).map(|_| ())
}
