//! Tags that stay what they are.

use std::sync::Arc;

use super::*;
use crate::access::{Identity, Scheme};
use crate::registry::{Options, Registry};
use crate::rules::{Groups, Immutable, NamePattern, Right, Rule, Rules, TagPattern, Who};
use crate::storage::{MemoryDriver, Storage};
use crate::testing::ambient;
use crate::testing::faults::Faulty;
use crate::testing::image::{Image, tag, tagged};

const NAME: &str = "library/image";

fn memory() -> Storage {
    Storage::from_driver(MemoryDriver::new(ambient()))
}

/// As one process sees it in which no tag moves, whatever rights there are.
async fn immutable(storage: &Storage) -> Repository {
    let mut options = Options::new(ambient());
    let everywhere = vec![NamePattern::parse("**").unwrap()];
    let all = vec![TagPattern::parse("*").unwrap()];
    options.immutable = vec![Immutable::new(everywhere, all)];
    let registry = Registry::open(storage.clone(), options).await.unwrap();
    crate::testing::image::named(&registry, NAME)
}

/// As one may use it who has these rights everywhere.
async fn with_rights(storage: &Storage, rights: &[Right]) -> Repository {
    let registry = Registry::open(storage.clone(), Options::new(ambient()));
    let everywhere = vec![NamePattern::parse("**").unwrap()];
    let rule = Rule::new(vec![Who::Authenticated], everywhere, rights.to_vec());
    let rules = Arc::new(Rules::only(vec![rule], Groups::default()));
    let who = Identity::named("alice", Scheme::Basic);
    let grant = rules.authorize(who, &[], &[]).unwrap();
    registry
        .await
        .unwrap()
        .repository(NAME.parse().unwrap(), grant)
}

fn is_denied(pushed: &Result<(), RegistryError>) -> bool {
    matches!(pushed, Err(RegistryError::Denied(_)))
}

/// Whether the repository has this manifest, tagged or not.
async fn has(repository: &Repository, image: &Image) -> bool {
    let by_digest = Reference::Digest(image.digest());
    repository.manifest(&by_digest).await.is_ok()
}

#[tokio::test]
async fn who_may_create_adds_tags_and_moves_none() {
    let storage = memory();
    let (one, two) = (Image::new(1), Image::new(2));
    let creator = with_rights(&storage, &[Right::Pull, Right::Create]).await;
    one.push(&creator).await.unwrap();
    one.push(&creator).await.unwrap();
    two.push_blobs(&creator).await.unwrap();
    let error = two.put(&creator).await.unwrap_err();
    let told = format!(
        "denied: tag latest is {} and may not be moved",
        one.digest()
    );
    assert_eq!(error.to_string(), told);
    assert_eq!(tagged(&creator, "refused").await, Some(one.digest()));
    assert!(!has(&creator, &two).await, "nothing is written");
    // By digest, with the tag beside it.
    let put = |reference| PutManifest {
        reference,
        tags: vec![tag()],
        digest: None,
        content_type: None,
        bytes: two.manifest.clone(),
    };
    let by_digest = creator.put_manifest(put(Reference::Digest(two.digest())));
    assert!(matches!(by_digest.await, Err(RegistryError::Denied(_))));
    let pusher = with_rights(&storage, &[Right::Pull, Right::Push]).await;
    two.put(&pusher).await.unwrap();
    assert_eq!(tagged(&pusher, "pushed").await, Some(two.digest()));
}

#[tokio::test]
async fn an_immutable_tag_is_moved_by_nobody_and_a_link_without_a_digest_is_no_tag() {
    let storage = memory();
    let (one, two) = (Image::new(1), Image::new(2));
    let repository = immutable(&storage).await;
    let current = Key::TagCurrent(NAME.parse().unwrap(), tag()).path();
    let (mode, durability) = (PutMode::Replace, Durability::Durable);
    let put = storage
        .records
        .put(&current, Bytes::new(), mode, durability);
    let _ = put.await.unwrap();
    one.push(&repository).await.unwrap();
    one.push(&repository).await.unwrap();
    assert!(is_denied(&two.push(&repository).await));
    assert_eq!(tagged(&repository, "twice").await, Some(one.digest()));
}

/// Another process pushes between any two calls of the first.
#[tokio::test]
async fn of_two_processes_one_sets_an_immutable_tag() {
    let (one, two) = (Image::new(1), Image::new(2));
    let calls = {
        let (storage, control) = Faulty::wrap(memory());
        let repository = immutable(&storage).await;
        one.push_blobs(&repository).await.unwrap();
        control.reset();
        one.put(&repository).await.unwrap();
        control.calls().len()
    };
    let (mut first, mut second) = (0, 0);
    for n in 0..calls {
        let inner = memory();
        let (storage, control) = Faulty::wrap(inner.clone());
        let (here, there) = (immutable(&storage).await, immutable(&inner).await);
        one.push_blobs(&here).await.unwrap();
        control.reset();
        let pause = control.pause_before(n);
        let elsewhere = async {
            pause.reached().await;
            let pushed = two.push(&there).await;
            pause.release();
            pushed
        };
        let (a, b) = tokio::join!(one.put(&here), elsewhere);
        assert!(is_denied(&a) != is_denied(&b), "call {n}: {a:?} {b:?}");
        let winner = if a.is_ok() { &one } else { &two };
        assert!(a.is_ok() || b.is_ok(), "call {n}: {a:?} {b:?}");
        assert_eq!(
            tagged(&there, "both").await,
            Some(winner.digest()),
            "call {n}"
        );
        first += u32::from(a.is_ok());
        second += u32::from(b.is_ok());
    }
    assert!(first > 0 && second > 0, "{first} {second}");
}
