//! Referrers where nothing may be written.

use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::join_all;

use super::{Trial, is_fault, new, old};
use crate::layout::{Dir, Key};
use crate::registry::{ReferrersPage, Repository};
use crate::storage::{ListQuery, Storage};
use crate::testing::faults::{Call, Control, Fault};
use crate::testing::image::{read_only, refer, referring, repository, sha256};
use crate::{Algorithm, Digest, RepositoryName};

/// Calls that change a store.
const WRITES: [&str; 9] = [
    "blobs.open_upload",
    "blobs.abort_upload",
    "blobs.sweep_uploads",
    "blobs.retire",
    "blobs.restore",
    "blobs.purge",
    "records.put",
    "records.delete",
    "records.delete_below",
];

fn assert_nothing_written(control: &Control) {
    let calls = control.calls();
    let written: Vec<_> = calls
        .iter()
        .filter(|call| WRITES.contains(&call.name) || call.name.starts_with("writer."))
        .collect();
    assert!(written.is_empty(), "{written:?}");
}

/// As distribution would have left the repository: without any record of referrers.
async fn forget(inner: &Storage) {
    let name: RepositoryName = "library/image".parse().unwrap();
    let dir = Dir::Repository(name).path();
    let entries = inner.records.list(ListQuery::recursive(dir.clone()));
    let entries: Vec<_> = entries.try_collect().await.unwrap();
    let mut forgotten = 0;
    for entry in entries {
        let key = Key::parse(&format!("{dir}/{}", entry.name()));
        if let Some(key @ (Key::Referrer { .. } | Key::ReferrersScanned(_))) = key {
            let _ = inner.records.delete(&key.path(), None).await.unwrap();
            forgotten += 1;
        }
    }
    assert!(forgotten > 0);
}

fn digests(page: &ReferrersPage) -> Vec<Digest> {
    let named = page.referrers.iter().map(|one| one.digest.parse());
    named.map(Result::unwrap).collect()
}

/// Page by page, each of one.
async fn paged(from: &Repository, subject: &Digest, kinds: &[String]) -> Vec<Digest> {
    let (mut found, mut last) = (Vec::new(), None);
    loop {
        let page = from.referrers(subject, kinds, Some(1), last).await.unwrap();
        assert!(page.referrers.len() <= 1);
        found.extend(digests(&page));
        last = page.next;
        if last.is_none() {
            return found;
        }
    }
}

/// For stores that have stamps: while these tell that nothing has changed, what was found is not
/// looked for again.
///
/// # Panics
/// When it is, or when the stamps of the store do not settle within half a minute.
pub async fn found_referrers_are_kept_while_stamps_tell<K>(open: impl AsyncFn() -> (Storage, K)) {
    let trial = Trial::open(&open).await;
    let clean = repository(&trial.inner).await;
    old().push(&clean).await.unwrap();
    let subject = old().digest();
    for algorithm in Algorithm::ALL {
        refer(&clean, &old(), &subject, "a/a", algorithm).await;
    }
    forget(&trial.inner).await;
    settle_stamps(&trial.inner).await;
    let reader = read_only(&trial.storage).await;
    let found = paged(&reader, &subject, &[]).await;
    assert_eq!(found.len(), Algorithm::ALL.len());
    let looked = |call: &Call| call.name == "records.list";
    assert_eq!(
        trial
            .control
            .calls()
            .iter()
            .filter(|call| looked(call))
            .count(),
        2
    );

    trial.control.reset();
    assert_eq!(paged(&reader, &subject, &[]).await, found);
    assert_eq!(paged(&reader, &new().digest(), &[]).await, []);
    assert!(!trial.control.calls().iter().any(looked));

    let more = refer(&clean, &old(), &subject, "a/b", Algorithm::Sha256).await;
    assert!(paged(&reader, &subject, &[]).await.contains(&more));
    assert!(trial.control.calls().iter().any(looked));
}

