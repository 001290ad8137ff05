//! What the tests begin with: a clock that stands, folders of their own, and callers.

use std::cell::Cell;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use auth_token::issuer::{IssuerConfig, Subject};
use auth_token::{Config, Issuer, TokenAuth};
use registry_core::Ambient;
use registry_core::access::{
    Access, Action, AuthError, Authenticator, BearerError, Caller, Challenge, Credentials,
    Identity, Realm, Secret,
};

thread_local! {
    /// Each test has its own, since its runtime has one thread, too.
    static NOW: Cell<u64> = const { Cell::new(1_790_000_000) };
}

pub(crate) const DAY: u64 = 24 * 60 * 60;

/// The clock of this test.
pub(crate) fn ambient() -> Ambient {
    Ambient {
        now: || SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.get()),
        random,
    }
}

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

/// Moves the clock of this test.
pub(crate) fn later(seconds: u64) {
    NOW.set(NOW.get() + seconds);
}

pub(crate) fn earlier(seconds: u64) {
    NOW.set(NOW.get() - seconds);
}

pub(crate) fn realm() -> Realm {
    Realm::Fixed("https://auth.example.com/token".to_owned())
}

/// What verifies tokens of `issuer`, with no keys yet.
pub(crate) fn config() -> Config {
    Config::new(realm(), "service", "issuer")
}

/// An issuer with its keys below this folder.
pub(crate) fn issuer(folder: &Path) -> Arc<Issuer> {
    issuer_of(IssuerConfig::new("issuer", "service", folder.join("keys")))
}

pub(crate) fn issuer_of(config: IssuerConfig) -> Arc<Issuer> {
    Issuer::open(config, ambient()).unwrap()
}

pub(crate) fn pull() -> Access {
    Access::repository(&"a/b".parse().unwrap(), Action::Pull)
}

/// What alice is known by.
pub(crate) static HASH: LazyLock<Secret<Vec<u8>>> = LazyLock::new(|| Secret::new(b"hash".to_vec()));

pub(crate) fn alice() -> Subject<'static> {
    Subject {
        name: "alice",
        credential: &HASH,
    }
}

/// A token for alice that lets her pull `a/b`.
pub(crate) async fn token(issuer: &Issuer) -> String {
    let minted = issuer.mint(Some(alice()), "service", &[pull()]).await;
    minted.unwrap().token.expose().clone()
}

pub(crate) async fn show(auth: &dyn Authenticator, token: &str) -> Result<Identity, AuthError> {
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
