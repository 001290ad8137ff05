//! What a store that fails, hangs and comes back is called.

use registry_core::storage::{MemoryDriver, Storage};
use registry_core::testing::faults::{Control, Fault, Faulty};

use super::*;
use crate::ambient::ambient;
use crate::config::Config;

const NAME: &str = "storagedriver_inmemory";

/// A store that is looked at, by what the configuration says below `health.storagedriver`.
fn watched(settings: &str) -> (Arc<Health>, Control, tokio::task::JoinHandle<()>) {
    let text = format!(
        "version: 0.1\nstorage: inmemory\nhealth: {{storagedriver: {{enabled: true, {settings}}}}}"
    );
    let config = Config::parse("config.yml", &text, &[]).unwrap();
    let storage = Storage::from_driver(MemoryDriver::new(ambient()));
    let (storage, control) = Faulty::wrap(storage);
    let mut checks = Checks::new(&config.health, "inmemory", &storage.records);
    let health = Arc::new(checks.health());
    for check in &mut checks.0 {
        // What nobody waits for to see that a disk hangs.
        check.pace.patience = Duration::from_millis(50);
    }
    let running = tokio::spawn(checks.run(Arc::clone(&health)));
    (health, control, running)
}

async fn until(mut seen: impl FnMut() -> bool) {
    let mut every = interval(Duration::from_millis(1));
    let waited = timeout(Duration::from_secs(30), async {
        while !seen() {
            every.tick().await;
        }
    });
    waited.await.expect("it comes");
}

#[tokio::test]
async fn a_store_is_unwell_after_so_many_failures_in_a_row_and_well_after_one_success() {
    let (health, control, running) = watched("interval: 1ms, threshold: 3");
    until(|| control.calls().len() > 3).await;
    assert!(!health.is_failing());
    assert!(
        control
            .calls()
            .iter()
            .all(|call| call.name == "records.list")
    );
    control.reset();
    // Nothing is asked while this does not wait.
    let begin = control.calls().len();
    // Two failures in a row are not three.
    for n in [begin, begin + 1, begin + 3, begin + 4] {
        control.on_call(n, Fault::Fail);
    }
    until(|| {
        assert!(!health.is_failing(), "{:?}", health.reasons());
        control.calls().len() > begin + 6
    })
    .await;
    control.from_call(control.calls().len(), Fault::Fail);
    until(|| health.is_failing()).await;
    let reason = health.reasons().remove(NAME).unwrap();
    assert!(reason.contains("records.list failed"), "{reason}");
    control.reset();
    until(|| !health.is_failing()).await;
    assert!(health.reasons().is_empty());
    running.abort();
}

#[tokio::test]
async fn a_store_that_hangs_is_unwell_and_is_not_asked_again_until_it_answers() {
    let (health, control, running) = watched("interval: 1ms");
    until(|| control.calls().len() > 1).await;
    control.from_call(0, Fault::Stall);
    control.stalled().await;
    until(|| health.is_failing()).await;
    assert_eq!(health.reasons()[NAME], "no answer within 50ms");
    let asked = control.calls().len();
    // Longer than many intervals.
    let mut every = interval(Duration::from_millis(120));
    every.tick().await;
    every.tick().await;
    assert_eq!(control.calls().len(), asked);
    control.reset();
    until(|| !health.is_failing()).await;
    running.abort();
}
