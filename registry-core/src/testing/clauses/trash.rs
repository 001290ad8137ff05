//! The trash: only a copy is ever destroyed.

use futures_util::TryStreamExt;

use super::past;
use crate::digest::{Algorithm, Digest};
use crate::hasher::digest_of;
use crate::storage::{Retired, Storage, StorageError};
use crate::testing::{content, publish, read, read_to_end};

async fn trash(storage: &Storage) -> Vec<Retired> {
    let mut found: Vec<Retired> = storage.blobs.list_retired().try_collect().await.unwrap();
    found.sort_by_key(|retired| (retired.digest, retired.id));
    found
}

fn absent() -> Digest {
    digest_of(Algorithm::Sha256, b"absent")
}

async fn listed(storage: &Storage) -> usize {
    let all: Vec<_> = storage.blobs.list(None).try_collect().await.unwrap();
    all.len()
}

pub async fn a_retired_blob_is_gone_and_restore_brings_it_back(storage: &Storage) {
    let bytes = content(1, 1000);
    let digest = publish(storage, &bytes).await;
    let other = publish(storage, &content(2, 10)).await;
    let committed = storage.blobs.stat(&digest).await.unwrap().modified;
    past(storage, committed).await;

    let retired = storage.blobs.retire(&digest).await.unwrap();
    assert_eq!((retired.digest, retired.size), (digest, 1000));
    assert!(retired.since > committed, "{retired:?}");
    assert!(retired.since <= storage.blobs.now().await.unwrap());
    let stat = storage.blobs.stat(&digest).await;
    assert!(matches!(stat, Err(StorageError::NotFound)), "{stat:?}");
    let gone = read(storage, &digest, None).await;
    assert!(matches!(gone, Err(StorageError::NotFound)), "{gone:?}");
    assert_eq!(listed(storage).await, 1);
    assert_eq!(trash(storage).await, [retired]);
    storage.blobs.stat(&other).await.unwrap();

    past(storage, retired.since).await;
    let restored = storage.blobs.restore(&digest).await.unwrap();
    assert_eq!(restored.size, 1000);
    assert!(restored.modified > retired.since, "{restored:?}");
    assert!(restored.modified <= storage.blobs.now().await.unwrap());
    assert_eq!(storage.blobs.stat(&digest).await.unwrap(), restored);
    assert_eq!(read(storage, &digest, None).await.unwrap(), bytes);
    assert_eq!(listed(storage).await, 2);
}

pub async fn a_copy_in_the_trash_can_be_read_and_stays_there(storage: &Storage) {
    let bytes = content(1, 1_000_000);
    let digest = publish(storage, &bytes).await;
    let retired = storage.blobs.retire(&digest).await.unwrap();
    let mut reader = storage.blobs.read_retired(&retired).await.unwrap();
    assert_eq!(reader.extent().0, 1_000_000);
    assert!(read_to_end(&mut *reader, 64 * 1024).await.unwrap() == bytes);
    assert_eq!(trash(storage).await, [retired]);
    let stat = storage.blobs.stat(&digest).await;
    assert!(matches!(stat, Err(StorageError::NotFound)), "{stat:?}");
    storage.blobs.purge(&retired).await.unwrap();
    let gone = storage.blobs.read_retired(&retired).await.err();
    assert!(matches!(gone, Some(StorageError::NotFound)), "{gone:?}");
}

pub async fn restore_finds_a_blob_that_another_restored(storage: &Storage) {
    let bytes = content(1, 1000);
    let digest = publish(storage, &bytes).await;
    let retired = storage.blobs.retire(&digest).await.unwrap();
    storage.blobs.restore(&digest).await.unwrap();
    // With the copy of the trash, if the store leaves it there, and surely without.
    assert_eq!(storage.blobs.restore(&digest).await.unwrap().size, 1000);
    storage.blobs.purge(&retired).await.unwrap();
    assert_eq!(storage.blobs.restore(&digest).await.unwrap().size, 1000);
    assert_eq!(read(storage, &digest, None).await.unwrap(), bytes);
}

pub async fn restoring_what_never_was_is_not_found(storage: &Storage) {
    let digest = publish(storage, &content(1, 10)).await;
    storage.blobs.retire(&digest).await.unwrap();
    let restored = storage.blobs.restore(&absent()).await;
    assert!(
        matches!(restored, Err(StorageError::NotFound)),
        "{restored:?}"
    );
}

