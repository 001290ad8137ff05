//! Uploads: what a checkpoint promises.

use std::collections::HashSet;

use bytes::Bytes;

use super::{begin, past};
use crate::layout::Dir;
use crate::storage::{Checkpoint, Storage, Sweep, UploadHint, UploadId, UploadWriter};
use crate::testing::{append, content, read, read_to_end, upload_id, verified};

/// Longer than the pieces that drivers gather, so that some of it has been moved and some not.
const LONG: usize = 1_500_000;

async fn reopen(storage: &Storage, id: &UploadId, from: &Checkpoint) -> Box<dyn UploadWriter> {
    let (from, hint) = (Some(from.clone()), UploadHint::default());
    storage.blobs.open_upload(id, from, hint).await.unwrap()
}

/// Appends the rest, commits the whole and reads it back.
async fn finish(storage: &Storage, id: &UploadId, from: &Checkpoint, parts: [&Bytes; 2]) {
    let [held, rest] = parts;
    assert_eq!(from.len, held.len() as u64);
    let whole = Bytes::from([&held[..], &rest[..]].concat());
    let mut writer = reopen(storage, id, from).await;
    writer.write(vec![rest.clone()]).await.unwrap();
    let content = verified(&whole);
    let digest = *content.digest();
    writer.commit(content).await.unwrap();
    let stat = storage.blobs.stat(&digest).await.unwrap();
    assert_eq!(stat.size, whole.len() as u64);
    assert!(read(storage, &digest, None).await.unwrap() == whole);
}

/// Whether nothing of the upload can be had any more.
async fn is_gone(storage: &Storage, id: &UploadId, at: &Checkpoint) -> bool {
    let mut at = at.clone();
    match storage.blobs.read_upload(id, &mut at).await {
        Ok(mut reader) => read_to_end(&mut *reader, 64 * 1024).await.is_err(),
        Err(_) => true,
    }
}

pub async fn an_interrupted_append_can_be_resumed(storage: &Storage) {
    for (first, second) in [(1, 1), (10, LONG), (LONG, 10), (LONG, LONG)] {
        let (id, held, rest) = (upload_id(), content(1, first), content(2, second));
        let checkpoint = append(storage, &id, None, &held).await;
        finish(storage, &id, &checkpoint, [&held, &rest]).await;
    }
}

pub async fn reopening_from_an_older_checkpoint_forgets_the_surplus(storage: &Storage) {
    let (id, held) = (upload_id(), content(1, LONG));
    let older = append(storage, &id, None, &held).await;
    let newer = append(storage, &id, Some(older.clone()), &content(2, LONG)).await;
    assert_eq!(newer.len, 2 * LONG as u64);
    finish(storage, &id, &older, [&held, &content(3, 1000)]).await;
}

pub async fn an_upload_goes_on_over_several_checkpoints(storage: &Storage) {
    let (id, whole) = (upload_id(), content(1, 3 * LONG));
    let mut checkpoint = None;
    let mut at = 0;
    for len in [10, LONG, 1, LONG] {
        let part = whole.slice(at..at + len);
        let next = append(storage, &id, checkpoint, &part).await;
        at += len;
        assert_eq!(next.len, at as u64);
        checkpoint = Some(next);
    }
    // Two of the same place: nothing came in between.
    let same = reopen(storage, &id, &checkpoint.unwrap()).await;
    let same = same.checkpoint().await.unwrap();
    let parts = [&whole.slice(..at), &whole.slice(at..)];
    finish(storage, &id, &same, parts).await;
}

pub async fn a_dropped_writer_loses_only_what_came_after_the_checkpoint(storage: &Storage) {
    let (id, held) = (upload_id(), content(1, LONG));
    let checkpoint = append(storage, &id, None, &held).await;
    for len in [10, 2 * LONG] {
        let mut writer = reopen(storage, &id, &checkpoint).await;
        writer.write(vec![content(2, len)]).await.unwrap();
        drop(writer);
    }
    finish(storage, &id, &checkpoint, [&held, &content(3, 100)]).await;
}

pub async fn an_aborted_writer_gives_up_only_its_own_bytes(storage: &Storage) {
    let (id, held) = (upload_id(), content(1, LONG));
    let checkpoint = append(storage, &id, None, &held).await;
    let mut writer = reopen(storage, &id, &checkpoint).await;
    writer.write(vec![content(2, LONG)]).await.unwrap();
    writer.abort().await.unwrap();
    finish(storage, &id, &checkpoint, [&held, &content(3, 100)]).await;
    // One that has written nothing, of an upload that was just begun.
    begin(storage, &upload_id()).await.abort().await.unwrap();
}

