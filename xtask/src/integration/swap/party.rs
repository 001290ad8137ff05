//! Who serves the store in turn, and collects in it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::http::Connection;
use crate::server::Server;
use crate::sh;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Alone takes a manifest by its sha512 digest.
    Ours,
    /// Distribution 2, which has no way to delete a tag.
    Two,
    /// Distribution 3.
    Three,
}

#[derive(Clone, Debug)]
pub(super) struct Party {
    pub(super) kind: Kind,
    pub(super) binary: PathBuf,
}

impl Party {
    /// Serves the store in the folder for as long as it takes.
    pub(super) fn serve(
        &self,
        folder: &Path,
        act: impl FnOnce(&mut Connection) -> Result<()>,
    ) -> Result<()> {
        let server = Server::start(&self.binary, folder, "warn")
            .with_context(|| format!("starting {:?}", self.kind))?;
        let acted =
            Connection::open(&server.address).and_then(|mut connection| act(&mut connection));
        if acted.is_err() {
            server.print_log();
        }
        acted.with_context(|| format!("served by {:?}", self.kind))
    }

    /// Collects with these flags, with no server running.
    pub(super) fn collect(&self, folder: &Path, flags: &[&str]) -> Result<String> {
        let mut command = sh::command(&self.binary);
        command
            .arg("garbage-collect")
            .args(flags)
            .arg(folder.join("config.yml"))
            .env("OTEL_TRACES_EXPORTER", "none");
        sh::output(&mut command).with_context(|| format!("{:?} collects", self.kind))
    }
}
