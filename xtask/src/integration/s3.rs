//! The server on a bucket of a real object store.

use anyhow::{Result, ensure};

use super::fixture::Fixture;
use super::step;
use super::swap::TREE;
use crate::s3::Minio;

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    let minio = Minio::start(&fixture.folder("minio")?)?;
    step("objects are where distribution has them", || {
        layout(fixture, &minio)
    })
}

fn layout(fixture: &Fixture, minio: &Minio) -> Result<()> {
    minio.endpoint.make_bucket("layout")?;
    let section = minio.endpoint.section("layout");
    let here = Fixture::stored_in(&fixture.binary, "s3-layout", Some(&section))?;
    let digest = here.put_blob("s3/layout", b"a layer")?;
    let hex = digest.trim_start_matches("sha256:");
    let keys = minio.endpoint.keys("layout", TREE)?;
    for wanted in [
        format!("{TREE}/blobs/sha256/{}/{hex}/data", &hex[..2]),
        format!("{TREE}/repositories/s3/layout/_layers/sha256/{hex}/link"),
    ] {
        ensure!(keys.contains(&wanted), "no {wanted} among {keys:?}");
    }
    Ok(())
}
