//! Who is it, by user name and password: distribution's `auth.htpasswd`.
//!
//! Hashes are bcrypt, as in distribution; a line with another one is named in a warning, and nobody
//! logs in by it. The file is read again when it changes. Everybody who is in it may do
//! everything, unless rules say otherwise.
//!
//! A login costs a bcrypt run, which is slow on purpose: it is made on few threads of the
//! blocking pool, the same for a user who is there and one who is not. What was verified is
//! remembered for a minute, and failed logins make the next one of that user from that address
//! wait, in the end, and many more of them the next one of anybody from there.
//!
//! ```no_run
//! # fn ambient() -> registry_core::Ambient { unreachable!() }
//! use auth_htpasswd::{Config, Htpasswd, Missing};
//!
//! let config = Config::new("registry", "/etc/registry/htpasswd");
//! let users = Htpasswd::open(&config, ambient(), Missing::Create)?;
//! # Ok::<(), auth_htpasswd::OpenError>(())
//! ```
#![warn(missing_docs)]

mod create;
pub mod edit;
mod file;
mod hash;
mod known;
mod limit;
mod network;
mod pool;
mod users;
mod watch;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use hmac::{Hmac, KeyInit};
use registry_core::access::{AuthError, Authenticator, Caller, Challenge};
use registry_core::access::{Credentials, Identity, Scheme, Secret};
use registry_core::{Ambient, BoxError};
use serde::Deserialize;

pub use self::create::Missing;
pub use self::file::Malformed;
use self::hash::Compared;
pub use self::hash::{BadPassword, COSTS, DEFAULT_COST, Hash, MAX_PASSWORD, Unusable};
use self::known::{Known, Standing};
use self::limit::Limiter;
use self::network::Network;
use self::pool::{NotRun, Pool};
pub use self::watch::FileError;
use self::watch::Watch;

/// When there is no room for a login, the next try is for this much later.
const CROWDED: Duration = Duration::from_secs(1);

/// That someone's password is too long is told this far apart.
const TELL: Duration = Duration::from_secs(60);

/// Bytes of a user's name that the log shows.
const SHOWN: usize = 100;

/// What the section `auth.htpasswd` may hold.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Config {
    /// What the password is for, as clients show it.
    pub realm: String,
    /// The file of users.
    pub path: PathBuf,
    /// Failed logins of a user from an address that are free, before the next one has to wait;
    /// of all users from there it is ten times as many, and a hundred at least. 0 for any number.
    #[serde(default = "default_failures")]
    pub failures: u32,
}

fn default_failures() -> u32 {
    10
}

impl Config {
    /// This realm and this file.
    pub fn new(realm: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            realm: realm.into(),
            path: path.into(),
            failures: default_failures(),
        }
    }
}

/// Why users cannot be asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file cannot be used.
    #[error("the file of users {}", path.display())]
    #[non_exhaustive]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: FileError,
    },
    /// There is none, and none can be made.
    #[error("there is no file of users {}, and making one failed", path.display())]
    #[non_exhaustive]
    Create {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// The users of a file. Clones share everything.
#[derive(Clone, Debug)]
pub struct Htpasswd {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    realm: String,
    ambient: Ambient,
    watch: Watch,
    known: Known,
    limiter: Limiter,
    pool: Pool,
    /// When it was last told that a password is too long.
    told: Mutex<Option<SystemTime>>,
}

impl Htpasswd {
    /// Reads the file; what is odd in it is logged. This blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`OpenError`]: nobody could log in.
    pub fn open(config: &Config, ambient: Ambient, missing: Missing) -> Result<Self, OpenError> {
        let path = &config.path;
        let created = create::unless_there(path, missing, ambient.random);
        let is_there = created.map_err(|source| OpenError::Create {
            path: path.clone(),
            source,
        })?;
        let mut key = [0; 64];
        for half in key.chunks_exact_mut(32) {
            half.copy_from_slice(&(ambient.random)());
        }
        let key = Hmac::new(&key.into());
        let watch = match is_there {
            true => Watch::open(path, ambient, key.clone()),
            false => Ok(Watch::of_nobody(path, ambient, key.clone())),
        };
        let watch = watch.map_err(|source| OpenError::File {
            path: path.clone(),
            source,
        })?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            shared: Arc::new(Shared {
                realm: config.realm.clone(),
                ambient,
                watch,
                known: Known::new(key.clone()),
                limiter: Limiter::new(config.failures, key),
                pool: Pool::new(processors),
                told: Mutex::default(),
            }),
        })
    }

    /// How many passwords have been compared with hashes. That is what a login costs, and what
    /// a test of it counts.
    #[must_use]
    pub fn comparisons(&self) -> u64 {
        self.shared.pool.runs()
    }
}

impl Shared {
    fn refusal(&self) -> AuthError {
        AuthError::Challenge(self.challenge())
    }

    fn challenge(&self) -> Challenge {
        Challenge::Basic {
            realm: self.realm.clone(),
        }
    }

