//! Tokens of our own: the half of a token service that needs no HTTP.

mod bond;
mod certificate;
mod config;
mod mint;
mod plan;
mod refresh;
mod signing;
mod store;

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use registry_core::Ambient;
use registry_core::access::{Access, Secret};
use serde_json::json;

pub use self::bond::Subject;
pub use self::config::{IssuerConfig, KeyKind};
pub use self::mint::{MintError, Minted};
pub use self::refresh::{Holder, Refresh, RefreshError};

pub(crate) use self::bond::Bond;
use self::plan::{Born, Times, plan};
use self::signing::SigningKey;
use self::store::{Store, borns};
use crate::claims::seconds_of;
use crate::error::OpenError;
use crate::jwk::write_key;
use crate::keys::{Keys, Trusted};

/// How often the folder is looked at, at most: to rotate, and when a key is not known.
const LOOK: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Mints tokens with keys of its own, which it makes, keeps in a folder and rotates. Processes that
/// share the folder share the keys.
#[derive(Debug)]
pub struct Issuer {
    config: IssuerConfig,
    store: Store,
    secret: hmac::Key,
    present: RwLock<Arc<Present>>,
    /// When the last look was, in microseconds of the epoch.
    looked: AtomicI64,
    ambient: Ambient,
}

/// The keys at one time.
#[derive(Debug)]
struct Present {
    /// The oldest first.
    signing: Vec<SigningKey>,
    /// A certificate for each, or none at all.
    certificates: Vec<Vec<u8>>,
    verifying: Arc<Keys>,
}

impl Issuer {
    /// Reads the keys of the folder; the first ones are made.
    ///
    /// This blocks for as long as the disk takes, and while another process makes keys there.
    ///
    /// # Errors
    /// When the folder cannot be used, or has keys that cannot be read.
    pub fn open(config: IssuerConfig, ambient: Ambient) -> Result<Arc<Self>, OpenError> {
        config.check()?;
        let store = Store::open(&config, ambient)?;
        let now = (ambient.now)();
        let present = Present::read(&store, seconds_of(now), 0)?;
        Ok(Arc::new(Self {
            secret: store.refresh_secret()?,
            config,
            store,
            present: RwLock::new(Arc::new(present)),
            looked: AtomicI64::new(micros_of(now)),
            ambient,
        }))
    }

    /// What its tokens name as their issuer.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Whether it issues tokens for this service.
    #[must_use]
    pub fn serves(&self, service: &str) -> bool {
        self.config.services.iter().any(|known| known == service)
    }

    /// The file of the root certificate, for the `rootcertbundle` of others, if tokens carry one.
    #[must_use]
    pub fn root_certificate(&self) -> Option<PathBuf> {
        self.config.certificates.then(|| self.store.root_path())
    }

    /// The public keys as a JSON Web Key Set: those that sign, have signed lately, or will.
    pub async fn jwks(&self) -> String {
        let present = self.present().await;
        let keys = present.signing.iter();
        let keys: Vec<_> = keys
            .map(|key| write_key(&key.public, &key.id, key.algorithm()))
            .collect();
        json!({"keys": keys}).to_string()
    }

    /// A token for `subject`, or for nobody in particular, that grants this at `service`. A
    /// registry that asks the same users ([`WithBasic`](crate::WithBasic)) believes it for as long
    /// as they are known by the same; others do until it ends.
    ///
    /// # Errors
    /// [`MintError::Service`] for one that is not configured: another registry may believe us, and
    /// what is allowed here need not be allowed there.
    pub async fn mint(
        &self,
        subject: Option<Subject<'_>>,
        service: &str,
        granted: &[Access],
    ) -> Result<Minted, MintError> {
        if !self.serves(service) {
            return Err(MintError::Service);
        }
        let present = self.present().await;
        let now = (self.ambient.now)();
        let times = Times::of(&self.config);
        let signs = plan(
            &borns(&present.signing),
            times,
            self.config.kind,
            seconds_of(now),
        );
        let at = signs.signs.ok_or(MintError::Key)?;
        let id = format!("{:032x}", self.ambient.random_u128());
        let order = mint::Order {
            issuer: &self.config.name,
            subject: subject.map(|subject| subject.name),
            proof: subject.map(|subject| bond::prove(&self.secret, &id, subject)),
            service,
            granted,
            lifetime: self.config.lifetime,
            now,
            id,
        };
        let certificate = present.certificates.get(at).map(Vec::as_slice);
        order.fill(&present.signing[at], certificate)
    }

