//! `integration`: real clients against a running registry, with images made on the spot.

mod acme;
mod buildah;
mod compose;
mod crane;
mod ctr;
mod curl;
mod docker;
mod dockerd;
mod faults;
mod fixture;
mod helm;
mod image;
mod login;
mod nginx;
mod podman;
mod proxy;
mod replicas;
mod s3;
mod skopeo;
mod swap;
mod systemd;
mod tls;
mod tools;
mod wire;

use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use self::fixture::Fixture;
pub(crate) use self::nginx::Front;
use self::tools::Tool;
use crate::flags::Args;
use crate::server::{Profile, binary};
use crate::sh;

/// A client and the scenarios it can play.
#[derive(Debug)]
struct Client {
    name: &'static str,
    tools: &'static [&'static Tool],
    part: Part,
    run: fn(&Fixture) -> Result<()>,
}

/// When a client is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Always, and CI fails without it.
    Mandatory,
    /// Always, where it can be had.
    Core,
    /// Always, and CI fails without it unless there is nothing to build it with.
    Built,
    /// With `--all`, or by name.
    Extra,
}

static CLIENTS: &[Client] = &[
    Client {
        name: "wire",
        tools: &[],
        part: Part::Mandatory,
        run: wire::run,
    },
    Client {
        name: "skopeo",
        tools: &[&tools::SKOPEO],
        part: Part::Mandatory,
        run: skopeo::run,
    },
    Client {
        name: "podman",
        tools: &[&tools::PODMAN],
        part: Part::Mandatory,
        run: podman::run,
    },
    Client {
        name: "curl",
        tools: &[&tools::CURL],
        part: Part::Mandatory,
        run: curl::run,
    },
    Client {
        name: "crane",
        tools: &[&tools::CRANE],
        part: Part::Core,
        run: crane::run,
    },
    Client {
        name: "login",
        tools: &[&tools::SKOPEO, &tools::PODMAN],
        part: Part::Mandatory,
        run: login::core,
    },
    Client {
        name: "nginx",
        tools: &[
            &tools::NGINX,
            &tools::OPENSSL,
            &tools::CURL,
            &tools::SKOPEO,
            &tools::PODMAN,
        ],
        part: Part::Mandatory,
        run: nginx::run,
    },
    Client {
        name: "acme",
        tools: &[
            &tools::CURL,
            &tools::OPENSSL,
            &tools::PEBBLE,
            &tools::PEBBLE_NAMES,
        ],
        part: Part::Core,
        run: acme::run,
    },
    Client {
        name: "s3",
        tools: &[&tools::MINIO, &tools::CURL],
        part: Part::Built,
        run: s3::run,
    },
    Client {
        name: "faults",
        tools: &[&tools::MINIO, &tools::CURL],
        part: Part::Extra,
        run: faults::run,
    },
    Client {
        name: "replicas",
        tools: &[
            &tools::MINIO,
            &tools::NGINX,
            &tools::CURL,
            &tools::SKOPEO,
            &tools::PODMAN,
        ],
        part: Part::Core,
        run: replicas::run,
    },
    Client {
        name: "swap-2",
        tools: &[&tools::DISTRIBUTION_2],
        part: Part::Extra,
        run: swap::two,
    },
    Client {
        name: "swap-3",
        tools: &[&tools::DISTRIBUTION_3],
        part: Part::Extra,
        run: swap::three,
    },
    Client {
        name: "s3-swap-2",
        tools: &[&tools::MINIO, &tools::CURL, &tools::DISTRIBUTION_2],
        part: Part::Extra,
        run: swap::two_in_a_bucket,
    },
    Client {
        name: "s3-swap-3",
        tools: &[&tools::MINIO, &tools::CURL, &tools::DISTRIBUTION_3],
        part: Part::Extra,
        run: swap::three_in_a_bucket,
    },
    Client {
        name: "s3-nodes",
        tools: &[&tools::GARAGE, &tools::CURL],
        part: Part::Extra,
        run: s3::distributed,
    },
    Client {
        name: "docker",
        tools: &[&tools::DOCKER, &tools::DOCKERD],
        part: Part::Extra,
        run: docker::run,
    },
    Client {
        name: "image",
        tools: &[
            &tools::DOCKER,
            &tools::DOCKERD,
            &tools::BUILDAH,
            &tools::BUSYBOX,
            &tools::CURL,
            &tools::IP,
        ],
        part: Part::Extra,
        run: image::run,
    },
    Client {
        name: "compose",
        tools: &[
            &tools::COMPOSE,
            &tools::DOCKER,
            &tools::DOCKERD,
            &tools::BUILDAH,
            &tools::BUSYBOX,
            &tools::CURL,
            &tools::IP,
        ],
        part: Part::Extra,
        run: compose::run,
    },
    Client {
        name: "systemd",
        tools: &[&tools::SYSTEMD_ANALYZE],
        part: Part::Extra,
        run: systemd::run,
    },
    Client {
        name: "buildah",
        tools: &[&tools::BUILDAH],
        part: Part::Extra,
        run: buildah::run,
    },
    Client {
        name: "ctr",
        tools: &[&tools::CTR, &tools::CONTAINERD],
        part: Part::Extra,
        run: ctr::run,
    },
    Client {
        name: "helm",
        tools: &[&tools::HELM],
        part: Part::Extra,
        run: helm::run,
    },
    Client {
        name: "tls",
        // Clients that are missing are left out.
        tools: &[&tools::CURL, &tools::IP, &tools::OPENSSL],
        part: Part::Extra,
        run: tls::run,
    },
    Client {
        name: "login-others",
        // It leaves out whichever is missing.
        tools: &[],
        part: Part::Extra,
        run: login::others,
    },
];

