//! TLS as the tutorials set it up, at an address that is not loopback, since docker checks no
//! certificate there.
//!
//! All of it runs in namespaces of its own: what it adds to the network and below `/etc` goes with
//! the last process in them.

mod certificates;
mod protocol;
mod reload;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use self::certificates::Certificates;
use super::fixture::Fixture;
use super::login::{self, Place, Wire};
use super::nginx::{Front, has_streams};
use super::step;
use crate::server::{Server, Start, Tls, free_address_of};
use crate::sh;

/// The address of the machine in the namespace, and its name.
const ADDRESS: &str = "10.83.0.1";
const NAME: &str = "registry.test";

/// Set in the namespaces.
const INSIDE: &str = "XTASK_NAMESPACE";

/// Makes the network and the places where clients look for whom to trust, then goes on as what it
/// is given.
const SETUP: &str = "\
set -e
ip link set lo up
ip addr add 10.83.0.1/32 dev lo
for folder in /etc/docker /etc/containers/certs.d; do
    mkdir -p $folder
    mount -t tmpfs tmpfs $folder
done
exec \"$0\" \"$@\"
";

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    if crate::server::is_stand_in() && std::env::var_os(INSIDE).is_none() {
        sh::skip("TLS", "it needs our own server");
        return Ok(());
    }
    match std::env::var_os(INSIDE) {
        Some(_) => inside(fixture),
        None => outside(fixture),
    }
}

/// Runs this part again, where nothing that it does is seen.
fn outside(fixture: &Fixture) -> Result<()> {
    let unshare = |words: &[&str]| {
        let mut command = sh::command("unshare");
        command.args(["--net", "--mount", "--"]).args(words);
        command
    };
    if let Err(error) = sh::output(&mut unshare(&["true"])) {
        if sh::in_ci() {
            return Err(error.context("no namespaces"));
        }
        sh::skip("TLS", "only root may make namespaces");
        return Ok(());
    }
    let xtask = std::env::current_exe()?;
    let mut command = unshare(&["sh", "-c", SETUP]);
    command.arg(xtask).args(["integration", "--only", "tls"]);
    command
        .env(INSIDE, "1")
        .env("REGISTRY_BIN", &fixture.binary);
    sh::run(&mut command)
}

fn inside(fixture: &Fixture) -> Result<()> {
    let folder = fixture.folder("tls")?;
    let made = Certificates::make(&folder, &fixture.binary)?;
    step("protocols, ciphers, and what curl trusts", || {
        protocol::check(fixture, &made.tutorial)
    })?;
    step("certificates change under load, and nobody notices", || {
        reload::check(fixture, &made)
    })?;
    let hosts = folder.join("hosts");
    let wire = |tls: &Tls| Wire::Tls {
        ca: tls.ca.clone(),
        hosts: hosts.clone(),
    };
    // HTTP/2 and whichever TLS they like best, then HTTP/1.1 and nothing below TLS 1.3.
    login::everyone(
        place(fixture, &made.tutorial),
        "over TLS",
        &wire(&made.tutorial),
    )?;
    let mut strict = made.authority.clone();
    strict.variables.extend([
        ("REGISTRY_HTTP_TLS_MINIMUMTLS", "tls1.3"),
        ("REGISTRY_HTTP_HTTP2_DISABLED", "true"),
    ]);
    login::everyone(
        place(fixture, &strict),
        "over TLS 1.3 and HTTP/1.1",
        &wire(&strict),
    )?;
    if sh::which("nginx").is_none() || !has_streams()? {
        sh::skip("TLS 1.2", "nginx with streams is not installed");
        return Ok(());
    }
    let older = |folder: &Path, server: &str| older(folder, server, &made.authority);
    let mut place = place(fixture, &made.authority);
    place.relay = Some(&older);
    login::everyone(place, "over TLS 1.2", &wire(&made.authority))
}

/// Speaks TLS 1.2 with us, whatever clients like better: they cannot be told to.
fn older(folder: &Path, server: &str, tls: &Tls) -> Result<Front> {
    let address = free_address_of(ADDRESS)?;
    let (certificate, key, ca) = (
        tls.certificate.display(),
        tls.key.display(),
        tls.ca.display(),
    );
    let block = format!(
        "stream {{\n  server {{\n    listen {address} ssl;\n    \
         ssl_certificate {certificate};\n    ssl_certificate_key {key};\n    \
         proxy_pass {server};\n    proxy_ssl on;\n    proxy_ssl_protocols TLSv1.2;\n    \
         proxy_ssl_verify on;\n    proxy_ssl_name {NAME};\n    \
         proxy_ssl_trusted_certificate {ca};\n  }}\n}}\n"
    );
    Front::listen(folder, address, &block)
}

fn place<'a>(fixture: &'a Fixture, tls: &'a Tls) -> Place<'a> {
    Place {
        fixture,
        host: ADDRESS,
        tls: Some(tls),
        relay: None,
    }
}

/// A server without users, with a store of its own.
fn start(fixture: &Fixture, name: &str, tls: &Tls) -> Result<Server> {
    let folder = fixture.folder(name)?;
    Server::launch(Start {
        binary: &fixture.binary,
        folder: &folder,
        address: &free_address_of(ADDRESS)?,
        level: "info",
        driver: None,
        more: "",
        tls: Some(tls),
    })
}

/// What curl prints; its status is an error.
fn curl(words: &[&str]) -> Result<String> {
    sh::output(sh::command("curl").arg("-sS").args(words))
}

/// Fails unless the command does, with this in what it says.
fn fails(what: &str, done: Result<String>, with: &str) -> Result<()> {
    match done {
        Ok(said) => bail!("{what} succeeds: {said}"),
        Err(error) if format!("{error:#}").contains(with) => Ok(()),
        Err(error) => Err(error.context(format!("{what} fails otherwise than with {with}"))),
    }
}

/// Puts a file in the place of another, in one step.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let next = to.with_extension("next");
    fs::copy(from, &next).with_context(|| from.display().to_string())?;
    Ok(fs::rename(next, to)?)
}
