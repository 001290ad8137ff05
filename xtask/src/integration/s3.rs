//! The server on a bucket of a real object store.

mod distributed;
mod upload;

use anyhow::{Context as _, Result, ensure};

use super::fixture::Fixture;
use super::swap::TREE;
use super::{crane, podman, skopeo, step};
use crate::s3::{Endpoint, Minio};
use crate::server::{Server, Start, free_address, is_stand_in};
use crate::sh;

pub(super) use self::distributed::run as distributed;

/// With MinIO.
pub(super) fn run(fixture: &Fixture) -> Result<()> {
    let minio = Minio::start(&fixture.folder("minio")?)?;
    let ran = scenarios(fixture, &minio.endpoint);
    if ran.is_err() {
        minio.print_log();
    }
    ran
}

fn scenarios(fixture: &Fixture, buckets: &Endpoint) -> Result<()> {
    step("objects are where distribution has them", || {
        layout(fixture, buckets)
    })?;
    clients(fixture, buckets, Pulls::Redirected)?;
    clients(fixture, buckets, Pulls::Streamed)?;
    if is_stand_in() {
        sh::skip("killed uploads", "the server in place of ours loses them");
        return Ok(());
    }
    upload::run(fixture, buckets)
}

fn layout(fixture: &Fixture, buckets: &Endpoint) -> Result<()> {
    buckets.make_bucket("layout")?;
    let section = buckets.section("layout");
    let here = Fixture::stored_in(&fixture.binary, "s3-layout", Some(&section))?;
    let digest = here.put_blob("s3/layout", b"a layer")?;
    let hex = digest.trim_start_matches("sha256:");
    let keys = buckets.keys("layout", TREE)?;
    for wanted in [
        format!("{TREE}/blobs/sha256/{}/{hex}/data", &hex[..2]),
        format!("{TREE}/repositories/s3/layout/_layers/sha256/{hex}/link"),
    ] {
        ensure!(keys.contains(&wanted), "no {wanted} among {keys:?}");
    }
    Ok(())
}

/// Where clients get the bytes of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pulls {
    /// From the bucket, where they are sent to.
    Redirected,
    /// From the registry.
    Streamed,
}

impl Pulls {
    fn name(self) -> &'static str {
        match self {
            Self::Redirected => "redirected",
            Self::Streamed => "streamed",
        }
    }

    /// The section of the driver, and what is beside it.
    fn section(self, buckets: &Endpoint, bucket: &str) -> String {
        let disable = self == Self::Streamed;
        let section = buckets.section(bucket);
        format!("{section}\n  redirect:\n    disable: {disable}")
    }
}

/// skopeo, podman and crane push, pull and delete, and do all else that they do elsewhere.
fn clients(fixture: &Fixture, buckets: &Endpoint, pulls: Pulls) -> Result<()> {
    let name = pulls.name();
    buckets.make_bucket(name)?;
    let section = pulls.section(buckets, name);
    let here = Fixture::stored_in(&fixture.binary, &format!("s3-{name}"), Some(&section))?;
    let ran = step(&format!("blobs are {name}"), || {
        let digest = here.put_blob("s3/blobs", b"bytes of a layer")?;
        let target = format!("/v2/s3/blobs/blobs/{digest}");
        let answer = here.connect()?.request("GET", &target, &[], b"")?;
        match pulls {
            Pulls::Redirected => answer.expect(307).map(|_| ()),
            Pulls::Streamed => {
                let answer = answer.expect(200)?;
                ensure!(answer.body == b"bytes of a layer");
                Ok(())
            }
        }
    })
    .and_then(|()| {
        for (client, run) in [
            ("skopeo", skopeo::images as fn(&Fixture) -> Result<()>),
            ("podman", podman::run),
            ("crane", crane::run),
        ] {
            if sh::which(client).is_none() {
                sh::skip(&format!("{client}, {name}"), "it is not installed");
                continue;
            }
            println!("  {client}, {name}:");
            run(&here).with_context(|| format!("{client}, {name}"))?;
        }
        Ok(())
    });
    if ran.is_err() {
        here.server.print_log();
    }
    ran
}

/// One server of several on a bucket.
fn launch(fixture: &Fixture, name: &str, section: &str) -> Result<Server> {
    Server::launch(Start {
        binary: &fixture.binary,
        folder: &fixture.folder(name)?,
        address: &free_address()?,
        level: "info",
        driver: Some(section),
        more: "",
        tls: None,
    })
}