pub async fn retiring_what_is_absent_is_not_found(storage: &Storage) {
    let retired = storage.blobs.retire(&absent()).await;
    assert!(
        matches!(retired, Err(StorageError::NotFound)),
        "{retired:?}"
    );
    let digest = publish(storage, &content(1, 10)).await;
    let first = storage.blobs.retire(&digest).await.unwrap();
    let retired = storage.blobs.retire(&digest).await;
    assert!(
        matches!(retired, Err(StorageError::NotFound)),
        "{retired:?}"
    );
    assert_eq!(trash(storage).await, [first]);
}

pub async fn a_purged_blob_cannot_be_restored(storage: &Storage) {
    let digest = publish(storage, &content(1, 1000)).await;
    let retired = storage.blobs.retire(&digest).await.unwrap();
    storage.blobs.purge(&retired).await.unwrap();
    assert_eq!(trash(storage).await, []);
    let restored = storage.blobs.restore(&digest).await;
    assert!(
        matches!(restored, Err(StorageError::NotFound)),
        "{restored:?}"
    );
}

pub async fn purging_an_entry_leaves_a_restored_blob_alone(storage: &Storage) {
    let bytes = content(1, 1000);
    let digest = publish(storage, &bytes).await;
    let retired = storage.blobs.retire(&digest).await.unwrap();
    storage.blobs.restore(&digest).await.unwrap();
    storage.blobs.purge(&retired).await.unwrap();
    assert_eq!(read(storage, &digest, None).await.unwrap(), bytes);
    assert_eq!(trash(storage).await, []);
}

pub async fn purging_an_entry_leaves_another_copy_alone(storage: &Storage) {
    let bytes = content(1, 1000);
    let digest = publish(storage, &bytes).await;
    let first = storage.blobs.retire(&digest).await.unwrap();
    publish(storage, &bytes).await;
    let second = storage.blobs.retire(&digest).await.unwrap();
    storage.blobs.purge(&first).await.unwrap();
    assert_eq!(trash(storage).await, [second]);
    storage.blobs.restore(&digest).await.unwrap();
    assert_eq!(read(storage, &digest, None).await.unwrap(), bytes);
}

pub async fn purging_what_is_absent_succeeds(storage: &Storage) {
    let bytes = content(1, 10);
    let digest = publish(storage, &bytes).await;
    let retired = storage.blobs.retire(&digest).await.unwrap();
    storage.blobs.purge(&retired).await.unwrap();
    publish(storage, &bytes).await;
    storage.blobs.purge(&retired).await.unwrap();
    assert_eq!(read(storage, &digest, None).await.unwrap(), bytes);
}

pub async fn the_trash_lists_every_copy_under_an_id_of_its_own(storage: &Storage) {
    assert_eq!(trash(storage).await, []);
    let mut expected = Vec::new();
    for round in 0..3 {
        for seed in 0..3 {
            let bytes = content(seed, 100 * (seed as usize + 1));
            let digest = publish(storage, &bytes).await;
            let retired = storage.blobs.retire(&digest).await.unwrap();
            let known = expected.iter().any(|old: &Retired| old.id == retired.id);
            assert!(!known, "round {round}: {retired:?}");
            expected.push(retired);
        }
    }
    expected.sort_by_key(|retired| (retired.digest, retired.id));
    assert_eq!(trash(storage).await, expected);
}

/// It may fail, but it never ends as if that were all.
pub async fn a_reader_of_a_blob_being_retired_never_ends_early(storage: &Storage) {
    let bytes = content(1, 1_000_000);
    let digest = publish(storage, &bytes).await;
    let mut reader = storage.blobs.read(&digest, None).await.unwrap();
    let mut found = reader.next(1000).await.unwrap().unwrap().to_vec();
    let retired = storage.blobs.retire(&digest).await.unwrap();
    storage.blobs.purge(&retired).await.unwrap();
    loop {
        match reader.next(64 * 1024).await {
            Ok(Some(piece)) => found.extend_from_slice(&piece),
            Ok(None) => break assert!(found == bytes, "{} bytes", found.len()),
            Err(_) => break assert!(bytes.starts_with(&found)),
        }
    }
}
