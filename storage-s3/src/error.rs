//! What can go wrong when a store is opened, and how faults of it are told to core.

use std::error::Error as _;

use object_store::Error;
use registry_core::{BoxError, StorageError};

/// How this driver is named in errors.
pub(crate) const DRIVER: &str = "s3";

/// Codes with which stores say that they have no room.
const FULL: [&str; 4] = [
    "507 Insufficient Storage",
    "QuotaExceeded",
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
];

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting that cannot be.
    #[error("{key}: {why}")]
    Setting {
        /// Under which name.
        key: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// TLS cannot be spoken.
    #[error(transparent)]
    Tls(#[from] crate::TlsError),
    /// The bucket cannot be used.
    #[error("{doing} the bucket {bucket}")]
    Unusable {
        /// What was being done.
        doing: &'static str,
        /// Which one.
        bucket: String,
        /// Why it failed.
        #[source]
        source: BoxError,
    },
}

/// A fault of the store while `doing` something. Absence is [`StorageError::NotFound`] and nothing
/// else is.
pub(crate) fn fault(doing: &'static str) -> impl Fn(Error) -> StorageError + Copy {
    move |error| match &error {
        Error::NotFound { .. } => StorageError::NotFound,
        _ if is_full(&error) => StorageError::Full,
        _ => StorageError::Backend {
            driver: DRIVER,
            doing,
            // Whatever is no answer, or one of the 5xx, after all retries.
            temporary: matches!(error, Error::Generic { .. }),
            source: error.into(),
        },
    }
}

/// A fault that is not the store's.
pub(crate) fn broken(doing: &'static str, why: impl Into<BoxError>) -> StorageError {
    StorageError::backend(DRIVER, doing, why)
}

/// What the answer was is told only by the text: `object_store` keeps the rest to itself.
fn is_full(error: &Error) -> bool {
    let text = error.source().map(ToString::to_string).unwrap_or_default();
    FULL.iter().any(|code| text.contains(code))
}
