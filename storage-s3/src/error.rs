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
        Error::NotFound { .. } => StorageError::NotFound,
        _ if is_full(&error) => StorageError::Full,
        _ => StorageError::Backend {
            driver: DRIVER,
            doing,
            // Whatever is no answer, or one of the 5xx, after all retries.
            temporary: matches!(error, Error::Generic { .. }),
            source: told(&error),
        },
    }
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

/// A fault that is not the store's.
pub(crate) fn broken(doing: &'static str, why: impl Into<BoxError>) -> StorageError {
    StorageError::backend(DRIVER, doing, why)
}

/// What the answer was is told only by the text: `object_store` keeps the rest to itself.
fn is_full(error: &Error) -> bool {
    let text = error.source().map(ToString::to_string).unwrap_or_default();
    FULL.iter().any(|code| text.contains(code))
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
