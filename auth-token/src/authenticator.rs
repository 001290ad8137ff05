//! The authenticator: a token in, who it is and what it may do out.

use std::num::NonZeroU64;
use std::sync::Arc;

use async_trait::async_trait;
use registry_core::access::{
    AuthError, Authenticator, BearerError, Caller, Challenge, Credentials, Identity, Realm, Secret,
};
use registry_core::{Ambient, BoxError};

use crate::algorithm::Algorithm;
use crate::cache::{Cache, Known};
use crate::claims::seconds_of;
use crate::config::Config;
use crate::error::{OpenError, TokenError};
use crate::issuer::{Issuer, Subject};
use crate::keyring::Keyring;
use crate::keys::Keys;
use crate::verifier::Verifier;

/// Verifies bearer tokens, of another issuer or of our own.
#[derive(Debug)]
pub struct TokenAuth {
    realm: Realm,
    verifier: Verifier,
    source: Source,
    cache: Cache,
    ambient: Ambient,
}

/// Where the keys are.
#[derive(Debug)]
enum Source {
    Other(Keyring),
    Own(Arc<Issuer>),
}

impl Source {
    /// The keys, unless it is time to look for others.
    fn at_hand(&self) -> Option<Arc<Keys>> {
        match self {
            Self::Other(_) => None,
            Self::Own(issuer) => issuer.keys_at_hand(),
        }
    }

    async fn current(&self) -> Arc<Keys> {
        match self {
            Self::Other(keyring) => keyring.current().await,
            Self::Own(issuer) => issuer.keys().await,
        }
    }

    /// Looks for a key that is not known. `false` if nothing can be found anywhere.
    async fn ask(&self) -> bool {
        match self {
            Self::Other(keyring) => keyring.ask().await,
            Self::Own(issuer) => {
                issuer.look_again().await;
                true
            }
        }
    }
}

/// Why a caller with a token is not let in.
#[derive(Debug)]
enum Refused {
    Token(TokenError),
    /// There are no keys yet, or none any more.
    NoKeys,
}

#[derive(Debug, thiserror::Error)]
#[error("the keys that verify tokens could not be fetched")]
struct NotFetched;

impl TokenAuth {
    /// Reads the keys of the configured files. A URL is asked when the first token comes.
    ///
    /// This blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`OpenError::NoKey`] when there is nothing to verify with, and whatever keeps a file from
    /// being read.
    pub fn open(config: Config, ambient: Ambient) -> Result<Self, OpenError> {
        let source = Source::Other(Keyring::open(&config, ambient)?);
        Ok(Self::with(config, source, ambient))
    }

    /// Verifies what `issuer` issues for this service; `realm` is where its endpoint is.
    #[must_use]
    pub fn of_issuer(
        issuer: &Arc<Issuer>,
        realm: Realm,
        service: impl Into<String>,
        ambient: Ambient,
    ) -> Self {
        let mut config = Config::new(realm, service, issuer.name());
        config.algorithms = vec![Algorithm::Es256, Algorithm::EdDsa];
        // Its lifetime is a setting of its own.
        config.max_lifetime = None;
        Self::with(config, Source::Own(Arc::clone(issuer)), ambient)
    }

    fn with(config: Config, source: Source, ambient: Ambient) -> Self {
        Self {
            realm: config.realm,
            verifier: Verifier {
                issuer: config.issuer,
                service: config.service,
                max_lifetime: config.max_lifetime,
                algorithms: config.algorithms,
            },
            source,
            cache: Cache::new((ambient.random)()),
            ambient,
        }
    }

    async fn bearer(&self, token: &str) -> Result<Known, Refused> {
        let now = seconds_of((self.ambient.now)());
        // What is seldom taken has its own room: each request brings all that is not boxed here.
        let keys = match self.source.at_hand() {
            Some(keys) => keys,
            None => Box::pin(self.source.current()).await,
        };
        match self.cache.find(token, keys.generation, now) {
            Some(known) => Ok(known),
            None => Box::pin(self.verified(token, keys, now)).await,
        }
    }

