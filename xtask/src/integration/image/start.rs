//! Ways to start it, as the documentation of distribution has them.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::host::Host;
use crate::package::CONFIGURATIONS;

const MANIFEST: &str = "/v2/sample/manifests/latest";

/// Deploying a registry server, word for word.
pub(super) fn tutorial(host: &Host) -> Result<()> {
    let docker = |words: &str| host.docker(&words.split(' ').collect::<Vec<_>>());
    for version in ["2", "3"] {
        docker(&format!(
            "run -d -p 5000:5000 --restart=always --name registry registry:{version}"
        ))?;
        host.answer("5000")?;
        docker("tag ubuntu:16.04 localhost:5000/my-ubuntu")?;
        docker("push localhost:5000/my-ubuntu")?;
        docker("tag ubuntu:16.04 kept")?;
        docker("image remove ubuntu:16.04")?;
        docker("image remove localhost:5000/my-ubuntu")?;
        docker("image remove kept")?;
        docker("pull localhost:5000/my-ubuntu")?;
        host.expect_sample("localhost:5000/my-ubuntu")?;
        docker("tag localhost:5000/my-ubuntu ubuntu:16.04")?;
        docker("image remove localhost:5000/my-ubuntu")?;
        host.stop("registry")?;
        docker("container rm -v registry")?;
    }
    let volumes = docker("volume ls --quiet")?;
    ensure!(volumes.is_empty(), "volumes stay: {volumes}");
    Ok(())
}

/// A folder of the machine is the store, whoever serves it.
pub(super) fn volume(host: &Host) -> Result<()> {
    let folder = host.dockerd.folder.join("mnt registry");
    fs::create_dir_all(&folder)?;
    let volume = format!("{}:/var/lib/registry", folder.display());
    for version in ["2", "3"] {
        let image = format!("registry:{version}");
        host.with(&["-p", "5000:5000", "-v", &volume, &image], || {
            host.answer("5000")?;
            host.push(&format!("localhost:5000/by-{version}"))?;
            host.pull("localhost:5000/by-2")?;
            host.stop("registry")
        })?;
    }
    Ok(())
}

pub(super) fn ports(host: &Host) -> Result<()> {
    let address = "REGISTRY_HTTP_ADDR=0.0.0.0:5001";
    for image in ["registry:2", "registry:3"] {
        host.with(&["-p", "5001:5000", image], || {
            host.answer("5001").map(|_| ())
        })?;
        host.with(&["-e", address, "-p", "5001:5001", image], || {
            host.answer("5001").map(|_| ())
        })?;
    }
    Ok(())
}

/// Without a word about it, `registry:2` deletes nothing, and `registry:3` has a second listener.
pub(super) fn defaults(host: &Host) -> Result<()> {
    let deleted = |port: &str| -> Result<String> {
        host.push(&format!("localhost:{port}/sample"))?;
        let head = host.ask("GET", port, MANIFEST)?.to_lowercase();
        let digest = head
            .lines()
            .find_map(|line| line.strip_prefix("docker-content-digest: "));
        let digest = digest.unwrap_or_default().trim();
        host.ask("DELETE", port, &format!("/v2/sample/manifests/{digest}"))
    };
    let three = ["/etc/distribution/config.yml"];
    let two = ["serve", "/etc/docker/registry/config.yml"];
    let variable = "REGISTRY_CONFIGURATION_PATH=/etc/docker/registry/config.yml";
    for (words, status) in [
        (&["registry:2"][..], "405"),
        (&["registry:3"], "202"),
        (&["-e", variable, "registry:3"], "405"),
        (&[&["registry:2"][..], &three].concat(), "202"),
        (&[&["registry:3"][..], &two].concat(), "405"),
        (
            &["-e", "REGISTRY_STORAGE_DELETE_ENABLED=true", "registry:2"],
            "202",
        ),
    ] {
        host.with(&[&["-p", "5000:5000"], words].concat(), || {
            host.answer("5000")?;
            let head = deleted("5000")?;
            ensure!(head.contains(&format!(" {status} ")), "{words:?}: {head}");
            Ok(())
        })?;
    }
    host.with(
        &["-p", "5000:5000", "-p", "5001:5001", "registry:3"],
        || {
            host.answer("5000")?;
            let health = host.ask("GET", "5001", "/debug/health")?;
            ensure!(health.contains(" 200 "), "{health}");
            Ok(())
        },
    )
}

/// In each image each of the two paths is as good as the other.
pub(super) fn mounted(host: &Host) -> Result<()> {
    for image in ["registry:2", "registry:3"] {
        for (version, path, _) in CONFIGURATIONS {
            let file = configuration(host, version)?;
            let volume = format!("{}:/{path}:ro", file.display());
            host.with(&["-p", "5000:5000", "-v", &volume, image], || {
                let head = host.answer("5000")?.to_lowercase();
                ensure!(
                    head.contains(&format!("x-from: {version}")),
                    "{path}: {head}"
                );
                Ok(())
            })?;
        }
        // Anywhere else it is named.
        let file = configuration(host, "else")?;
        let volume = format!("{}:/config.yml", file.display());
        host.with(
            &["-p", "5000:5000", "-v", &volume, image, "/config.yml"],
            || {
                let head = host.answer("5000")?.to_lowercase();
                ensure!(head.contains("x-from: else"), "{head}");
                Ok(())
            },
        )?;
    }
    Ok(())
}

/// A configuration that can be told by its answers.
fn configuration(host: &Host, mark: &str) -> Result<PathBuf> {
    let file = host.dockerd.folder.join(format!("config-{mark}.yml"));
    fs::write(
        &file,
        format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: /var/lib/registry}}}}\n\
             http: {{addr: ':5000', headers: {{X-From: ['{mark}']}}}}\n"
        ),
    )?;
    Ok(file)
}

pub(super) fn confined(host: &Host) -> Result<()> {
    let folder = host.dockerd.folder.join("confined");
    fs::create_dir_all(&folder)?;
    chown(&folder, Some(1000), Some(1000))?;
    let volume = format!("{}:/var/lib/registry", folder.display());
    let words = [
        "--user=1000:1000",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "-p=5000:5000",
        "-v",
        &volume,
    ];
    for image in ["registry:2", "registry:3"] {
        host.with(&[&words[..], &[image]].concat(), || {
            host.answer("5000")?;
            host.push("localhost:5000/sample")?;
            host.pull("localhost:5000/sample")?;
            host.stop("registry")
        })?;
        // As the image says, but for what it says of the volume.
        host.with(&["--read-only", "-p", "5000:5000", image], || {
            host.answer("5000")?;
            host.push("localhost:5000/sample")
        })?;
    }
    let owner = fs::metadata(folder.join("docker"))?.uid();
    ensure!(owner == 1000, "the store belongs to {owner}");
    Ok(())
}
