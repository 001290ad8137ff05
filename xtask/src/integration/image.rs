//! The image in place of `registry:2` and `registry:3`: built, and run by docker as the tutorials
//! do, on a bridge and a published port.

mod host;
mod operation;
mod start;

use anyhow::Result;

pub(super) use self::host::Host;
use super::fixture::Fixture;
use super::step;
use crate::sh;

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    if crate::server::is_stand_in() {
        sh::skip("image", "it needs our own server");
        return Ok(());
    }
    let host = Host::start(fixture, "image")?;
    step("run, push, pull, stop and remove", || {
        start::tutorial(&host)
    })?;
    step("another container goes on with its store", || {
        start::volume(&host)
    })?;
    step("another port, outside and inside", || start::ports(&host))?;
    step("either comes with its own configuration", || {
        start::defaults(&host)
    })?;
    step("a file counts at either path", || start::mounted(&host))?;
    step("another user, without rights, on a read-only root", || {
        start::confined(&host)
    })?;
    step("commands, help and exit codes", || operation::words(&host))?;
    step("a shell beside the server", || operation::shell(&host))?;
    step("garbage-collect", || operation::collect(&host))?;
    step("names of hosts, and the time of a zone", || {
        operation::system(&host)
    })?;
    step("a start that fails, and a stop in the middle", || {
        operation::signals(&host)
    })
}
