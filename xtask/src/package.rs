//! `image`: the container image in place of distribution's, by `docs/deploy/Dockerfile`; and the
//! static binary that it and the archive hold.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::buildah::Buildah;
use crate::flags::Args;
use crate::server::Profile;
use crate::sh::{self, TempDir};

/// Debian's busybox-static: what an operator types in a container.
const BUSYBOX: &str = "/bin/busybox";

/// The paths of both images, and what they come with there.
pub(crate) const CONFIGURATIONS: [(&str, &str, &str); 2] = [
    (
        "2",
        "etc/docker/registry/config.yml",
        "docs/examples/official-image-2.yml",
    ),
    (
        "3",
        "etc/distribution/config.yml",
        "docs/examples/official-image-3.yml",
    ),
];

/// Where the entry script finds what the image came with.
const PRISTINE: &str = "usr/share/registry";

const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// Mount points, and what is expected to be there.
const FOLDERS: [&str; 7] = [
    "dev",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "var/lib/registry",
];

const TEXTS: [(&str, &str); 3] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    ),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    (
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files dns\n",
    ),
];

/// Packages of Debian whose terms go along with what was taken from them.
const SOURCES: [&str; 4] = ["busybox-static", "ca-certificates", "libc6", "tzdata"];

pub(crate) fn run(args: &Args) -> Result<()> {
    let binary = static_binary(Profile::Release)?;
    if let Some(root) = args.values("--files").last() {
        return files(&binary, Path::new(root));
    }
    let dist = sh::target().join("dist");
    fs::create_dir_all(&dist).with_context(|| format!("cannot make {}", dist.display()))?;
    for archive in archives(&binary, &dist)? {
        println!("{}", archive.display());
    }
    Ok(())
}

/// Builds the binary so that it needs nothing of the system it runs on.
pub(crate) fn static_binary(profile: Profile) -> Result<PathBuf> {
    let host = sh::output(sh::command("rustc").args(["--print", "host-tuple"]))?;
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags += " -C target-feature=+crt-static";
    let mut cargo = sh::cargo();
    // The target is named, since what runs while building cannot be static.
    cargo
        .args(["build", "--locked", "--package", "registry-http"])
        .args(["--bin", "registry", "--target", &host])
        .env("RUSTFLAGS", flags.trim_start());
    let folder = match profile {
        Profile::Debug => "debug",
        Profile::Release => {
            cargo.arg("--release");
            "release"
        }
    };
    sh::run(&mut cargo)?;
    let binary = sh::target().join(host).join(folder).join("registry");
    expect_static(&binary)?;
    Ok(binary)
}

fn expect_static(program: &Path) -> Result<()> {
    // It fails for some that are.
    let needs = sh::output(sh::command("ldd").arg(program)).unwrap_or_default();
    ensure!(
        needs.is_empty() || needs.contains("statically linked"),
        "{} is not static: {needs}",
        program.display()
    );
    Ok(())
}

/// Builds `registry:2` and `registry:3` around the binary, and says in which files of the folder
/// they are, for `docker load`.
pub(crate) fn archives(binary: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let work = TempDir::new("image")?;
    let build = work.path().join("build");
    files(binary, &build.join("image"))?;
    let (store, empty) = (work.path().join("buildah"), work.path().join("empty"));
    fs::create_dir_all(&store)?;
    fs::create_dir_all(&empty)?;
    let buildah = Buildah::new(&store, "rb")?;
    let time = sh::commit_time();
    let mut archives = Vec::new();
    for (version, path, _) in CONFIGURATIONS {
        let name = format!("registry:{version}");
        let file = format!("registry-{}-image-{version}.tar", env!("CARGO_PKG_VERSION"));
        let archive = folder.join(file);
        let mut bud = buildah.trusting(&["build", "--quiet", "--timestamp", &time]);
        // The stage that would build everything is replaced by what was built.
        bud.arg(format!("--build-context=build={}", build.display()))
            .arg(format!("--build-arg=CONFIGURATION=/{path}"))
            .args(["--file", "docs/deploy/Dockerfile", "--tag", &name])
            .arg(&empty);
        sh::run(&mut bud)?;
        if archive.exists() {
            fs::remove_file(&archive)?; // it would be added to
        }
        let to = format!("docker-archive:{}:{name}", archive.display());
        sh::run(buildah.trusting(&["push", "--quiet"]).args([&name, &to]))?;
        archives.push(archive);
    }
    Ok(archives)
}

