//! Pages of tags and repositories, over any store. Each test takes an empty one.
#![allow(missing_docs, reason = "the name of a test is the sentence it tests")]
#![allow(clippy::unwrap_used, reason = "these are the bodies of tests")]

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use super::content;
use super::image::{self, Image, named};
use crate::access::Identity;
use crate::layout::{Dir, Key};
use crate::registry::{Page, PageRequest, Registry};
use crate::storage::{Durability, PutMode, Storage};
use crate::{Digest, RegistryError, RepositoryName, Rules};

const DIGEST: Digest = Digest::Sha256([7; 32]);

/// What names are made of: all that sorts before and after a `/`, which ends a directory's name in
/// a listing.
const PIECES: [&str; 9] = ["a", "b", "0", "-", ".", "_", "/", "ab", "z"];

/// Some names of this kind, others for another seed.
fn names<T: FromStr>(seed: u64, count: usize) -> BTreeSet<String> {
    let random = content(seed, 4_000);
    let mut random = random.iter().map(|byte| usize::from(*byte));
    let mut names = BTreeSet::new();
    while names.len() < count {
        let len = 1 + random.next().unwrap() % 6;
        let name: String = (0..len)
            .map(|_| PIECES[random.next().unwrap() % PIECES.len()])
            .collect();
        if name.parse::<T>().is_ok() {
            names.insert(name);
        }
    }
    names
}

/// Names that come before, between and behind those.
fn lasts(names: &BTreeSet<String>) -> BTreeSet<String> {
    let around = |name: &String| {
        let end = name.len() - 1;
        [
            name.clone(),
            format!("{name}-"),
            format!("{name}/"),
            name[..end].to_owned(),
        ]
    };
    names.iter().flat_map(around).collect()
}

async fn link(storage: &Storage, key: Key) {
    let (path, value) = (key.path(), DIGEST.to_string().into());
    let put = storage
        .records
        .put(&path, value, PutMode::Replace, Durability::Durable);
    let _ = put.await.unwrap();
}

async fn catalog(registry: &Registry, request: &PageRequest) -> Page<RepositoryName> {
    let rules = Arc::new(Rules::everything());
    let grant = rules.authorize(Identity::anonymous(), &[], &[]).unwrap();
    registry.catalog(&grant, request).await.unwrap()
}

fn told<T: ToString>(page: &Page<T>) -> Vec<String> {
    page.items.iter().map(ToString::to_string).collect()
}

fn from(last: Option<&String>, n: Option<usize>) -> PageRequest {
    PageRequest {
        n,
        last: last.cloned(),
    }
}

/// What a page has to be.
fn expected(names: &BTreeSet<String>, request: &PageRequest) -> (Vec<String>, bool) {
    let after = names
        .iter()
        .filter(|name| request.last.as_ref().is_none_or(|last| *name > last));
    let n = request.n.unwrap_or(usize::MAX);
    let more = after.clone().count() > n;
    (after.take(n).cloned().collect(), more)
}

fn requests(names: &BTreeSet<String>) -> Vec<PageRequest> {
    let lasts = lasts(names);
    let mut requests = vec![from(None, None)];
    requests.extend((0..=names.len() + 1).map(|n| from(None, Some(n))));
    requests.extend(lasts.iter().map(|last| from(Some(last), None)));
    let short = lasts.iter().enumerate();
    requests.extend(short.map(|(at, last)| from(Some(last), Some(1 + at % 4))));
    requests
}

pub async fn pages_of_tags_are_in_plain_order(storage: &Storage) {
    let registry = image::registry(storage, false).await;
    for seed in 0..4 {
        let names = names::<crate::Tag>(seed, 12);
        let name: RepositoryName = format!("app{seed}").parse().unwrap();
        for tag in &names {
            link(storage, Key::TagCurrent(name.clone(), tag.parse().unwrap())).await;
        }
        let repository = named(&registry, name.as_str());
        for request in requests(&names) {
            let page = repository.tags(&request).await.unwrap();
            let found = (told(&page), page.more);
            assert_eq!(
                found,
                expected(&names, &request),
                "{request:?} of {names:?}"
            );
        }
    }
    registry.drained().await;
}

