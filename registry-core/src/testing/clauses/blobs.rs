//! Committed blobs: visible whole, and readable in part.

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::join_all;

use super::{begin, past};
use crate::digest::{Algorithm, Digest};
use crate::hasher::digest_of;
use crate::storage::{BlobEntry, ByteRange, RangeSpec, Storage, StorageError, UploadHint};
use crate::testing::{
    content, publish, publish_as, read, read_to_end, upload_id, verified, verified_as,
};

async fn is_absent(storage: &Storage, digest: &Digest) {
    let stat = storage.blobs.stat(digest).await;
    assert!(matches!(stat, Err(StorageError::NotFound)), "{stat:?}");
    let read = storage.blobs.read(digest, None).await.map(|_| ());
    assert!(matches!(read, Err(StorageError::NotFound)), "{read:?}");
    let ranged = storage.blobs.read(digest, Some(RangeSpec::From(1))).await;
    let ranged = ranged.map(|_| ());
    assert!(matches!(ranged, Err(StorageError::NotFound)), "{ranged:?}");
    let listed = list(storage, None).await;
    assert!(!listed.iter().any(|entry| entry.digest == *digest));
}

async fn list(storage: &Storage, after: Option<Digest>) -> Vec<BlobEntry> {
    storage.blobs.list(after).try_collect().await.unwrap()
}

pub async fn a_blob_is_invisible_until_committed(storage: &Storage) {
    let bytes = content(1, 100);
    let digest = *verified(&bytes).digest();
    is_absent(storage, &digest).await;
    let id = upload_id();
    let mut writer = begin(storage, &id).await;
    writer.write(vec![bytes.slice(..60)]).await.unwrap();
    is_absent(storage, &digest).await;
    let checkpoint = writer.checkpoint().await.unwrap();
    is_absent(storage, &digest).await;
    let hint = UploadHint::default();
    let reopened = storage.blobs.open_upload(&id, Some(checkpoint), hint);
    let mut writer = reopened.await.unwrap();
    writer.write(vec![bytes.slice(60..)]).await.unwrap();
    is_absent(storage, &digest).await;
    writer.commit(verified(&bytes)).await.unwrap();

    assert_eq!(storage.blobs.stat(&digest).await.unwrap().size, 100);
    assert_eq!(read(storage, &digest, None).await.unwrap(), bytes);
    let listed = list(storage, None).await;
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].digest, listed[0].stat.size), (digest, 100));
}

pub async fn a_committed_blob_reads_back_whole_and_by_range(storage: &Storage) {
    let bytes = content(2, 5000);
    let digest = publish(storage, &bytes).await;
    let mut whole = storage.blobs.read(&digest, None).await.unwrap();
    let all = ByteRange {
        start: 0,
        len: 5000,
    };
    assert_eq!(whole.extent(), (5000, all));
    assert_eq!(read_to_end(&mut *whole, 4096).await.unwrap(), bytes);
    for (range, expected) in [
        (RangeSpec::From(0), 0..5000),
        (RangeSpec::From(4999), 4999..5000),
        (RangeSpec::Between(0, 0), 0..1),
        (RangeSpec::Between(1000, 1999), 1000..2000),
        (RangeSpec::Between(4000, u64::MAX), 4000..5000),
        (RangeSpec::Last(1), 4999..5000),
        (RangeSpec::Last(3000), 2000..5000),
        (RangeSpec::Last(u64::MAX), 0..5000),
    ] {
        let mut reader = storage.blobs.read(&digest, Some(range)).await.unwrap();
        let part = ByteRange {
            start: expected.start as u64,
            len: expected.len() as u64,
        };
        assert_eq!(reader.extent(), (5000, part), "{range:?}");
        let found = read_to_end(&mut *reader, 4096).await.unwrap();
        assert_eq!(found, bytes.slice(expected), "{range:?}");
        let end = reader.next(4096).await.unwrap();
        assert_eq!(end, None, "the end stays the end");
    }
}

