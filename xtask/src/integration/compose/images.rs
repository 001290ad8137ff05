//! Images of programs of this machine, under the names that compose files have for those of others.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::super::image::Host;
use crate::sh;

/// As the image of nginx comes with it.
const NGINX: &str = "user root;\nworker_processes 1;\nerror_log /dev/stderr notice;\n\
    pid /run/nginx.pid;\nevents {}\nhttp { include /etc/nginx/conf.d/*.conf; }\n";

const USERS: [(&str, &str); 2] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    ("etc/group", "root:x:0:\n"),
];

pub(super) fn nginx(host: &Host, program: &Path) -> Result<()> {
    let mut files = vec![
        ("etc/nginx/nginx.conf", NGINX),
        ("var/log/nginx/.keep", ""),
        ("var/lib/nginx/.keep", ""),
        ("run/.keep", ""),
    ];
    files.extend(USERS);
    let start = "CMD [\"/usr/sbin/nginx\", \"-g\", \"daemon off;\"]";
    make(
        host,
        "nginx:1",
        &[(program, "usr/sbin/nginx")],
        &files,
        start,
    )
}

pub(super) fn minio(host: &Host, program: &Path) -> Result<()> {
    let busybox = Path::new("/bin/busybox");
    let programs = [
        (program, "usr/bin/minio"),
        (busybox, "bin/sh"),
        (busybox, "bin/mkdir"),
    ];
    let mut files = vec![("tmp/.keep", "")];
    files.extend(USERS);
    make(host, "minio/minio", &programs, &files, "VOLUME /data")
}

/// Programs with what they are linked with, and files beside them.
fn make(
    host: &Host,
    name: &str,
    programs: &[(&Path, &str)],
    files: &[(&str, &str)],
    start: &str,
) -> Result<()> {
    let context = host.dockerd.folder.join(name.replace(['/', ':'], "-"));
    let root = context.join("root");
    for (program, path) in programs {
        copy(program, &root.join(path))?;
        for library in libraries(program) {
            let inside = library.strip_prefix("/")?;
            copy(&library, &root.join(inside))?;
        }
    }
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().context("a file without a folder")?)?;
        fs::write(path, text)?;
    }
    let text = format!("FROM scratch\nCOPY root/ /\nENV PATH=/usr/sbin:/usr/bin:/bin\n{start}\n");
    fs::write(context.join("Dockerfile"), text)?;
    let mut build = host.dockerd.docker();
    build.args(["build", "--quiet", "--tag", name]);
    sh::output(build.arg(context)).map(|_| ())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("a file without a folder")?)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// What the loader would look for; nothing for a program that is static.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let said = sh::output(sh::command("ldd").arg(program)).unwrap_or_default();
    let words = said.split_whitespace();
    words
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}
