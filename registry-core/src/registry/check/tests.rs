use crate::layout::{Key, StorePath};
use crate::registry::{Checked, TraceKind};
use crate::storage::{Durability, MemoryDriver, Outcome, PutMode, Storage};
use crate::testing::ambient;
use crate::testing::image::{self, Image, named, registry};
use crate::{Algorithm, RepositoryName};
use bytes::Bytes;

async fn put(storage: &Storage, path: &StorePath, value: impl Into<Bytes>) {
    let (mode, durability) = (PutMode::Replace, Durability::Durable);
    let put = storage.records.put(path, value.into(), mode, durability);
    assert!(matches!(put.await.unwrap(), Outcome::Done(_)));
}

async fn check(storage: &Storage, limit: u64) -> (Checked, Vec<(TraceKind, String)>) {
    let mut traces = Vec::new();
    let registry = registry(storage, true).await;
    let mut tell = |trace: crate::registry::Trace| traces.push((trace.kind, trace.path));
    let checked = registry.check(limit, &mut tell).await.unwrap();
    assert_eq!(checked.traces, traces.len() as u64);
    (checked, traces)
}

#[tokio::test]
async fn what_a_crash_left_is_told_with_its_path() {
    let storage = Storage::from_driver(MemoryDriver::new(ambient()));
    let whole = image::repository(&storage).await;
    Image::new(1).push(&whole).await.unwrap();
    assert!(check(&storage, 10).await.1.is_empty());

    let name: RepositoryName = "broken".parse().unwrap();
    let other = named(&registry(&storage, false).await, "broken");
    let image = Image::new(2);
    image.push(&other).await.unwrap();
    let absent = crate::hasher::digest_of(Algorithm::Sha512, b"absent");
    let tag = |tag: &str| Key::TagCurrent(name.clone(), tag.parse().unwrap()).path();
    let layer = Key::Layer(name.clone(), image.layer()).path();
    put(&storage, &layer, "").await;
    let revision = Key::Revision(name.clone(), absent).path();
    put(&storage, &revision, absent.to_string()).await;
    put(&storage, &tag("cut"), "sha256:12").await;
    put(&storage, &tag("far"), image.layer().to_string()).await;
    // What is in the trash is not lost.
    let _ = storage.blobs.retire(&image.digest()).await.unwrap();

    let (checked, traces) = check(&storage, 10).await;
    let expected = [
        (TraceKind::EmptyLink, layer),
        (TraceKind::MissingManifest, revision),
        (TraceKind::EmptyTag, tag("cut")),
        (TraceKind::DanglingTag, tag("far")),
    ];
    assert_eq!(
        traces,
        expected.map(|(kind, path)| (kind, path.to_string()))
    );
    assert_eq!(
        (checked.repositories, checked.revisions, checked.tags),
        (2, 3, 4)
    );
    assert!(checked.complete);
}

#[tokio::test]
async fn what_a_manifest_misses_is_told_once() {
    let storage = Storage::from_driver(MemoryDriver::new(ambient()));
    let repository = named(&registry(&storage, false).await, "broken");
    let (first, second) = (Image::new(1), Image::new(2));
    for image in [&first, &second] {
        image.push(&repository).await.unwrap();
    }
    // Two manifests need it.
    let subject = first.digest();
    for kind in ["a", "b"] {
        image::refer(&repository, &first, &subject, kind, Algorithm::Sha256).await;
    }
    assert!(check(&storage, 10).await.1.is_empty());
    let name = repository.name().clone();
    let layer = |digest| Key::Layer(name.clone(), digest).path();
    let config = image::sha256(&first.blobs[0]);
    let gone = storage.blobs.retire(&config).await.unwrap();
    storage.blobs.purge(&gone).await.unwrap();
    let unlinked = layer(second.layer());
    let _ = storage.records.delete(&unlinked, None).await.unwrap();

    let (_, traces) = check(&storage, 10).await;
    let mut expected = vec![
        (TraceKind::MissingBlob, layer(config).to_string()),
        (TraceKind::Unlinked, unlinked.to_string()),
    ];
    let mut traces = traces;
    traces.sort();
    expected.sort();
    assert_eq!(traces, expected);
}

#[tokio::test]
async fn no_more_repositories_are_looked_at_than_was_asked_for() {
    let storage = Storage::from_driver(MemoryDriver::new(ambient()));
    let registry = registry(&storage, false).await;
    for name in ["a", "b", "c"] {
        Image::new(1).push(&named(&registry, name)).await.unwrap();
    }
    for (limit, complete) in [(2, false), (3, true), (4, true)] {
        let (checked, _) = check(&storage, limit).await;
        assert_eq!(
            (checked.repositories, checked.complete),
            (limit.min(3), complete)
        );
    }
}