    /// Verifies it, and remembers that.
    async fn verified(&self, token: &str, keys: Arc<Keys>, now: i64) -> Result<Known, Refused> {
        let verified = match self.verifier.verify(token, &keys, now) {
            Err(TokenError::UnknownKey) => {
                let known = self.source.ask().await;
                let keys = self.source.current().await;
                match self.verifier.verify(token, &keys, now) {
                    Err(TokenError::UnknownKey) if !known => return Err(Refused::NoKeys),
                    other => other,
                }
            }
            other => other,
        };
        let verified = verified.map_err(Refused::Token)?;
        self.cache.keep(token, verified.clone());
        Ok(verified)
    }

    async fn known(&self, caller: &Caller) -> Result<Known, AuthError> {
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
                Refused::NoKeys => AuthError::Unavailable(BoxError::from(NotFetched)),
            })
    }

    /// Whether a token is bound to what its user is known by. One of another issuer is to nothing.
    fn is_bound(&self, known: &Known, subject: Subject<'_>) -> bool {
        match &self.source {
            Source::Other(_) => true,
            Source::Own(issuer) => {
                let bond = known.bond.as_deref();
                bond.is_some_and(|bond| issuer.is_bound(bond, subject))
            }
        }
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
        Ok(self.known(caller).await?.identity)
    }

    fn challenge(&self) -> Challenge {
        self.asking(Some(BearerError::InsufficientScope))
    }

    async fn reload(&self) {
        match &self.source {
            Source::Other(keyring) => keyring.reload().await,
            Source::Own(issuer) => issuer.look_again().await,
        }
    }
}

/// Tokens, and beside them user and password: what a registry with a token service of its own
/// accepts.
#[derive(Debug)]
pub struct WithBasic {
    tokens: TokenAuth,
    basic: Arc<dyn Authenticator>,
    anonymous: bool,
}

impl WithBasic {
    /// Asks `basic` about users and passwords. Everyone is told to fetch a token.
    #[must_use]
    pub fn new(tokens: TokenAuth, basic: Arc<dyn Authenticator>) -> Self {
        Self {
            tokens,
            basic,
            anonymous: false,
        }
    }

    /// Whether there are callers who need not say who they are.
    #[must_use]
    pub fn anonymous(mut self, anonymous: bool) -> Self {
        self.anonymous = anonymous;
        self
    }

    /// A token lives on for minutes when its user is gone, or has another password; who has it
    /// does not.
    async fn is_over(&self, known: &Known) -> bool {
        let Some(name) = known.identity.name.as_deref() else {
            return false;
        };
        // Before the credential, which may change in between and is then of a later one.
        let generation = self.basic.generation();
        let bond = known.bond.as_deref();
        if let (Some(generation), Some(bond)) = (generation, bond)
            && bond.held_at(generation)
        {
            return false;
        }
        let credential = self.basic.credential(name).await;
        let is_bound = credential.is_some_and(|credential| {
            let credential = &credential;
            self.tokens.is_bound(known, Subject { name, credential })
        });
        if let (true, Some(generation), Some(bond)) = (is_bound, generation, bond) {
            bond.hold_at(generation);
        }
        !is_bound
    }
}

#[async_trait]
impl Authenticator for WithBasic {
    async fn authenticate(&self, caller: &Caller) -> Result<Identity, AuthError> {
        match &caller.credentials {
            Credentials::Anonymous if self.anonymous => return Ok(Identity::anonymous()),
            Credentials::Anonymous | Credentials::Bearer(_) => {
                let known = self.tokens.known(caller).await?;
                if self.is_over(&known).await {
                    let address = caller.address.map(tracing::field::display);
                    tracing::info!(address, "a token for credentials that have changed");
                    let asking = self.tokens.asking(Some(BearerError::InvalidToken));
                    return Err(AuthError::Challenge(asking));
                }
                return Ok(known.identity);
            }
            _ => {}
        }
        self.basic
            .authenticate(caller)
            .await
            .map_err(|error| match error {
                // Several clients read one challenge, so there is one: that of the scheme they all know.
                AuthError::Challenge(_) => AuthError::Challenge(self.tokens.asking(None)),
                other => other,
            })
    }

    fn challenge(&self) -> Challenge {
        self.tokens.challenge()
    }

    async fn credential(&self, user: &str) -> Option<Secret<Vec<u8>>> {
        self.basic.credential(user).await
    }

    fn generation(&self) -> Option<NonZeroU64> {
        self.basic.generation()
    }

    async fn reload(&self) {
        self.basic.reload().await;
        self.tokens.reload().await;
    }
}
