//! What can go wrong in a store.

use crate::BoxError;

use super::upload::Checkpoint;

/// A fault of a store, or the absence of what was asked for. The outer message says what was
/// being done, the source why it failed; neither repeats the other.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// It is not there. Only ever this, never a fault.
    #[error("not found")]
    NotFound,
    /// Someone else is writing to this upload.
    #[error("another request is writing to this upload")]
    Busy,
    /// No room: 507 at the edge.
    #[error("no space left in the store")]
    Full,
    /// The range lies outside the blob.
    #[error("requested range lies outside the blob")]
    Range,
    /// The store was opened read-only and refuses to change.
    #[error("the store is read-only")]
    ReadOnly,
    /// Any other fault of the backend: 5xx at the edge, never 404.
    #[error("{driver}: {doing} failed")]
    Backend {
        /// Which driver it was.
        driver: &'static str,
        /// What was being done.
        doing: &'static str,
        /// Whether the same call may succeed later.
        temporary: bool,
        /// Why.
        #[source]
        source: BoxError,
    },
}

impl StorageError {
    /// A fault that will not go away by itself.
    pub fn backend(driver: &'static str, doing: &'static str, source: impl Into<BoxError>) -> Self {
        Self::Backend {
            driver,
            doing,
            temporary: false,
            source: source.into(),
        }
    }
}

/// A commit that published nothing.
#[derive(Debug, thiserror::Error)]
#[error("committing an upload failed")]
#[non_exhaustive]
pub struct CommitFailed {
    /// From where the upload can go on, if it can.
    pub checkpoint: Option<Checkpoint>,
    /// Why.
    #[source]
    pub source: StorageError,
}

impl CommitFailed {
    /// `checkpoint` is from where the upload can go on.
    #[must_use]
    pub fn new(checkpoint: Option<Checkpoint>, source: StorageError) -> Self {
        Self { checkpoint, source }
    }
}