pub async fn a_range_of_which_nothing_lies_inside_is_refused(storage: &Storage) {
    let bytes = content(3, 100);
    let digest = publish(storage, &bytes).await;
    let empty = publish(storage, &Bytes::new()).await;
    for (digest, range) in [
        (digest, RangeSpec::From(100)),
        (digest, RangeSpec::From(u64::MAX)),
        (digest, RangeSpec::Between(100, 200)),
        (digest, RangeSpec::Between(50, 49)),
        (digest, RangeSpec::Last(0)),
        (empty, RangeSpec::From(0)),
        (empty, RangeSpec::Between(0, 0)),
        (empty, RangeSpec::Last(1)),
    ] {
        let read = storage.blobs.read(&digest, Some(range)).await.map(|_| ());
        assert!(matches!(read, Err(StorageError::Range)), "{range:?}");
    }
}

pub async fn a_reader_gives_no_more_than_asked_and_nothing_empty(storage: &Storage) {
    let bytes = content(4, 2 * 1024 * 1024 + 1);
    let digest = publish(storage, &bytes).await;
    for max in [1000, 64 * 1024, 1024 * 1024 + 1, 64 * 1024 * 1024] {
        let mut reader = storage.blobs.read(&digest, None).await.unwrap();
        // It is `read_to_end` that looks at the length of each piece.
        let found = read_to_end(&mut *reader, max).await.unwrap();
        assert!(found == bytes, "in pieces of {max}");
    }
    let last = Some(RangeSpec::Last(3));
    let mut reader = storage.blobs.read(&digest, last).await.unwrap();
    let found = read_to_end(&mut *reader, 1).await.unwrap();
    assert_eq!(found, bytes.slice(bytes.len() - 3..));
}

pub async fn a_large_blob_of_odd_batches_reads_back(storage: &Storage) {
    let bytes = content(5, 3 * 1024 * 1024 + 7);
    let mut writer = begin(storage, &upload_id()).await;
    let mut rest = bytes.clone();
    for len in [1, 1000, 0, 64 * 1024 - 1, 1024 * 1024, 1024 * 1024 + 3, 5] {
        let first = rest.split_to(len);
        let second = rest.split_to(len / 3);
        writer.write(vec![first, second]).await.unwrap();
    }
    writer.write(Vec::new()).await.unwrap();
    writer.write(vec![rest]).await.unwrap();
    let content = verified(&bytes);
    let digest = *content.digest();
    writer.commit(content).await.unwrap();
    let found = read(storage, &digest, None).await.unwrap();
    assert!(found == bytes, "{} of {} bytes", found.len(), bytes.len());
    let across = Some(RangeSpec::Between(1024 * 1024 - 5, 2 * 1024 * 1024 + 5));
    let found = read(storage, &digest, across).await.unwrap();
    assert!(found == bytes.slice(1024 * 1024 - 5..=2 * 1024 * 1024 + 5));
}

pub async fn the_empty_blob_is_a_blob(storage: &Storage) {
    let digest = publish(storage, &Bytes::new()).await;
    assert_eq!(storage.blobs.stat(&digest).await.unwrap().size, 0);
    assert_eq!(read(storage, &digest, None).await.unwrap(), Bytes::new());
    assert_eq!(list(storage, None).await.len(), 1);
    // And by way of an empty write, and of a checkpoint of nothing.
    let id = upload_id();
    let mut writer = begin(storage, &id).await;
    writer.write(vec![Bytes::new()]).await.unwrap();
    let checkpoint = writer.checkpoint().await.unwrap();
    assert_eq!(checkpoint.len, 0);
    let hint = UploadHint::default();
    let reopened = storage.blobs.open_upload(&id, Some(checkpoint), hint);
    let writer = reopened.await.unwrap();
    writer.commit(verified(b"")).await.unwrap();
    assert_eq!(read(storage, &digest, None).await.unwrap(), Bytes::new());
}