    /// A refresh token, which ends when `credential` changes: the hash of the user's password, or
    /// whatever else goes with what the user may do. `None` if the names are too long for one.
    #[must_use]
    pub fn refresh_token(&self, holder: Holder<'_>, credential: &[u8]) -> Option<Secret<String>> {
        let now = seconds_of((self.ambient.now)());
        let life = i64::try_from(self.config.refresh_lifetime.as_secs()).unwrap_or(i64::MAX);
        let expires = now.saturating_add(life);
        refresh::write(&self.secret, holder, credential, expires).map(Secret::new)
    }

    /// Reads a refresh token for this service and of this client. Look up what its
    /// [`subject`](Refresh::subject) is known by now, and have it [proved](Refresh::prove).
    ///
    /// # Errors
    /// When it is not ours, not for them, or too old.
    pub fn read_refresh(
        &self,
        token: &Secret<String>,
        service: &str,
        client: &str,
    ) -> Result<Refresh, RefreshError> {
        let now = seconds_of((self.ambient.now)());
        refresh::read(&self.secret, token.expose(), service, client, now)
    }

    /// Whether the user of a token of its own is still known by what it was made for.
    pub(crate) fn is_bound(&self, bond: &Bond, subject: Subject<'_>) -> bool {
        bond.holds(&self.secret, subject)
    }

    /// What verifies its tokens.
    pub(crate) async fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.present().await.verifying)
    }

    /// The same, unless it is time to look at the folder first.
    pub(crate) fn keys_at_hand(&self) -> Option<Arc<Keys>> {
        let looked = self.looked.load(Ordering::Relaxed);
        let is_recent = is_recent(looked, micros_of((self.ambient.now)()), LOOK);
        is_recent.then(|| Arc::clone(&self.as_it_is().verifying))
    }

    /// Looks at the folder for a key that another process may have made.
    pub(crate) async fn look_again(self: &Arc<Self>) {
        if self.is_due(LOOK_AGAIN) {
            self.look().await;
        }
    }

    async fn present(&self) -> Arc<Present> {
        if self.is_due(LOOK) {
            self.look().await;
        }
        self.as_it_is()
    }

    fn as_it_is(&self) -> Arc<Present> {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&present)
    }

    /// Whether it is time for a look, which is then the caller's to take. Every request asks, so
    /// that nobody waits for anybody here.
    fn is_due(&self, long: Duration) -> bool {
        let now = micros_of((self.ambient.now)());
        let looked = self.looked.load(Ordering::Relaxed);
        if is_recent(looked, now, long) {
            return false;
        }
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        self.looked
            .compare_exchange(looked, now, success, failure)
            .is_ok()
    }

    /// Makes and removes keys as is due, and takes those that are there. It cannot be cancelled,
    /// and ends with the writing of a small file.
    async fn look(&self) {
        let store = self.store.clone();
        let before = self.as_it_is();
        let now = seconds_of((self.ambient.now)());
        let generation = before.verifying.generation + 1;
        let read = tokio::task::spawn_blocking(move || Present::read(&store, now, generation));
        match read.await {
            Ok(Ok(present)) if present.ids() != before.ids() => {
                let mut current = self.present.write().unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(present);
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "the keys of the token service cannot be read; the present ones stay"
            ),
            Err(error) => tracing::error!(%error, "the folder of keys was not looked at"),
        }
    }
}

impl Present {
    fn read(store: &Store, now: i64, generation: u64) -> Result<Self, OpenError> {
        let signing = store.settle(now)?;
        let mut keys = Keys::of_generation(generation);
        for key in &signing {
            let trusted = Trusted::new(key.public.clone(), Some(key.algorithm()));
            keys.put(key.id.clone(), trusted);
        }
        Ok(Self {
            certificates: store.certificates(&signing, now)?,
            signing,
            verifying: Arc::new(keys),
        })
    }

    fn ids(&self) -> Vec<(Born, &str)> {
        let keys = self.signing.iter();
        keys.map(|key| (key.born, key.id.as_str())).collect()
    }
}

/// Whether a look at `looked`, both in microseconds of the epoch, was that short a time ago. A clock
/// that was set back would put the next one off for as long.
fn is_recent(looked: i64, now: i64, long: Duration) -> bool {
    let since = now.saturating_sub(looked);
    u64::try_from(since).is_ok_and(|since| Duration::from_micros(since) < long)
}

fn micros_of(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}
