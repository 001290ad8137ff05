//! What pages of lists cost, in requests.

use std::sync::Arc;
use std::time::Duration;

use registry_core::access::{Identity, Secret};
use registry_core::hasher::digest_of;
use registry_core::layout::Key;
use registry_core::registry::{Options, PageRequest, Repository};
use registry_core::storage::OpenMode;
use registry_core::testing::ambient;
use registry_core::{Algorithm, Digest, Grant, Registry, RepositoryName, Rules, Storage};
use storage_s3::testing::{Operation, Request, S3Server};

const DIGEST: Digest = Digest::Sha256([7; 32]);

/// A registry of a process that was just started.
async fn start(server: &S3Server) -> Registry {
    let driver = storage_s3::open(&server.config(), OpenMode::Serve).await;
    let mut options = Options::new(ambient());
    options.secret = Some(Secret::new("a secret of the tests".to_owned()));
    let registry = Registry::open(Storage::from_driver(driver.unwrap()), options).await;
    server.take_log();
    registry.unwrap()
}

fn grant() -> Grant {
    let rules = Arc::new(Rules::everything());
    rules.authorize(Identity::anonymous(), &[], &[]).unwrap()
}

fn repository(registry: &Registry, name: &str) -> Repository {
    registry.repository(name.parse().unwrap(), grant())
}

fn link(server: &S3Server, key: &Key, digest: &Digest) -> String {
    let path = key.path().as_str().to_owned();
    server.put(&path, digest.to_string());
    path
}

fn page(n: usize, last: Option<&str>) -> PageRequest {
    PageRequest {
        n: Some(n),
        last: last.map(str::to_owned),
    }
}

/// All that was asked for, once nothing goes on any more.
async fn asked(server: &S3Server, registry: &Registry) -> Vec<Request> {
    registry.drained().await;
    registry.indexed_or_given_up().await;
    server.take_log()
}

/// Of each kind.
fn count(log: &[Request], operation: Operation) -> usize {
    log.iter().filter(|one| one.operation == operation).count()
}

#[tokio::test]
async fn a_page_of_tags_costs_the_same_however_many_there_are() {
    for many in [300, 10_000] {
        let server = S3Server::start();
        let name: RepositoryName = "app".parse().unwrap();
        // Half of them come late in the store's order: it has `1.0.1-amd64/` before `1.0.1/`.
        for number in 0..many / 2 {
            for end in ["", "-amd64"] {
                let tag = format!("1.0.{number:05}{end}").parse().unwrap();
                link(&server, &Key::TagCurrent(name.clone(), tag), &DIGEST);
            }
        }
        let registry = start(&server).await;
        let app = repository(&registry, "app");
        let first = app.tags(&page(100, None)).await.unwrap();
        let names: Vec<&str> = first.items.iter().map(|tag| tag.as_str()).collect();
        assert_eq!(names[..3], ["1.0.00000", "1.0.00000-amd64", "1.0.00001"]);
        assert!(first.more && names.len() == 100);
        let log = asked(&server, &registry).await;
        // `1` and `1.0`, and what the index of repositories says.
        assert_eq!(count(&log, Operation::ListObjectsV2), 1, "{many}: {log:?}");
        assert!(log.len() <= 5, "{many}: {log:?}");
        let next = app.tags(&page(100, names.last().copied())).await.unwrap();
        assert_eq!(next.items[0].as_str(), "1.0.00050");
        let log = asked(&server, &registry).await;
        assert_eq!(count(&log, Operation::ListObjectsV2), 1, "{many}: {log:?}");
        assert!(log.len() <= 2, "{many}: {log:?}");
    }
}

#[tokio::test]
async fn a_page_of_the_catalog_costs_as_much_as_it_shows() {
    let server = S3Server::start();
    for number in 0..600 {
        let name = format!("team-{}/app{number:03}", number % 3)
            .parse()
            .unwrap();
        for byte in 0..3 {
            let digest = Digest::Sha256([byte; 32]);
            link(
                &server,
                &Key::Layer(RepositoryName::clone(&name), digest),
                &digest,
            );
        }
    }
    let registry = start(&server).await;
    let grant = grant();
    let walked = registry.catalog(&grant, &page(100, None)).await.unwrap();
    let log = asked(&server, &registry).await;
    let puts = count(&log, Operation::PutObject);
    assert_eq!(puts, 601, "an entry for each, and the mark");
    // Two looks at each that is shown; then one, and one for its entry, at each of all.
    assert!(log.len() <= 220 + 604 + 600 + puts, "{}", log.len());

    let listed = registry.catalog(&grant, &page(100, None)).await.unwrap();
    assert_eq!(walked, listed);
    let log = asked(&server, &registry).await;
    // The mark, a listing, a look at each; one more tells that something follows, two are to spare.
    assert!(log.len() <= 105, "{}", log.len());
    let last = listed.items.last().unwrap().as_str();
    let next = registry.catalog(&grant, &page(100, Some(last))).await;
    assert_eq!(next.unwrap().items[0].as_str(), "team-0/app300");
    let log = asked(&server, &registry).await;
    assert!(log.len() <= 105, "{}", log.len());
}

