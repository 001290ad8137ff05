//! Clients that leave in the middle, and those that meet each other.

use bytes::Bytes;

use super::{Mishap, Trial, new, old, settle};
use crate::layout::Key;
use crate::registry::{Append, Mounted, PutManifest, Repository};
use crate::storage::Storage;
use crate::testing::faults::{Call, Control, Fault};
use crate::testing::image::{Image, body, by_tag, named, refer, repository, sha256, tag, tagged};
use crate::{Algorithm, Digest, Reference, RegistryError};

/// Lets others go on for a while.
async fn others() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

fn position(control: &Control, wanted: impl Fn(&Call) -> bool) -> usize {
    control.calls().iter().position(wanted).unwrap()
}

/// Something that has begun to change the store when its client leaves.
#[derive(Clone, Copy, Debug)]
enum Work {
    Put,
    Untag,
    Delete,
    DeleteBlob,
    Mount,
    Finish,
}

impl Work {
    async fn prepare(self, repository: &Repository) {
        match self {
            Self::Put => new().push_blobs(repository).await.unwrap(),
            Self::Finish => {}
            _ => new().push(repository).await.unwrap(),
        }
    }

    async fn run(self, repository: &Repository) -> Result<(), RegistryError> {
        let layer = new().layer();
        match self {
            Self::Put => new().put(repository).await,
            Self::Untag => repository.delete_manifest(&by_tag()).await,
            Self::Delete => {
                let digest = Reference::Digest(new().digest());
                repository.delete_manifest(&digest).await
            }
            Self::DeleteBlob => repository.delete_blob(&layer).await,
            Self::Mount => {
                let from = repository.name().clone();
                let other = named(&repository.registry(), "library/other");
                let mounted = other.mount_blob(&layer, Some(&from)).await?;
                assert!(matches!(mounted, Mounted::Done));
                Ok(())
            }
            Self::Finish => {
                let layer = &new().blobs[1];
                let append = Append::default();
                repository
                    .push_blob(append, body(layer), &new().layer())
                    .await
            }
        }
    }

    /// The first call of what is brought to its end once it was begun.
    fn begins(self, call: &Call) -> bool {
        match self {
            Self::Put => call.name == "blobs.open_upload",
            Self::Mount => call.name == "records.put",
            // When all of the body has come.
            Self::Finish => call.name == "writer.commit",
            Self::Untag | Self::Delete | Self::DeleteBlob => true,
        }
    }

    async fn is_done(self, inner: &Storage) -> bool {
        let clean = repository(inner).await;
        let layer = new().layer();
        match self {
            Self::Put => tagged(&clean, "a push").await == Some(new().digest()),
            Self::Untag => tagged(&clean, "a delete").await.is_none(),
            Self::Delete => {
                let digest = Reference::Digest(new().digest());
                clean.manifest(&digest).await.is_err()
            }
            Self::DeleteBlob => clean.stat_blob(&layer).await.is_err(),
            Self::Mount => {
                let other = named(&clean.registry(), "library/other");
                other.stat_blob(&layer).await.is_ok()
            }
            Self::Finish => clean.stat_blob(&layer).await.is_ok(),
        }
    }
}

pub async fn a_change_that_was_begun_comes_to_its_end<K>(open: impl AsyncFn() -> (Storage, K)) {
    for work in [
        Work::Put,
        Work::Untag,
        Work::Delete,
        Work::DeleteBlob,
        Work::Mount,
        Work::Finish,
    ] {
        let trial = Trial::open(&open).await;
        work.prepare(&repository(&trial.inner).await).await;
        work.run(&repository(&trial.storage).await).await.unwrap();
        let calls = trial.control.calls().len();
        let begun = position(&trial.control, |call| work.begins(call));
        for n in begun..calls {
            for mishap in [Mishap::LeftBefore, Mishap::LeftAfter] {
                let trial = Trial::open(&open).await;
                work.prepare(&repository(&trial.inner).await).await;
                let leaving = repository(&trial.storage).await;
                let told = mishap.befall(&trial.control, n, work.run(&leaving)).await;
                settle(&trial.control, &leaving).await;
                let done = work.is_done(&trial.inner).await;
                assert!(done, "{work:?}, {mishap:?} at {n}: told {told:?}");
            }
        }
    }
}

