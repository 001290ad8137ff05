//! What the verifier is told.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registry_core::BoxError;
use registry_core::access::Realm;

use crate::algorithm::Algorithm;

/// Distribution's `auth.token`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where clients get their tokens: `realm`, or `autoredirect` with its path.
    pub realm: Realm,
    /// Which audience a token must name: `service`.
    pub service: String,
    /// Who must have issued it: `issuer`.
    pub issuer: String,
    /// File of PEM certificates, whose keys are trusted and which chains may end in:
    /// `rootcertbundle`.
    pub roots: Option<PathBuf>,
    /// A set of JSON Web Keys: `jwks`.
    pub jwks: Option<Jwks>,
    /// The algorithms that are accepted: `signingalgorithms`. All by default.
    pub algorithms: Vec<Algorithm>,
    /// Longest time between a token's issue and its end; a day by default.
    pub max_lifetime: Option<Duration>,
}

impl Config {
    /// A configuration without keys, which are still to be added.
    pub fn new(realm: Realm, service: impl Into<String>, issuer: impl Into<String>) -> Self {
        Self {
            realm,
            service: service.into(),
            issuer: issuer.into(),
            roots: None,
            jwks: None,
            algorithms: Algorithm::all(),
            max_lifetime: Some(Duration::from_secs(24 * 60 * 60)),
        }
    }
}

/// Where a set of keys is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Jwks {
    /// In a file, which is looked at at most once a second.
    File(PathBuf),
    /// At a URL, which is asked at most once a minute.
    Remote(Arc<dyn FetchKeys>),
}

/// Fetches a set of keys from where it is published. This crate has no HTTP client.
///
/// # Contract
/// * The address is one that the operator wrote, and no redirect leads to another origin.
/// * No more than `limit` bytes are read; more than that is an error.
/// * It is given ten seconds and then dropped.
#[async_trait]
pub trait FetchKeys: fmt::Debug + Send + Sync + 'static {
    /// The document as it stands.
    async fn fetch(&self, limit: usize) -> Result<Vec<u8>, BoxError>;
}
