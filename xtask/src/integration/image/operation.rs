//! What an operator does beside serving.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::host::Host;
use crate::sh;

const IMAGES: [&str; 2] = ["registry:2", "registry:3"];

/// What `registry:2` serves.
const TWO: &str = "/etc/docker/registry/config.yml";

/// Where `docker run` is to fail, and with which code and word.
const REFUSED: [(&[&str], i32, &str); 4] = [
    (&["serve", "/no/such/file.yml"], 1, "/no/such/file.yml"),
    (&["/no/such/file.yml"], 1, "/no/such/file.yml"),
    (&["--no-such-flag"], 1, "--no-such-flag"),
    (&["no-such-word"], 1, "no-such-word"),
];

pub(super) fn words(host: &Host) -> Result<()> {
    for image in IMAGES {
        for (words, wanted) in [
            (&["--version"][..], "registry "),
            (&["-v"], "registry "),
            (&["registry", "--version"], "registry "),
            (&["/bin/registry", "--version"], "registry "),
            (&["help"], "garbage-collect"),
            (&["--help"], "garbage-collect"),
            (&["garbage-collect", "--help"], "--delete-untagged"),
            (&["help", "serve"], "Usage"),
            (&["check"], "rootdirectory"),
            (&["sh", "-c", "echo said by $0"], "said by sh"),
            (&["ls", "/etc/docker/registry"], "config.yml"),
        ] {
            let said = host.docker(&[&["run", "--rm", image], words].concat())?;
            ensure!(said.contains(wanted), "{words:?}: {said}");
        }
        for (words, wanted, word) in REFUSED {
            let (code, said) = host.fails(&[&["run", "--rm", image], words].concat())?;
            ensure!(code == Some(wanted), "{words:?}: {code:?}: {said}");
            ensure!(said.contains(word), "{words:?}: {said}");
        }
        // As tutorials make their first user.
        let htpasswd = ["run", "--rm", "--entrypoint", "htpasswd", image];
        let said = host.docker(&[&htpasswd[..], &["-Bbn", "a", "b"]].concat())?;
        ensure!(said.starts_with("a:$2y$"), "{said}");
    }
    Ok(())
}

pub(super) fn shell(host: &Host) -> Result<()> {
    host.with(&["-p", "5000:5000", "registry:2"], || {
        host.answer("5000")?;
        host.push("localhost:5000/sample")?;
        let mut shell = host.dockerd.docker();
        shell.args(["exec", "-i", "registry", "sh"]);
        let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("no input")?;
        stdin.write_all(b"cd /var/lib/registry && find . -name latest; ps | head -2\n")?;
        drop(stdin);
        let said = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        ensure!(
            said.contains("/repositories/sample/_manifests/tags/latest"),
            "{said}"
        );
        // The first process is no shell: it gets the signals itself.
        ensure!(said.contains(&format!("registry serve {TWO}")), "{said}");
        let wget = "wget -q -O - http://localhost:5000/v2/_catalog";
        let said = host.docker(&["exec", "registry", "sh", "-c", wget])?;
        ensure!(said.contains("sample"), "{said}");
        Ok(())
    })
}

/// What tutorials do beside the server that writes is refused, and done beside one that does not,
/// or when it is stopped.
pub(super) fn collect(host: &Host) -> Result<()> {
    let exec = ["exec", "registry", "bin/registry", "garbage-collect"];
    let volume = "collected:/var/lib/registry";
    let image = ["-p", "5000:5000", "-v", volume, "registry:2"];
    host.with(&image, || {
        host.answer("5000")?;
        host.push("localhost:5000/sample")?;
        let (code, said) = host.fails(&[&exec[..], &[TWO]].concat())?;
        ensure!(code == Some(1) && said.contains("registry"), "{said}");
        host.stop("registry")?;
        let run = ["run", "--rm", "--volumes-from", "registry", "registry:2"];
        let collect = ["garbage-collect", "--dry-run", "--delete-untagged", TWO];
        let said = host.docker(&[&run[..], &collect].concat())?;
        ensure!(
            said.contains("sample") && said.contains("1 manifests"),
            "{said}"
        );
        Ok(())
    })?;
    let readonly = "REGISTRY_STORAGE_MAINTENANCE_READONLY={\"enabled\": true}";
    host.with(&[&["-e", readonly], &image[..]].concat(), || {
        host.answer("5000")?;
        for words in [&["-d", TWO][..], &["-m", TWO], &[]] {
            let said = host.docker(&[&exec[..], words].concat())?;
            ensure!(said.contains("1 manifests"), "{words:?}: {said}");
        }
        host.pull("localhost:5000/sample")
    })?;
    host.docker(&["volume", "rm", "collected"]).map(|_| ())
}

/// Names come from the hosts file and the name server that docker gives; times are of the zone
/// that is named.
pub(super) fn system(host: &Host) -> Result<()> {
    host.docker(&["network", "create", "lan"])?;
    let lan = [
        "--network",
        "lan",
        "--add-host",
        "all:0.0.0.0",
        "-p",
        "5000:5000",
    ];
    let address = |name: &str| format!("REGISTRY_HTTP_ADDR={name}:5000");
    // The name of the container is known to the name server alone.
    for name in ["all", "registry"] {
        let words = ["-e", &address(name), "-e", "TZ=Asia/Kolkata", "registry:2"];
        host.with(&[&lan[..], &words].concat(), || {
            host.answer("5000")?;
            // Which comes by another way than the answer.
            sh::wait_for("the time of the zone", Duration::from_secs(60), || {
                let log = host.docker(&["logs", "registry"])?;
                Ok(log.contains(" +0530] \"GET /v2/").then_some(()))
            })
        })?;
    }
    let words = ["--rm", "-e", &address("nobody"), "registry:2"];
    let (code, said) = host.fails(&[&["run"], &lan[..], &words].concat())?;
    ensure!(code == Some(1) && said.contains("nobody:5000"), "{said}");
    host.docker(&["network", "rm", "lan"]).map(|_| ())
}

pub(super) fn signals(host: &Host) -> Result<()> {
    let (code, said) = host.fails(&["run", "--rm", "-e", "REGISTRY_HTTP_NET=no", "registry:3"])?;
    ensure!(
        code == Some(1) && said.contains("REGISTRY_HTTP_NET"),
        "{said}"
    );
    for signal in ["TERM", "INT"] {
        host.with(&["-p", "5000:5000", "registry:3"], || {
            host.answer("5000")?;
            host.docker(&["kill", "--signal", signal, "registry"])?;
            let code = host.docker(&["wait", "registry"])?;
            ensure!(code == "0", "{signal}: {code}");
            Ok(())
        })?;
    }
    Ok(())
}
