//! Tags beside what a crash of distribution has left.

use std::sync::Arc;

use registry_core::access::Identity;
use registry_core::layout::Key;
use registry_core::registry::{Options, PageRequest, Repository};
use registry_core::storage::PutMode;
use registry_core::testing::ambient;
use registry_core::{Digest, Reference, Registry, RegistryError, Rules};

use crate::store::{TestStore, open};

const TAGS: &str = "repositories/a/b/_manifests/tags";

async fn repository(store: &TestStore) -> Repository {
    let mut options = Options::new(ambient());
    options.delete = true;
    let registry = Registry::open(store.storage.clone(), options)
        .await
        .unwrap();
    let rules = Arc::new(Rules::everything());
    let grant = rules.authorize(Identity::anonymous(), &[], &[]).unwrap();
    registry.repository("a/b".parse().unwrap(), grant)
}

async fn tags(repository: &Repository) -> Vec<String> {
    let page = repository.tags(&PageRequest::default()).await.unwrap();
    page.items.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_deleted_tag_leaves_no_directory_for_distribution_to_list() {
    let store = open();
    let repository = repository(&store).await;
    let v1 = Key::TagCurrent("a/b".parse().unwrap(), "v1".parse().unwrap());
    let digest = Digest::Sha256([7; 32]).to_string();
    let _ = store.put(&v1, &digest, PutMode::Replace).await;
    store.plant(&format!("{TAGS}/v1/current/link.1.tmp"), "");
    store.plant(&format!("{TAGS}/v2/current/link.1.tmp"), "");
    // The first has a link and the second none; distribution lists both.
    for name in ["v1", "v2"] {
        let tag = Reference::Tag(name.parse().unwrap());
        repository.delete_manifest(&tag).await.unwrap();
        assert!(!store.at(&format!("{TAGS}/{name}")).exists());
        let again = repository.delete_manifest(&tag).await;
        assert!(matches!(again, Err(RegistryError::ManifestUnknown(_))));
    }
    assert_eq!(tags(&repository).await, [""; 0]);
}

#[tokio::test]
async fn a_tag_whose_link_is_garbled_is_not_listed() {
    let store = open();
    let repository = repository(&store).await;
    let digest = Digest::Sha256([7; 32]).to_string();
    // `a` comes after `a-b` in the order of the directory, and before it in the answer.
    for (name, link) in [("a", ""), ("a-b", &*digest), ("b", ""), ("c", &*digest)] {
        store.plant(&format!("{TAGS}/{name}/current/link"), link);
    }
    let by_hand = format!("{digest}\n");
    for (name, link) in [("d", &digest[..70]), ("e", "x"), ("f", &*by_hand)] {
        store.plant(&format!("{TAGS}/{name}/current/link"), link);
    }
    assert_eq!(tags(&repository).await, ["a-b", "c", "f"]);
}
