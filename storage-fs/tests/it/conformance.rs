use registry_core::Storage;

use crate::store::{TestStore, open};

async fn fresh() -> (Storage, TestStore) {
    let store = open();
    (store.storage.clone(), store)
}

registry_core::storage_conformance!(fresh);