    /// Looks at the file, off the async workers.
    async fn look(self: &Arc<Self>, how: fn(&Watch) -> bool) -> Result<(), BoxError> {
        let shared = Arc::clone(self);
        let looking = move || {
            if how(&shared.watch) {
                shared.known.forget();
            }
        };
        Ok(tokio::task::spawn_blocking(looking).await?)
    }

    /// Whether this is the user, which is verified unless that was done of late. Everything
    /// goes the same way for a user who is there and one who is not.
    async fn is(&self, user: &str, password: &str, caller: &Caller) -> Result<bool, AuthError> {
        let now = (self.ambient.now)();
        let (hash, is_there) = self.watch.users().find(user);
        let mark = self.known.mark(user, password, &hash);
        let standing = self.known.standing(&mark, now);
        if standing == Standing::Fresh {
            return Ok(true);
        }
        let Some(claim) = self.known.claim(&mark, now).await else {
            return Ok(true);
        };
        let password = password.to_owned();
        let compared = match standing {
            Standing::Stale => self.pool.compare_known(hash, password).await,
            _ => self.compare(user, hash, password, caller).await?,
        };
        if compared.is_ok() {
            tracing::debug!(user = shown(user), "compared a password with a hash");
        }
        match compared {
            Ok(Compared::Right) if is_there => {
                claim.verified((self.ambient.now)());
                Ok(true)
            }
            Ok(Compared::Longer) if is_there => {
                self.tell_of_longer(user);
                Ok(false)
            }
            Ok(_) => Ok(false),
            Err(NotRun::Full) => Err(AuthError::Throttled {
                retry_after: CROWDED,
            }),
            Err(NotRun::Failed(error)) => Err(AuthError::Unavailable(error)),
        }
    }

    /// Compares, if this user may be tried from there.
    async fn compare(
        &self,
        user: &str,
        hash: Hash,
        password: String,
        caller: &Caller,
    ) -> Result<Result<Compared, NotRun>, AuthError> {
        let network = Network::of(caller.address);
        let culprit = self.limiter.culprit(network, user);
        let begun = self.limiter.begin(&culprit, (self.ambient.now)());
        begun.map_err(|retry_after| AuthError::Throttled { retry_after })?;
        let compared = self.pool.compare(network, hash, password).await;
        match compared {
            Ok(Compared::Right) => self.limiter.succeed(&culprit),
            Ok(_) => {}
            Err(_) => self.limiter.withdraw(&culprit),
        }
        Ok(compared)
    }

    /// Someone who got in elsewhere is to know why not here; but not with every try.
    fn tell_of_longer(&self, user: &str) {
        let now = (self.ambient.now)();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back is not to keep it quiet.
        let is_fresh = |at: &SystemTime| now.duration_since(*at).is_ok_and(|since| since < TELL);
        if !told.as_ref().is_some_and(is_fresh) {
            *told = Some(now);
            tracing::warn!(
                user = shown(user),
                "a login failed: the password is longer than the {MAX_PASSWORD} bytes that bcrypt \
                 looks at, and would do without the rest; give the user a shorter one"
            );
        }
    }
}

#[async_trait]
impl Authenticator for Htpasswd {
    async fn authenticate(&self, caller: &Caller) -> Result<Identity, AuthError> {
        let shared = &self.shared;
        let Credentials::Basic { user, password } = &caller.credentials else {
            return Err(shared.refusal());
        };
        let password = password.expose();
        // Nobody's, whoever it is said to be of.
        if user.is_empty() || hash::check(password.as_bytes()).is_err() {
            return Err(shared.refusal());
        }
        if shared.watch.is_due((shared.ambient.now)()) {
            let looked = shared.look(Watch::look).await;
            looked.map_err(AuthError::Unavailable)?;
        }
        if shared.is(user, password, caller).await? {
            return Ok(Identity::named(user, Scheme::Basic));
        }
        let address = caller.address.map(tracing::field::display);
        tracing::info!(user = shown(user), address, "a login failed");
        Err(shared.refusal())
    }

    fn challenge(&self) -> Challenge {
        self.shared.challenge()
    }

    async fn credential(&self, user: &str) -> Option<Secret<Vec<u8>>> {
        let shared = &self.shared;
        if shared.watch.is_due((shared.ambient.now)()) {
            // What was read before goes on counting.
            let _ = shared.look(Watch::look).await;
        }
        let (hash, is_there) = shared.watch.users().find(user);
        is_there.then(|| Secret::new(hash.to_string().into_bytes()))
    }

    fn generation(&self) -> Option<NonZeroU64> {
        let shared = &self.shared;
        shared.watch.generation((shared.ambient.now)())
    }

    async fn reload(&self) {
        if let Err(error) = self.shared.look(Watch::reload).await {
            tracing::error!(%error, "the file of users was not read again");
        }
    }
}

/// As much of a name as a line of the log should have.
fn shown(user: &str) -> &str {
    &user[..user.floor_char_boundary(SHOWN)]
}
