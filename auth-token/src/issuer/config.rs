//! What the issuer is told.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::OpenError;

/// How new keys sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyKind {
    /// ES256: ECDSA on P-256, which every registry verifies.
    #[default]
    Es256,
    /// EdDSA on Ed25519. Distribution 2 does not know it.
    EdDsa,
}

/// A token service of our own.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IssuerConfig {
    /// What its tokens name as their issuer.
    pub name: String,
    /// The services it issues tokens for: this registry, and others that believe it.
    pub services: Vec<String>,
    /// Folder of its keys. It is made, and should be nobody else's.
    pub folder: PathBuf,
    /// How new keys sign; another kind than that of the present key is a reason to rotate.
    pub kind: KeyKind,
    /// How long a token lives: five minutes by default, one at least, since clients take less for
    /// one.
    pub lifetime: Duration,
    /// How long a refresh token lives: 30 days by default.
    pub refresh_lifetime: Duration,
    /// After how long a key has a successor: 90 days by default; `None` for never.
    pub rotate_after: Option<Duration>,
    /// How long the successor is published before it signs, so that others who fetch our keys know
    /// it by then: a day by default.
    pub publish_before: Duration,
    /// Whether tokens carry a certificate of their key, by a root that is kept beside the keys. It
    /// is for registries that know this root as their `rootcertbundle`: distribution 2, and 3 where
    /// it should go on when keys rotate, since it reads its own only when it starts.
    pub certificates: bool,
}

impl IssuerConfig {
    /// An issuer of this name, for one service, with its keys in this folder.
    pub fn new(
        name: impl Into<String>,
        service: impl Into<String>,
        folder: impl Into<PathBuf>,
    ) -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        Self {
            name: name.into(),
            services: vec![service.into()],
            folder: folder.into(),
            kind: KeyKind::default(),
            lifetime: Duration::from_secs(300),
            refresh_lifetime: 30 * day,
            rotate_after: Some(90 * day),
            publish_before: day,
            certificates: false,
        }
    }

    pub(super) fn check(&self) -> Result<(), OpenError> {
        let day = Duration::from_secs(24 * 60 * 60);
        if self.name.is_empty() || self.services.is_empty() {
            return Err(OpenError::Invalid(
                "a token service needs a name, and a service that its tokens are for",
            ));
        }
        if self.lifetime < Duration::from_secs(60) || self.lifetime > day {
            return Err(OpenError::Invalid(
                "a token lives at least a minute, and at most a day",
            ));
        }
        let year = 366 * day;
        if self.publish_before > year || self.refresh_lifetime > 100 * year {
            return Err(OpenError::Invalid("a time that is too long"));
        }
        match self.rotate_after {
            Some(after) if after <= self.publish_before || after > 100 * year => Err(
                OpenError::Invalid("a key has to live longer than it is published before"),
            ),
            _ => Ok(()),
        }
    }
}
