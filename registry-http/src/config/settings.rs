//! The settings that are honoured: how they stand in the file, and what they come to. A section
//! has a file.

mod access;
mod clients;
mod health;
mod http;
mod letsencrypt;
mod limits;
mod log;
mod policy;
mod proxies;
mod storage;
mod tls;
mod token;
mod validation;

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;

use self::access::{Known, RawAccess, RawImmutable, immutable, rules};
pub use self::clients::{ClientAuth, Clients};
pub use self::health::{FileCheck, Health, HttpCheck, Pace, TcpCheck};
use self::health::{RawHealth, health};
pub use self::http::{Debug, Http, Net};
use self::http::{RawHttp, http};
pub use self::letsencrypt::LetsEncrypt;
pub use self::limits::Limits;
use self::limits::{RawLimits, limits};
pub use self::log::{Log, LogFormat, LogLevel};
use self::log::{RawLog, log};
use self::policy::RawPolicy;
use self::proxies::{has_speakers, proxies};
use self::storage::RawStorage;
pub use self::storage::UploadPurging;
pub use self::tls::{Identity, Tls, TlsVersion};
pub use self::token::TokenService;
use self::token::{RawToken, token_service};
use self::validation::{RawValidation, validation};
pub use self::validation::{UrlLists, Validation};
use super::layers::Layers;
use super::{Config, ConfigError, Driver, Notes};

#[derive(Debug, Deserialize)]
pub(super) struct Root {
    version: String,
    #[serde(default)]
    log: RawLog,
    #[serde(default)]
    loglevel: String,
    #[serde(default)]
    storage: RawStorage,
    #[serde(default, rename = "auth")]
    _auth: Accepted,
    #[serde(default)]
    http: RawHttp,
    #[serde(default)]
    health: RawHealth,
    #[serde(default)]
    catalog: RawCatalog,
    #[serde(default)]
    tags: RawTags,
    #[serde(default)]
    validation: RawValidation,
    #[serde(default)]
    policy: RawPolicy,
    #[serde(default)]
    extensions: RawExtensions,
}

/// A section of which `auth.rs` has taken what counts, and that says nothing more.
#[derive(Debug, Default, Deserialize)]
struct Accepted {
    #[serde(default, rename = "none")]
    _none: Option<Anything>,
}

/// Any value, on purpose: its keys are nobody's.
#[derive(Debug, Default)]
struct Anything;

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IgnoredAny)?;
        Ok(Self)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawCatalog {
    maxentries: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawTags {
    maxtags: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawExtensions {
    access: RawAccess,
    immutable: Vec<RawImmutable>,
    limits: RawLimits,
    proxies: Option<Vec<String>>,
    proxyprotocol: bool,
    token: RawToken,
}

impl Root {
    /// Checks what a type alone cannot say.
    pub(super) fn settle(
        self,
        layers: Layers,
        driver: Driver,
        auth: Option<Driver>,
        mut notes: Notes,
    ) -> Result<Config, ConfigError> {
        if self.version != "0.1" {
            return Err(layers.refuse(
                &["version"],
                format!("version {:?} is not supported; 0.1 is", self.version),
            ));
        }
        let page = |configured: i64| match usize::try_from(configured) {
            Ok(max) if max > 0 => max,
            _ => 1000,
        };
        if self.tags.maxtags < 0 {
            return Err(layers.refuse(&["tags", "maxtags"], "must not be negative"));
        }
        self.storage.check(&layers, &mut notes)?;
        let http = http(self.http, &layers, &mut notes)?;
        let known = Known {
            users: auth.is_some(),
            certificates: http.tls.as_ref().is_some_and(Tls::verifies_clients),
        };
        let rules = rules(self.extensions.access, known, &layers)?;
        let tokens = self.extensions.token;
        let tokens = token_service(tokens, &rules, auth.as_ref(), &driver, &http, &layers)?;
        let proxies = proxies(self.extensions.proxies.as_deref(), &layers)?;
        let proxyprotocol = self.extensions.proxyprotocol;
        has_speakers(proxyprotocol, &proxies, &layers)?;
        Ok(Config {
            log: log(self.log, &self.loglevel, &layers)?,
            delete: self.storage.delete(),
            readonly: self.storage.readonly(),
            redirect: self.storage.redirect(),
            uploadpurging: self.storage.purging(&layers, &mut notes),
            http,
            health: health(self.health, &layers)?,
            catalog_max: page(self.catalog.maxentries),
            tags_max: page(self.tags.maxtags),
            validation: validation(self.validation, &layers)?,
            classes: self.policy.classes(),
            rules: Arc::new(rules),
            tokens,
            immutable: immutable(&self.extensions.immutable, &layers)?,
            limits: limits(&self.extensions.limits, &layers)?,
            proxies,
            proxyprotocol,
            driver,
            auth,
            notes,
            layers,
        })
    }
}