#[tokio::test]
async fn a_known_repository_costs_a_push_nothing_for_the_index() {
    let server = S3Server::start();
    let registry = start(&server).await;
    let app = repository(&registry, "team/app");
    let entry = Key::CatalogEntry("team/app".parse().unwrap()).path();
    let mut told = Vec::new();
    for content in ["one", "two"] {
        let body = Box::pin(futures_util::stream::iter([Ok(content.into())]));
        let digest = digest_of(Algorithm::Sha256, content.as_bytes());
        let append = registry_core::registry::Append::default();
        app.push_blob(append, body, &digest).await.unwrap();
        told.push(asked(&server, &registry).await);
    }
    let of_entry = |log: &[Request]| log.iter().position(|one| one.key == entry.as_str());
    let link = told[0].iter().position(|one| one.key.contains("/_layers/"));
    assert!(of_entry(&told[0]).is_some_and(|at| Some(at) < link));
    assert_eq!(of_entry(&told[1]), None);
    assert!(told[1].len() <= 3, "{:?}", told[1]);
}

fn artifact(number: usize, subject: Option<&Digest>) -> String {
    let subject = subject
        .map(|digest| format!(r#","subject":{{"mediaType":"a/b","digest":"{digest}","size":1}}"#));
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","annotations":{{"number":"{number}"}},"config":{{"mediaType":"a/b","digest":"{DIGEST}","size":1}},"layers":[]{}}}"#,
        subject.unwrap_or_default()
    )
}

/// As distribution writes a manifest, so long ago.
fn plant(server: &S3Server, body: &str, age: Duration) {
    let digest = digest_of(Algorithm::Sha256, body.as_bytes());
    server.put(Key::Blob(digest).path().as_str(), body.to_owned());
    let path = link(
        server,
        &Key::Revision("app".parse().unwrap(), digest),
        &digest,
    );
    server.set_modified(&path, (ambient().now)() - age);
}

async fn referrers(registry: &Registry) -> usize {
    let app = repository(registry, "app");
    let page = app.referrers(&DIGEST, &[], None, None).await.unwrap();
    page.referrers.len()
}

#[tokio::test]
async fn referrers_are_checked_against_one_listing_in_each_process() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let server = S3Server::start();
    for number in 0..40 {
        let subject = (number % 4 == 0).then_some(&DIGEST);
        plant(&server, &artifact(number, subject), DAY);
    }
    let registry = start(&server).await;
    assert_eq!(referrers(&registry).await, 10);
    let log = asked(&server, &registry).await;
    // Two listings of revisions and one of records; link and bytes of each, and the record, thrice.
    assert_eq!(count(&log, Operation::ListObjectsV2), 3, "{log:?}");
    assert_eq!(count(&log, Operation::PutObject), 11, "{log:?}");

    assert_eq!(referrers(&registry).await, 10);
    let log = asked(&server, &registry).await;
    assert_eq!(count(&log, Operation::ListObjectsV2), 1, "{log:?}");
    assert_eq!(log.len(), 21, "a listing, and link and record of each");

    // What distribution writes meanwhile is found by the next process, which reads nothing else.
    plant(&server, &artifact(100, Some(&DIGEST)), Duration::ZERO);
    assert_eq!(referrers(&registry).await, 10);
    asked(&server, &registry).await;
    let next = start(&server).await;
    assert_eq!(referrers(&next).await, 11);
    let log = asked(&server, &next).await;
    assert_eq!(count(&log, Operation::ListObjectsV2), 3, "{log:?}");
    let read = log.iter().filter(|one| one.key.contains("/blobs/")).count();
    assert_eq!(read, 1, "{log:?}");
}
