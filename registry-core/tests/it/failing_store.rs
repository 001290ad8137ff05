//! Every call of the store goes wrong in turn: never a success for lost work, never an absence
//! for a fault.

use registry_core::registry::{Append, PageRequest, Repository, UploadUrl};
use registry_core::storage::{MemoryDriver, Storage};
use registry_core::testing::ambient;
use registry_core::testing::faults::{Control, Fault, Faulty};
use registry_core::{Algorithm, Digest, Reference, RegistryError};

use crate::image::{Image, body, by_tag, get_blob, repository, sha256, tagged};

const FAULTS: [Fault; 5] = [
    Fault::Fail,
    Fault::Full,
    Fault::FailAfter,
    Fault::Truncate,
    Fault::Stall,
];

/// Something that changes the repository.
#[derive(Clone, Copy, Debug)]
enum Work {
    /// The first image of a store.
    Push,
    /// Another image under the tag that there is.
    Move,
    /// The same image once more.
    Again,
    /// Deleting the tag.
    Untag,
    /// Deleting the manifest.
    Delete,
}

fn old() -> Image {
    Image::new(1)
}

fn new() -> Image {
    Image::new(2)
}

impl Work {
    /// What the tag points to before and after.
    fn tag(self) -> (Option<Digest>, Option<Digest>) {
        let (old, new) = (Some(old().digest()), Some(new().digest()));
        match self {
            Self::Push => (None, new),
            Self::Move => (old, new),
            Self::Again => (new, new),
            Self::Untag | Self::Delete => (old, None),
        }
    }

    async fn prepare(self, repository: &Repository) {
        match self {
            Self::Push => {}
            Self::Again => new().push(repository).await.unwrap(),
            Self::Move | Self::Untag | Self::Delete => old().push(repository).await.unwrap(),
        }
    }

    async fn run(self, repository: &Repository) -> Result<(), RegistryError> {
        match self {
            Self::Push | Self::Move | Self::Again => new().push(repository).await,
            Self::Untag => repository.delete_manifest(&by_tag()).await,
            Self::Delete => {
                let digest = Reference::Digest(old().digest());
                repository.delete_manifest(&digest).await
            }
        }
    }

    /// The work again, which a delete may find done.
    async fn retry(self, repository: &Repository, context: &str) {
        let retried = self.run(repository).await;
        let done = match self {
            Self::Push | Self::Move | Self::Again => retried.is_ok(),
            Self::Untag | Self::Delete => {
                matches!(retried, Ok(()) | Err(RegistryError::ManifestUnknown(_)))
            }
        };
        assert!(done, "{context}: a retry said {retried:?}");
    }

    /// The tag points to what it should, and that is whole.
    async fn assert_tag(self, allowed: &[Option<Digest>], inner: &Storage, context: &str) {
        let clean = repository(inner).await;
        let tag = tagged(&clean, context).await;
        assert!(allowed.contains(&tag), "{context}: the tag is at {tag:?}");
        for image in [old(), new()] {
            if tag == Some(image.digest()) {
                image.assert_whole(&clean, context).await;
            }
        }
    }

    async fn assert_done(self, inner: &Storage, context: &str) {
        self.assert_tag(&[self.tag().1], inner, context).await;
        let clean = repository(inner).await;
        let digest = Reference::Digest(old().digest());
        match self {
            Self::Push | Self::Again => {}
            Self::Move | Self::Untag => old().assert_whole(&clean, context).await,
            Self::Delete => {
                let gone = clean.manifest(&digest).await;
                let gone = matches!(gone, Err(RegistryError::ManifestUnknown(_)));
                assert!(gone, "{context}: the manifest is there");
            }
        }
    }
}

/// An empty store, and the same one behind the decorator.
fn open() -> (Storage, Storage, Control) {
    let inner = Storage::from_driver(MemoryDriver::new(ambient()));
    let (storage, control) = Faulty::wrap(inner.clone());
    (inner, storage, control)
}

/// Runs a future beside one that lets go of what stalls.
async fn releasing<T>(control: &Control, n: usize, work: impl Future<Output = T>) -> T {
    let release = async {
        while control.calls().len() <= n {
            tokio::task::yield_now().await;
        }
        control.release();
    };
    tokio::join!(work, release).0
}

/// Whether this may be answered to a fault of the store.
fn is_fault(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Storage(_))
}

