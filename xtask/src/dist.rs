//! `dist`: the release archive, as an operator would unpack it, with its checksum.

use std::fs;

use anyhow::{Context as _, Result};

use crate::flags::Args;
use crate::sh;

const DOCUMENTS: [&str; 3] = ["README.md", "LICENSE", "CHANGELOG.md"];

pub(crate) fn run(_: &Args) -> Result<()> {
    sh::run(sh::cargo().args([
        "build",
        "--release",
        "--locked",
        "--package",
        "registry-http",
    ]))?;
    let host = sh::output(sh::command("rustc").args(["--print", "host-tuple"]))?;
    let version = env!("CARGO_PKG_VERSION"); // every member has the workspace's
    let name = format!("registry-{version}-{host}");

    let dist = sh::target().join("dist");
    let folder = dist.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let binary = sh::target().join("release/registry");
    fs::copy(&binary, folder.join("registry"))
        .with_context(|| format!("cannot copy {}", binary.display()))?;
    for document in DOCUMENTS {
        fs::copy(sh::root().join(document), folder.join(document))
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
