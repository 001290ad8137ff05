//! docker, with a daemon of its own.

use std::fs;

use anyhow::{Result, ensure};

use super::dockerd::{Dockerd, Network};
use super::fixture::Fixture;
use super::proxy::CuttingProxy;
use super::step;
use crate::digest::Noise;
use crate::sh;

const REPOSITORY: &str = "docker/image";

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    let dockerd = Dockerd::start(fixture, "docker", Network::Machine)?;
    let docker = || dockerd.docker();

    let name = |tag: &str| format!("{}/{REPOSITORY}:{tag}", fixture.address());
    let id = |name: &str| sh::output(docker().args(["inspect", "--format", "{{.Id}}", name]));
    let context = dockerd.folder.join("context");
    fs::create_dir_all(&context)?;
    let mut noise = vec![0; 24 << 20];
    Noise::new(70).fill(&mut noise);
    fs::write(context.join("noise"), noise)?;
    fs::write(
        context.join("Dockerfile"),
        "FROM scratch\nCOPY noise /noise\nCMD [\"/none\"]\n",
    )?;

    let mut built = String::new();
    step("build an image and push it", || {
        sh::output(
            docker()
                .args(["build", "--quiet", "--tag", &name("one")])
                .arg(&context),
        )?;
        built = id(&name("one"))?;
        sh::output(docker().args(["push", "--quiet", &name("one")]))?;
        ensure!(fixture.tags(REPOSITORY)? == ["one"]);
        Ok(())
    })?;
    step("push it to another repository, which mounts", || {
        let other = format!("{}/docker/other:one", fixture.address());
        sh::output(docker().args(["tag", &name("one"), &other]))?;
        sh::output(docker().args(["push", "--quiet", &other]))?;
        sh::output(docker().args(["rmi", &other])).map(|_| ())
    })?;
    step("pull it back", || {
        sh::output(docker().args(["rmi", "--force", &built]))?;
        sh::output(docker().args(["pull", "--quiet", &name("one")]))?;
        ensure!(id(&name("one"))? == built);
        Ok(())
    })?;
    step("a pull that is cut goes on where it was", || {
        sh::output(docker().args(["rmi", "--force", &built]))?;
        let proxy = CuttingProxy::start(fixture.address(), 10 << 20, 1)?;
        let through = format!("{}/{REPOSITORY}:one", proxy.address);
        sh::output(docker().args(["pull", "--quiet", &through]))?;
        proxy.expect_resumed()?;
        ensure!(id(&through)? == built);
        Ok(())
    })?;
    step("push a manifest list", || {
        sh::output(docker().args(["pull", "--quiet", &name("one")]))?;
        sh::output(docker().args([
            "manifest",
            "create",
            "--insecure",
            &name("both"),
            &name("one"),
        ]))?;
        sh::output(docker().args(["manifest", "push", "--insecure", &name("both")]))?;
        let list = fixture.manifest(REPOSITORY, "both")?.expect(200)?;
        let kind = list.head.header("content-type").unwrap_or_default();
        ensure!(
            kind == "application/vnd.docker.distribution.manifest.list.v2+json",
            "{kind}"
        );
        Ok(())
    })?;
    Ok(())
}
