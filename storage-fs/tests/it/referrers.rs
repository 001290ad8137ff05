//! Referrers of what distribution pushes and deletes while this registry does not run.

use std::fs;
use std::sync::Arc;

use registry_core::access::Identity;
use registry_core::hasher::digest_of;
use registry_core::layout::{Dir, Key};
use registry_core::registry::Options;
use registry_core::testing::ambient;
use registry_core::{Algorithm, Digest, Registry, RepositoryName, Rules};

use crate::store::{DAY, TestStore, age, open};

const SUBJECT: Digest = Digest::Sha256([7; 32]);

fn name() -> RepositoryName {
    "a/b".parse().unwrap()
}

/// What a registry that was just started finds.
async fn found(store: &TestStore, registry: &Registry) -> Vec<String> {
    for algorithm in Algorithm::ALL {
        store
            .settled_stamp(&Dir::Revisions(name(), algorithm))
            .await;
    }
    let rules = Arc::new(Rules::everything());
    let grant = rules.authorize(Identity::anonymous(), &[], &[]).unwrap();
    let repository = registry.repository(name(), grant);
    let page = repository.referrers(&SUBJECT, &[], None, None).await;
    let referrers = page.unwrap().referrers;
    referrers
        .into_iter()
        .map(|one| one.digest.to_string())
        .collect()
}

async fn start(store: &TestStore, read_only: bool) -> Registry {
    let mut options = Options::new(ambient());
    options.read_only = read_only;
    Registry::open(store.storage.clone(), options)
        .await
        .unwrap()
}

/// As distribution writes an artifact; what it needs is of no interest here.
fn plant(store: &TestStore) -> (Key, Digest) {
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"a/b","digest":"{SUBJECT}","size":1}},"layers":[],"subject":{{"mediaType":"a/b","digest":"{SUBJECT}","size":1}}}}"#
    );
    let digest = digest_of(Algorithm::Sha256, manifest.as_bytes());
    let blob = store.path(&Key::Blob(digest));
    fs::create_dir_all(blob.parent().unwrap()).unwrap();
    fs::write(blob, manifest).unwrap();
    let link = Key::Revision(name(), digest);
    let path = store.path(&link);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, digest.to_string()).unwrap();
    (link, digest)
}

#[tokio::test]
async fn what_distribution_deletes_and_pushes_again_is_found() {
    for read_only in [false, true] {
        let store = open();
        let (link, digest) = plant(&store);
        let revisions = Dir::Revisions(name(), Algorithm::Sha256).path();
        age(&store.root.path().join(revisions.as_str()), DAY);
        // It removes the link, and not the directory.
        let path = store.path(&link);
        fs::remove_file(&path).unwrap();
        let registry = start(&store, read_only).await;
        assert_eq!(found(&store, &registry).await, [""; 0]);
        // So nothing tells of the link that comes again.
        fs::write(&path, digest.to_string()).unwrap();
        let registry = match read_only {
            true => registry,
            false => start(&store, false).await,
        };
        let again = found(&store, &registry).await;
        assert_eq!(again, [digest.to_string()], "read-only: {read_only}");
    }
}
