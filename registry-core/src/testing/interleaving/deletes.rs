//! A push stands between any two of its steps, and so does a delete by another process.

use tokio::sync::Notify;

use super::new;
use crate::layout::Key;
use crate::registry::Repository;
use crate::storage::Storage;
use crate::testing::faults::{Control, Faulty};
use crate::testing::image::{refer, referring, repository, sha256};
use crate::{Algorithm, Digest, Reference, RegistryError};

const KIND: &str = "application/example";

/// More calls than either makes undisturbed.
const PUSHES: usize = 16;
const DELETES: usize = 12;

/// Before which calls both stand, and who goes on to its end before the other goes on.
#[derive(Clone, Copy, Debug)]
struct Meeting {
    push: usize,
    delete: usize,
    is_push_first: bool,
}

/// A process: its repository, and what it calls.
struct Process {
    storage: Storage,
    control: Control,
    repository: Repository,
}

impl Process {
    /// One that has looked at the referrers before, so that it believes their records.
    async fn start(inner: &Storage) -> Self {
        let (storage, control) = Faulty::wrap(inner.clone());
        let repository = repository(&storage).await;
        assert!(is_listed(&repository).await);
        control.reset();
        Self {
            storage,
            control,
            repository,
        }
    }

    /// Idle calls, so that this one is made.
    async fn go_beyond(&self, stop: usize) {
        while self.control.calls().len() <= stop {
            let _ = self.storage.blobs.now().await;
        }
    }
}

fn subject() -> Digest {
    sha256(b"whatever it is")
}

async fn is_listed(repository: &Repository) -> bool {
    let page = repository.referrers(&subject(), &[], None, None).await;
    !page.unwrap().referrers.is_empty()
}

impl Meeting {
    fn all() -> impl Iterator<Item = Self> {
        let pairs = (0..PUSHES).flat_map(|push| (0..DELETES).map(move |delete| (push, delete)));
        pairs.flat_map(|(push, delete)| {
            [true, false].map(|is_push_first| Self {
                push,
                delete,
                is_push_first,
            })
        })
    }

    async fn take_place(self, pushing: &Process, deleting: &Process, digest: Digest) {
        let push_stands = pushing.control.pause_before(self.push);
        let delete_stands = deleting.control.pause_before(self.delete);
        let ended = Notify::new();
        let push = async {
            let put = referring(&new(), &subject(), KIND, Algorithm::Sha256);
            let put = pushing.repository.put_manifest(put).await;
            pushing.go_beyond(self.push).await;
            ended.notify_one();
            put
        };
        let delete = async {
            let reference = Reference::Digest(digest);
            let done = deleting.repository.delete_manifest(&reference).await;
            deleting.go_beyond(self.delete).await;
            ended.notify_one();
            done
        };
        let order = async {
            push_stands.reached().await;
            delete_stands.reached().await;
            let (first, second) = match self.is_push_first {
                true => (push_stands, delete_stands),
                false => (delete_stands, push_stands),
            };
            first.release();
            ended.notified().await;
            second.release();
        };
        let (put, done, ()) = tokio::join!(push, delete, order);
        put.unwrap();
        let is_done = matches!(done, Ok(()) | Err(RegistryError::ManifestUnknown(_)));
        assert!(is_done, "{self:?}: {done:?}");
    }
}

/// Whether the referrer is still there, after the same was pushed and deleted.
async fn is_left(inner: &Storage, meeting: Meeting) -> bool {
    let clean = repository(inner).await;
    new().push_blobs(&clean).await.unwrap();
    let digest = refer(&clean, &new(), &subject(), KIND, Algorithm::Sha256).await;
    let (pushing, deleting) = (Process::start(inner).await, Process::start(inner).await);
    meeting.take_place(&pushing, &deleting, digest).await;
    let revision = Key::Revision("library/image".parse().unwrap(), digest).path();
    let is_there = inner.records.get(&revision).await.unwrap().is_some();
    let later = repository(inner).await;
    for (which, one) in [
        ("pushed", &pushing.repository),
        ("deleted", &deleting.repository),
        ("came later", &later),
    ] {
        assert_eq!(is_listed(one).await, is_there, "{meeting:?}: who {which}");
    }
    is_there
}

pub async fn a_referrer_is_listed_where_its_revision_is<K>(
    most: usize,
    open: impl AsyncFn() -> (Storage, K),
) {
    let (mut left, mut gone) = (0, 0);
    let every = Meeting::all().count().div_ceil(most);
    for meeting in Meeting::all().step_by(every) {
        let (inner, _keep) = open().await;
        match is_left(&inner, meeting).await {
            true => left += 1,
            false => gone += 1,
        }
    }
    assert!(left > 5 && gone > 5, "{left}, {gone}");
}
