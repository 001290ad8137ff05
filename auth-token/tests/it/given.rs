//! What the tests begin with: a clock, and callers.

use std::time::SystemTime;

use auth_token::{Config, TokenAuth};
use registry_core::Ambient;
use registry_core::access::{
    AuthError, Authenticator, BearerError, Caller, Challenge, Credentials, Identity, Realm, Secret,
};

/// The clock of this machine, for tests with others, who have no clock that stands.
pub(crate) fn true_ambient() -> Ambient {
    Ambient {
        now: SystemTime::now,
        random,
    }
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

pub(crate) fn realm() -> Realm {
    Realm::Fixed("https://auth.example.com/token".to_owned())
}

/// What verifies tokens of `issuer`, with no keys yet.
pub(crate) fn config() -> Config {
    Config::new(realm(), "service", "issuer")
}

async fn show(auth: &dyn Authenticator, token: &str) -> Result<Identity, AuthError> {
    let token = Secret::new(token.to_owned());
    let caller = Caller::new(Credentials::Bearer(token), None);
    auth.authenticate(&caller).await
}

pub(crate) async fn is_believed(auth: &TokenAuth, token: &str) -> bool {
    match show(auth, token).await {
        Ok(identity) => {
            assert_eq!(identity.name.as_deref(), Some("alice"));
            true
        }
        Err(AuthError::Challenge(Challenge::Bearer { error, .. })) => {
            assert_eq!(error, Some(BearerError::InvalidToken));
            false
        }
        Err(other) => panic!("{other:?}"),
    }
}
