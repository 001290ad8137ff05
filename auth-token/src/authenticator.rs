//! The authenticator: a token in, who it is and what it may do out.

use async_trait::async_trait;
use registry_core::access::{
    AuthError, Authenticator, BearerError, Caller, Challenge, Credentials, Identity, Realm,
};
use registry_core::{Ambient, BoxError};

use crate::cache::Cache;
use crate::claims::seconds_of;
use crate::config::Config;
use crate::error::{OpenError, TokenError};
use crate::keyring::Keyring;
use crate::verifier::Verifier;

/// Verifies bearer tokens of another issuer.
#[derive(Debug)]
pub struct TokenAuth {
    realm: Realm,
    verifier: Verifier,
    keyring: Keyring,
    cache: Cache,
    ambient: Ambient,
}

/// Why a caller with a token is not let in.
#[derive(Debug)]
enum Refused {
    Token(TokenError),
    /// There are no keys yet.
    NoKeys,
}

#[derive(Debug, thiserror::Error)]
#[error("the keys that verify tokens were never fetched")]
struct NeverFetched;

impl TokenAuth {
    /// Reads the keys of the configured files. A URL is asked when the first token comes.
    ///
    /// This blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`OpenError::NoKey`] when there is nothing to verify with, and whatever keeps a file from
    /// being read.
    pub fn open(config: Config, ambient: Ambient) -> Result<Self, OpenError> {
        let keyring = Keyring::open(&config, ambient)?;
        Ok(Self {
            realm: config.realm,
            verifier: Verifier {
                issuer: config.issuer,
                service: config.service,
                max_lifetime: config.max_lifetime,
                algorithms: config.algorithms,
            },
            keyring,
            cache: Cache::new((ambient.random)()),
            ambient,
        })
    }

    /// Reads all files of keys, and asks the URL, at once: for an operator who says so.
    pub async fn reload(&self) {
        self.keyring.reload().await;
    }

    async fn bearer(&self, token: &str) -> Result<Identity, Refused> {
        let now = seconds_of((self.ambient.now)());
        let keys = self.keyring.current().await;
        if let Some(identity) = self.cache.find(token, keys.generation, now) {
            return Ok(identity);
        }
        let verified = match self.verifier.verify(token, &keys, now) {
            Err(TokenError::UnknownKey) => {
                let known = self.keyring.ask().await;
                let keys = self.keyring.current().await;
                match self.verifier.verify(token, &keys, now) {
                    Err(TokenError::UnknownKey) if !known => return Err(Refused::NoKeys),
                    other => other,
                }
            }
            other => other,
        };
        let verified = verified.map_err(Refused::Token)?;
        let identity = verified.identity.clone();
        self.cache.keep(token, verified);
        Ok(identity)
    }

    fn asking(&self, error: Option<BearerError>) -> Challenge {
        Challenge::Bearer {
            realm: self.realm.clone(),
            service: self.verifier.service.clone(),
            error,
        }
    }
}

#[async_trait]
impl Authenticator for TokenAuth {
    async fn authenticate(&self, caller: &Caller) -> Result<Identity, AuthError> {
        // As distribution, which takes other credentials for none.
        let Credentials::Bearer(token) = &caller.credentials else {
            return Err(AuthError::Challenge(self.asking(None)));
        };
        if token.expose().is_empty() {
            return Err(AuthError::Challenge(self.asking(None)));
        }
        self.bearer(token.expose())
            .await
            .map_err(|refused| match refused {
                Refused::Token(why) => {
                    let address = caller.address.map(tracing::field::display);
                    tracing::info!(%why, address, "a token is not believed");
                    AuthError::Challenge(self.asking(Some(BearerError::InvalidToken)))
                }
                Refused::NoKeys => AuthError::Unavailable(BoxError::from(NeverFetched)),
            })
    }

    fn challenge(&self) -> Challenge {
        self.asking(Some(BearerError::InsufficientScope))
    }
}
