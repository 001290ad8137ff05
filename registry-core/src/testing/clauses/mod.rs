//! The contract of [`BlobStore`](crate::storage::BlobStore) and
//! [`RecordStore`](crate::storage::RecordStore), clause by clause. Each takes an empty store and
//! panics where the store breaks it.
#![allow(missing_docs, reason = "the name of a clause is the sentence it tests")]
#![allow(clippy::unwrap_used, reason = "these are the bodies of tests")]

mod blobs;
mod listing;
mod records;
mod trash;
mod uploads;

use std::time::{Duration, SystemTime};

use crate::storage::{Storage, UploadHint, UploadId, UploadWriter};

pub use self::blobs::*;
pub use self::listing::*;
pub use self::records::*;
pub use self::trash::*;
pub use self::uploads::*;

/// Waits until the clock of the store is past this time, and says what it shows then. What is
/// stamped afterwards must be later than `than`: a driver whose stamps lag behind its clock
/// (files are stamped by a coarser one) must take both from the same place.
async fn past(storage: &Storage, than: SystemTime) -> SystemTime {
    let advance = async {
        loop {
            let now = storage.blobs.now().await.unwrap();
            if now > than {
                return now;
            }
            tokio::task::yield_now().await;
        }
    };
    let limit = Duration::from_secs(30);
    let passed = tokio::time::timeout(limit, advance).await;
    passed.expect("the clock of the store stands still")
}

async fn begin(storage: &Storage, id: &UploadId) -> Box<dyn UploadWriter> {
    let hint = UploadHint::default();
    storage.blobs.open_upload(id, None, hint).await.unwrap()
}

pub async fn the_clock_does_not_go_back(storage: &Storage) {
    let mut before = storage.blobs.now().await.unwrap();
    for _ in 0..10 {
        let now = storage.blobs.now().await.unwrap();
        assert!(now >= before, "{now:?} after {before:?}");
        before = now;
    }
    past(storage, before).await;
}
