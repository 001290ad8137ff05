//! Certificates, made as people make them.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{ADDRESS, NAME};
use crate::server::Tls;
use crate::sh;

pub(super) struct Certificates {
    /// Self-signed, by the command that tutorials print.
    pub(super) tutorial: Tls,
    /// A leaf below an authority, by our own command.
    pub(super) authority: Tls,
    /// Another pair like the first.
    pub(super) another: Tls,
}

impl Certificates {
    pub(super) fn make(folder: &Path, binary: &Path) -> Result<Self> {
        Ok(Self {
            tutorial: self_signed(&folder.join("tutorial"))?,
            authority: leaf(&folder.join("authority"), binary)?,
            another: self_signed(&folder.join("another"))?,
        })
    }
}

/// What the documentation of distribution says, with a smaller key, and an address beside the name.
fn self_signed(folder: &Path) -> Result<Tls> {
    std::fs::create_dir_all(folder)?;
    let (key, certificate) = (folder.join("domain.key"), folder.join("domain.crt"));
    let mut command = sh::command("openssl");
    command.args(["req", "-newkey", "rsa:2048", "-nodes", "-sha256", "-keyout"]);
    command.arg(&key).args(["-subj", &format!("/CN={NAME}")]);
    let names = format!("subjectAltName = DNS:{NAME}, IP:{ADDRESS}");
    command.args(["-addext", &names, "-x509", "-days", "365", "-out"]);
    sh::output(command.arg(&certificate))?;
    Ok(Tls {
        ca: certificate.clone(),
        certificate,
        key,
        variables: Vec::new(),
    })
}

fn leaf(folder: &Path, binary: &Path) -> Result<Tls> {
    std::fs::create_dir_all(folder)?;
    let mut command = sh::command(binary);
    command.args(["certificate", "--ca", "--host", ADDRESS, "--host", NAME]);
    sh::output(command.arg("--out").arg(folder))?;
    let file = |name: &str| -> PathBuf { folder.join(name) };
    Ok(Tls {
        certificate: file("registry.crt"),
        key: file("registry.key"),
        ca: file("ca.crt"),
        variables: Vec::new(),
    })
}
