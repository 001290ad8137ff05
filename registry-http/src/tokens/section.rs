//! `auth.token`: tokens of another service.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use registry_core::BoxError;
use registry_core::access::Realm;
use serde::Deserialize;

use super::fetch::Published;
use crate::ambient::ambient;
use crate::builtin::tokens::{Algorithm, Config, Jwks, TokenAuth};

/// Where distribution's own token service has its endpoint.
const PATH: &str = "/auth/token";

/// The section as it stands.
#[derive(Debug, Deserialize)]
pub(crate) struct Section {
    realm: String,
    service: String,
    issuer: String,
    #[serde(default)]
    rootcertbundle: Option<PathBuf>,
    #[serde(default)]
    jwks: Option<String>,
    #[serde(default)]
    signingalgorithms: Vec<String>,
    #[serde(default)]
    autoredirect: bool,
    #[serde(default)]
    autoredirectpath: String,
    /// Ours: the longest time from a token's issue to its end, in seconds; 0 for any.
    #[serde(default = "a_day")]
    maxlifetime: u64,
}

fn a_day() -> u64 {
    24 * 60 * 60
}

impl Section {
    /// Reads the keys.
    ///
    /// # Errors
    /// What keeps them from being read.
    pub(crate) async fn open(self) -> Result<TokenAuth, BoxError> {
        let realm = match (self.autoredirect, self.autoredirectpath.is_empty()) {
            (false, _) => Realm::Fixed(self.realm),
            (true, true) => Realm::SameHost {
                path: PATH.to_owned(),
            },
            (true, false) => Realm::SameHost {
                path: self.autoredirectpath,
            },
        };
        let mut config = Config::new(realm, self.service, self.issuer);
        config.roots = self
            .rootcertbundle
            .filter(|path| !path.as_os_str().is_empty());
        config.jwks = match self.jwks.filter(|text| !text.is_empty()) {
            Some(url) if Published::is_url(&url) => {
                Some(Jwks::Remote(Arc::new(Published::open(&url).await?)))
            }
            Some(path) => Some(Jwks::File(path.into())),
            None => None,
        };
        if !self.signingalgorithms.is_empty() {
            let parsed = self.signingalgorithms.iter().map(|name| {
                let known: Result<Algorithm, _> = name.parse();
                known.map_err(|error| format!("`signingalgorithms`: {name:?} is {error}"))
            });
            config.algorithms = parsed.collect::<Result<_, _>>()?;
        }
        config.max_lifetime = match self.maxlifetime {
            0 => None,
            seconds => Some(Duration::from_secs(seconds)),
        };
        // It reads files.
        let opening = move || TokenAuth::open(config, ambient());
        Ok(tokio::task::spawn_blocking(opening).await??)
    }
}
