//! The folder of the keys. Processes that share it have the same ones.

use aws_lc_rs::hmac;
use registry_core::Ambient;

use super::certificate;
use super::config::{IssuerConfig, KeyKind};
use super::plan::{Born, Times, plan};
use super::signing::SigningKey;
use crate::error::OpenError;
use crate::files::Folder;

/// Keys are `<seconds of the epoch>-<thumbprint>.pem`.
const SUFFIX: &str = ".pem";
/// What signs refresh tokens: 32 bytes.
const REFRESH: &str = "refresh.secret";
/// The root of the certificates, which others are given, and its key.
pub(super) const ROOT: &str = "root.crt";
const ROOT_KEY: &str = "root.key";

/// The folder and what is to be in it.
#[derive(Clone, Debug)]
pub(super) struct Store {
    folder: Folder,
    kind: KeyKind,
    times: Times,
    certificates: bool,
    name: String,
    ambient: Ambient,
}

impl Store {
    pub(super) fn open(config: &IssuerConfig, ambient: Ambient) -> Result<Self, OpenError> {
        Ok(Self {
            folder: Folder::open(&config.folder)?,
            kind: config.kind,
            times: Times::of(config),
            certificates: config.certificates,
            name: config.name.clone(),
            ambient,
        })
    }

    pub(super) fn root_path(&self) -> std::path::PathBuf {
        self.folder.path(ROOT)
    }

    /// The keys that are there, the oldest first, after making and removing what is due. What is
    /// read here and nothing else decides: another process may have done it meanwhile.
    pub(super) fn settle(&self, now: i64) -> Result<Vec<SigningKey>, OpenError> {
        let keys = self.keys()?;
        let due = plan(&borns(&keys), self.times, self.kind, now);
        if !due.create && due.remove.is_empty() {
            return Ok(keys);
        }
        let settled = self.settle_alone(now);
        match settled {
            // A folder that is full or mounted read-only must not end the service.
            Err(error) if !keys.is_empty() => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the keys of the token service cannot be rotated; the present one goes on"
                );
                Ok(keys)
            }
            other => other,
        }
    }

    fn settle_alone(&self, now: i64) -> Result<Vec<SigningKey>, OpenError> {
        let _lock = self.folder.lock()?;
        let keys = self.keys()?;
        let due = plan(&borns(&keys), self.times, self.kind, now);
        for at in due.remove {
            self.folder.remove(&file_name(&keys[at]))?;
            tracing::info!(kid = %keys[at].id, "a key of the token service is not needed any more");
        }
        if due.create {
            let key = SigningKey::generate(self.kind, now)?;
            let pem = key.to_pem();
            self.folder
                .write(&file_name(&key), pem.expose().as_bytes(), 0o600)?;
            tracing::info!(kid = %key.id, "the token service has a new key");
        }
        self.keys()
    }

    fn keys(&self) -> Result<Vec<SigningKey>, OpenError> {
        let mut keys = Vec::new();
        for name in self.folder.names()? {
            let Some(born) = name.strip_suffix(SUFFIX) else {
                continue;
            };
            let wrong = |what: &str| OpenError::Content {
                path: self.folder.path(&name),
                what: what.to_owned(),
            };
            let at = born.split_once('-').and_then(|(at, _)| at.parse().ok());
            let at = at.ok_or_else(|| wrong("its name is not that of a key"))?;
            let pem = match self.folder.read_secret(&name) {
                // Removed by another process, since it is not needed any more.
                Err(OpenError::File { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound =>
                {
                    continue;
                }
                other => other?,
            };
            keys.push(SigningKey::from_pem(&pem, at).map_err(wrong)?);
        }
        keys.sort_by(|a, b| (a.born.at, &a.id).cmp(&(b.born.at, &b.id)));
        Ok(keys)
    }

    /// The secret of the refresh tokens, made if it is missing.
    pub(super) fn refresh_secret(&self) -> Result<hmac::Key, OpenError> {
        self.once(REFRESH, 0o600, || Ok((self.ambient.random)().to_vec()))?;
        let secret = self.folder.read_secret(REFRESH)?;
        if secret.len() != 32 {
            return Err(OpenError::Content {
                path: self.folder.path(REFRESH),
                what: "not a secret of 32 bytes".to_owned(),
            });
        }
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &secret))
    }

    /// Certificates for the keys, by a root that is made if it is missing; none if none are wanted.
    pub(super) fn certificates(
        &self,
        keys: &[SigningKey],
        now: i64,
    ) -> Result<Vec<Vec<u8>>, OpenError> {
        if !self.certificates {
            return Ok(Vec::new());
        }
        self.once(ROOT_KEY, 0o600, || {
            let key = SigningKey::generate(KeyKind::Es256, now)?;
            Ok(key.to_pem().expose().clone().into_bytes())
        })?;
        let key = SigningKey::from_pem(&self.folder.read_secret(ROOT_KEY)?, now);
        let key = key.map_err(|what| OpenError::Content {
            path: self.folder.path(ROOT_KEY),
            what: what.to_owned(),
        })?;
        let root = certificate::Root::new(&self.name, &key)?;
        self.once(ROOT, 0o644, || Ok(root.pem(now)?.into_bytes()))?;
        keys.iter()
            .map(|key| root.certify(key, self.times.end(key.born.at)))
            .collect()
    }

    /// Makes a file if it is missing: whoever comes first does.
    fn once(
        &self,
        name: &str,
        mode: u32,
        make: impl Fn() -> Result<Vec<u8>, OpenError>,
    ) -> Result<(), OpenError> {
        let there = || Ok(self.folder.names()?.iter().any(|known| known == name));
        if there()? {
            return Ok(());
        }
        let _lock = self.folder.lock()?;
        if there()? {
            return Ok(());
        }
        self.folder.write(name, &make()?, mode)
    }
}

pub(super) fn borns(keys: &[SigningKey]) -> Vec<Born> {
    keys.iter().map(|key| key.born).collect()
}

fn file_name(key: &SigningKey) -> String {
    format!("{}-{}{SUFFIX}", key.born.at, key.id)
}
