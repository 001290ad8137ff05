//! Who serves the store in turn, and collects in it.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::place::Place;
use crate::http::Connection;
use crate::server::{Server, Start, command, free_address};
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
    /// Serves the store for as long as it takes.
    pub(super) fn serve(
        &self,
        place: &Place,
        act: impl FnOnce(&mut Connection) -> Result<()>,
    ) -> Result<()> {
        let driver = place.driver();
        let server = Server::launch(Start {
            binary: &self.binary,
            folder: &place.folder,
            address: &free_address()?,
            level: "warn",
            driver: driver.as_deref(),
            more: "",
            tls: None,
        })
        .with_context(|| format!("starting {:?}", self.kind))?;
        let acted =
            Connection::open(&server.address).and_then(|mut connection| act(&mut connection));
        if acted.is_err() {
            server.print_log();
        }
        acted.with_context(|| format!("served by {:?}", self.kind))
    }

    /// Collects with these flags, with no server running.
    pub(super) fn collect(&self, place: &Place, flags: &[&str]) -> Result<String> {
        let mut command = command(&self.binary);
        command
            .arg("garbage-collect")
            .args(flags)
            .arg(place.folder.join("config.yml"));
        sh::output(&mut command).with_context(|| format!("{:?} collects", self.kind))
    }
}
