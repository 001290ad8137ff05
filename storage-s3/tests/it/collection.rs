//! Collection in a bucket: what it leaves, and what it makes of answers that fail.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use registry_core::access::{Identity, Secret};
use registry_core::hasher::digest_of;
use registry_core::layout::Key;
use registry_core::registry::{
    Append, CollectOptions, Collected, Options, PageRequest, PutManifest, Repository,
};
use registry_core::storage::OpenMode;
use registry_core::testing::ambient;
use registry_core::{Algorithm, Digest, Grant, Reference, Registry, RegistryError, Rules, Storage};
use storage_s3::testing::{Failure, Fault, Operation, Options as Limits, S3Server, When};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

async fn start(server: &S3Server) -> Registry {
    let driver = storage_s3::open(&server.config(), OpenMode::Serve).await;
    let mut options = Options::new(ambient());
    options.delete = true;
    options.secret = Some(Secret::new("a secret of the tests".to_owned()));
    let registry = Registry::open(Storage::from_driver(driver.unwrap()), options).await;
    registry.unwrap()
}

fn grant() -> Grant {
    let rules = Arc::new(Rules::everything());
    rules.authorize(Identity::anonymous(), &[], &[]).unwrap()
}

fn named(registry: &Registry, name: &str) -> Repository {
    registry.repository(name.parse().unwrap(), grant())
}

fn sha256(content: &str) -> Digest {
    digest_of(Algorithm::Sha256, content.as_bytes())
}

async fn push_blob(to: &Repository, content: &str) -> Digest {
    let digest = sha256(content);
    let body = Box::pin(stream::iter([Ok(Bytes::from(content.to_owned()))]));
    to.push_blob(Append::default(), body, &digest)
        .await
        .unwrap();
    digest
}

/// An image of one layer, by a tag or by its digest; perhaps one that refers to another.
async fn push(to: &Repository, layer: &str, tag: Option<&str>, subject: Option<Digest>) -> Digest {
    let config = push_blob(to, "{}").await;
    let digest = push_blob(to, layer).await;
    let of = |digest: &Digest, kind: &str| {
        format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":2}}"#)
    };
    let subject = subject.map(|subject| format!(r#","subject":{}"#, of(&subject, OCI)));
    let body = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI}","config":{},"layers":[{}]{}}}"#,
        of(&config, "application/vnd.oci.image.config.v1+json"),
        of(&digest, "application/vnd.oci.image.layer.v1.tar"),
        subject.unwrap_or_default()
    );
    let reference = match tag {
        Some(tag) => Reference::Tag(tag.parse().unwrap()),
        None => Reference::Digest(sha256(&body)),
    };
    let put = PutManifest {
        reference,
        tags: Vec::new(),
        digest: None,
        content_type: None,
        bytes: Bytes::from(body),
    };
    to.put_manifest(put).await.unwrap().digest
}

/// While no server writes, and without patience.
fn offline() -> CollectOptions {
    let mut options = CollectOptions::default();
    options.grace = Duration::ZERO;
    options.quarantine = Duration::ZERO;
    options.offline = true;
    options
}

/// Beside servers that write, and without patience all the same.
fn online() -> CollectOptions {
    let mut options = offline();
    options.offline = false;
    options
}

async fn collect(server: &S3Server, options: &CollectOptions) -> Result<Collected, RegistryError> {
    start(server).await.collect(options, &mut |_| {}).await
}

async fn catalog(registry: &Registry) -> Vec<String> {
    let page = registry.catalog(&grant(), &PageRequest::default()).await;
    registry.indexed_or_given_up().await;
    let names = page.unwrap().items;
    names.iter().map(ToString::to_string).collect()
}

/// All keys, and what lies there.
fn contents(server: &S3Server) -> BTreeSet<(String, Bytes)> {
    let keys = server.keys().into_iter();
    keys.map(|key| {
        let bytes = server.object(&key).unwrap().bytes;
        (key, bytes)
    })
    .collect()
}

#[tokio::test]
async fn nothing_is_left_of_what_was_deleted() {
    let server = S3Server::start();
    let registry = start(&server).await;
    assert_eq!(catalog(&registry).await, [""; 0]);
    let empty = contents(&server);
    let mut all = Vec::new();
    for name in ["app", "team/app"] {
        let repository = named(&registry, name);
        let image = push(&repository, "layer", Some("v1"), None).await;
        let other = push(&repository, "another", Some("v2"), None).await;
        let signature = push(&repository, "signature", None, Some(image)).await;
        let page = repository.referrers(&image, &[], None, None).await;
        assert_eq!(page.unwrap().referrers.len(), 1);
        all.push((repository, [signature, image, other]));
    }
    assert_eq!(catalog(&registry).await, ["app", "team/app"]);
    for (repository, manifests) in &all {
        for digest in manifests {
            let deleted = repository
                .delete_manifest(&Reference::Digest(*digest))
                .await;
            deleted.unwrap();
        }
    }
    registry.drained().await;
    collect(&server, &offline()).await.unwrap();
    let collected = collect(&server, &offline()).await.unwrap();
    assert_eq!(contents(&server), empty, "{collected:?}");
    assert!(server.pending().is_empty());
    assert_eq!(catalog(&start(&server).await).await, [""; 0]);
}

