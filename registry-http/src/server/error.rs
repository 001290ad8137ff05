//! Why a server does not start.

use std::io;

use registry_core::{BoxError, RegistryError};

use super::refused::remedy;
use crate::config::{ConfigError, Origin};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The users cannot be asked for.
    #[error("opening `auth.{kind}`")]
    #[non_exhaustive]
    Auth {
        /// Which scheme.
        kind: String,
        /// Why not.
        #[source]
        source: BoxError,
    },
    /// Nothing can listen there.
    #[error(
        "`{key}` ({origin}): listening on {addr}: {reason}{}",
        remedy(reason, key)
    )]
    #[non_exhaustive]
    Listen {
        /// The key that says where.
        key: &'static str,
        /// Where that came from.
        origin: Origin,
        /// Where.
        addr: String,
        /// Why not.
        reason: io::Error,
    },
    /// What is to be counted cannot be, which is a bug.
    #[error("preparing the metrics")]
    Metrics(#[source] BoxError),
    /// Uploads and keys need bytes that nobody can guess.
    #[error("the system gives no random bytes")]
    Random(#[source] getrandom::Error),
    /// The store does not hold what a registry needs.
    #[error("opening the registry in the store")]
    Registry(#[source] RegistryError),
    /// What the program needs of the system beside that.
    #[error("{doing}")]
    #[non_exhaustive]
    System {
        /// What was being done.
        doing: &'static str,
        /// Why it did not work.
        #[source]
        source: io::Error,
    },
    /// The driver does not open its store.
    #[error("`{key}` ({origin}): opening the {kind} store")]
    #[non_exhaustive]
    Storage {
        /// Which driver.
        kind: String,
        /// The key that says where the store is.
        key: String,
        /// Where that came from.
        origin: Origin,
        /// Why not.
        #[source]
        source: BoxError,
    },
}