async fn settle_stamps(store: &Storage) {
    let settled = async {
        for algorithm in Algorithm::ALL {
            let name: RepositoryName = "library/image".parse().unwrap();
            let dir = Dir::Revisions(name, algorithm).path();
            while store.records.stamp(&dir).await.unwrap().is_none() {
                tokio::task::yield_now().await;
            }
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(30), settled).await;
    in_time.expect("the stamps of the store never settle");
}

pub async fn a_read_only_registry_finds_referrers_and_writes_nothing<K>(
    open: impl AsyncFn() -> (Storage, K),
) {
    let trial = Trial::open(&open).await;
    let clean = repository(&trial.inner).await;
    old().push(&clean).await.unwrap();
    let (subject, other) = (old().digest(), new().digest());
    let mut expected = Vec::new();
    for (kind, algorithm) in [
        ("a/a", Algorithm::Sha256),
        ("a/b", Algorithm::Sha256),
        ("a/b", Algorithm::Sha512),
    ] {
        expected.push(refer(&clean, &old(), &subject, kind, algorithm).await);
    }
    let elsewhere = refer(&clean, &old(), &other, "a/a", Algorithm::Sha256).await;
    let of_kind = expected[0];
    expected.sort();
    forget(&trial.inner).await;

    let reader = read_only(&trial.storage).await;
    for _ in 0..2 {
        let page = reader.referrers(&subject, &[], None, None).await.unwrap();
        assert_eq!(digests(&page), expected);
        assert_eq!(page.next, None);
        assert_eq!(paged(&reader, &subject, &[]).await, expected);
        let kinds = ["a/a".to_owned()];
        assert_eq!(paged(&reader, &subject, &kinds).await, [of_kind]);
        assert_eq!(paged(&reader, &other, &[]).await, [elsewhere]);
        assert_eq!(paged(&reader, &of_kind, &[]).await, []);
    }
    assert_nothing_written(&trial.control);

    // What another process pushes and deletes meanwhile is noticed.
    let more = refer(&clean, &old(), &subject, "a/c", Algorithm::Sha256).await;
    let gone = crate::Reference::Digest(expected[0]);
    clean.delete_manifest(&gone).await.unwrap();
    forget(&trial.inner).await;
    expected.remove(0);
    expected.push(more);
    expected.sort();
    assert_eq!(paged(&reader, &subject, &[]).await, expected);
    assert_nothing_written(&trial.control);
}

fn lists_revisions(call: &Call) -> bool {
    call.name == "records.list" && call.subject.contains("revisions")
}

/// A push that fails between its revision and its record while manifests are being read.
pub async fn a_scan_beside_a_push_that_fails_is_not_believed<K>(
    open: impl AsyncFn() -> (Storage, K),
) {
    let subject = old().digest();
    let trial = Trial::open(&open).await;
    let (inner, control) = (&trial.inner, &trial.control);
    let clean = repository(inner).await;
    old().push(&clean).await.unwrap();
    let first = refer(&clean, &old(), &subject, "a/a", Algorithm::Sha256).await;
    forget(inner).await;
    let from = repository(&trial.storage).await;
    from.referrers(&new().digest(), &[], None, None)
        .await
        .unwrap();
    let calls = control.calls();
    let listed = calls.iter().rposition(lists_revisions);
    forget(inner).await;

    // Another process, which scans anew: all of the manifests have been listed.
    control.reset();
    let from = repository(&trial.storage).await;
    let n = listed.unwrap() + 1;
    let pause = control.pause_before(n);
    let listing = tokio::spawn({
        let from = from.clone();
        async move { from.referrers(&subject, &[], None, None).await }
    });
    pause.reached().await;
    let put = referring(&old(), &subject, "a/b", Algorithm::Sha256);
    let second = sha256(&put.bytes);
    // Its record.
    control.on_next(
        "records.put",
        &format!("/sha256-{}", second.hex()),
        Fault::Fail,
    );
    let told = from.put_manifest(put).await;
    assert!(told.is_err_and(|error| is_fault(&error)));
    pause.release();
    listing.await.unwrap().unwrap();
    let page = from.referrers(&subject, &[], None, None).await.unwrap();
    let mut expected = [first, second];
    expected.sort();
    assert_eq!(digests(&page), expected);
}

/// Many who ask at once do not each read every manifest.
pub async fn manifests_are_read_once_for_all_who_ask<K>(open: impl AsyncFn() -> (Storage, K)) {
    let trial = Trial::open(&open).await;
    let (inner, control) = (&trial.inner, &trial.control);
    let clean = repository(inner).await;
    old().push(&clean).await.unwrap();
    let subject = old().digest();
    let mut found = Vec::new();
    for algorithm in Algorithm::ALL {
        found.push(refer(&clean, &old(), &subject, "a/a", algorithm).await);
    }
    forget(inner).await;
    settle_stamps(inner).await;
    for reader in [
        read_only(&trial.storage).await,
        repository(&trial.storage).await,
    ] {
        control.reset();
        let asking = (0..8).map(|_| reader.referrers(&subject, &[], None, None));
        for page in join_all(asking).await {
            assert_eq!(digests(&page.unwrap()), found);
        }
        let calls = control.calls();
        let listed = calls.iter().filter(|call| lists_revisions(call));
        assert_eq!(listed.count(), Algorithm::ALL.len());
    }
}