#[tokio::test]
async fn links_stay_while_others_may_write_and_go_when_nobody_does() {
    let server = S3Server::start();
    let registry = start(&server).await;
    let app = named(&registry, "app");
    push(&app, "stays", Some("stays"), None).await;
    registry.drained().await;
    let before = contents(&server);
    let gone = push(&app, "gone", Some("gone"), None).await;
    app.delete_manifest(&Reference::Digest(gone)).await.unwrap();
    let link = Key::Layer("app".parse().unwrap(), sha256("gone")).path();
    let data = Key::Blob(sha256("gone")).path();
    let lies = |path: &str| server.object(path).is_some();
    let collected = collect(&server, &online()).await.unwrap();
    assert_eq!((collected.purged.count, collected.links), (2, 0));
    assert!(!lies(data.as_str()) && lies(link.as_str()));
    // Without the bytes the link shows nothing.
    assert!(app.stat_blob(&sha256("gone")).await.is_err());
    let mut dry = offline();
    dry.dry_run = true;
    let told = contents(&server);
    collect(&server, &dry).await.unwrap();
    assert_eq!(contents(&server), told);
    let collected = collect(&server, &offline()).await.unwrap();
    assert_eq!((collected.purged.count, collected.links), (0, 1));
    assert_eq!(contents(&server), before);
}

#[tokio::test]
async fn what_waits_in_the_trash_keeps_its_link_and_comes_back_with_it() {
    let server = S3Server::start();
    let app = named(&start(&server).await, "app");
    push(&app, "stays", Some("stays"), None).await;
    let blob = push_blob(&app, "orphan").await;
    let mut options = offline();
    options.quarantine = Duration::from_secs(24 * 3600);
    let collected = collect(&server, &options).await.unwrap();
    assert_eq!((collected.retired.count, collected.links), (1, 0));
    assert!(server.object(Key::Blob(blob).path().as_str()).is_none());
    assert_eq!(app.stat_blob(&blob).await.unwrap().size, 6);
    assert!(server.object(Key::Blob(blob).path().as_str()).is_some());
}

#[tokio::test]
async fn a_copy_of_what_is_needed_again_goes_after_the_quarantine() {
    let server = S3Server::start();
    let registry = start(&server).await;
    let app = named(&registry, "app");
    push_blob(&app, "layer").await;
    let mut options = online();
    options.quarantine = Duration::from_secs(24 * 3600);
    let collected = collect(&server, &options).await.unwrap();
    assert_eq!(collected.retired.count, 1);
    // The push misses the layer, which comes back.
    push(&app, "layer", Some("v1"), None).await;
    let copies = || {
        let keys = server.keys().into_iter();
        keys.filter(|key| key.contains("/gc/")).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        collect(&server, &options).await.unwrap();
        assert_eq!(copies().len(), 1, "a late delete may still come");
    }
    let old = (ambient().now)() - Duration::from_secs(25 * 3600);
    server.set_modified(&copies()[0], old);
    collect(&server, &options).await.unwrap();
    assert_eq!(copies(), [""; 0]);
    assert_eq!(app.stat_blob(&sha256("layer")).await.unwrap().size, 5);
}

#[tokio::test]
async fn a_page_that_fails_ends_the_cycle_and_nothing_that_is_needed_goes() {
    let mut limits = Limits::default();
    limits.page = 3;
    let server = S3Server::with(limits);
    let registry = start(&server).await;
    for name in ["a", "b/c", "d"] {
        let repository = named(&registry, name);
        for tag in ["v1", "v2", "v3", "v4"] {
            push(&repository, &format!("{name} {tag}"), Some(tag), None).await;
        }
    }
    registry.drained().await;
    let needed = contents(&server);
    let orphan = push_blob(&named(&registry, "a"), "orphan").await;
    let mut failed = 0;
    for skip in 0.. {
        let refused = Fault::Status(StatusCode::FORBIDDEN, "AccessDenied");
        let page = Failure::new(When::Before, refused).of(Operation::ListObjectsV2);
        // One page for the opening of the store.
        server.fail(page.skip(skip + 2));
        let collected = collect(&server, &online()).await;
        if server.stop_failing() > 0 {
            assert!(collected.is_ok());
            break;
        }
        failed += 1;
        assert!(collected.is_err(), "page {skip}: {collected:?}");
        let there = contents(&server);
        assert!(needed.is_subset(&there), "page {skip}");
        push_blob(&named(&registry, "a"), "orphan").await;
    }
    assert!(failed > 30, "{failed} pages");
    assert!(server.object(Key::Blob(orphan).path().as_str()).is_none());
    assert!(needed.is_subset(&contents(&server)));
}