pub async fn an_upload_reads_back_what_it_holds_and_goes_on(storage: &Storage) {
    for len in [1, LONG] {
        let (id, held) = (upload_id(), content(1, len));
        let mut checkpoint = append(storage, &id, None, &held).await;
        // What a writer left behind is no part of it.
        let mut writer = reopen(storage, &id, &checkpoint).await;
        writer.write(vec![content(2, LONG)]).await.unwrap();
        drop(writer);
        for _ in 0..2 {
            let reading = storage.blobs.read_upload(&id, &mut checkpoint).await;
            let mut reader = reading.unwrap();
            assert_eq!(reader.extent().0, len as u64);
            let found = read_to_end(&mut *reader, 64 * 1024).await.unwrap();
            assert!(found == held, "{} of {len} bytes", found.len());
        }
        finish(storage, &id, &checkpoint, [&held, &content(3, 1000)]).await;
    }
}

pub async fn opening_without_a_checkpoint_begins_anew(storage: &Storage) {
    let (id, bytes) = (upload_id(), content(2, 1000));
    append(storage, &id, None, &content(1, LONG)).await;
    let checkpoint = append(storage, &id, None, &bytes).await;
    finish(storage, &id, &checkpoint, [&bytes, &content(3, 10)]).await;
}

pub async fn a_checkpoint_of_bytes_that_are_gone_publishes_nothing(storage: &Storage) {
    let (id, held) = (upload_id(), content(1, LONG));
    let checkpoint = append(storage, &id, None, &held).await;
    let blobs = &storage.blobs;
    let at = Some(checkpoint.clone());
    blobs.abort_upload(&id, at.clone()).await.unwrap();
    // It may turn out at once, or as late as at the commit, but it must turn out.
    if let Ok(mut writer) = blobs.open_upload(&id, at, UploadHint::default()).await
        && writer.write(vec![content(2, 10)]).await.is_ok()
    {
        let whole = [&held[..], &content(2, 10)[..]].concat();
        assert!(writer.commit(verified(&whole)).await.is_err());
        let stat = blobs.stat(verified(&whole).digest()).await;
        assert!(stat.is_err(), "{stat:?}");
    }
}

pub async fn an_aborted_upload_is_gone(storage: &Storage) {
    for len in [10, LONG] {
        let id = upload_id();
        let checkpoint = append(storage, &id, None, &content(1, len)).await;
        assert!(!is_gone(storage, &id, &checkpoint).await);
        let at = Some(checkpoint.clone());
        storage.blobs.abort_upload(&id, at).await.unwrap();
        assert!(is_gone(storage, &id, &checkpoint).await);
    }
}

pub async fn aborting_an_absent_upload_succeeds(storage: &Storage) {
    let id = upload_id();
    storage.blobs.abort_upload(&id, None).await.unwrap();
    let checkpoint = append(storage, &id, None, &content(1, 10)).await;
    for _ in 0..2 {
        let at = Some(checkpoint.clone());
        storage.blobs.abort_upload(&id, at).await.unwrap();
    }
}

pub async fn uploads_do_not_touch_each_other(storage: &Storage) {
    let (ids, held) = ([upload_id(), upload_id(), upload_id()], content(1, LONG));
    let first = append(storage, &ids[0], None, &held).await;
    let second = append(storage, &ids[1], None, &held).await;
    let third = append(storage, &ids[2], None, &held).await;
    let blobs = &storage.blobs;
    blobs.abort_upload(&ids[1], Some(second)).await.unwrap();
    finish(storage, &ids[0], &first, [&held, &content(2, 10)]).await;
    finish(storage, &ids[2], &third, [&held, &content(3, 10)]).await;
}

pub async fn a_sweep_removes_only_old_uploads_that_are_not_named(storage: &Storage) {
    let held = content(1, LONG);
    let (old, named, young) = (upload_id(), upload_id(), upload_id());
    let at_old = append(storage, &old, None, &held).await;
    let at_named = append(storage, &named, None, &held).await;
    let begun = storage.blobs.now().await.unwrap();
    let before = past(storage, begun).await;
    let at_young = append(storage, &young, None, &held).await;

    let keep = HashSet::from([named]);
    let blobs = &storage.blobs;
    let mut told = Vec::new();
    let mut tell = |path: &str| told.push(path.to_owned());
    let found = blobs.sweep_uploads(before, &keep, Sweep::Tell(&mut tell));
    assert_eq!(found.await.unwrap(), 1);
    assert_eq!(told, [Dir::Upload(old).path().to_string()]);
    assert!(!is_gone(storage, &old, &at_old).await);
    let swept = blobs.sweep_uploads(before, &keep, Sweep::Remove);
    assert_eq!(swept.await.unwrap(), 1);
    assert!(is_gone(storage, &old, &at_old).await);
    finish(storage, &named, &at_named, [&held, &content(2, 10)]).await;
    finish(storage, &young, &at_young, [&held, &content(3, 10)]).await;
    let swept = blobs.sweep_uploads(before, &keep, Sweep::Remove);
    assert_eq!(swept.await.unwrap(), 0);
}
