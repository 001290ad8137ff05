//! Where the keys of another issuer come from, and when they are looked at again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use registry_core::Ambient;

use crate::config::{Config, Jwks};
use crate::error::OpenError;
use crate::files;
use crate::jwk::{self, Jwk};
use crate::keys::Keys;
use crate::remote::Remote;

/// How often files are looked at, at most.
const LOOK: Duration = Duration::from_secs(1);

/// The keys of an issuer, kept up to date. The last ones that could be read stay.
#[derive(Clone, Debug)]
pub(crate) struct Keyring {
    inner: Arc<Inner>,
    remote: Option<Arc<Remote>>,
    ambient: Ambient,
}

#[derive(Debug)]
struct Inner {
    current: RwLock<Arc<Keys>>,
    parts: Mutex<Parts>,
}

/// What the keys are made of.
#[derive(Debug, Default)]
struct Parts {
    roots: Option<Watched>,
    set: Option<Watched>,
    fetched: Vec<Jwk>,
    looked: Option<SystemTime>,
}

/// A file, what it had when it could last be read, and what it had when it could not.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    good: Vec<u8>,
    refused: Option<String>,
}

/// Makes something of the bytes of a file, or says why not.
type Read = fn(&[u8], &mut Keys) -> Result<(), String>;

impl Keyring {
    /// Reads the files. A URL is asked when the first token comes, so that a registry can be
    /// started before its issuer.
    pub(crate) fn open(config: &Config, ambient: Ambient) -> Result<Self, OpenError> {
        let mut parts = Parts {
            roots: config.roots.as_deref().map(watched).transpose()?,
            looked: Some((ambient.now)()),
            ..Parts::default()
        };
        let mut published = None;
        match &config.jwks {
            Some(Jwks::File(path)) => parts.set = Some(watched(path)?),
            Some(Jwks::Remote(fetch)) => published = Some(Arc::clone(fetch)),
            None => {}
        }
        let keys = parts.keys(0)?;
        if keys.is_empty() && published.is_none() {
            return Err(OpenError::NoKey);
        }
        let inner = Arc::new(Inner {
            current: RwLock::new(Arc::new(keys)),
            parts: Mutex::new(parts),
        });
        let remote = published.map(|fetch| {
            let inner = Arc::clone(&inner);
            let install = Box::new(move |set| inner.install(set));
            Arc::new(Remote::new(fetch, install, ambient))
        });
        Ok(Self {
            inner,
            remote,
            ambient,
        })
    }

    /// The keys, after a look at their files where one is due. A set from a URL that has become
    /// old is asked for meanwhile.
    pub(crate) async fn current(&self) -> Arc<Keys> {
        if self.is_due() {
            self.look().await;
        }
        if let Some(remote) = &self.remote {
            remote.renew();
        }
        self.inner.current()
    }

    /// Asks the URL, if there is one and a minute has gone by, and waits for the answer. Says
    /// whether there has been one that still counts.
    pub(crate) async fn ask(&self) -> bool {
        match &self.remote {
            Some(remote) => remote.ask().await,
            None => true,
        }
    }

    /// Looks at everything now, whatever was looked at before.
    pub(crate) async fn reload(&self) {
        self.look().await;
        if let Some(remote) = &self.remote {
            remote.forget_when();
            remote.ask().await;
        }
    }

    fn is_due(&self) -> bool {
        let now = (self.ambient.now)();
        let mut parts = self.inner.parts();
        if parts.roots.is_none() && parts.set.is_none() {
            return false;
        }
        let due = match parts.looked {
            // A clock that was set back would put it off for as long.
            Some(looked) => now
                .duration_since(looked)
                .map_or(true, |since| since >= LOOK),
            None => true,
        };
        if due {
            parts.looked = Some(now);
        }
        due
    }

    async fn look(&self) {
        let inner = Arc::clone(&self.inner);
        // It cannot be cancelled, and ends with the reading of two small files.
        let looked = tokio::task::spawn_blocking(move || inner.look()).await;
        if let Err(error) = looked {
            tracing::error!(%error, "the files of the keys were not looked at");
        }
    }
}

impl Inner {
    fn current(&self) -> Arc<Keys> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) {
        let mut parts = self.parts();
        let roots = parts.roots.as_mut().is_some_and(|file| file.look(bundle));
        let set = parts.set.as_mut().is_some_and(|file| file.look(set));
        if roots || set {
            self.publish(&parts);
        }
    }

    fn install(&self, set: Vec<Jwk>) {
        let mut parts = self.parts();
        parts.fetched = set;
        self.publish(&parts);
    }

    fn publish(&self, parts: &Parts) {
        let generation = self.current().generation + 1;
        match parts.keys(generation) {
            Ok(keys) => {
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(keys);
                tracing::info!("the keys that verify tokens were read again");
            }
            Err(error) => tracing::error!(%error, "the keys that verify tokens stay as they were"),
        }
    }
}

impl Parts {
    fn keys(&self, generation: u64) -> Result<Keys, OpenError> {
        let mut keys = Keys::of_generation(generation);
        if let Some(file) = &self.roots {
            file.put(bundle, &mut keys)?;
        }
        if let Some(file) = &self.set {
            file.put(set, &mut keys)?;
        }
        keys.add_set(&self.fetched);
        Ok(keys)
    }
}

fn watched(path: &Path) -> Result<Watched, OpenError> {
    Ok(Watched {
        path: path.to_owned(),
        good: files::read(path)?,
        refused: None,
    })
}

impl Watched {
    fn put(&self, read: Read, keys: &mut Keys) -> Result<(), OpenError> {
        read(&self.good, keys).map_err(|what| OpenError::Content {
            path: self.path.clone(),
            what,
        })
    }

    /// Whether the file has other keys now, which are then kept. It is read, not only asked for
    /// its times: a file system may keep those too coarsely, and a link may lead elsewhere.
    fn look(&mut self, read: Read) -> bool {
        let found = files::read(&self.path).map_err(|error| chained(&error));
        let tried = found.and_then(|bytes| {
            let mut keys = Keys::default();
            if bytes != self.good {
                read(&bytes, &mut keys)?;
                if keys.is_empty() {
                    return Err("it has no key".to_owned());
                }
            }
            Ok(bytes)
        });
        match tried {
            Ok(bytes) => {
                self.refused = None;
                let changed = bytes != self.good;
                self.good = bytes;
                changed
            }
            Err(why) => {
                if self.refused.as_ref() != Some(&why) {
                    tracing::error!(
                        path = %self.path.display(),
                        %why,
                        "a file of keys cannot be used; the keys stay as they were"
                    );
                    self.refused = Some(why);
                }
                false
            }
        }
    }
}

fn chained(error: &OpenError) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn bundle(bytes: &[u8], keys: &mut Keys) -> Result<(), String> {
    keys.add_bundle(bytes)
}

fn set(bytes: &[u8], keys: &mut Keys) -> Result<(), String> {
    keys.add_set(&jwk::read_set(bytes).map_err(|error| error.to_string())?);
    Ok(())
}
