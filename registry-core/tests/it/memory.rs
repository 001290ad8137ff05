//! The reference driver.

use registry_core::storage::{MemoryDriver, Storage};
use registry_core::testing::ambient;

async fn open() -> (Storage, ()) {
    (Storage::from_driver(MemoryDriver::new(ambient())), ())
}

registry_core::storage_conformance!(open);
