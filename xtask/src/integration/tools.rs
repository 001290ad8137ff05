//! Which client needs which programs, and the one command that installs what is missing.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::{Client, Part};
use crate::sh;

/// Where a program comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// Packages of Debian.
    Debian(&'static [&'static str]),
    /// A Go module with its version.
    Go(&'static str),
    /// A crate with its version, and the features that it is built with.
    Cargo(&'static str, &'static str),
}

#[derive(Debug)]
pub(super) struct Tool {
    pub(super) program: &'static str,
    source: Source,
    /// Names the program where it is not on the path.
    variable: Option<&'static str>,
    /// What `--version` says: other programs have that name, too.
    says: Option<&'static str>,
}

impl Tool {
    /// Where it is, if it is here.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let named = self.variable.and_then(std::env::var_os);
        let path = named.map_or_else(|| sh::which(self.program), |path| Some(path.into()))?;
        let Some(says) = self.says else {
            return Some(path);
        };
        let said = sh::output(sh::command(&path).arg("--version")).ok()?;
        said.contains(says).then_some(path)
    }
}

/// The oldest Go that builds the clients.
const GO: (u32, u32) = (1, 24);

pub(super) static BUILDAH: Tool = debian("buildah", &["buildah"]);
/// As the image has it.
pub(super) static BUSYBOX: Tool =
    debian("busybox", &["busybox-static", "ca-certificates", "tzdata"]);
pub(super) static COMPOSE: Tool = debian("docker-compose", &["docker-compose"]);
pub(super) static CONTAINERD: Tool = debian("containerd", &["containerd"]);
pub(super) static CRANE: Tool = go(
    "crane",
    "github.com/google/go-containerregistry/cmd/crane@v0.22.1",
);
pub(super) static CTR: Tool = debian("ctr", &["containerd"]);
pub(super) static CURL: Tool = debian("curl", &["curl"]);
/// `registry:2` of old, as Debian has it.
pub(super) static DISTRIBUTION_2: Tool = Tool {
    variable: Some("DISTRIBUTION_2"),
    says: Some("/distribution "),
    ..debian("docker-registry", &["docker-registry"])
};
pub(super) static DISTRIBUTION_3: Tool = Tool {
    variable: Some("DISTRIBUTION_3"),
    says: Some("/distribution/v3 "),
    ..go(
        "registry",
        "github.com/distribution/distribution/v3/cmd/registry@v3.1.1",
    )
};
pub(super) static DOCKER: Tool = debian("docker", &["docker.io", "docker-cli"]);
pub(super) static DOCKERD: Tool = debian("dockerd", &["docker.io"]);
/// An object store of several nodes.
pub(super) static GARAGE: Tool = Tool {
    program: "garage",
    source: Source::Cargo("garage@2.5.0", "bundled-libs,lmdb"),
    variable: None,
    says: None,
};
pub(super) static HELM: Tool = go("helm", "helm.sh/helm/v3/cmd/helm@v3.22.0");
pub(super) static IP: Tool = debian("ip", &["iproute2"]);
/// An object store. Its newest source has no version that Go takes by name.
pub(super) static MINIO: Tool = go(
    "minio",
    "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c",
);
/// With what hands on connections.
pub(super) static NGINX: Tool = debian("nginx", &["nginx", "libnginx-mod-stream"]);
pub(super) static OPENSSL: Tool = debian("openssl", &["openssl"]);
/// Later ones do not name an order once it is finalized, without which distribution is lost.
pub(super) static PEBBLE: Tool = go(
    "pebble",
    "github.com/letsencrypt/pebble/v2/cmd/pebble@v2.7.0",
);
pub(super) static PEBBLE_NAMES: Tool = go(
    "pebble-challtestsrv",
    "github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv@v2.10.1",
);
pub(super) static PODMAN: Tool = debian("podman", &["podman"]);
pub(super) static SKOPEO: Tool = debian("skopeo", &["skopeo"]);
pub(super) static SYSTEMD_ANALYZE: Tool = debian("systemd-analyze", &["systemd"]);

const fn debian(program: &'static str, packages: &'static [&'static str]) -> Tool {
    Tool {
        program,
        source: Source::Debian(packages),
        variable: None,
        says: None,
    }
}

const fn go(program: &'static str, module: &'static str) -> Tool {
    Tool {
        program,
        source: Source::Go(module),
        variable: None,
        says: None,
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
        .filter(|tool| tool.path().is_none())
}

/// Installs what the clients lack. What only those need that are run where they can be had may be
/// out of reach.
pub(super) fn install(clients: &[&Client]) -> Result<()> {
    let (mandatory, others): (Vec<&Client>, Vec<&Client>) = clients
        .iter()
        .partition(|client| matches!(client.part, Part::Mandatory | Part::Built));
    apt_get(packages(&mandatory)).context("the clients' packages")?;
    if let Err(error) = apt_get(packages(&others)) {
        sh::skip("installing packages", &format!("{error:#}"));
    }
    for tool in clients.iter().flat_map(|client| absent(client)) {
        match tool.source {
            Source::Debian(_) => {}
            Source::Go(module) => match go_is_too_old() {
                Some(why) => sh::skip(&format!("installing {}", tool.program), &why),
                None => go_install(tool.program, module),
            },
            Source::Cargo(package, features) => {
                cargo_install(tool.program, package, features);
            }
        }
    }
    Ok(())
}

/// The packages of Debian that the clients lack.
fn packages(clients: &[&Client]) -> Vec<&'static str> {
    let absent = clients.iter().flat_map(|client| absent(client));
    absent
        .filter_map(|tool| match tool.source {
            Source::Debian(names) => Some(names),
            Source::Go(_) | Source::Cargo(..) => None,
        })
        .flatten()
        .copied()
        .collect()
}

fn apt_get(mut packages: Vec<&str>) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
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

fn go_install(program: &str, module: &str) {
    let installed = sh::run(
        sh::command("go")
            .args(["install", module])
            .env("GOBIN", sh::tools())
            .env("CGO_ENABLED", "0"),
    );
    if let Err(error) = installed {
        sh::skip(&format!("installing {program}"), &error.to_string());
    }
}

fn cargo_install(program: &str, package: &str, features: &str) {
    let installed = sh::run(
        sh::cargo()
            .args(["install", "--quiet", "--locked", "--no-default-features"])
            .args(["--features", features, package, "--root"])
            .arg(sh::tools().join("cargo"))
            // Not worth the time that a build to be run for long takes.
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    );
    if let Err(error) = installed {
        sh::skip(&format!("installing {program}"), &error.to_string());
    }
}

/// Whether a client has to be here where everything was installed that can be.
pub(super) fn is_due(client: &Client) -> bool {
    match client.part {
        Part::Mandatory => true,
        Part::Built => go_is_too_old().is_none(),
        Part::Core | Part::Extra => false,
    }
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
