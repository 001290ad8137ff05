//! The decorator keeps the contract of a driver, and counts.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use registry_core::layout::Dir;
use registry_core::storage::{ListQuery, MemoryDriver, Storage};
use registry_core::testing::faults::{Control, Fault, Faulty};
use registry_core::testing::{publish, read};

use super::*;
use crate::ambient::ambient;

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new("inmemory").unwrap())
}

async fn open() -> (Storage, ()) {
    let storage = Storage::from_driver(MemoryDriver::new(ambient()));
    (measure(storage, &metrics()), ())
}

registry_core::storage_conformance!(open);

fn faulty() -> (Storage, Control, Arc<Metrics>) {
    let (storage, control) = Faulty::wrap(Storage::from_driver(MemoryDriver::new(ambient())));
    let metrics = metrics();
    (measure(storage, &metrics), control, metrics)
}

/// The value of a series, by its name and labels as they are written.
fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = metrics.encode().unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.map(|rest| rest.trim().parse().unwrap())
}

fn calls(metrics: &Metrics, action: &str) -> f64 {
    let labels = format!("{{action=\"{action}\",driver=\"inmemory\"}}");
    let series = format!("registry_storage_action_seconds_count{labels}");
    value(metrics, &series).unwrap_or_default()
}

fn errors(metrics: &Metrics, action: &str) -> f64 {
    let labels = format!("{{action=\"{action}\",driver=\"inmemory\"}}");
    let series = format!("registry_storage_errors_total{labels}");
    value(metrics, &series).unwrap_or_default()
}

#[tokio::test]
async fn every_call_of_the_store_is_counted_and_only_faults_are_errors() {
    let (storage, control, metrics) = faulty();
    let digest = publish(&storage, &Bytes::from_static(b"content")).await;
    read(&storage, &digest, None).await.unwrap();
    let counted = |actions: &[&str]| -> Vec<f64> {
        let calls = actions.iter().map(|action| calls(&metrics, action));
        calls.collect()
    };
    let pushed = counted(&["Writer", "Write", "Commit", "Reader", "Read", "Stat"]);
    assert_eq!(pushed, [1.0, 1.0, 1.0, 1.0, 2.0, 0.0]);

    let retired = storage.blobs.retire(&digest).await.unwrap();
    storage.blobs.stat(&digest).await.unwrap_err();
    assert_eq!(
        (calls(&metrics, "Stat"), errors(&metrics, "Stat")),
        (1.0, 0.0)
    );
    storage.blobs.restore(&digest).await.unwrap();
    storage.blobs.purge(&retired).await.unwrap();
    for action in ["retired", "restored", "purged"] {
        let of = |what: &str| {
            let series = format!("registry_garbage_{what}_total{{action=\"{action}\"}}");
            value(&metrics, &series)
        };
        assert_eq!(
            (of("blobs"), of("bytes")),
            (Some(1.0), Some(7.0)),
            "{action}"
        );
    }

    control.from_call(0, Fault::Fail);
    storage.blobs.stat(&digest).await.unwrap_err();
    let mut list = storage.records.list(ListQuery::children(Dir::Tree.path()));
    list.next().await.unwrap().unwrap_err();
    assert_eq!(
        (calls(&metrics, "List"), errors(&metrics, "List")),
        (0.0, 1.0)
    );
    drop(list);
    assert_eq!(
        (calls(&metrics, "List"), errors(&metrics, "List")),
        (1.0, 1.0)
    );
    assert_eq!(
        (calls(&metrics, "Stat"), errors(&metrics, "Stat")),
        (2.0, 1.0)
    );
}

#[test]
fn labels_are_in_the_order_of_their_numbers() {
    assert!(actions::ACTIONS.is_sorted_by_key(|action| action.to_ascii_lowercase()));
    assert!(requests::CODES.is_sorted());
    assert!(requests::HANDLERS[..8].is_sorted());
}
