//! What no client at hand does, over plain HTTP: artifacts with a subject, and their listing.

use anyhow::{Result, ensure};

use super::fixture::Fixture;
use super::step;
use crate::image::Descriptor;

const REPOSITORY: &str = "wire/artifacts";

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    let subject = Descriptor {
        media_type: crate::image::MANIFEST,
        digest: fixture.one.digest.clone(),
        size: fixture.one.size,
    };
    let mut note = String::new();
    step("push an artifact whose subject is not there", || {
        note = fixture.put_artifact(REPOSITORY, &subject)?;
        fixture.expect(REPOSITORY, &note, &note)
    })?;
    step("find it among the referrers", || {
        expect_referrers(fixture, &subject, &[&note])
    })?;
    step("delete it", || {
        let target = format!("/v2/{REPOSITORY}/manifests/{note}");
        fixture
            .connect()?
            .request("DELETE", &target, &[], b"")?
            .expect(202)?;
        fixture.expect_absent(REPOSITORY, &note)?;
        expect_referrers(fixture, &subject, &[])
    })
}

fn expect_referrers(fixture: &Fixture, subject: &Descriptor, wanted: &[&String]) -> Result<()> {
    if let Some(found) = fixture.referrers(REPOSITORY, &subject.digest)? {
        ensure!(found.iter().eq(wanted.iter().copied()), "found {found:?}");
    }
    Ok(())
}
