//! Blobs and records in an S3 bucket, in the tree that distribution keeps there.
//!
//! This crate depends on [`registry_core`] alone. It implements its storage traits on `object_store`
//! and leaves all semantics of a registry to core. The driver is not part of this release; a
//! configuration that names it is refused with an error that says so.
#![warn(missing_docs)]

mod blobs;
mod client;
mod clock;
mod config;
mod copy;
mod error;
mod random;
mod reader;
mod records;
mod requests;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod trash;
mod upload;

use std::fmt;
use std::sync::Arc;

use registry_core::storage::OpenMode;

pub use self::client::TlsError;
pub use self::config::Config;
pub use self::error::OpenError;
#[doc(no_inline)]
pub use registry_core;

/// An open store. Clones share it.
#[derive(Clone)]
pub struct S3Driver {
    store: Arc<store::Store>,
    writers: Arc<records::Writers>,
}

/// Opens the store in the configured bucket. To serve, it is tried what the store holds to: a
/// record is put under conditions that must be refused, listed, and removed again.
///
/// # Errors
/// Where the bucket cannot be asked, or, to serve, written to.
pub async fn open(config: &Config, mode: OpenMode) -> Result<S3Driver, OpenError> {
    let store = Arc::new(store::Store::new(config)?);
    let unusable = |doing| {
        move |source: registry_core::StorageError| OpenError::Unusable {
            doing,
            bucket: config.bucket.clone(),
            source: source.into(),
        }
    };
    store.now().await.map_err(unusable("asking"))?;
    let enforced = match mode {
        OpenMode::Serve | OpenMode::Collect => {
            records::probe(&store).await.map_err(unusable("trying"))?
        }
        // Nothing is written.
        _ => false,
    };
    let writers = Arc::new(records::Writers::new(enforced));
    Ok(S3Driver { store, writers })
}

impl fmt::Debug for S3Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Driver").finish_non_exhaustive()
    }
}