pub async fn pages_of_repositories_are_in_plain_order(storage: &Storage) {
    let names = names::<RepositoryName>(11, 24);
    for (at, name) in names.iter().enumerate() {
        let name = name.parse().unwrap();
        link(
            storage,
            match at % 2 {
                0 => Key::Layer(name, DIGEST),
                _ => Key::Revision(name, DIGEST),
            },
        )
        .await;
    }
    let read_only = image::registry(storage, true).await;
    let registry = image::registry(storage, false).await;
    for request in requests(&names) {
        // By a walk, by an index that is being made, and by one that is complete.
        for registry in [&read_only, &registry] {
            let page = catalog(registry, &request).await;
            let found = (told(&page), page.more);
            assert_eq!(
                found,
                expected(&names, &request),
                "{request:?} of {names:?}"
            );
        }
        registry.indexed_or_given_up().await;
    }
}

pub async fn what_another_wrote_or_took_away_shows_after_the_next_access(storage: &Storage) {
    let distant = storage.records.guarantees().distant;
    let registry = image::registry(storage, false).await;
    let image = Image::new(1);
    image.push(&named(&registry, "ours")).await.unwrap();
    let all = from(None, None);
    assert_eq!(told(&catalog(&registry, &all).await), ["ours"]);
    registry.indexed_or_given_up().await;
    let theirs: RepositoryName = "theirs".parse().unwrap();
    link(
        storage,
        Key::TagCurrent(theirs.clone(), "v1".parse().unwrap()),
    )
    .await;
    if distant {
        assert_eq!(told(&catalog(&registry, &all).await), ["ours"]);
    }
    let page = named(&registry, "theirs").tags(&all).await.unwrap();
    assert_eq!(told(&page), ["v1"]);
    registry.drained().await;
    for reader in [&registry, &image::registry(storage, true).await] {
        assert_eq!(told(&catalog(reader, &all).await), ["ours", "theirs"]);
    }
    let dir = Dir::Repository(theirs.clone()).path();
    storage.records.delete_below(&dir).await.unwrap();
    assert_eq!(told(&catalog(&registry, &all).await), ["ours"]);
    let gone = named(&registry, "theirs").tags(&all).await;
    assert!(
        matches!(gone, Err(RegistryError::NameUnknown(_))),
        "{gone:?}"
    );
    // And it may come again.
    image.push(&named(&registry, "theirs")).await.unwrap();
    assert_eq!(told(&catalog(&registry, &all).await), ["ours", "theirs"]);
}

pub async fn a_question_for_what_is_not_there_makes_no_repository(storage: &Storage) {
    let registry = image::registry(storage, false).await;
    let all = from(None, None);
    assert_eq!(told(&catalog(&registry, &all).await), [""; 0]);
    registry.indexed_or_given_up().await;
    let nobody = named(&registry, "nobody");
    let unknown = nobody.tags(&all).await;
    assert!(
        matches!(unknown, Err(RegistryError::NameUnknown(_))),
        "{unknown:?}"
    );
    assert!(nobody.stat_blob(&DIGEST).await.is_err());
    assert!(nobody.manifest(&image::by_tag()).await.is_err());
    let page = nobody.referrers(&DIGEST, &[], None, None).await.unwrap();
    assert!(page.referrers.is_empty());
    registry.drained().await;
    assert_eq!(told(&catalog(&registry, &all).await), [""; 0]);
    let entry = Key::CatalogEntry("nobody".parse().unwrap()).path();
    assert!(storage.records.get(&entry).await.unwrap().is_none());
}

pub async fn processes_that_build_an_index_at_once_agree(storage: &Storage) {
    let names = names::<RepositoryName>(5, 20);
    for name in &names {
        link(storage, Key::Layer(name.parse().unwrap(), DIGEST)).await;
    }
    let registries = [
        image::registry(storage, false).await,
        image::registry(storage, false).await,
        image::registry(storage, false).await,
    ];
    let all = from(None, None);
    let asked = registries.iter().chain(&registries);
    let pages = asked.map(|registry| catalog(registry, &all));
    for page in futures_util::future::join_all(pages).await {
        assert_eq!(told(&page), Vec::from_iter(names.clone()));
    }
    for registry in &registries {
        registry.indexed_or_given_up().await;
        let page = catalog(registry, &all).await;
        assert_eq!(told(&page), Vec::from_iter(names.clone()));
    }
}
