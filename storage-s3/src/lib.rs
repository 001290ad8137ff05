//! Blobs and records in an S3 bucket, in the tree that distribution keeps there.
//!
//! This crate depends on [`registry_core`] alone. It implements its storage traits on `object_store`
//! and leaves all semantics of a registry to core.
#![warn(missing_docs)]

mod blobs;
mod client;
mod clock;
mod config;
mod copy;
mod credentials;
mod endpoint;
mod error;
mod listing;
mod random;
mod reader;
mod records;
mod renewal;
mod requests;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod trash;
mod upload;
mod waste;

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use registry_core::StorageError;
use registry_core::storage::{Obstacle, OpenMode, Survey};

use self::records::Held;

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
    let asked = store.look().await;
    asked.map_err(|source| unusable(&store, "asking", source))?;
    let held = match mode {
        OpenMode::Serve | OpenMode::Collect => {
            let tried = records::probe(&store).await;
            let held = tried.map_err(|source| unusable(&store, "trying", source))?;
            warn(held);
            held
        }
        // Nothing is written.
        _ => Held::default(),
    };
    store.compares.store(held.checksums, Ordering::Relaxed);
    let writers = Arc::new(records::Writers::new(held));
    Ok(S3Driver { store, writers })
}

fn warn(held: Held) {
    if !held.writes {
        tracing::warn!(
            "the store passes over conditions of writes: one process may write, not several"
        );
    } else if !held.deletes {
        tracing::info!(
            "the store passes over conditions of deletes: a tag that one server moves while another \
             deletes what it was may be deleted with it"
        );
    }
}

fn unusable(store: &store::Store, doing: &'static str, source: StorageError) -> OpenError {
    let said = source.source().map(ToString::to_string);
    let source = match said.is_some_and(|said| said.contains("NoSuchBucket")) {
        true => "there is no such bucket".into(),
        false => source.into(),
    };
    OpenError::Unusable {
        doing,
        bucket: store.bucket.clone(),
        credentials: store.credentials,
        source,
    }
}

impl S3Driver {
    /// What there is to say of the store to whoever runs the registry. What it holds to is tried,
    /// as before serving: that leaves nothing behind, and nothing else tells.
    pub async fn survey(&self) -> Survey {
        let mut survey = Survey::default();
        let mut tell = |name, value: String| survey.facts.push((name, value));
        tell("bucket", self.store.bucket.clone());
        tell("endpoint", self.store.endpoint.clone());
        tell("credentials", self.store.credentials.to_owned());
        match records::probe(&self.store).await {
            Ok(held) => {
                let either = |held, yes: &str, no: &str| if held { yes } else { no }.to_owned();
                let (yes, no) = (
                    "held to; several servers may have the bucket",
                    "passed over; one server may have the bucket, not several",
                );
                tell("conditions of writes", either(held.writes, yes, no));
                let no = "passed over; a tag that one server moves while another deletes what it \
                          was may be deleted with it";
                tell("conditions of deletes", either(held.deletes, "held to", no));
                let (yes, no) = (
                    "compared; small blobs are written with theirs",
                    "passed over; what came is what was sent as far as the connection says so",
                );
                tell("checksums of writes", either(held.checksums, yes, no));
            }
            Err(source) => {
                let refused: Obstacle = Arc::new(unusable(&self.store, "trying", source));
                survey.serve = Some(refused);
            }
        }
        survey
    }
}

impl fmt::Debug for S3Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Driver").finish_non_exhaustive()
    }
}
