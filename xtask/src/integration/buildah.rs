//! buildah: an image made step by step.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};

use super::fixture::Fixture;
use super::step;
use crate::digest::Noise;
use crate::sh::{self, TempDir};

const REPOSITORY: &str = "buildah/image";

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    let folder = fixture.folder("buildah")?;
    let run = TempDir::short("rb")?;
    let policy = folder.join("policy.json");
    fs::write(
        &policy,
        r#"{"default":[{"type":"insecureAcceptAnything"}]}"#,
    )?;
    fs::write(folder.join("auth.json"), "{}")?;
    let buildah = || -> Command {
        let mut command = sh::command("buildah");
        command
            .arg("--root")
            .arg(folder.join("root"))
            .arg("--runroot")
            .arg(run.path().join("run"));
        command.args(["--storage-driver", "vfs"]);
        command
            .env("BUILDAH_ISOLATION", "chroot")
            .env("HOME", &folder);
        command.env("REGISTRY_AUTH_FILE", folder.join("auth.json"));
        command.env("XDG_RUNTIME_DIR", run.path());
        command
    };
    let image = format!("{}/{REPOSITORY}:one", fixture.address());
    let mut id = String::new();
    step("commit an image and push it", || {
        let mut bytes = vec![0; 500_000];
        Noise::new(50).fill(&mut bytes);
        fs::write(folder.join("noise"), bytes)?;
        let container = sh::output(buildah().args(["from", "scratch"]))?;
        sh::output(
            buildah()
                .args(["copy", &container])
                .arg(folder.join("noise"))
                .arg("/noise"),
        )?;
        let mut commit = buildah();
        commit
            .args(["commit", "--quiet", "--signature-policy"])
            .arg(&policy);
        id = sh::output(commit.args([&container, &image]))?;
        let mut push = buildah();
        push.args([
            "push",
            "--quiet",
            "--tls-verify=false",
            "--signature-policy",
        ])
        .arg(&policy);
        sh::output(push.arg(&image))?;
        ensure!(fixture.tags(REPOSITORY)? == ["one"]);
        Ok(())
    })?;
    step("pull it back", || {
        sh::output(buildah().args(["rm", "--all"]))?;
        sh::output(buildah().args(["rmi", "--all", "--force"]))?;
        let mut pull = buildah();
        pull.args([
            "pull",
            "--quiet",
            "--tls-verify=false",
            "--signature-policy",
        ])
        .arg(&policy);
        let pulled = sh::output(pull.arg(&image))?;
        ensure!(pulled == id, "{pulled} in place of {id}");
        Ok(())
    })
}
