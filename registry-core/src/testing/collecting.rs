//! What a collection takes away and what it leaves, over any store. Each test takes an empty one.
#![allow(missing_docs, reason = "the name of a test is the sentence it tests")]
#![allow(clippy::unwrap_used, reason = "these are the bodies of tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::faults::{Fault, Faulty};
use super::image::{self, Image, by_tag, named, sha256};
use crate::hasher::digest_of;
use crate::layout::Key;
use crate::registry::{CollectOptions, Collected, Fate, PutManifest, Registry, Repository, Seen};
use crate::storage::{Durability, PutMode, Storage};
use crate::{Algorithm, Digest, Reference, RegistryError};

mod dry;

pub use self::dry::{
    a_dry_run_leaves_in_the_trash_what_it_would_restore, a_dry_run_tells_and_changes_nothing,
};

const NAME: &str = "library/image";

/// Without any patience.
fn at_once() -> CollectOptions {
    CollectOptions {
        grace: Duration::ZERO,
        quarantine: Duration::ZERO,
        ..CollectOptions::default()
    }
}

/// What is retired stays in the trash.
fn into_trash() -> CollectOptions {
    CollectOptions {
        quarantine: Duration::from_secs(3600),
        ..at_once()
    }
}

fn of_untagged() -> CollectOptions {
    CollectOptions {
        untagged: true,
        ..into_trash()
    }
}

/// A registry that remembers nothing of what another did.
async fn registry(storage: &Storage) -> Registry {
    image::registry(storage, false).await
}

async fn collect(storage: &Storage, options: &CollectOptions) -> Collected {
    let registry = registry(storage).await;
    registry.collect(options, &mut |_| {}).await.unwrap()
}

async fn blobs(storage: &Storage) -> BTreeSet<Digest> {
    let blobs = storage.blobs.list(None);
    blobs
        .map_ok(|blob| blob.digest)
        .try_collect()
        .await
        .unwrap()
}

async fn put(to: &Repository, reference: Reference, body: String) -> Digest {
    let put = PutManifest {
        reference,
        tags: Vec::new(),
        digest: None,
        content_type: None,
        bytes: Bytes::from(body),
    };
    to.put_manifest(put).await.unwrap().digest
}

/// An index of these manifests.
fn index(children: &[&Image]) -> String {
    let of = |image: &&Image| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{}}}"#,
            image.digest(),
            image.manifest.len()
        )
    };
    let children: Vec<String> = children.iter().map(of).collect();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
        children.join(",")
    )
}

/// Pushes an image by its digest alone.
async fn push_untagged(to: &Repository, image: &Image) {
    image.push_blobs(to).await.unwrap();
    let reference = Reference::Digest(image.digest());
    let body = String::from_utf8(image.manifest.to_vec()).unwrap();
    assert_eq!(put(to, reference, body).await, image.digest());
}

pub async fn what_was_pushed_stays(storage: &Storage) {
    let repository = image::repository(storage).await;
    let image = Image::new(1);
    image.push(&repository).await.unwrap();
    let referrer = image::refer(
        &repository,
        &image,
        &image.digest(),
        "a/b",
        Algorithm::Sha512,
    )
    .await;
    let before = blobs(storage).await;
    let collected = collect(storage, &at_once()).await;
    assert_eq!((collected.retired.count, collected.purged.count), (0, 0));
    assert_eq!((collected.repositories, collected.revisions), (1, 2));
    assert_eq!(blobs(storage).await, before);
    let repository = image::repository(storage).await;
    image.assert_whole(&repository, "after a collection").await;
    assert!(
        repository
            .manifest(&Reference::Digest(referrer))
            .await
            .is_ok()
    );
}

pub async fn what_was_deleted_goes_in_two_cycles(storage: &Storage) {
    let repository = image::repository(storage).await;
    let (gone, stays) = (Image::new(1), Image::new(2));
    gone.push(&repository).await.unwrap();
    stays.push(&repository).await.unwrap();
    let digest = Reference::Digest(gone.digest());
    repository.delete_manifest(&digest).await.unwrap();

    let first = collect(storage, &into_trash()).await;
    assert_eq!((first.retired.count, first.waiting.count), (3, 3));
    let size: usize = gone.blobs.iter().map(Bytes::len).sum();
    assert_eq!(first.retired.bytes, (size + gone.manifest.len()) as u64);
    assert_eq!(blobs(storage).await.len(), 3);

    // On a store that others use at the same time links stay.
    let alone = CollectOptions {
        offline: true,
        ..at_once()
    };
    let second = collect(storage, &alone).await;
    assert_eq!((second.retired.count, second.purged.count), (0, 3));
    // Of config and layer; a manifest has none.
    assert_eq!(second.links, 2);
    let left: Vec<_> = storage.blobs.list_retired().try_collect().await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    let repository = image::repository(storage).await;
    let absent = image::get_blob(&repository, &gone.layer()).await;
    assert!(
        matches!(absent, Err(RegistryError::BlobUnknown(_))),
        "{absent:?}"
    );
    stays.assert_whole(&repository, "beside a collection").await;
    gone.push(&repository).await.unwrap();
    gone.assert_whole(&repository, "pushed again").await;
}

