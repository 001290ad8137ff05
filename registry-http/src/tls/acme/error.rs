//! What goes wrong on the way to a certificate.

use std::io;
use std::path::PathBuf;

use registry_core::BoxError;

/// Why there is no certificate, or no new one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcmeError {
    /// A file of the folder.
    #[error("{}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file that is there and of no use.
    #[error("{}: {what}", path.display())]
    Content { path: PathBuf, what: String },
    /// What the authority says, or that it says nothing.
    #[error("asking {authority}")]
    Authority {
        authority: String,
        #[source]
        source: instant_acme::Error,
    },
    /// The authority looked for us and did not find us, in its own words.
    #[error("the authority could not validate this host: {0}")]
    Invalid(String),
    /// The authority has no challenge that can be met here.
    #[error("the authority offers no TLS-ALPN-01 for this host")]
    NoChallenge,
    /// What the authority gave is no certificate of this host.
    #[error("what was issued is of no use: {0}")]
    Issued(String),
    /// All of an order took too long.
    #[error("the order did not end within {0:?}")]
    Late(std::time::Duration),
    /// Keys cannot be made.
    #[error("making a key or a request")]
    Crypto(#[source] BoxError),
}

impl AcmeError {
    /// Whether the authority has answered, and said no. Otherwise it may not even know that it was
    /// asked.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Authority { source, .. } => match source {
                instant_acme::Error::Api(problem) => problem.status.is_none_or(|code| code < 500),
                instant_acme::Error::Other(_) | instant_acme::Error::Json(_) => false,
                _ => true,
            },
            Self::File { .. } | Self::Content { .. } => false,
            _ => true,
        }
    }
}
