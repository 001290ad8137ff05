//! Uploads in pieces.

use super::{MISHAPS, Mishap, Trial, is_fault};
use crate::registry::{Append, Repository, UploadUrl};
use crate::storage::Storage;
use crate::testing::content;
use crate::testing::image::{body, get_blob, repository, sha256};
use crate::{Algorithm, RegistryError};

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
            let begun = from.start_upload(Algorithm::Sha256).await.unwrap();
            let (id, state) = (begun.id, Some(begun.state));
            let url = UploadUrl { id, state };
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