/// Makes the whole tree of the image, in a folder that is not there yet.
fn files(binary: &Path, root: &Path) -> Result<()> {
    fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    for folder in FOLDERS {
        fs::create_dir_all(root.join(folder))?;
    }
    for (path, text) in TEXTS {
        fs::write(place(root, path)?, text)?;
    }
    copy(binary, root, "bin/registry")?;
    link("/bin/registry", root, "usr/bin/htpasswd")?;
    link("/bin/registry", root, "entrypoint.sh")?;
    for (_, path, from) in CONFIGURATIONS {
        let from = sh::root().join(from);
        copy(&from, root, path)?;
        copy(&from, root, &format!("{PRISTINE}/{path}"))?;
    }
    busybox(root)?;
    copy(&Path::new("/").join(CERTIFICATES), root, CERTIFICATES)?;
    link("certs/ca-certificates.crt", root, "etc/ssl/cert.pem")?;
    zones(root)?;
    copy(
        &sh::root().join("LICENSE"),
        root,
        "usr/share/doc/registry/LICENSE",
    )?;
    for package in SOURCES {
        let path = format!("usr/share/doc/{package}/copyright");
        copy(&Path::new("/").join(&path), root, &path)?;
    }
    // Whatever umask this was made under.
    sh::output(sh::command("chmod").args(["-R", "u=rwX,go=rX"]).arg(root))?;
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    fs::set_permissions(root.join("root"), fs::Permissions::from_mode(0o700))?;
    Ok(())
}

fn busybox(root: &Path) -> Result<()> {
    let busybox = Path::new(BUSYBOX);
    ensure!(busybox.exists(), "busybox-static is not installed");
    expect_static(busybox)?;
    copy(busybox, root, "bin/busybox")?;
    let names = sh::output(sh::command(busybox).arg("--list-full"))?;
    let links = names.lines().filter(|name| name.contains('/'));
    for name in links.filter(|name| *name != "bin/busybox") {
        link(BUSYBOX, root, name)?;
    }
    Ok(())
}

/// The zones alone, without their copies that count leap seconds.
fn zones(root: &Path) -> Result<()> {
    let to = place(root, "usr/share/zoneinfo")?;
    sh::output(
        sh::command("cp")
            .args(["-R", "-P", "/usr/share/zoneinfo"])
            .arg(&to),
    )?;
    for copies in ["posix", "right"] {
        let copies = to.join(copies);
        if copies.is_dir() && !copies.is_symlink() {
            fs::remove_dir_all(copies)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, root: &Path, path: &str) -> Result<()> {
    fs::copy(from, place(root, path)?)
        .with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

fn link(to: &str, root: &Path, path: &str) -> Result<()> {
    symlink(to, place(root, path)?).with_context(|| format!("cannot link {path}"))
}

/// The path in the tree, with the folder it is in.
fn place(root: &Path, path: &str) -> Result<PathBuf> {
    let place = root.join(path);
    let folder = place.parent().context("a path has a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_built_by_the_toolchain_of_the_workspace() {
        let read = |path: &str| fs::read_to_string(sh::root().join(path)).unwrap();
        let manifest = read("Cargo.toml");
        let (_, version) = manifest.split_once("rust-version = \"").unwrap();
        let version = version.split('"').next().unwrap();
        let wanted = format!("FROM docker.io/library/rust:{version}-bookworm AS build");
        assert!(read("docs/deploy/Dockerfile").contains(&wanted), "{wanted}");
    }
}
