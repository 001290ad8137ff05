//! A file of users in a folder of its own, opened under a clock that goes as the test says.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::SystemTime;

use auth_htpasswd::{Config, Hash, Htpasswd, Missing, OpenError};
use registry_core::Ambient;
use registry_core::access::{AuthError, Authenticator, Caller, Challenge, Credentials, Secret};
use tempfile::TempDir;

/// A clock of the test's own: it stands still unless the test says otherwise.
#[macro_export]
macro_rules! clock {
    () => {{
        use std::sync::atomic::{AtomicU64, Ordering};
        use std::time::{Duration, SystemTime};
        static NANOS: AtomicU64 = AtomicU64::new(0);
        let clock = $crate::fixture::Clock {
            now: || SystemTime::UNIX_EPOCH + Duration::from_nanos(NANOS.load(Ordering::SeqCst)),
            advance: |seconds| {
                NANOS.fetch_add(seconds * 1_000_000_000, Ordering::SeqCst);
            },
            set_back: |seconds| {
                NANOS.fetch_sub(seconds * 1_000_000_000, Ordering::SeqCst);
            },
            catch_up: || {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                let now = u64::try_from(since.unwrap().as_nanos()).unwrap();
                NANOS.fetch_max(now, Ordering::SeqCst);
            },
        };
        (clock.catch_up)();
        clock
    }};
}

#[derive(Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) now: fn() -> SystemTime,
    pub(crate) advance: fn(u64),
    pub(crate) set_back: fn(u64),
    /// To the time of the machine, which is that of the files.
    pub(crate) catch_up: fn(),
}

impl Clock {
    /// Lets a changed file come to rest.
    pub(crate) fn settle(self) {
        (self.catch_up)();
        (self.advance)(2);
    }
}

pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) users: Htpasswd,
    clock: Clock,
}

fn random() -> [u8; 32] {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    [NEXT.fetch_add(1, Ordering::SeqCst); 32]
}

impl Fixture {
    /// With these users and passwords.
    pub(crate) fn new(clock: Clock, users: &[(&str, &str)]) -> Self {
        Self::with(clock, &lines(users), |_| {})
    }

    /// With this file, and changes of the configuration.
    pub(crate) fn with(clock: Clock, text: &str, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        fs::write(&path, text).unwrap();
        let mut config = Config::new("the realm", &path);
        change(&mut config);
        let users = open(clock, &config, Missing::Create).unwrap();
        Self {
            folder,
            users,
            clock,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("htpasswd")
    }

    /// Lets a changed file come to rest.
    pub(crate) fn settle(&self) {
        self.clock.settle();
    }

    pub(crate) fn later(&self, seconds: u64) {
        (self.clock.advance)(seconds);
    }

    /// What was changed of late is of the future then, and nobody would call it settled.
    pub(crate) fn earlier(&self, seconds: u64) {
        (self.clock.set_back)(seconds);
    }

    /// What becomes of a login from nowhere.
    pub(crate) async fn login(&self, user: &str, password: &str) -> Outcome {
        self.login_from(None, user, password).await
    }

    pub(crate) async fn login_from(
        &self,
        address: Option<IpAddr>,
        user: &str,
        password: &str,
    ) -> Outcome {
        login_by(&self.users, address, user, password).await
    }
}

pub(crate) fn open(clock: Clock, config: &Config, missing: Missing) -> Result<Htpasswd, OpenError> {
    let ambient = Ambient {
        now: clock.now,
        random,
    };
    Htpasswd::open(config, ambient, missing)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    In,
    Out,
    /// For so many seconds, rounded up.
    Wait(u64),
}

pub(crate) async fn login_by(
    users: &Htpasswd,
    address: Option<IpAddr>,
    user: &str,
    password: &str,
) -> Outcome {
    let credentials = Credentials::Basic {
        user: user.to_owned(),
        password: Secret::new(password.to_owned()),
    };
    let caller = Caller::new(credentials, address);
    match users.authenticate(&caller).await {
        Ok(who) => {
            assert_eq!(who.name.as_deref(), Some(user));
            assert_eq!(who.granted, None, "the rules alone decide");
            Outcome::In
        }
        Err(AuthError::Challenge(Challenge::Basic { realm })) => {
            assert_eq!(realm, "the realm");
            Outcome::Out
        }
        Err(AuthError::Throttled { retry_after }) => {
            Outcome::Wait(retry_after.as_secs_f64().ceil() as u64)
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// A file with these users and passwords, as cheap as bcrypt gets.
pub(crate) fn lines(users: &[(&str, &str)]) -> String {
    let line = |(user, password): &(&str, &str)| {
        let hash = Hash::make(password.as_bytes(), 4, random()[..16].try_into().unwrap());
        format!("{user}:{}\n", hash.unwrap())
    };
    users.iter().map(line).collect()
}

/// Puts a file there by a rename, as editors and tools do.
pub(crate) fn rename_over(path: &Path, text: &str) {
    let next = path.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(next, path).unwrap();
}
