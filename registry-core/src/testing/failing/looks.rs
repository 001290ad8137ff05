//! What only reads.

use super::{MISHAPS, Mishap, Trial, is_fault, new, settle};
use crate::registry::{PageRequest, Repository};
use crate::storage::Storage;
use crate::testing::faults::Fault;
use crate::testing::image::{by_tag, get_blob, repository};
use crate::{Reference, RegistryError};

/// Something that only looks.
#[derive(Clone, Copy, Debug)]
enum Look {
    ByTag,
    ByDigest,
    Stat,
    Blob,
    Tags,
    Referrers,
}

impl Look {
    async fn run(self, repository: &Repository) -> Result<(), RegistryError> {
        let image = new();
        let by_digest = Reference::Digest(image.digest());
        match self {
            Self::ByTag => {
                let served = repository.manifest(&by_tag()).await?;
                assert_eq!(served.bytes, image.manifest);
            }
            Self::ByDigest => {
                let served = repository.manifest(&by_digest).await?;
                assert_eq!(served.bytes, image.manifest);
            }
            Self::Stat => {
                let stat = repository.stat_blob(&image.layer()).await?;
                assert_eq!(stat.size, image.blobs[1].len() as u64);
            }
            Self::Blob => {
                let found = get_blob(repository, &image.layer()).await?;
                assert_eq!(found, image.blobs[1]);
            }
            Self::Tags => {
                let page = repository.tags(&PageRequest::default()).await?;
                assert_eq!(page.items.len(), 1);
            }
            Self::Referrers => {
                let digest = image.digest();
                let page = repository.referrers(&digest, &[], None, None).await?;
                assert!(page.referrers.is_empty());
            }
        }
        Ok(())
    }
}

async fn every_look_fails_in_turn<K>(
    look: Look,
    retired: bool,
    open: &impl AsyncFn() -> (Storage, K),
) {
    let (mut calls, mut n) = (1, 0);
    while n < calls {
        for mishap in MISHAPS {
            let context = format!("{look:?}, {mishap:?} at {n}, retired: {retired}");
            let trial = Trial::open(open).await;
            let (inner, control) = (&trial.inner, &trial.control);
            new().push(&repository(inner).await).await.unwrap();
            if retired {
                inner.blobs.retire(&new().layer()).await.unwrap();
                inner.blobs.retire(&new().digest()).await.unwrap();
            }
            let from = repository(&trial.storage).await;
            let told = mishap.befall(control, n, look.run(&from)).await;
            let made = control.calls().len();
            match told {
                Some(Ok(())) if mishap == Mishap::Slow => calls = made,
                Some(Ok(())) => {
                    // A call that finds nothing says so even when its answer is to be lost, and
                    // a store whose stamps have settled since takes fewer of them.
                    let lost = [Fault::FailAfter, Fault::Truncate, Fault::StallAfter];
                    let missed = retired && lost.contains(&mishap.fault());
                    assert!(missed || made <= n, "{context}: nobody noticed");
                }
                Some(Err(error)) => {
                    assert_ne!(mishap, Mishap::Slow, "{context}: {error}");
                    assert!(is_fault(&error), "{context}: {error}");
                }
                None => assert_ne!(mishap, Mishap::Slow, "{context}"),
            }
            settle(control, &from).await;
            look.run(&from).await.unwrap();
        }
        n += 1;
    }
    assert!(n > 1 || matches!(look, Look::Tags), "{look:?}: {n} calls");
}

pub async fn a_look_that_fails_is_no_absence<K>(open: impl AsyncFn() -> (Storage, K)) {
    for look in [
        Look::ByTag,
        Look::ByDigest,
        Look::Stat,
        Look::Blob,
        Look::Tags,
        Look::Referrers,
    ] {
        every_look_fails_in_turn(look, false, &open).await;
    }
    for look in [Look::ByTag, Look::ByDigest, Look::Stat, Look::Blob] {
        every_look_fails_in_turn(look, true, &open).await;
    }
}
