//! What can go wrong when a store is opened, and how faults of it are told to core.

use std::error::Error as _;
use std::path::PathBuf;

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

/// What is said where the bucket is gone.
pub(crate) const NO_BUCKET: &str = "NoSuchBucket";

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
    /// The file of profiles has no credentials.
    #[error("profile {profile:?} of {}: {why}", path.display())]
    Profile {
        /// Which file.
        path: PathBuf,
        /// Which of its profiles.
        profile: String,
        /// What is wrong with it.
        why: String,
    },
    /// TLS cannot be spoken.
    #[error(transparent)]
    Tls(#[from] crate::TlsError),
    /// The bucket cannot be used.
    #[error("{doing} the bucket {bucket}, with credentials of {credentials}")]
    Unusable {
        /// What was being done.
        doing: &'static str,
        /// Which one.
        bucket: String,
        /// Where they were found.
        credentials: &'static str,
        /// Why it failed.
        #[source]
        source: BoxError,
    },
}

/// A fault of the store while `doing` something. Absence is [`StorageError::NotFound`] and nothing
/// else is.
pub(crate) fn fault(doing: &'static str) -> impl Fn(Error) -> StorageError + Copy {
    move |error| match &error {
        error if is_absent(error) => StorageError::NotFound,
        _ if is_full(&error) => StorageError::Full,
        _ => StorageError::Backend {
            driver: DRIVER,
            doing,
            temporary: may_pass(&error),
            source: told(&error),
        },
    }
}

/// Whether there is no such object. Without the bucket nothing is known of any.
pub(crate) fn is_absent(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && !says(error, NO_BUCKET)
}

/// Whatever is no answer, or one of the 5xx, after all retries. A conflict (409, 412) where no
/// condition was asked for is with another request, and ends with that. Credentials that have ended
/// come anew.
fn may_pass(error: &Error) -> bool {
    matches!(
        error,
        Error::Generic { .. } | Error::AlreadyExists { .. } | Error::Precondition { .. }
    ) || has_expired(&error.to_string())
}

/// The error in words, with what the store says of it, but not all: what was signed, and by whom,
/// may be there, too.
fn told(error: &Error) -> BoxError {
    let mut text = error.to_string();
    while let (Some(begin), Some(end)) = (text.find("<Error>"), text.find("</Error>")) {
        let said = match text.get(begin..end) {
            Some(xml) => said(xml),
            None => break,
        };
        let begin = text.find("<?xml").filter(|at| *at < begin).unwrap_or(begin);
        text.replace_range(begin..end + "</Error>".len(), &said);
    }
    text.into()
}

/// What a store says is wrong, of all that it says.
pub(crate) fn said(xml: &str) -> String {
    let field = |name: &str| {
        let (_, rest) = xml.split_once(&format!("<{name}>"))?;
        let (value, _) = rest.split_once(&format!("</{name}>"))?;
        Some(value)
    };
    let fields = [field("Code"), field("Message")].into_iter().flatten();
    fields.collect::<Vec<_>>().join(": ")
}

/// An answer that cannot be, or that leaves open what it was asked for. The next one may be better.
pub(crate) fn unclear(doing: &'static str, why: impl Into<BoxError>) -> StorageError {
    StorageError::Backend {
        driver: DRIVER,
        doing,
        temporary: true,
        source: why.into(),
    }
}

/// Whether this is what a store says of credentials that have ended.
pub(crate) fn has_expired(text: &str) -> bool {
    text.contains("<Code>ExpiredToken")
}

/// A fault that is not the store's.
pub(crate) fn broken(doing: &'static str, why: impl Into<BoxError>) -> StorageError {
    StorageError::backend(DRIVER, doing, why)
}

/// What the answer was is told only by the text: `object_store` keeps the rest to itself.
fn is_full(error: &Error) -> bool {
    FULL.iter().any(|code| says(error, code))
}

fn says(error: &Error, code: &str) -> bool {
    let text = error.source().map(ToString::to_string);
    text.is_some_and(|text| text.contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_says_is_told_without_what_was_signed() {
        let xml = "<?xml version=\"1.0\"?>\n<Error><Code>SignatureDoesNotMatch</Code><Message>No.\
                   </Message><CanonicalRequest>hush</CanonicalRequest></Error>";
        let error = Error::Generic {
            store: "S3",
            source: format!("answered 403: {xml} after all").into(),
        };
        let text = told(&error).to_string();
        assert!(
            text.ends_with("403: SignatureDoesNotMatch: No. after all"),
            "{text}"
        );
    }
}
