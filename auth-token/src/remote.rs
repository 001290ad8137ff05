//! Keys that are published at a URL: asked for seldom, by one for all who wait.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use registry_core::Ambient;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::config::FetchKeys;
use crate::jwk::{self, Jwk};

/// The URL is asked at most this often, whatever comes.
pub(crate) const SELDOM: Duration = Duration::from_secs(60);
/// After this long a set is old, and asked for again, whether or not tokens come: a key that was
/// taken from it is believed no longer than that, a minute, and what one fetch takes.
pub(crate) const OLD: Duration = Duration::from_secs(10 * 60);
/// After this long without an answer it is believed no more: whoever has a key that was taken back
/// might keep us from learning that.
pub(crate) const LOST: Duration = Duration::from_secs(60 * 60);
/// How long one fetch may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest set, in bytes.
const MAX_SET: usize = 1024 * 1024;

/// Takes the keys that count from now on.
type Install = Box<dyn Fn(Vec<Jwk>) + Send + Sync>;

/// A set at a URL.
pub(crate) struct Remote {
    fetch: Arc<dyn FetchKeys>,
    install: Install,
    ambient: Ambient,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the URL was asked last.
    asked: Option<SystemTime>,
    /// When it last answered with a set that still counts.
    answered: Option<SystemTime>,
    /// Whether it is asked from time to time.
    kept_up: bool,
    /// Closed when the fetch that runs comes to its end.
    running: Option<watch::Receiver<()>>,
}

impl Remote {
    pub(crate) fn new(fetch: Arc<dyn FetchKeys>, install: Install, ambient: Ambient) -> Self {
        Self {
            fetch,
            install,
            ambient,
            state: Mutex::default(),
        }
    }

    /// Has an old set fetched again, beside the requests, which go on with what there is, unless
    /// that is too old. Before the first token nothing is.
    pub(crate) fn renew(self: &Arc<Self>) {
        if self.is_due() {
            self.start();
        }
    }

    fn is_due(&self) -> bool {
        let now = (self.ambient.now)();
        let mut state = self.state();
        let Some(answered) = state.answered else {
            return state.asked.is_some();
        };
        let Ok(age) = now.duration_since(answered) else {
            // The clock was set back, and counts anew from there.
            state.answered = Some(now);
            return true;
        };
        if age >= LOST {
            tracing::error!(
                "the keys of `auth.token.jwks` could not be fetched for an hour, and are believed \
                 no more; tokens are answered with 503 until it can be reached"
            );
            state.answered = None;
            (self.install)(Vec::new());
        }
        age >= OLD
    }

    /// Waits for a fetch: the one that runs, or one that is begun now if the last is long enough
    /// ago. Says whether there has been an answer that still counts.
    pub(crate) async fn ask(self: &Arc<Self>) -> bool {
        if let Some(mut running) = self.start() {
            // It sends nothing, and closes when it ends, however it ends.
            while running.changed().await.is_ok() {}
        }
        self.state().answered.is_some()
    }

    /// Lets the next fetch begin at once.
    pub(crate) fn forget_when(&self) {
        self.state().asked = None;
    }

    /// The fetch that runs, if one runs after this. It is a task of its own, so that a client that
    /// goes away cannot keep the keys from being fetched; it ends within its patience.
    fn start(self: &Arc<Self>) -> Option<watch::Receiver<()>> {
        let now = (self.ambient.now)();
        let mut state = self.state();
        if let Some(running) = &state.running
            && running.has_changed().is_ok()
        {
            return Some(running.clone());
        }
        if state.asked.is_some_and(|asked| !passed(asked, now, SELDOM)) {
            return None;
        }
        let (ends, running) = watch::channel(());
        state.asked = Some(now);
        state.running = Some(running.clone());
        let remote = Arc::clone(self);
        tokio::spawn(async move {
            if let Some(set) = remote.fetch().await {
                // Together, so that nobody gives up what has just come.
                let mut state = remote.state();
                (remote.install)(set);
                state.answered = Some((remote.ambient.now)());
            }
            drop(ends);
        });
        if !std::mem::replace(&mut state.kept_up, true) {
            self.keep_up();
        }
        Some(running)
    }

    /// Looks each minute whether the set is to be fetched again, for as long as anyone needs it.
    fn keep_up(self: &Arc<Self>) {
        let remote = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut minutes = tokio::time::interval_at(Instant::now() + SELDOM, SELDOM);
            minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                minutes.tick().await;
                match remote.upgrade() {
                    Some(remote) => remote.renew(),
                    None => return,
                }
            }
        });
    }

    async fn fetch(&self) -> Option<Vec<Jwk>> {
        let fetched = tokio::time::timeout(PATIENCE, self.fetch.fetch(MAX_SET)).await;
        let why = match fetched {
            Ok(Ok(bytes)) if bytes.len() <= MAX_SET => match jwk::read_set(&bytes) {
                Ok(set) => match published(set) {
                    set if set.is_empty() => "the set has no key of use".to_owned(),
                    set => return Some(set),
                },
                Err(error) => format!("not a set of keys: {error}"),
            },
            Ok(Ok(_)) => "the set is too large".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::error!(%why, "the keys of `auth.token.jwks` were not fetched");
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("fetch", &self.fetch)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// What is published is no secret: such a key would let everyone sign.
fn published(set: Vec<Jwk>) -> Vec<Jwk> {
    let (shared, public): (Vec<_>, _) = set.into_iter().partition(|jwk| jwk.key.is_shared());
    if !shared.is_empty() {
        tracing::warn!("the set has shared secrets, which are not used from a URL");
    }
    public
}

/// Whether so much time has passed; a clock that was set back counts as if it had.
fn passed(since: SystemTime, now: SystemTime, long: Duration) -> bool {
    now.duration_since(since)
        .map_or(true, |passed| passed >= long)
}
