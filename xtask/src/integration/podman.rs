//! podman, with a store of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use super::fixture::Fixture;
use super::step;
use crate::sh::{self, TempDir};

const REPOSITORY: &str = "podman/image";

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    let podman = Podman::new(fixture, "podman-store")?;
    let image = format!("{}/{REPOSITORY}:one", fixture.address());
    let layout = fixture.images.path.display();
    let mut id = String::new();
    step("take an image in and push it", || {
        id = podman.pull(&format!("oci:{layout}:one"))?;
        sh::output(podman.command().args(["tag", &id, &image]))?;
        podman.push(&["push", "--tls-verify=false", &image])?;
        fixture.manifest(REPOSITORY, "one")?.expect(200).map(|_| ())
    })?;
    step("pull it back", || {
        sh::output(podman.command().args(["rmi", "--all", "--force"]))?;
        let pulled = podman.pull(&image)?;
        ensure!(pulled == id, "{pulled} in place of {id}");
        Ok(())
    })?;
    step("pull by digest", || {
        let found = fixture.manifest(REPOSITORY, "one")?.expect(200)?;
        let digest = crate::digest::digest(&found.body);
        let by_digest = format!("{}/{REPOSITORY}@{digest}", fixture.address());
        ensure!(podman.pull(&by_digest)? == id);
        Ok(())
    })?;
    step("build from scratch and push", || {
        let context = fixture.folder("podman")?;
        fs::write(context.join("hello"), "hello")?;
        fs::write(
            context.join("Containerfile"),
            "FROM scratch\nCOPY hello /hello\n",
        )?;
        let built = format!("{}/{REPOSITORY}:built", fixture.address());
        let mut build = podman.command();
        build.args(["build", "--isolation", "chroot", "--quiet", "--tag", &built]);
        sh::output(build.arg(&context))?;
        podman.push(&["push", "--tls-verify=false", &built])
    })?;
    step("push a multi-arch index", || {
        let both = format!("{}/{REPOSITORY}:both", fixture.address());
        sh::output(podman.command().args(["manifest", "create", "both"]))?;
        for name in ["one", "two"] {
            let from = format!("oci:{layout}:{name}");
            sh::output(podman.command().args(["manifest", "add", "both", &from]))?;
        }
        let to = format!("docker://{both}");
        podman.push(&[
            "manifest",
            "push",
            "--all",
            "--tls-verify=false",
            "both",
            &to,
        ])?;
        let index = fixture.manifest(REPOSITORY, "both")?.expect(200)?;
        let index: serde_json::Value = serde_json::from_slice(&index.body)?;
        ensure!(
            index["manifests"]
                .as_array()
                .is_some_and(|all| all.len() == 2),
            "{index}"
        );
        Ok(())
    })?;
    step("list tags", || {
        let name = format!("{}/{REPOSITORY}", fixture.address());
        let mut search = podman.command();
        search.args(["search", "--list-tags", "--tls-verify=false"]);
        let table = sh::output(search.arg(name))?;
        let tags = table
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().last());
        ensure!(tags.eq(["both", "built", "one"]), "{table}");
        Ok(())
    })
}

/// Where it keeps things.
pub(super) struct Podman {
    store: PathBuf,
    policy: PathBuf,
    /// Its run folder may have 50 characters.
    run: TempDir,
}

impl Podman {
    pub(super) fn new(fixture: &Fixture, name: &str) -> Result<Self> {
        let folder = fixture.folder(name)?;
        let policy = folder.join("policy.json");
        fs::write(
            &policy,
            r#"{"default":[{"type":"insecureAcceptAnything"}]}"#,
        )?;
        fs::write(folder.join("auth.json"), "{}")?;
        Ok(Self {
            store: folder,
            policy,
            run: TempDir::short(name)?,
        })
    }

    pub(super) fn command(&self) -> Command {
        let mut command = sh::command("podman");
        command.arg("--root").arg(self.store.join("root"));
        command.arg("--runroot").arg(self.run.path().join("run"));
        command.arg("--tmpdir").arg(self.run.path().join("tmp"));
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
        command.args(["--events-backend", "none"]);
        command.env("REGISTRY_AUTH_FILE", self.store.join("auth.json"));
        command
            .env("HOME", &self.store)
            .env("XDG_RUNTIME_DIR", self.run.path());
        command
    }

    pub(super) fn pull(&self, from: &str) -> Result<String> {
        self.pull_with(Some("--tls-verify=false"), from)
    }

    /// The same with another flag, or without.
    pub(super) fn pull_with(&self, flag: Option<&str>, from: &str) -> Result<String> {
        let mut command = self.command();
        command.args(["pull", "--quiet"]).args(flag);
        command.arg("--signature-policy").arg(&self.policy);
        sh::output(command.arg(from))
    }

    pub(super) fn push(&self, args: &[&str]) -> Result<()> {
        sh::output(self.command().args(args)).map(|_| ())
    }
}
