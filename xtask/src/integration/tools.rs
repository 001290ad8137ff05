//! Which client needs which programs, and the one command that installs what is missing.

use anyhow::{Context as _, Result, bail};

use super::Client;
use crate::sh;

/// Where a program comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// Packages of Debian.
    Debian(&'static [&'static str]),
    /// A Go module with its version.
    Go(&'static str),
}

#[derive(Debug)]
pub(super) struct Tool {
    pub(super) program: &'static str,
    source: Source,
}

/// The oldest Go that builds the clients.
const GO: (u32, u32) = (1, 24);

pub(super) static BUILDAH: Tool = debian("buildah", &["buildah"]);
pub(super) static CONTAINERD: Tool = debian("containerd", &["containerd"]);
pub(super) static CRANE: Tool = go(
    "crane",
    "github.com/google/go-containerregistry/cmd/crane@v0.22.1",
);
pub(super) static CTR: Tool = debian("ctr", &["containerd"]);
pub(super) static CURL: Tool = debian("curl", &["curl"]);
pub(super) static DOCKER: Tool = debian("docker", &["docker.io", "docker-cli"]);
pub(super) static DOCKERD: Tool = debian("dockerd", &["docker.io"]);
pub(super) static HELM: Tool = go("helm", "helm.sh/helm/v3/cmd/helm@v3.22.0");
pub(super) static PODMAN: Tool = debian("podman", &["podman"]);
pub(super) static SKOPEO: Tool = debian("skopeo", &["skopeo"]);

const fn debian(program: &'static str, packages: &'static [&'static str]) -> Tool {
    Tool {
        program,
        source: Source::Debian(packages),
    }
}

const fn go(program: &'static str, module: &'static str) -> Tool {
    Tool {
        program,
        source: Source::Go(module),
    }
}

/// Why a client cannot be started here, if so.
pub(super) fn missing(client: &Client) -> Option<String> {
    let missing: Vec<_> = absent(client).map(|tool| tool.program).collect();
    (!missing.is_empty()).then(|| format!("{} is not installed", missing.join(" and ")))
}

fn absent(client: &Client) -> impl Iterator<Item = &'static Tool> {
    client
        .tools
        .iter()
        .copied()
        .filter(|tool| sh::which(tool.program).is_none())
}

/// Installs what the clients lack.
pub(super) fn install(clients: &[&Client]) -> Result<()> {
    let absent: Vec<&Tool> = clients.iter().flat_map(|client| absent(client)).collect();
    let mut packages = Vec::new();
    for tool in &absent {
        if let Source::Debian(names) = tool.source {
            packages.extend(names);
        }
    }
    if !packages.is_empty() {
        apt_get(packages).context("the clients' packages")?;
    }
    for tool in absent {
        if let Source::Go(module) = tool.source {
            match go_is_too_old() {
                Some(why) => sh::skip(&format!("installing {}", tool.program), &why),
                None => sh::run(
                    sh::command("go")
                        .args(["install", module])
                        .env("GOBIN", sh::tools())
                        .env("CGO_ENABLED", "0"),
                )?,
            }
        }
    }
    Ok(())
}

fn apt_get(mut packages: Vec<&str>) -> Result<()> {
    packages.sort_unstable();
    packages.dedup();
    sh::run(sh::command("apt-get").args(["update", "-qq"]))?;
    // Some releases have the command line of docker apart, some do not know that package.
    packages.retain(|package| {
        sh::output(sh::command("apt-cache").args(["show", "--quiet", package])).is_ok()
    });
    sh::run(
        sh::command("apt-get")
            .args(["install", "-qq", "--yes", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// Why no Go client can be built, if so.
fn go_is_too_old() -> Option<String> {
    let Ok(version) = sh::output(sh::command("go").args(["env", "GOVERSION"])) else {
        return Some("there is no Go toolchain".to_owned());
    };
    match parse(&version) {
        Ok(found) if found >= GO => None,
        _ => Some(format!("{version} is older than Go {}.{}", GO.0, GO.1)),
    }
}

fn parse(version: &str) -> Result<(u32, u32)> {
    let mut parts = version.trim_start_matches("go").split(['.', '-', 'r', 'b']);
    let (Some(major), Some(minor)) = (parts.next(), parts.next()) else {
        bail!("not a version")
    };
    Ok((major.parse()?, minor.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_of_go_are_read() {
        assert_eq!(parse("go1.26.8").unwrap(), (1, 26));
        assert_eq!(parse("go1.24rc1").unwrap(), (1, 24));
        assert!(parse("devel").is_err());
    }
}