pub(crate) fn run(args: &Args) -> Result<()> {
    reserved(args, "--storage", "fs")?;
    reserved(args, "--auth", "none")?;
    let only: Vec<_> = args.values("--only").collect();
    if let Some(name) = only
        .iter()
        .find(|name| CLIENTS.iter().all(|one| one.name != **name))
    {
        let names: Vec<_> = CLIENTS.iter().map(|client| client.name).collect();
        bail!("there is no client `{name}`, but {}", names.join(", "));
    }
    let wanted = |client: &&Client| match only.as_slice() {
        [] => args.has("--all") || client.part != Part::Extra,
        only => only.contains(&client.name),
    };
    let clients: Vec<&Client> = CLIENTS.iter().filter(wanted).collect();
    if args.has("--install") || sh::in_ci() {
        tools::install(&clients)?;
    }

    let binary = binary(Profile::Debug)?;
    let fixture = Fixture::new(&binary)?;
    let mut failed = Vec::new();
    for client in clients {
        sh::section(client.name);
        if let Some(why) = tools::missing(client) {
            ensure!(
                !(sh::in_ci() && tools::is_due(client)),
                "{}: {why}",
                client.name
            );
            sh::skip(
                client.name,
                &format!("{why}; `cargo xtask integration --install` does"),
            );
            continue;
        }
        let start = Instant::now();
        match (client.run)(&fixture) {
            Ok(()) => println!(
                "{}: passed in {:.1} s",
                client.name,
                start.elapsed().as_secs_f32()
            ),
            Err(error) => {
                println!("{}: FAILED: {error:#}", client.name);
                failed.push(client.name);
            }
        }
    }
    if !failed.is_empty() {
        fixture.server.print_log();
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// An option that has one value so far.
fn reserved(args: &Args, name: &str, value: &str) -> Result<()> {
    match args.values(name).find(|given| *given != value) {
        Some(given) => bail!("{name} {given} is not there yet, only {value}"),
        None => Ok(()),
    }
}

/// Runs one scenario and says that it went well.
fn step(what: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    act().with_context(|| what.to_owned())?;
    println!("  ok {what} ({:.1} s)", start.elapsed().as_secs_f32());
    Ok(())
}
