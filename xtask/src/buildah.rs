//! buildah with a store of its own, as it runs without any configuration of the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::sh::{self, TempDir};

#[derive(Debug)]
pub(crate) struct Buildah {
    store: PathBuf,
    /// Takes whatever is given to it; for the commands that want one.
    pub(crate) policy: PathBuf,
    /// Its run folder may have 50 characters.
    run: TempDir,
}

impl Buildah {
    /// What it keeps is in the folder, and may go with it.
    pub(crate) fn new(folder: &Path, short: &str) -> Result<Self> {
        let policy = folder.join("policy.json");
        fs::write(
            &policy,
            r#"{"default":[{"type":"insecureAcceptAnything"}]}"#,
        )?;
        fs::write(folder.join("auth.json"), "{}")?;
        Ok(Self {
            store: folder.to_owned(),
            policy,
            run: TempDir::short(short)?,
        })
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = sh::command("buildah");
        command.arg("--root").arg(self.store.join("root"));
        command.arg("--runroot").arg(self.run.path().join("run"));
        command.args(["--storage-driver", "vfs"]);
        command
            .env("BUILDAH_ISOLATION", "chroot")
            .env("HOME", &self.store)
            .env("REGISTRY_AUTH_FILE", self.store.join("auth.json"))
            .env("XDG_RUNTIME_DIR", self.run.path());
        command
    }

    /// A command with the policy.
    pub(crate) fn trusting(&self, words: &[&str]) -> Command {
        let mut command = self.command();
        command.args(words);
        command.arg("--signature-policy").arg(&self.policy);
        command
    }
}
