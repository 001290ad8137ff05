//! What the registry answers when it cannot do what was asked, with the code of the specification.

use crate::BoxError;
use crate::digest::{AnyDigest, Digest};
use crate::manifest::ManifestError;
use crate::name::RepositoryName;
use crate::storage::{StorageError, UploadId};

/// An error code of the distribution specification, or of distribution beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // the names are the specification's
pub enum ErrorCode {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    Denied,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    PaginationNumberInvalid,
    RangeInvalid,
    SizeInvalid,
    TagInvalid,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unknown,
    Unsupported,
}

impl ErrorCode {
    /// The code as it is written, and distribution's message for it.
    #[must_use]
    pub fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::BlobUnknown => ("BLOB_UNKNOWN", "blob unknown to registry"),
            Self::BlobUploadInvalid => ("BLOB_UPLOAD_INVALID", "blob upload invalid"),
            Self::BlobUploadUnknown => ("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"),
            Self::Denied => ("DENIED", "requested access to the resource is denied"),
            Self::DigestInvalid => (
                "DIGEST_INVALID",
                "provided digest did not match uploaded content",
            ),
            Self::ManifestBlobUnknown => ("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"),
            Self::ManifestInvalid => ("MANIFEST_INVALID", "manifest invalid"),
            Self::ManifestUnknown => ("MANIFEST_UNKNOWN", "manifest unknown"),
            Self::NameInvalid => ("NAME_INVALID", "invalid repository name"),
            Self::NameUnknown => ("NAME_UNKNOWN", "repository name not known to registry"),
            Self::PaginationNumberInvalid => (
                "PAGINATION_NUMBER_INVALID",
                "invalid number of results requested",
            ),
            Self::RangeInvalid => ("RANGE_INVALID", "invalid content range"),
            Self::SizeInvalid => (
                "SIZE_INVALID",
                "provided length did not match content length",
            ),
            Self::TagInvalid => ("TAG_INVALID", "manifest tag did not match URI"),
            Self::TooManyRequests => ("TOOMANYREQUESTS", "too many requests"),
            Self::Unauthorized => ("UNAUTHORIZED", "authentication required"),
            Self::Unavailable => ("UNAVAILABLE", "service unavailable"),
            Self::Unknown => ("UNKNOWN", "unknown error"),
            Self::Unsupported => ("UNSUPPORTED", "The operation is unsupported."),
        }
    }
}

/// Where an upload stands, for an answer that tells the client how to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)]
pub struct Progress {
    /// Which upload.
    pub id: UploadId,
    /// Bytes received so far.
    pub len: u64,
}

/// Why the registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Not in this repository.
    #[error("blob {0} is unknown")]
    BlobUnknown(Digest),
    /// The body of the request could not be read to its end: the client went away or stood still.
    #[error("the body of the request did not arrive")]
    Body(#[source] BoxError),
    /// The configuration does not want it here, whoever asks.
    #[error("denied: {0}")]
    Denied(String),
    /// Content and digest differ, or the digest is none.
    #[error("digest invalid: {0}")]
    DigestInvalid(String),
    /// Everything that a manifest needs and that is not there.
    #[error("manifest needs {} unknown blob(s)", .0.len())]
    ManifestBlobUnknown(Vec<AnyDigest>),
    /// No manifest that we accept.
    #[error("manifest invalid: {0}")]
    ManifestInvalid(String),
    /// No such manifest or tag in this repository.
    #[error("manifest unknown: {0}")]
    ManifestUnknown(String),
    /// No such repository.
    #[error("repository {0} is unknown")]
    NameUnknown(RepositoryName),
    /// The upload does not stand where the request begins, or someone else is writing to it.
    #[error("upload {} stands at {}", .0.id, .0.len)]
    RangeInvalid(Progress),
    /// Declared and received length differ.
    #[error("size invalid: {0}")]
    SizeInvalid(String),
    /// The store failed.
    #[error("storage")]
    Storage(#[from] StorageError),
    /// Switched off by configuration.
    #[error("unsupported: {0}")]
    Unsupported(&'static str),
    /// The state in the URL of an upload is not of our making, or not of this upload.
    #[error("upload state invalid")]
    UploadInvalid,
    /// Never begun, finished, cancelled, expired, or of another repository.
    #[error("upload unknown")]
    UploadUnknown,
}

impl RegistryError {
    /// The code of the specification.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::BlobUnknown(_) => ErrorCode::BlobUnknown,
            Self::Body(_) => ErrorCode::BlobUploadInvalid,
            Self::Denied(_) => ErrorCode::Denied,
            Self::DigestInvalid(_) => ErrorCode::DigestInvalid,
            Self::ManifestBlobUnknown(_) => ErrorCode::ManifestBlobUnknown,
            Self::ManifestInvalid(_) => ErrorCode::ManifestInvalid,
            Self::ManifestUnknown(_) => ErrorCode::ManifestUnknown,
            Self::NameUnknown(_) => ErrorCode::NameUnknown,
            Self::RangeInvalid(_) => ErrorCode::RangeInvalid,
            Self::SizeInvalid(_) => ErrorCode::SizeInvalid,
            Self::Storage(StorageError::Full) => ErrorCode::Unavailable,
            Self::Storage(_) => ErrorCode::Unknown,
            Self::Unsupported(_) => ErrorCode::Unsupported,
            Self::UploadInvalid => ErrorCode::BlobUploadInvalid,
            Self::UploadUnknown => ErrorCode::BlobUploadUnknown,
        }
    }
}

impl From<ManifestError> for RegistryError {
    fn from(error: ManifestError) -> Self {
        match error {
            ManifestError::Denied(reason) => Self::Denied(reason),
            ManifestError::Invalid(reason) => Self::ManifestInvalid(reason),
            ManifestError::Digest(_) => Self::DigestInvalid(error.to_string()),
        }
    }
}
