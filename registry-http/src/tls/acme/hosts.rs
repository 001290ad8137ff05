//! The hosts of the configuration, each with the certificate that it has at present.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use rustls::sign::CertifiedKey;

use super::AcmeError;
use super::certificate::Held;
use super::folder::Folder;
use super::schedule::{Jitter, renewal};

/// A handshake that cannot be answered is told of so often at most, for each host.
const TELL: Duration = Duration::from_secs(60);

/// All that may be asked for; nothing else ever has a certificate.
#[derive(Debug)]
pub(super) struct Hosts(BTreeMap<String, Slot>);

#[derive(Debug, Default)]
struct Slot {
    current: RwLock<Option<Current>>,
    told: Mutex<Option<Instant>>,
}

#[derive(Clone, Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    not_after: SystemTime,
    due: SystemTime,
}

impl Hosts {
    pub(super) fn new(names: &[String]) -> Self {
        let slots = names.iter().map(|name| (name.clone(), Slot::default()));
        Self(slots.collect())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// As a client writes it: in any case, with the dot of the root or without.
    pub(super) fn known(&self, name: &str) -> Option<&str> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let found = self.0.get_key_value(&name);
        found.map(|(host, _)| host.as_str())
    }

    /// What a handshake is answered with. Who names nobody means the only host that there is.
    pub(super) fn key(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let host = match name {
            Some(name) => self.known(name)?,
            None if self.0.len() == 1 => self.names().next()?,
            None => return None,
        };
        let key = self.current(host).map(|current| current.key);
        if key.is_none() {
            self.tell(host);
        }
        key
    }

    /// Until when each host that has one has its certificate.
    pub(super) fn ends(&self) -> Vec<(&str, SystemTime)> {
        let end = |host| Some((host, self.current(host)?.not_after));
        self.names().filter_map(end).collect()
    }

    /// When the certificate of a host is to be renewed, if it has one.
    pub(super) fn due(&self, host: &str) -> Option<SystemTime> {
        self.current(host).map(|current| current.due)
    }

    /// From now on this is the certificate of a host.
    pub(super) fn put(&self, host: &str, held: Held, jitter: Jitter) {
        let current = Current {
            due: renewal(held.not_before, held.not_after, jitter),
            key: held.key,
            not_after: held.not_after,
        };
        if let Some(slot) = self.0.get(host) {
            let mut place = slot.current.write().unwrap_or_else(PoisonError::into_inner);
            *place = Some(current);
        }
    }

    /// Takes what the folder has for a host, if it is better than what there is; whether it was.
    /// What is there and of no use is told of, and is as if it were not there.
    pub(super) fn read(&self, host: &str, folder: &Folder, jitter: Jitter) -> bool {
        match kept(host, folder) {
            Ok(Some(held)) => {
                let current = self.current(host);
                let better = current.is_none_or(|current| current.not_after < held.not_after);
                if better {
                    self.put(host, held, jitter);
                }
                better
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(
                    host,
                    error = &error as &dyn std::error::Error,
                    "the certificate that is kept is of no use, and another will be ordered"
                );
                false
            }
        }
    }

    fn current(&self, host: &str) -> Option<Current> {
        let current = &self.0.get(host)?.current;
        let current = current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    fn tell(&self, host: &str) {
        let Some(slot) = self.0.get(host) else {
            return;
        };
        let mut told = slot.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= TELL) {
            *told = Some(Instant::now());
            tracing::warn!(
                host,
                "a handshake was refused: there is no certificate of this host yet"
            );
        }
    }
}

/// What the folder has for a host.
pub(super) fn kept(host: &str, folder: &Folder) -> Result<Option<Held>, AcmeError> {
    let Some(text) = folder.read(host)? else {
        return Ok(None);
    };
    let held = Held::parse(&text, host);
    let wrong = |what| AcmeError::Content {
        path: folder.path(host),
        what,
    };
    held.map(Some).map_err(wrong)
}
