//! What the semantics promise, over real files. Here only the order of calls is looked at: nothing
//! is synced, and since some thousand directories are made for each test, they are made in memory
//! where the machine has such a place.

use registry_core::Storage;
use registry_core::storage::OpenMode;
use storage_fs::{Config, Durability};
use tempfile::TempDir;

/// Of the thousands of schedules of three steps; over memory all of them are run.
const SCHEDULES: usize = 70;

async fn fresh() -> (Storage, TempDir) {
    let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let root = root.unwrap();
    let mut config = Config::new(root.path());
    config.durability = Durability::Relaxed;
    let driver = storage_fs::open(&config, OpenMode::Serve).unwrap();
    (Storage::from_driver(driver), root)
}

registry_core::storage_faults!(fresh);
registry_core::storage_collection!(fresh);
registry_core::storage_stamps!(fresh);
registry_core::storage_interleavings!(fresh, SCHEDULES);
registry_core::storage_lists!(fresh);