async fn every_call_fails_in_turn(work: Work) {
    let (inner, storage, control) = open();
    work.prepare(&repository(&inner).await).await;
    work.run(&repository(&storage).await).await.unwrap();
    work.assert_done(&inner, "without a fault").await;
    let calls = control.calls();
    let mut refused = 0;
    for (n, call) in calls.iter().enumerate() {
        for fault in FAULTS {
            let context = format!("{work:?}, {fault:?} at {n}, {}", call.name);
            let (inner, storage, control) = open();
            work.prepare(&repository(&inner).await).await;
            let repository = repository(&storage).await;
            control.on_call(n, fault);
            let result = releasing(&control, n, work.run(&repository)).await;
            assert_eq!(control.calls()[n].name, call.name, "{context}");
            match result {
                Ok(()) => work.assert_done(&inner, &context).await,
                Err(error) => {
                    assert_ne!(fault, Fault::Stall, "{context}: {error}");
                    assert!(is_fault(&error), "{context}: {error}");
                    refused += 1;
                    let (before, after) = work.tag();
                    work.assert_tag(&[before, after], &inner, &context).await;
                }
            }
            control.reset();
            work.retry(&repository, &context).await;
            work.assert_done(&inner, &context).await;
        }
    }
    assert!(refused > calls.len(), "{work:?}: {refused} refused");
}

#[tokio::test]
async fn a_first_push_is_never_lost() {
    every_call_fails_in_turn(Work::Push).await;
}

#[tokio::test]
async fn a_moved_tag_is_old_or_new() {
    every_call_fails_in_turn(Work::Move).await;
}

#[tokio::test]
async fn a_repeated_push_harms_nothing() {
    every_call_fails_in_turn(Work::Again).await;
}

#[tokio::test]
async fn a_deleted_tag_is_gone_when_it_is_said() {
    every_call_fails_in_turn(Work::Untag).await;
}

#[tokio::test]
async fn a_deleted_manifest_is_gone_when_it_is_said() {
    every_call_fails_in_turn(Work::Delete).await;
}

/// A blob in two requests, and the second sent once more, as after a lost answer.
async fn upload_in_two(
    repository: &Repository,
    url: &UploadUrl,
    blob: &bytes::Bytes,
) -> Result<(), RegistryError> {
    let (first, second) = (blob.slice(..300), blob.slice(300..));
    repository
        .append_upload(url, Append::default(), body(&first))
        .await?;
    for _ in 0..2 {
        repository
            .finish_upload(url, Append::default(), body(&second), &sha256(blob))
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_upload_in_pieces_is_never_lost_nor_unknown() {
    let blob = registry_core::testing::content(7, 1000);
    let mut calls = 1;
    let mut n = 0;
    while n < calls {
        for fault in FAULTS {
            let context = format!("{fault:?} at {n}");
            let (inner, storage, control) = open();
            let from = repository(&storage).await;
            let begun = from.start_upload(Algorithm::Sha256).await.unwrap();
            let (id, state) = (begun.id, Some(begun.state));
            let url = UploadUrl { id, state };
            control.reset();
            control.on_call(n, fault);
            let result = releasing(&control, n, upload_in_two(&from, &url, &blob)).await;
            if fault == Fault::Stall {
                calls = control.calls().len();
                assert!(result.is_ok(), "{context}: {result:?}");
            }
            match result {
                Ok(()) => {
                    let clean = repository(&inner).await;
                    let found = get_blob(&clean, &sha256(&blob)).await;
                    assert_eq!(found.unwrap(), blob, "{context}");
                }
                Err(error) => assert!(is_fault(&error), "{context}: {error}"),
            }
        }
        n += 1;
    }
    assert!(calls > 10, "{calls} calls");
}

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

async fn every_look_fails_in_turn(look: Look, retired: bool) {
    let (mut calls, mut n) = (1, 0);
    while n < calls {
        for fault in FAULTS {
            let context = format!("{look:?}, {fault:?} at {n}, retired: {retired}");
            let (inner, storage, control) = open();
            new().push(&repository(&inner).await).await.unwrap();
            if retired {
                inner.blobs.retire(&new().layer()).await.unwrap();
                inner.blobs.retire(&new().digest()).await.unwrap();
            }
            let from = repository(&storage).await;
            control.on_call(n, fault);
            let result = releasing(&control, n, look.run(&from)).await;
            match result {
                Ok(()) if fault == Fault::Stall => calls = control.calls().len(),
                Ok(()) => {
                    // A call that finds nothing says so even when its answer is to be lost.
                    let missed = matches!(fault, Fault::FailAfter | Fault::Truncate);
                    assert!(retired && missed, "{context}: nobody noticed");
                }
                Err(error) => {
                    assert_ne!(fault, Fault::Stall, "{context}: {error}");
                    assert!(is_fault(&error), "{context}: {error}");
                }
            }
            control.reset();
            look.run(&from).await.unwrap();
        }
        n += 1;
    }
    assert!(n > 1 || matches!(look, Look::Tags), "{look:?}: {n} calls");
}

#[tokio::test]
async fn a_look_that_fails_is_no_absence() {
    for look in [
        Look::ByTag,
        Look::ByDigest,
        Look::Stat,
        Look::Blob,
        Look::Tags,
        Look::Referrers,
    ] {
        every_look_fails_in_turn(look, false).await;
    }
    for look in [Look::ByTag, Look::ByDigest, Look::Stat, Look::Blob] {
        every_look_fails_in_turn(look, true).await;
    }
}