/// A write whose client has gone may reach the store late, and never after what came later.
pub async fn what_comes_later_waits_for_a_client_that_left<K>(
    open: impl AsyncFn() -> (Storage, K),
) {
    let current = Key::TagCurrent("library/image".parse().unwrap(), tag()).path();
    // A push that sets the tag late, and a delete that takes it away late.
    for pushing in [true, false] {
        let trial = Trial::open(&open).await;
        let (inner, control) = (&trial.inner, &trial.control);
        let clean = repository(inner).await;
        old().push(&clean).await.unwrap();
        new().push_blobs(&clean).await.unwrap();
        let (first, second) = match pushing {
            true => (Work::Put, Work::Untag),
            false => (Work::Untag, Work::Put),
        };
        first.run(&repository(&trial.storage).await).await.unwrap();
        let changes = |call: &Call| {
            let change = if pushing {
                "records.put"
            } else {
                "records.delete"
            };
            call.name == change && call.subject == current.as_str()
        };
        let n = position(control, changes);

        let trial = Trial::open(&open).await;
        let (inner, control) = (&trial.inner, &trial.control);
        let clean = repository(inner).await;
        old().push(&clean).await.unwrap();
        new().push_blobs(&clean).await.unwrap();
        let from = repository(&trial.storage).await;
        let left = Mishap::LeftBefore
            .befall(control, n, first.run(&from))
            .await;
        assert!(left.is_none());
        let other = from.clone();
        let later = tokio::spawn(async move { second.run(&other).await });
        others().await;
        settle(control, &from).await;
        later.await.unwrap().unwrap();
        assert!(
            second.is_done(inner).await,
            "{first:?} came after {second:?}"
        );
    }
}

/// Each sets the tag and is refused then: neither may take it back to what the other has set.
pub async fn two_refused_pushes_leave_no_tag<K>(open: impl AsyncFn() -> (Storage, K)) {
    let current = Key::TagCurrent("library/image".parse().unwrap(), tag()).path();
    let tagging = |call: &Call| call.name == "records.put" && call.subject == current.as_str();
    let trial = Trial::open(&open).await;
    let (inner, control) = (&trial.inner, &trial.control);
    let clean = repository(inner).await;
    new().push_blobs(&clean).await.unwrap();
    let pushing = repository(&trial.storage).await;
    new().put(&pushing).await.unwrap();
    let n = position(control, tagging) + 1;

    let trial = Trial::open(&open).await;
    let (inner, control) = (&trial.inner, &trial.control);
    let clean = repository(inner).await;
    for image in [old(), new()] {
        image.push_blobs(&clean).await.unwrap();
    }
    let pushing = repository(&trial.storage).await;
    let pause = control.pause_before(n);
    let put = |image: Image| {
        let to = pushing.clone();
        tokio::spawn(async move { image.put(&to).await })
    };
    let first = put(new());
    pause.reached().await;
    let second = put(old());
    others().await;
    for image in [old(), new()] {
        let retired = inner.blobs.retire(&image.layer()).await.unwrap();
        inner.blobs.purge(&retired).await.unwrap();
    }
    pause.release();
    for pushed in [first.await.unwrap(), second.await.unwrap()] {
        let refused = matches!(pushed, Err(RegistryError::ManifestBlobUnknown(_)));
        assert!(refused, "{pushed:?}");
    }
    assert_eq!(tagged(&clean, "after both").await, None);
}

fn index_of(child: &Digest, kind: &str) -> PutManifest {
    let bytes = Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","artifactType":"{kind}","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{child}","size":1}}]}}"#
    ));
    PutManifest {
        reference: Reference::Digest(sha256(&bytes)),
        tags: Vec::new(),
        digest: None,
        content_type: None,
        bytes,
    }
}

/// An index whose child is deleted while it is being pushed is refused, and the child stays away.
pub async fn a_child_deleted_beside_a_push_stays_deleted<K>(open: impl AsyncFn() -> (Storage, K)) {
    let trial = Trial::open(&open).await;
    let (inner, control) = (&trial.inner, &trial.control);
    let to = repository(&trial.storage).await;
    let subject = old().digest();
    old().push(&to).await.unwrap();
    let child = refer(&to, &old(), &subject, "a/a", Algorithm::Sha256).await;
    control.reset();
    to.put_manifest(index_of(&child, "a/first")).await.unwrap();
    let n = position(control, |call| call.name == "blobs.open_upload");
    control.reset();
    control.on_call(n, Fault::Stall);
    let putting = tokio::spawn({
        let (to, index) = (to.clone(), index_of(&child, "a/b"));
        async move { to.put_manifest(index).await }
    });
    control.stalled().await;
    let by_digest = Reference::Digest(child);
    to.delete_manifest(&by_digest).await.unwrap();
    control.release();
    let put = putting.await.unwrap();
    let missing = match put {
        Err(RegistryError::ManifestBlobUnknown(missing)) => missing,
        put => panic!("{put:?}"),
    };
    assert_eq!(missing, [child.into()]);
    let gone = repository(inner).await.manifest(&by_digest).await;
    assert!(matches!(gone, Err(RegistryError::ManifestUnknown(_))));
}
