//! `dist`: the release archive, as an operator would unpack it, with its checksum.

use std::fs;

use anyhow::{Context as _, Result};

use crate::flags::Args;
use crate::package::static_binary;
use crate::server::Profile;
use crate::sh;

const DOCUMENTS: [&str; 8] = [
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "docs/deploy/compose.yml",
    "docs/deploy/compose.replicas.yml",
    "docs/deploy/nginx.replicas.conf",
    "docs/deploy/registry.service",
    "docs/deploy/registry.socket",
];

pub(crate) fn run(_: &Args) -> Result<()> {
    let binary = static_binary(Profile::Release)?;
    let host = sh::output(sh::command("rustc").args(["--print", "host-tuple"]))?;
    let version = env!("CARGO_PKG_VERSION"); // every member has the workspace's
    let name = format!("registry-{version}-{host}");

    let dist = sh::target().join("dist");
    let folder = dist.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::copy(&binary, folder.join("registry"))
        .with_context(|| format!("cannot copy {}", binary.display()))?;
    for document in DOCUMENTS {
        let name = document.rsplit('/').next().unwrap_or(document);
        fs::copy(sh::root().join(document), folder.join(name))
            .with_context(|| format!("cannot copy {document}"))?;
    }

    let archive = format!("{name}.tar.gz");
    // The same input gives the same archive: names sorted, no owner, the commit's time.
    let time = sh::commit_time();
    sh::run(
        sh::command("tar")
            .current_dir(&dist)
            .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
            .arg(format!("--mtime=@{time}"))
            .args(["-czf", &archive, &name]),
    )?;
    let sum = sh::output(sh::command("sha256sum").current_dir(&dist).arg(&archive))?;
    let file = dist.join(format!("{archive}.sha256"));
    fs::write(&file, format!("{sum}\n"))?;
    println!("{}\n{}", dist.join(&archive).display(), file.display());
    Ok(())
}
