//! What driver crates test with (feature `testing`): the clauses of the storage traits, stamped
//! out by [`storage_conformance!`](crate::storage_conformance), a decorator that injects faults,
//! and what the semantics promise over any store while calls fail and a collector goes on, by
//! [`storage_faults!`](crate::storage_faults) and
//! [`storage_interleavings!`](crate::storage_interleavings).
//!
//! Everything in here is made for tests and panics when it is used wrongly.

pub mod clauses;
pub mod collecting;
pub mod failing;
pub mod faults;
pub(crate) mod image;
pub mod interleaving;
pub mod lists;

use std::hash::{BuildHasher, RandomState};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};

use crate::ambient::Ambient;
use crate::digest::{Algorithm, Digest};
use crate::hasher::digest_of;
use crate::storage::{
    BlobReader, Checkpoint, RangeSpec, Storage, StorageError, UploadHint, UploadId, Verified,
};

/// Stamps out one test for each clause of the contract of the two storage traits, so that a
/// failure names the clause. `$open` is an `async fn()` that returns an empty store, and what
/// must be kept alive beside it: `(Storage, impl Sized)`. The crate that stamps them out needs
/// tokio among its development dependencies, with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! storage_conformance {
    ($open:ident) => {
        $crate::__storage_clauses! { $open:
            a_blob_is_invisible_until_committed,
            a_committed_blob_reads_back_whole_and_by_range,
            a_range_of_which_nothing_lies_inside_is_refused,
            a_reader_gives_no_more_than_asked_and_nothing_empty,
            a_large_blob_of_odd_batches_reads_back,
            the_empty_blob_is_a_blob,
            a_sha512_blob_is_a_blob,
            what_is_absent_is_not_found,
            committing_twice_is_the_same_as_once_and_refreshes_the_age,
            committing_over_a_blob_that_vanished_publishes_it,
            of_concurrent_commits_of_one_blob_all_succeed,
            blobs_are_listed_in_digest_order_and_after_any_digest,
            an_interrupted_append_can_be_resumed,
            reopening_from_an_older_checkpoint_forgets_the_surplus,
            an_upload_goes_on_over_several_checkpoints,
            a_dropped_writer_loses_only_what_came_after_the_checkpoint,
            an_aborted_writer_gives_up_only_its_own_bytes,
            an_upload_reads_back_what_it_holds_and_goes_on,
            opening_without_a_checkpoint_begins_anew,
            a_checkpoint_of_bytes_that_are_gone_publishes_nothing,
            an_aborted_upload_is_gone,
            aborting_an_absent_upload_succeeds,
            uploads_do_not_touch_each_other,
            a_sweep_removes_only_old_uploads_that_are_not_named,
            a_retired_blob_is_gone_and_restore_brings_it_back,
            a_copy_in_the_trash_can_be_read_and_stays_there,
            restore_finds_a_blob_that_another_restored,
            restoring_what_never_was_is_not_found,
            retiring_what_is_absent_is_not_found,
            a_purged_blob_cannot_be_restored,
            purging_an_entry_leaves_a_restored_blob_alone,
            purging_an_entry_leaves_another_copy_alone,
            purging_what_is_absent_succeeds,
            the_trash_lists_every_copy_under_an_id_of_its_own,
            a_reader_of_a_blob_being_retired_never_ends_early,
            a_record_reads_back_whatever_its_size,
            create_is_refused_over_a_record,
            a_conditional_put_needs_the_version_that_is_there,
            a_conditional_delete_needs_the_version_that_is_there,
            deleting_an_absent_record_is_done,
            replacing_a_record_refreshes_its_time,
            of_concurrent_creates_one_wins,
            of_concurrent_conditional_puts_one_wins,
            a_record_is_never_torn,
            listing_is_in_byte_order_of_the_full_key,
            listing_resumes_after_a_name_that_need_not_exist,
            listing_stops_at_its_limit,
            listing_goes_on_beyond_a_page,
            listing_children_shows_each_directory_once,
            listing_what_holds_a_record_shows_all_that_do,
            listing_an_absent_directory_is_empty,
            a_directory_left_empty_is_gone,
            deleting_below_a_directory_leaves_nothing_and_all_beside_it,
            a_put_beside_the_removal_of_its_directory_succeeds,
            a_stamp_differs_after_an_entry_came_or_went,
            the_clock_does_not_go_back,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __storage_clauses {
    ($open:ident: $($clause:ident),+ $(,)?) => {$(
        // Two threads, since what runs at once must be able to meet.
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $clause() {
            let (storage, _keep) = $open().await;
            $crate::testing::clauses::$clause(&storage).await;
        }
    )+};
}

/// Stamps out one test for each promise of a collection. `$open` is what
/// [`storage_conformance!`](crate::storage_conformance) takes.
#[macro_export]
macro_rules! storage_collection {
    ($open:ident) => {
        $crate::__storage_collections! { $open:
            what_was_pushed_stays,
            what_was_deleted_goes_in_two_cycles,
            what_is_asked_for_comes_back_from_the_trash,
            a_copy_that_is_needed_again_is_restored_and_not_purged,
            a_dry_run_tells_and_changes_nothing,
            a_dry_run_leaves_in_the_trash_what_it_would_restore,
            what_came_of_late_stays,
            untagged_revisions_go_and_what_a_tag_holds_stays,
            an_unreadable_manifest_keeps_all_that_is_linked_beside_it,
            an_empty_link_counts_as_one_to_its_own_digest,
            a_tag_that_is_garbled_keeps_all_that_it_ever_pointed_to,
            bytes_under_another_digest_than_they_are_needed_by_stay,
            a_call_that_fails_ends_the_cycle_and_loses_nothing,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __storage_collections {
    ($open:ident: $($test:ident),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let (storage, _keep) = $open().await;
            $crate::testing::collecting::$test(&storage).await;
        }
    )+};
}

/// Stamps out what pages of tags and repositories show, over any store. `$open` is what
/// [`storage_conformance!`](crate::storage_conformance) takes.
#[macro_export]
macro_rules! storage_lists {
    ($open:ident) => {
        $crate::__storage_lists! { $open:
            pages_of_tags_are_in_plain_order,
            pages_of_repositories_are_in_plain_order,
            what_another_wrote_or_took_away_shows_after_the_next_access,
            a_question_for_what_is_not_there_makes_no_repository,
            processes_that_build_an_index_at_once_agree,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __storage_lists {
    ($open:ident: $($test:ident),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let (storage, _keep) = $open().await;
            $crate::testing::lists::$test(&storage).await;
        }
    )+};
}

/// Stamps out one test for each sweep in which every call of the store goes wrong in turn while
/// the registry is used. `$open` is what [`storage_conformance!`](crate::storage_conformance)
/// takes; each test opens some hundreds of stores, one after the other.
#[macro_export]
macro_rules! storage_faults {
    ($open:ident) => {
        $crate::__storage_sweeps! { failing($open):
            a_first_push_is_never_lost,
            a_moved_tag_is_old_or_new,
            a_repeated_push_harms_nothing,
            a_deleted_tag_is_gone_when_it_is_said,
            a_deleted_manifest_is_gone_when_it_is_said,
            a_half_deleted_tag_goes_with_its_manifest,
            an_upload_in_pieces_is_never_lost_nor_unknown,
            a_finish_that_fails_can_be_retried,
            a_blob_whose_link_failed_is_linked_by_a_retry,
            a_digest_alone_makes_no_blob_visible,
            what_no_record_tells_of_is_not_kept,
            an_upload_is_cancelled_beside_its_writer,
            the_record_of_an_upload_counts_whatever_its_url_says,
            a_change_that_was_begun_comes_to_its_end,
            what_comes_later_waits_for_a_client_that_left,
            two_refused_pushes_leave_no_tag,
            a_child_deleted_beside_a_push_stays_deleted,
            a_look_that_fails_is_no_absence,
            a_read_only_registry_finds_referrers_and_writes_nothing,
            a_scan_beside_a_push_that_fails_is_not_believed,
        }
    };
}

/// Stamps out one test for each way in which a collector's steps can fall between those of a
/// push: in all orders, or in `$most` of them. Each order takes a store of its own from `$open`,
/// which is what [`storage_conformance!`](crate::storage_conformance) takes.
#[macro_export]
macro_rules! storage_interleavings {
    ($open:ident, $most:expr) => {
        $crate::__storage_sweeps! { interleaving($most, $open):
            a_retired_layer_comes_back,
            a_layer_restored_by_the_collector_is_not_missed,
            a_purged_layer_refuses_the_push_or_was_not_needed,
            the_bytes_of_the_manifest_come_back,
            purged_bytes_of_the_manifest_refuse_the_push_or_were_not_needed,
            a_revision_taken_for_untagged_is_put_back,
            a_referrer_is_listed_where_its_revision_is,
        }
    };
}

/// Stamps out what holds for stores whose [`stamp`](crate::storage::RecordStore::stamp) tells of
/// changes. `$open` is what [`storage_conformance!`](crate::storage_conformance) takes.
#[macro_export]
macro_rules! storage_stamps {
    ($open:ident) => {
        $crate::__storage_sweeps! { failing($open):
            found_referrers_are_kept_while_stamps_tell,
            manifests_are_read_once_for_all_who_ask,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __storage_sweeps {
    ($module:ident $arguments:tt: $($sweep:ident),+ $(,)?) => {$(
        #[tokio::test]
        async fn $sweep() {
            $crate::testing::$module::$sweep $arguments.await;
        }
    )+};
}

/// The clock of this machine, and bytes random enough for tests.
#[must_use]
pub fn ambient() -> Ambient {
    #[allow(
        clippy::disallowed_methods,
        reason = "a test is its own outermost crate"
    )]
    fn now() -> SystemTime {
        SystemTime::now()
    }
    fn random() -> [u8; 32] {
        let mut bytes = [0; 32];
        for part in bytes.chunks_exact_mut(8) {
            part.copy_from_slice(&RandomState::new().hash_one(()).to_be_bytes());
        }
        bytes
    }
    Ambient { now, random }
}

/// A new upload.
#[must_use]
pub fn upload_id() -> UploadId {
    UploadId::new(ambient().random_u128())
}

/// What core hands to a commit of exactly these bytes.
#[must_use]
pub fn verified(bytes: &[u8]) -> Verified {
    verified_as(Algorithm::Sha256, bytes)
}

/// What core hands to a commit of exactly these bytes under a digest of this algorithm.
#[must_use]
pub fn verified_as(algorithm: Algorithm, bytes: &[u8]) -> Verified {
    Verified::new(digest_of(algorithm, bytes), bytes.len() as u64)
}

/// Bytes that repeat only after a long while, others for another seed.
#[must_use]
pub fn content(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut bytes = BytesMut::with_capacity(len + 8);
    while bytes.len() < len {
        // The multiplier of Knuth's MMIX; only the upper half of it is any good.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_be_bytes()[..4]);
    }
    bytes.truncate(len);
    bytes.freeze()
}

/// Uploads these bytes in one go and commits them.
pub async fn publish(storage: &Storage, bytes: &Bytes) -> Digest {
    publish_as(Algorithm::Sha256, storage, bytes).await
}

/// Uploads these bytes in one go and commits them under a digest of this algorithm.
pub async fn publish_as(algorithm: Algorithm, storage: &Storage, bytes: &Bytes) -> Digest {
    let content = verified_as(algorithm, bytes);
    let digest = *content.digest();
    let mut writer = storage
        .blobs
        .open_upload(&upload_id(), None, UploadHint::default())
        .await
        .expect("opening an upload");
    if !bytes.is_empty() {
        let batch = vec![bytes.clone()];
        writer.write(batch).await.expect("writing to an upload");
    }
    writer.commit(content).await.expect("committing");
    digest
}

/// Appends bytes to an upload and says where it stands then.
pub async fn append(
    storage: &Storage,
    id: &UploadId,
    from: Option<Checkpoint>,
    bytes: &Bytes,
) -> Checkpoint {
    let mut writer = storage
        .blobs
        .open_upload(id, from, UploadHint::default())
        .await
        .expect("opening an upload");
    let batch = vec![bytes.clone()];
    writer.write(batch).await.expect("writing to an upload");
    writer.checkpoint().await.expect("taking a checkpoint")
}

/// A blob, or the range of it asked for.
pub async fn read(
    storage: &Storage,
    digest: &Digest,
    range: Option<RangeSpec>,
) -> Result<Bytes, StorageError> {
    let mut reader = storage.blobs.read(digest, range).await?;
    read_to_end(&mut *reader, 64 * 1024).await
}

/// Everything a reader yields, which must be what it promised.
pub async fn read_to_end(reader: &mut dyn BlobReader, max: usize) -> Result<Bytes, StorageError> {
    let (size, part) = reader.extent();
    assert!(part.start + part.len <= size, "{part:?} of {size} bytes");
    let mut whole = BytesMut::new();
    while let Some(piece) = reader.next(max).await? {
        assert!(!piece.is_empty(), "an empty piece");
        assert!(piece.len() <= max, "{} of {max} bytes", piece.len());
        whole.extend_from_slice(&piece);
    }
    assert_eq!(whole.len() as u64, part.len, "the extent is what comes");
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_clause_and_sweep_is_stamped_out() {
        let clauses = [
            include_str!("clauses/blobs.rs"),
            include_str!("clauses/listing.rs"),
            include_str!("clauses/records.rs"),
            include_str!("clauses/trash.rs"),
            include_str!("clauses/uploads.rs"),
            include_str!("failing/changes.rs"),
            include_str!("failing/leaving.rs"),
            include_str!("failing/looks.rs"),
            include_str!("failing/referrers.rs"),
            include_str!("failing/uploads.rs"),
            include_str!("failing/writers.rs"),
            include_str!("interleaving.rs"),
            include_str!("lists.rs"),
        ];
        let stamped = include_str!("mod.rs");
        let mut seen = 0;
        for line in clauses.iter().flat_map(|text| text.lines()) {
            if let Some(rest) = line.strip_prefix("pub async fn ") {
                let (name, _) = rest.split_once(['(', '<']).unwrap();
                assert!(stamped.contains(&format!(" {name},\n")), "{name}");
                seen += 1;
            }
        }
        assert!(seen > 50, "{seen} clauses");
    }
}