pub async fn what_is_asked_for_comes_back_from_the_trash(storage: &Storage) {
    let repository = image::repository(storage).await;
    let image = Image::new(1);
    image.push_blobs(&repository).await.unwrap();
    let collected = collect(storage, &into_trash()).await;
    assert_eq!(collected.retired.count, 2);
    // A pull brings one back, a manifest that needs it the other.
    let layer = image::get_blob(&repository, &image.layer()).await;
    assert_eq!(layer.unwrap(), image.blobs[1]);
    image.put(&repository).await.unwrap();
    image.assert_whole(&repository, "from the trash").await;
    assert_eq!(collect(storage, &at_once()).await.purged.count, 0);
}

pub async fn a_copy_that_is_needed_again_is_restored_and_not_purged(storage: &Storage) {
    let repository = image::repository(storage).await;
    let image = Image::new(1);
    image.push(&repository).await.unwrap();
    // As if the collector had stopped between retiring and looking once more.
    for digest in [image.layer(), image.digest()] {
        storage.blobs.retire(&digest).await.unwrap();
    }
    let collected = collect(storage, &at_once()).await;
    assert_eq!(collected.purged.count, 0);
    image
        .assert_whole(&image::repository(storage).await, "retired by mistake")
        .await;
}

pub async fn what_came_of_late_stays(storage: &Storage) {
    let repository = image::repository(storage).await;
    Image::new(1).push_blobs(&repository).await.unwrap();
    push_untagged(&repository, &Image::new(2)).await;
    let patient = CollectOptions {
        untagged: true,
        ..CollectOptions::default()
    };
    let collected = collect(storage, &patient).await;
    assert_eq!((collected.retired.count, collected.untagged), (0, 0));
    assert_eq!(collected.kept.count, 5);
}

pub async fn untagged_revisions_go_and_what_a_tag_holds_stays(storage: &Storage) {
    let repository = image::repository(storage).await;
    let (tagged, child, orphan) = (Image::new(1), Image::new(2), Image::new(3));
    tagged.push(&repository).await.unwrap();
    push_untagged(&repository, &child).await;
    push_untagged(&repository, &orphan).await;
    put(&repository, by_tag_named("index"), index(&[&child])).await;
    let mut referrers = Vec::new();
    for of in [&tagged, &child, &orphan] {
        let kind = format!("x/{}", referrers.len());
        let (subject, sha) = (of.digest(), Algorithm::Sha256);
        referrers.push(image::refer(&repository, &tagged, &subject, &kind, sha).await);
    }
    let collected = collect(storage, &of_untagged()).await;
    // The orphan, and what refers to it.
    assert_eq!(collected.untagged, 2);
    assert_eq!(collected.retired.count, 4);
    let repository = image::repository(storage).await;
    tagged.assert_whole(&repository, "tagged").await;
    child.assert_whole(&repository, "in an index").await;
    let there = |digest: Digest| {
        let repository = &repository;
        async move {
            repository
                .manifest(&Reference::Digest(digest))
                .await
                .is_ok()
        }
    };
    assert!(there(referrers[0]).await && there(referrers[1]).await);
    assert!(!there(referrers[2]).await && !there(orphan.digest()).await);
}

fn by_tag_named(tag: &str) -> Reference {
    Reference::Tag(tag.parse().unwrap())
}

