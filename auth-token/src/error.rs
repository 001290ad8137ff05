//! What goes wrong when keys are opened and when a token is looked at.

use std::path::PathBuf;

use registry_core::BoxError;

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting that cannot be meant.
    #[error("{0}")]
    Invalid(&'static str),
    /// A file cannot be read, or not be written.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What a file has is no key, no certificate, or no set of keys.
    #[error("{}: {what}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There is nothing that a token could be verified with.
    #[error("no key to verify tokens with: neither `rootcertbundle` nor `jwks` has one")]
    NoKey,
    /// A key could not be made.
    #[error("a key cannot be made: {0}")]
    Key(&'static str),
    /// A certificate could not be made.
    #[error("a certificate cannot be made")]
    Certificate(#[source] BoxError),
}

/// Why a token is not believed. Its text says nothing of what is in the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("malformed: {0}")]
    Malformed(&'static str),
    #[error("its algorithm is not allowed")]
    Algorithm,
    #[error("its header has extensions that must be understood")]
    Critical,
    #[error("it names no key")]
    NoKey,
    #[error("its key is not known")]
    UnknownKey,
    #[error("its key is not for its algorithm")]
    KeyMismatch,
    #[error("its certificates lead to no root: {0}")]
    Chain(String),
    #[error("its signature is wrong")]
    Signature,
    #[error("the claim `{0}` is missing or not of its form")]
    Claim(&'static str),
    #[error("it is of another issuer")]
    Issuer,
    #[error("it is for another service")]
    Audience,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYet,
    #[error("it lives longer than allowed")]
    Lifetime,
}
