//! How clients come to a registry, and where each of them looks for whom to trust.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// What is spoken.
#[derive(Clone, Debug)]
pub(in super::super) enum Wire {
    Plain,
    /// With this authority, which is put where each client looks: below `/etc`, which must be ours.
    Tls {
        ca: PathBuf,
        /// The folder of `hosts.toml`, below which there is one for each registry.
        hosts: PathBuf,
    },
}

/// Where docker looks, and where podman, skopeo and buildah do.
const CERTS: [&str; 2] = ["/etc/docker/certs.d", "/etc/containers/certs.d"];

impl Wire {
    /// What `flag` is for: not to ask for TLS.
    pub(super) fn unless_tls(&self, flag: &'static str) -> Option<&'static str> {
        matches!(self, Self::Plain).then_some(flag)
    }

    /// The authority, where there is one.
    pub(super) fn ca(&self) -> Option<&Path> {
        match self {
            Self::Plain => None,
            Self::Tls { ca, .. } => Some(ca),
        }
    }

    /// The folder of `hosts.toml`.
    pub(super) fn hosts(&self) -> Option<&Path> {
        match self {
            Self::Plain => None,
            Self::Tls { hosts, .. } => Some(hosts),
        }
    }

    /// Makes clients trust this registry.
    pub(super) fn trust(&self, host: &str) -> Result<()> {
        let Self::Tls { ca, hosts } = self else {
            return Ok(());
        };
        for parent in CERTS {
            let folder = Path::new(parent).join(host);
            fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
            fs::copy(ca, folder.join("ca.crt"))?;
        }
        let folder = hosts.join(host);
        fs::create_dir_all(&folder)?;
        let text = format!(
            "server = \"https://{host}\"\n\n[host.\"https://{host}\"]\n  ca = {:?}\n",
            ca.display().to_string()
        );
        Ok(fs::write(folder.join("hosts.toml"), text)?)
    }
}