pub async fn an_unreadable_manifest_keeps_all_that_is_linked_beside_it(storage: &Storage) {
    let registry = registry(storage).await;
    let (here, there) = (named(&registry, NAME), named(&registry, "other"));
    let (image, elsewhere) = (Image::new(1), Image::new(2));
    image.push_blobs(&here).await.unwrap();
    elsewhere.push_blobs(&there).await.unwrap();
    // Bytes that are a blob, and no manifest, under a revision's link.
    let revision = Key::Revision(NAME.parse().unwrap(), image.layer()).path();
    let link = Bytes::from(image.layer().to_string());
    let put = storage
        .records
        .put(&revision, link, PutMode::Create, Durability::Durable);
    let _ = put.await.unwrap();
    // Without a tag, which goes unless something may need it.
    push_untagged(&here, &image).await;
    let untagged = CollectOptions {
        untagged: true,
        ..at_once()
    };
    let mut unreadable = Vec::new();
    let collected = registry
        .collect(&untagged, &mut |seen| {
            if let Seen::Unreadable(name, digest) = seen {
                unreadable.push((name.to_string(), *digest));
            }
        })
        .await
        .unwrap();
    assert_eq!(unreadable[0], (NAME.to_owned(), image.layer()));
    assert_eq!((collected.unreadable, collected.untagged), (1, 0));
    let mut left: BTreeSet<Digest> = image.blobs.iter().map(|blob| sha256(blob)).collect();
    left.insert(image.digest());
    assert_eq!(blobs(storage).await, left);
}

pub async fn an_empty_link_counts_as_one_to_its_own_digest(storage: &Storage) {
    let repository = image::repository(storage).await;
    let image = Image::new(1);
    image.push(&repository).await.unwrap();
    let revision = Key::Revision(NAME.parse().unwrap(), image.digest()).path();
    let put = storage.records.put(
        &revision,
        Bytes::new(),
        PutMode::Replace,
        Durability::Durable,
    );
    let _ = put.await.unwrap();
    let collected = collect(storage, &at_once()).await;
    assert_eq!((collected.retired.count, collected.kept.count), (0, 3));
}

pub async fn a_tag_that_is_garbled_keeps_all_that_it_ever_pointed_to(storage: &Storage) {
    let repository = image::repository(storage).await;
    let (first, second) = (Image::new(1), Image::new(2));
    first.push(&repository).await.unwrap();
    second.push(&repository).await.unwrap();
    let Reference::Tag(tag) = by_tag() else {
        unreachable!()
    };
    let current = Key::TagCurrent(NAME.parse().unwrap(), tag).path();
    let put = storage.records.put(
        &current,
        Bytes::new(),
        PutMode::Replace,
        Durability::Durable,
    );
    let _ = put.await.unwrap();
    let collected = collect(storage, &of_untagged()).await;
    assert_eq!((collected.untagged, collected.retired.count), (0, 0));
}

pub async fn bytes_under_another_digest_than_they_are_needed_by_stay(storage: &Storage) {
    let repository = image::repository(storage).await;
    let layer = super::content(7, 100);
    let stored = super::publish(storage, &layer).await;
    // As distribution writes a blob that was pushed by its sha512.
    let named = digest_of(Algorithm::Sha512, &layer);
    let link = Key::Layer(NAME.parse().unwrap(), named).path();
    let value = Bytes::from(stored.to_string());
    let put_link = storage
        .records
        .put(&link, value, PutMode::Create, Durability::Durable);
    let _ = put_link.await.unwrap();
    let kind = "application/vnd.oci.image";
    let of = |kind: &str| {
        format!(
            r#"{{"mediaType":"{kind}","digest":"{named}","size":{}}}"#,
            layer.len()
        )
    };
    let config = of(&format!("{kind}.config.v1+json"));
    let layers = of(&format!("{kind}.layer.v1.tar"));
    let body = format!(
        r#"{{"schemaVersion":2,"mediaType":"{kind}.manifest.v1+json","config":{config},"layers":[{layers}]}}"#
    );
    put(&repository, by_tag(), body).await;
    for options in [into_trash(), of_untagged()] {
        assert_eq!(collect(storage, &options).await.retired.count, 0);
    }
    assert_eq!(image::get_blob(&repository, &named).await.unwrap(), layer);
}

pub async fn a_call_that_fails_ends_the_cycle_and_loses_nothing(storage: &Storage) {
    let repository = image::repository(storage).await;
    let (kept, gone) = (Image::new(1), Image::new(2));
    kept.push(&repository).await.unwrap();
    gone.push_blobs(&repository).await.unwrap();
    for fault in [Fault::Fail, Fault::FailAfter, Fault::Truncate] {
        for n in 0.. {
            let (faulty, control) = Faulty::wrap(storage.clone());
            let registry = registry(&faulty).await;
            control.reset();
            control.on_call(n, fault);
            let ended = registry.collect(&into_trash(), &mut |_| {}).await;
            let calls = control.calls().len();
            control.reset();
            kept.assert_whole(&image::repository(storage).await, &format!("{fault:?} {n}"))
                .await;
            if calls <= n {
                ended.unwrap();
                break;
            }
        }
        // What was retired on the way is still to be had.
        assert!(image::get_blob(&repository, &gone.layer()).await.is_ok());
    }
}
