//! What becomes of an upload when its writer fails, is not alone, or does not know where it is.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::Trial;
use super::uploads::{Finish, begin};
use crate::RegistryError;
use crate::layout::Key;
use crate::registry::{Append, UploadUrl};
use crate::storage::{Storage, Sweep};
use crate::testing::content;
use crate::testing::faults::Fault;
use crate::testing::image::{body, named, repository};

/// What a sweep would find, however young.
async fn staged(store: &Storage) -> Vec<String> {
    let (mut found, keep) = (Vec::new(), HashSet::new());
    let mut tell = |path: &str| found.push(path.to_owned());
    let later = store.blobs.now().await.unwrap() + Duration::from_secs(3600);
    let told = Sweep::Tell(&mut tell);
    let sweep = store.blobs.sweep_uploads(later, &keep, told);
    sweep.await.unwrap();
    found
}

async fn is_recorded(store: &Storage, url: &UploadUrl) -> bool {
    let path = Key::UploadRecord(url.id).path();
    store.records.get(&path).await.unwrap().is_some()
}

/// Where the disk is full, what was written before that must not keep it full.
pub async fn what_no_record_tells_of_is_not_kept<K>(open: impl AsyncFn() -> (Storage, K)) {
    let blob = content(7, 1000);
    let mut unrecorded = 0;
    for whole in [false, true] {
        let (mut calls, mut n) = (1, 0);
        while n < calls {
            for fault in [Fault::Fail, Fault::Full, Fault::Truncate] {
                let context = format!("{fault:?} at {n}, whole: {whole}");
                let trial = Trial::open(&open).await;
                let from = repository(&trial.storage).await;
                let url = begin(&from).await;
                trial.control.reset();
                trial.control.on_call(n, fault);
                let told = match whole {
                    true => Finish::Whole.put(&from, &url, &blob).await,
                    false => {
                        let append = Append::default();
                        let appended = from.append_upload(&url, append, body(&blob)).await;
                        appended.map(|_| ())
                    }
                };
                calls = calls.max(trial.control.calls().len());
                trial.control.reset();
                let recorded = is_recorded(&trial.inner, &url).await;
                assert!(told.is_err() || whole || recorded, "{context}");
                if !recorded {
                    unrecorded += 1;
                    assert_eq!(staged(&trial.inner).await, [""; 0], "{context}: {told:?}");
                }
            }
            n += 1;
        }
    }
    assert!(unrecorded > 5, "{unrecorded}");
}

/// Whoever is writing learns of it when he has done, and leaves nothing.
pub async fn an_upload_is_cancelled_beside_its_writer<K>(open: impl AsyncFn() -> (Storage, K)) {
    for begun in [false, true] {
        let trial = Trial::open(&open).await;
        let from = repository(&trial.storage).await;
        let url = begin(&from).await;
        if begun {
            Finish::Rest.prepare(&from, &url, &content(7, 1000)).await;
        }
        let (more, rest) = tokio::sync::mpsc::channel::<Bytes>(1);
        more.send(content(8, 10)).await.unwrap();
        let rest = stream::unfold(rest, async |mut rest| {
            let piece = rest.recv().await?;
            Some((Ok(piece), rest))
        });
        let writing = tokio::spawn({
            let (from, url) = (from.clone(), url.clone());
            async move {
                let append = Append::default();
                from.append_upload(&url, append, rest.boxed()).await
            }
        });
        // He has entered when the piece was taken.
        more.reserve().await.unwrap();
        let entered = async {
            while !trial
                .control
                .calls()
                .iter()
                .any(|call| call.name == "blobs.open_upload")
            {
                tokio::task::yield_now().await;
            }
        };
        let limit = Duration::from_secs(30);
        tokio::time::timeout(limit, entered).await.unwrap();
        from.cancel_upload(&url).await.unwrap();
        let again = from.cancel_upload(&url).await;
        assert!(
            matches!(again, Err(RegistryError::UploadUnknown)),
            "{again:?}"
        );
        drop(more);
        let told = writing.await.unwrap();
        assert!(
            matches!(told, Err(RegistryError::UploadUnknown)),
            "{told:?}"
        );
        // Nothing but the tombstone.
        let path = Key::UploadRecord(url.id).path();
        let _ = trial.inner.records.delete(&path, None).await.unwrap();
        assert_eq!(staged(&trial.inner).await, [""; 0], "begun: {begun}");
    }
}

pub async fn the_record_of_an_upload_counts_whatever_its_url_says<K>(
    open: impl AsyncFn() -> (Storage, K),
) {
    let blob = content(7, 1000);
    let trial = Trial::open(&open).await;
    let from = repository(&trial.storage).await;
    let url = begin(&from).await;
    let stale = |state: Option<&str>| UploadUrl {
        id: url.id,
        state: state.map(str::to_owned),
    };
    for odd in [stale(Some("another")), stale(None)] {
        let told = from.upload_status(&odd).await;
        assert!(
            matches!(told, Err(RegistryError::UploadUnknown)),
            "{told:?}"
        );
        let told = from.cancel_upload(&odd).await;
        assert!(
            matches!(told, Err(RegistryError::UploadUnknown)),
            "{told:?}"
        );
    }
    Finish::Rest.prepare(&from, &url, &blob).await;
    for odd in [stale(Some("another")), stale(None)] {
        assert_eq!(from.upload_status(&odd).await.unwrap().len, 300);
        let told = from
            .append_upload(&odd, Append::default(), body(&Bytes::new()))
            .await;
        // What is refused is not read: the client may wait to be told that it should send.
        let unread = stream::poll_fn(|_| panic!("a body is read that nobody wants"));
        let at = Append {
            at: Some(1),
            ..Append::default()
        };
        let refused = from.append_upload(&odd, at, unread.boxed()).await;
        assert!(refused.is_err(), "{refused:?}");
        match odd.state {
            Some(_) => assert!(
                matches!(told, Err(RegistryError::UploadInvalid)),
                "{told:?}"
            ),
            None => assert_eq!(told.unwrap().len, 300),
        }
    }
    let elsewhere = named(&from.registry(), "library/other");
    let told = elsewhere.upload_status(&url).await;
    assert!(
        matches!(told, Err(RegistryError::UploadUnknown)),
        "{told:?}"
    );
    let odd = stale(Some("another"));
    Finish::Rest.put(&from, &odd, &blob).await.unwrap();
}
