//! The reference driver, and what the semantics promise over it.

use registry_core::storage::{MemoryDriver, Storage};
use registry_core::testing::ambient;

async fn open() -> (Storage, ()) {
    (Storage::from_driver(MemoryDriver::new(ambient())), ())
}

registry_core::storage_conformance!(open);
registry_core::storage_faults!(open);
registry_core::storage_collection!(open);
registry_core::storage_stamps!(open);
registry_core::storage_interleavings!(open, usize::MAX);
registry_core::storage_lists!(open);
