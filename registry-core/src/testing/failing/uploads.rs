//! Uploads in pieces.

use bytes::Bytes;

use super::{MISHAPS, Mishap, Trial, is_fault, settle};
use crate::hasher::digest_of;
use crate::layout::Key;
use crate::registry::{Append, Repository, UploadUrl};
use crate::storage::Storage;
use crate::testing::faults::{Call, Fault};
use crate::testing::image::{body, get_blob, repository, sha256};
use crate::testing::{content, publish_as};
use crate::{Algorithm, Digest, RegistryError};

pub(super) async fn begin(repository: &Repository) -> UploadUrl {
    let begun = repository.start_upload(Algorithm::Sha256).await.unwrap();
    UploadUrl {
        id: begun.id,
        state: Some(begun.state),
    }
}

/// A blob in two requests, and the second sent once more, as after a lost answer.
async fn upload_in_two(
    repository: &Repository,
    url: &UploadUrl,
    blob: &Bytes,
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

pub async fn an_upload_in_pieces_is_never_lost_nor_unknown<K>(
    open: impl AsyncFn() -> (Storage, K),
) {
    let blob = content(7, 1000);
    let mut calls = 1;
    let mut n = 0;
    while n < calls {
        for mishap in MISHAPS {
            let context = format!("{mishap:?} at {n}");
            let trial = Trial::open(&open).await;
            let from = repository(&trial.storage).await;
            let url = begin(&from).await;
            trial.control.reset();
            let upload = upload_in_two(&from, &url, &blob);
            match mishap.befall(&trial.control, n, upload).await {
                Some(Ok(())) => {
                    calls = trial.control.calls().len();
                    let clean = repository(&trial.inner).await;
                    let found = get_blob(&clean, &sha256(&blob)).await;
                    assert_eq!(found.unwrap(), blob, "{context}");
                }
                Some(Err(error)) => {
                    assert_ne!(mishap, Mishap::Slow, "{context}: {error}");
                    assert!(is_fault(&error), "{context}: {error}");
                }
                None => assert_ne!(mishap, Mishap::Slow, "{context}"),
            }
        }
        n += 1;
    }
    assert!(calls > 10, "{calls} calls");
}

/// How a client finishes an upload.
#[derive(Clone, Copy, Debug)]
pub(super) enum Finish {
    /// Nothing but the digest, after all the bytes.
    Empty,
    /// The last bytes, and nothing said of where they belong.
    Rest,
    /// The last bytes, and where they belong.
    Range,
    /// All of it in one request.
    Whole,
    /// Nothing, and a digest of which nothing was said before.
    OtherAlgorithm,
}

impl Finish {
    fn digest(self, blob: &[u8]) -> Digest {
        match self {
            Self::OtherAlgorithm => digest_of(Algorithm::Sha512, blob),
            _ => sha256(blob),
        }
    }

    /// How much of the blob came before.
    fn before(self, blob: &Bytes) -> usize {
        match self {
            Self::Empty | Self::OtherAlgorithm => blob.len(),
            Self::Rest | Self::Range => 300,
            Self::Whole => 0,
        }
    }

    pub(super) async fn prepare(self, repository: &Repository, url: &UploadUrl, blob: &Bytes) {
        let first = blob.slice(..self.before(blob));
        if !first.is_empty() {
            let appended = repository.append_upload(url, Append::default(), body(&first));
            appended.await.unwrap();
        }
    }

    pub(super) async fn put(
        self,
        repository: &Repository,
        url: &UploadUrl,
        blob: &Bytes,
    ) -> Result<(), RegistryError> {
        let before = self.before(blob);
        let last = blob.slice(before..);
        let len = last.len() as u64;
        let append = match self {
            Self::Range => Append {
                at: Some(before as u64),
                len: Some(len),
                declared: Some(len),
            },
            _ => Append::default(),
        };
        let digest = self.digest(blob);
        let finished = repository.finish_upload(url, append, body(&last), &digest);
        finished.await
    }
}

/// What can be pulled then is the blob.
async fn assert_there(inner: &Storage, finish: Finish, blob: &Bytes, context: &str) {
    let clean = repository(inner).await;
    let found = get_blob(&clean, &finish.digest(blob)).await;
    let found = found.unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(found, *blob, "{context}");
}

async fn every_finish_fails_in_turn<K>(
    finish: Finish,
    restarted: bool,
    open: &impl AsyncFn() -> (Storage, K),
) {
    let blob = content(7, 1000);
    let (mut calls, mut n) = (1, 0);
    while n < calls {
        for mishap in MISHAPS {
            let context = format!("{finish:?}, {mishap:?} at {n}, restarted: {restarted}");
            let trial = Trial::open(open).await;
            let from = repository(&trial.storage).await;
            let url = begin(&from).await;
            finish.prepare(&from, &url, &blob).await;
            trial.control.reset();
            let put = finish.put(&from, &url, &blob);
            match mishap.befall(&trial.control, n, put).await {
                Some(Ok(())) => {
                    assert_there(&trial.inner, finish, &blob, &context).await;
                    calls = calls.max(trial.control.calls().len());
                }
                Some(Err(error)) => assert!(is_fault(&error), "{context}: {error}"),
                None => {}
            }
            settle(&trial.control, &from).await;
            let from = if restarted {
                repository(&trial.storage).await
            } else {
                from
            };
            match finish.put(&from, &url, &blob).await {
                Ok(()) => {}
                // Then the client begins anew.
                Err(RegistryError::UploadUnknown) => {
                    let url = begin(&from).await;
                    finish.prepare(&from, &url, &blob).await;
                    let anew = finish.put(&from, &url, &blob).await;
                    anew.unwrap_or_else(|error| panic!("{context}: {error}"));
                }
                Err(error) => panic!("{context}: a retry said {error}"),
            }
            assert_there(&trial.inner, finish, &blob, &context).await;
        }
        n += 1;
    }
    assert!(calls > 3, "{finish:?}: {calls} calls");
}

pub async fn a_finish_that_fails_can_be_retried<K>(open: impl AsyncFn() -> (Storage, K)) {
    for finish in [
        Finish::Empty,
        Finish::Rest,
        Finish::Range,
        Finish::Whole,
        Finish::OtherAlgorithm,
    ] {
        for restarted in [false, true] {
            every_finish_fails_in_turn(finish, restarted, &open).await;
        }
    }
}

/// The blob was published, and its link failed: the bytes need not come again.
pub async fn a_blob_whose_link_failed_is_linked_by_a_retry<K>(
    open: impl AsyncFn() -> (Storage, K),
) {
    let blob = content(7, 1000);
    for finish in [Finish::Empty, Finish::Rest, Finish::Range] {
        let trial = Trial::open(&open).await;
        let from = repository(&trial.storage).await;
        let url = begin(&from).await;
        finish.prepare(&from, &url, &blob).await;
        trial.control.reset();
        finish.put(&from, &url, &blob).await.unwrap();
        let link = Key::Layer(from.name().clone(), sha256(&blob)).path();
        let calls = trial.control.calls();
        let linking = |call: &Call| call.name == "records.put" && call.subject == link.as_str();
        let n = calls.iter().position(linking).unwrap();

        let trial = Trial::open(&open).await;
        let from = repository(&trial.storage).await;
        let url = begin(&from).await;
        finish.prepare(&from, &url, &blob).await;
        trial.control.reset();
        trial.control.on_call(n, Fault::Fail);
        let told = finish.put(&from, &url, &blob).await;
        assert!(told.is_err_and(|error| is_fault(&error)), "{finish:?}");
        let retried = finish
            .put(&repository(&trial.storage).await, &url, &blob)
            .await;
        retried.unwrap_or_else(|error| panic!("{finish:?}: {error}"));
        assert_there(&trial.inner, finish, &blob, "after a link that failed").await;
    }
}

/// Whose bytes are gone, and who names what others have, gets nothing.
pub async fn a_digest_alone_makes_no_blob_visible<K>(open: impl AsyncFn() -> (Storage, K)) {
    let (secret, mine) = (content(8, 1000), content(9, 1000));
    for named in [sha256(&secret), digest_of(Algorithm::Sha512, &secret)] {
        for sent in [Bytes::new(), mine.slice(500..)] {
            let trial = Trial::open(&open).await;
            publish_as(named.algorithm(), &trial.inner, &secret).await;
            let from = repository(&trial.storage).await;
            let url = begin(&from).await;
            let first = mine.slice(..500);
            let appended = from.append_upload(&url, Append::default(), body(&first));
            appended.await.unwrap();
            trial.inner.blobs.abort_upload(&url.id, None).await.unwrap();
            let more = from
                .append_upload(&url, Append::default(), body(&first))
                .await;
            // A store that has bytes elsewhere may miss them only when they are to become a blob.
            let unknown = matches!(more, Ok(_) | Err(RegistryError::UploadUnknown));
            assert!(unknown, "{more:?}");
            for _ in 0..2 {
                let put = from.finish_upload(&url, Append::default(), body(&sent), &named);
                let refused = matches!(
                    put.await,
                    Err(RegistryError::UploadUnknown | RegistryError::DigestInvalid(_))
                );
                assert!(refused, "{named}");
            }
            let found = from.stat_blob(&named).await;
            assert!(
                matches!(found, Err(RegistryError::BlobUnknown(_))),
                "{found:?}"
            );
        }
    }
}
