//! Logins: real clients where there are users, our own token service, or that of another registry.
//!
//! All of it goes over plain HTTP, also to the token services, but for what `tls` asks for.

mod container;
mod files;
mod scene;
mod wire;

use anyhow::{Context as _, Result, ensure};

pub(super) use self::scene::Place;
use self::scene::Scene;
pub(super) use self::wire::Wire;
use super::fixture::Fixture;
use super::step;
use super::tools::{self, Tool};
use crate::sh;

/// A user, and the password that all users have.
const USER: &str = "alice";
const PASSWORD: &str = "secret";

/// A client with a store and credentials of its own.
trait Login {
    /// Whether a login asks the registry, or only keeps what it is given.
    fn asks(&self) -> bool {
        true
    }

    fn login(&self, host: &str, password: &str) -> Result<()>;

    fn logout(&self, host: &str) -> Result<()>;

    /// Pushes something that it has to `HOST/NAME:one`.
    fn push(&self, to: &str) -> Result<()>;

    fn pull(&self, from: &str) -> Result<()>;
}

/// How a client comes to be.
struct Maker {
    name: &'static str,
    tools: &'static [&'static Tool],
    make: fn(&Fixture, &Wire) -> Result<Box<dyn Login>>,
}

static CORE: &[Maker] = &[
    Maker {
        name: "skopeo",
        tools: &[&tools::SKOPEO],
        make: files::skopeo,
    },
    Maker {
        name: "podman",
        tools: &[&tools::PODMAN],
        make: container::podman,
    },
    Maker {
        name: "crane",
        tools: &[&tools::CRANE],
        make: files::crane,
    },
];

static OTHERS: &[Maker] = &[
    Maker {
        name: "docker",
        tools: &[&tools::DOCKER, &tools::DOCKERD],
        make: container::docker,
    },
    Maker {
        name: "buildah",
        tools: &[&tools::BUILDAH],
        make: container::buildah,
    },
    Maker {
        name: "ctr",
        tools: &[&tools::CTR, &tools::CONTAINERD],
        make: container::ctr,
    },
    Maker {
        name: "helm",
        tools: &[&tools::HELM],
        make: files::helm,
    },
];

/// Those that are always run, where we are both.
pub(super) fn core(fixture: &Fixture) -> Result<()> {
    if is_another() {
        return Ok(());
    }
    let clients = clients(fixture, &Wire::Plain, CORE)?;
    play(&Scene::users(Place::here(fixture))?, &Wire::Plain, &clients)?;
    play(
        &Scene::tokens(Place::here(fixture))?,
        &Wire::Plain,
        &clients,
    )?;
    play(&Scene::ours(fixture)?, &Wire::Plain, &clients)
}

/// All others, and everyone where distribution believes our tokens.
pub(super) fn others(fixture: &Fixture) -> Result<()> {
    if is_another() {
        return Ok(());
    }
    let mut clients = clients(fixture, &Wire::Plain, OTHERS)?;
    play(&Scene::users(Place::here(fixture))?, &Wire::Plain, &clients)?;
    play(
        &Scene::tokens(Place::here(fixture))?,
        &Wire::Plain,
        &clients,
    )?;
    play(&Scene::ours(fixture)?, &Wire::Plain, &clients)?;
    clients.extend(self::clients(fixture, &Wire::Plain, CORE)?);
    for (tool, keys) in [
        (&tools::DISTRIBUTION_3, "jwks"),
        (&tools::DISTRIBUTION_3, "rootcertbundle"),
        (&tools::DISTRIBUTION_2, "rootcertbundle"),
    ] {
        match tool.path() {
            Some(binary) => play(
                &Scene::theirs(fixture, tool.program, &binary, keys)?,
                &Wire::Plain,
                &clients,
            )?,
            None => sh::skip(
                &format!("logins at {}", tool.program),
                "it is not installed",
            ),
        }
    }
    Ok(())
}

/// Everyone, at a server with users and at one with tokens of its own.
pub(super) fn everyone(place: Place<'_>, how: &str, wire: &Wire) -> Result<()> {
    let mut clients = clients(place.fixture, wire, CORE)?;
    clients.extend(self::clients(place.fixture, wire, OTHERS)?);
    for mut scene in [Scene::users(place)?, Scene::tokens(place)?] {
        scene.name = format!("{} {how}", scene.name);
        play(&scene, wire, &clients)?;
    }
    Ok(())
}

/// Whether there is nothing to log in to, which is said.
fn is_another() -> bool {
    let another = crate::server::is_stand_in();
    if another {
        sh::skip("logins", "the server in place of ours has no users");
    }
    another
}

type Clients = Vec<(&'static str, Box<dyn Login>)>;

fn clients(fixture: &Fixture, wire: &Wire, makers: &[Maker]) -> Result<Clients> {
    let mut made = Clients::new();
    for maker in makers {
        match maker.tools.iter().find(|tool| tool.path().is_none()) {
            Some(tool) => sh::skip(
                &format!("logins of {}", maker.name),
                &format!("{} is not installed", tool.program),
            ),
            None => made.push((maker.name, (maker.make)(fixture, wire)?)),
        }
    }
    Ok(made)
}

fn play(scene: &Scene, wire: &Wire, clients: &Clients) -> Result<()> {
    wire.trust(scene.host())?;
    for (name, client) in clients {
        step(&format!("{}: {name}", scene.name), || {
            let played = play_one(scene, name, client.as_ref());
            if played.is_err() {
                scene.print_logs();
            }
            played
        })?;
    }
    Ok(())
}

fn play_one(scene: &Scene, name: &str, client: &dyn Login) -> Result<()> {
    let host = scene.host();
    let private = format!("{host}/{USER}/{name}:one");
    let public = format!("{host}/public/{name}:one");

    let wrong = client.login(host, "wrong");
    ensure!(wrong.is_err() == client.asks(), "wrong password: {wrong:?}");
    refused("push with a wrong password", client.push(&private))?;

    client.login(host, PASSWORD).context("login")?;
    client.push(&private).context("push")?;
    client.pull(&private).context("pull")?;
    client.push(&public).context("push to public/")?;
    let foreign = format!("{host}/bob/{name}:one");
    if scene.has_rules {
        refused("push to what is another's", client.push(&foreign))?;
    }

    client.logout(host).context("logout")?;
    refused("pull after the logout", client.pull(&private))?;
    match scene.has_rules {
        true => client.pull(&public).context("anonymous pull")?,
        false => refused("anonymous pull", client.pull(&public))?,
    }
    // What is there already is not pushed again by some.
    let other = format!("{host}/public/not-{name}:one");
    refused("anonymous push", client.push(&other))?;

    client.login(host, PASSWORD).context("login")?;
    client.pull(&private).context("pull again")?;
    scene.revoke()?;
    let gone = refused("pull by who is gone", client.pull(&private));
    scene.restore()?;
    gone?;
    client.pull(&private).context("pull by who is back")?;
    client.logout(host).context("logout")
}

/// An error, which says that it is one of rights.
fn refused(what: &str, done: Result<()>) -> Result<()> {
    let Err(error) = done else {
        anyhow::bail!("{what} succeeds");
    };
    let said = format!("{error:#}").to_lowercase();
    let words = [
        "401",
        "403",
        "unauthorized",
        "denied",
        "authentication required",
        "no basic auth credentials",
        "authorization failed",
        "invalid username/password",
        "credential",
    ];
    ensure!(
        words.iter().any(|word| said.contains(word)),
        "{what} fails for another reason: {said}"
    );
    Ok(())
}