pub async fn a_sha512_blob_is_a_blob(storage: &Storage) {
    let bytes = content(6, 1000);
    let digest = publish_as(Algorithm::Sha512, storage, &bytes).await;
    assert_eq!(digest.algorithm(), Algorithm::Sha512);
    assert_eq!(storage.blobs.stat(&digest).await.unwrap().size, 1000);
    assert_eq!(read(storage, &digest, None).await.unwrap(), bytes);
    assert_eq!(list(storage, None).await[0].digest, digest);
    is_absent(storage, verified(&bytes).digest()).await;
}

pub async fn what_is_absent_is_not_found(storage: &Storage) {
    is_absent(storage, &digest_of(Algorithm::Sha256, b"absent")).await;
    is_absent(storage, &digest_of(Algorithm::Sha512, b"absent")).await;
}

pub async fn committing_twice_is_the_same_as_once_and_refreshes_the_age(storage: &Storage) {
    let bytes = content(7, 1000);
    let digest = publish(storage, &bytes).await;
    let first = storage.blobs.stat(&digest).await.unwrap().modified;
    past(storage, first).await;
    assert_eq!(publish(storage, &bytes).await, digest);
    let second = storage.blobs.stat(&digest).await.unwrap();
    assert!(second.modified > first, "{second:?} after {first:?}");
    assert!(second.modified <= storage.blobs.now().await.unwrap());
    assert_eq!(second.size, 1000);
    assert_eq!(read(storage, &digest, None).await.unwrap(), bytes);
    let listed = list(storage, None).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].stat, second);
}

pub async fn committing_over_a_blob_that_vanished_publishes_it(storage: &Storage) {
    let bytes = content(8, 1000);
    let digest = publish(storage, &bytes).await;
    let mut writer = begin(storage, &upload_id()).await;
    writer.write(vec![bytes.clone()]).await.unwrap();
    storage.blobs.retire(&digest).await.unwrap();
    writer.commit(verified(&bytes)).await.unwrap();
    assert_eq!(read(storage, &digest, None).await.unwrap(), bytes);
}

/// As when one layer is pushed to many repositories at once.
pub async fn of_concurrent_commits_of_one_blob_all_succeed(storage: &Storage) {
    let bytes = content(9, 100_000);
    let tasks = (0..8).map(|_| {
        let (storage, bytes) = (storage.clone(), bytes.clone());
        tokio::spawn(async move {
            let mut writer = begin(&storage, &upload_id()).await;
            writer.write(vec![bytes.clone()]).await.unwrap();
            writer.commit(verified(&bytes)).await.unwrap();
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    let digest = *verified(&bytes).digest();
    assert_eq!(read(storage, &digest, None).await.unwrap(), bytes);
    assert_eq!(list(storage, None).await.len(), 1);
}

pub async fn blobs_are_listed_in_digest_order_and_after_any_digest(storage: &Storage) {
    assert_eq!(list(storage, None).await.len(), 0);
    let mut digests = Vec::new();
    for seed in 0..9 {
        let algorithm = Algorithm::ALL[usize::from(seed % 4 == 3)];
        let bytes = content(seed, 10 + seed as usize);
        digests.push(publish_as(algorithm, storage, &bytes).await);
    }
    digests.sort();
    assert_eq!(digests[8].algorithm(), Algorithm::Sha512);
    let check = async |after: Option<Digest>| {
        let listed = list(storage, after).await;
        let found: Vec<Digest> = listed.iter().map(|entry| entry.digest).collect();
        let expected = digests
            .iter()
            .filter(|digest| after.is_none_or(|after| **digest > after));
        assert_eq!(found, expected.copied().collect::<Vec<_>>(), "{after:?}");
        for entry in listed {
            assert_eq!(entry.stat, storage.blobs.stat(&entry.digest).await.unwrap());
        }
    };
    check(None).await;
    for digest in &digests {
        check(Some(*digest)).await;
    }
    for absent in [b"a", b"b", b"c"] {
        check(Some(*verified(absent).digest())).await;
        check(Some(*verified_as(Algorithm::Sha512, absent).digest())).await;
    }
    check(Some(Digest::Sha256([0xff; 32]))).await;
    check(Some(Digest::Sha512([0xff; 64]))).await;
}
