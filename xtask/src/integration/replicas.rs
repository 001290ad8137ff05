//! Clients of three servers on a bucket, behind nginx as `docs/replicas.md` has it.

use std::time::Duration;

use anyhow::Result;

use super::fixture::Fixture;
use super::{podman, skopeo, step, wire};
use crate::http::Connection;
use crate::s3::Minio;
use crate::server::is_stand_in;
use crate::sh;

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    if is_stand_in() {
        sh::skip("replicas", "it needs our own server");
        return Ok(());
    }
    let minio = Minio::start(&fixture.folder("replicas")?)?;
    minio.endpoint.make_bucket("replicas")?;
    let section = minio.endpoint.section("replicas");
    let here = Fixture::of_replicas(&fixture.binary, "replicas", &section, 3)?;
    let played = play(&here);
    if played.is_err() {
        here.print_logs();
    }
    played
}

fn play(here: &Fixture) -> Result<()> {
    wire::run(here)?;
    skopeo::run(here)?;
    podman::run(here)?;
    step("nobody notices one that is dead", || {
        kill(here)?;
        for number in 0..30 {
            let content = format!("blob {number}");
            let digest = here.put_blob("replicas/dead", content.as_bytes())?;
            let target = format!("/v2/replicas/dead/blobs/{digest}");
            let blob = here.connect()?.request("HEAD", &target, &[], b"")?;
            // From MinIO, or here.
            let status = blob.status;
            anyhow::ensure!([200, 307].contains(&status), "{status} of a blob");
            here.put_artifact("replicas/dead", &here.one)?;
        }
        Ok(())
    })
}

/// Kills one of them, and waits until nobody listens there.
fn kill(here: &Fixture) -> Result<()> {
    here.server.signal("KILL")?;
    sh::wait_for("the end of a replica", Duration::from_secs(20), || {
        let open = Connection::open(&here.server.address);
        Ok(open.is_err().then_some(()))
    })
}
