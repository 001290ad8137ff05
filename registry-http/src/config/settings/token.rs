//! `extensions.token`: tokens that this registry makes itself.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use registry_core::Rules;
use serde::Deserialize;

use super::super::duration::GoDuration;
use super::super::layers::Layers;
use super::super::{ConfigError, Driver};
use super::http::Http;

/// As distribution's `autoredirectpath` has it.
const PATH: &str = "/auth/token";

/// What it is called where nothing says more.
const NAME: &str = "registry";

/// Beside the store, where distribution does not look.
const FOLDER: &str = "token-keys";

/// A token service of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenService {
    /// Whom tokens say they are from.
    pub issuer: String,
    /// Whom they are for: this registry.
    pub service: String,
    /// Other registries that have their tokens from here.
    pub others: Vec<String>,
    /// The path of the endpoint, below the prefix of the API.
    pub path: String,
    /// The URL of the endpoint, where it is not that path on the host that was asked.
    pub realm: Option<String>,
    /// The folder of the keys.
    pub keys: PathBuf,
    /// Whether keys are of Ed25519, and not of P-256.
    pub eddsa: bool,
    /// How long a token lives.
    pub lifetime: Duration,
    /// How long a refresh token lives.
    pub refresh: Duration,
    /// After how long a key has a successor.
    pub rotate: Duration,
    /// Whether tokens carry a certificate.
    pub certificates: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawToken {
    enabled: Option<bool>,
    issuer: String,
    service: String,
    others: Vec<String>,
    path: String,
    realm: String,
    keys: String,
    algorithm: String,
    lifetime: Option<GoDuration>,
    refresh: Option<GoDuration>,
    rotate: Option<GoDuration>,
    certificates: bool,
}

impl RawToken {
    fn says_something(&self) -> bool {
        let texts = [
            &self.issuer,
            &self.service,
            &self.path,
            &self.realm,
            &self.keys,
            &self.algorithm,
        ];
        let times = [self.lifetime, self.refresh, self.rotate];
        texts.iter().any(|text| !text.is_empty())
            || times.iter().any(Option::is_some)
            || !self.others.is_empty()
            || self.certificates
    }
}

/// The service, if something asks for it: a key of its own, or rules for those who do not log in,
/// with a certificate or with none, whom clients can only be by a token where others log in.
pub(super) fn token_service(
    raw: RawToken,
    rules: &Rules,
    auth: Option<&Driver>,
    driver: &Driver,
    http: &Http,
    layers: &Layers,
) -> Result<Option<TokenService>, ConfigError> {
    let path = |key| ["extensions", "token", key];
    let asked = raw.enabled.unwrap_or_else(|| raw.says_something());
    let users = auth.filter(|auth| auth.kind != "token");
    let named = rules.name_anonymous() || rules.name_certificates();
    let needed = named && users.is_some() && raw.enabled != Some(false);
    if raw.enabled == Some(false)
        && users.is_some_and(|users| users.kind == "htpasswd")
        && let Some(rule) = rules.first_for_anonymous()
    {
        let rule = layers.named(&["extensions", "access", "rules", &rule.to_string()]);
        let message = format!(
            "nobody can be the `anonymous` of {rule} where there are passwords and no tokens: \
             leave this out, or what that rule gives to `anonymous`"
        );
        return Err(layers.refuse(&path("enabled"), message));
    }
    if !asked && !needed {
        return Ok(None);
    }
    if users.is_none() {
        let message = match auth {
            Some(_) => "`auth.token` has tokens of another service; one of them has to go",
            None => "tokens are for users, and there are none: `auth.htpasswd` has them",
        };
        return Err(layers.refuse(&path("enabled")[..2], message));
    }
    let folder = match (raw.keys.as_str(), driver.root()) {
        ("", Some(root)) => PathBuf::from(root).join(FOLDER),
        ("", None) => {
            let message =
                "a folder for the keys of tokens is wanted here, since the store has none";
            return Err(layers.refuse(&path("keys"), message));
        }
        (keys, _) => PathBuf::from(keys),
    };
    let known = http.host.as_ref().and_then(Uri::host).unwrap_or(NAME);
    let or = |given: String, default: &str| match given.is_empty() {
        true => default.to_owned(),
        false => given,
    };
    let eddsa = match raw.algorithm.as_str() {
        "" | "ES256" => false,
        "EdDSA" => true,
        other => {
            let message = format!("{other:?} is not one of ES256, EdDSA");
            return Err(layers.refuse(&path("algorithm"), message));
        }
    };
    let endpoint = or(raw.path, PATH);
    let usable = endpoint.len() > 1
        && endpoint.starts_with('/')
        && endpoint != "/v2"
        && !endpoint.starts_with("/v2/");
    if !usable
        || endpoint
            .parse::<Uri>()
            .map_or(true, |uri| uri.path() != endpoint)
    {
        let message = format!("{endpoint:?} is no path of its own such as {PATH}");
        return Err(layers.refuse(&path("path"), message));
    }
    let realm: Option<Uri> = match raw.realm.as_str() {
        "" => None,
        text => Some(
            text.parse()
                .ok()
                .filter(|uri: &Uri| uri.scheme().is_some() && uri.host().is_some())
                .ok_or_else(|| layers.refuse(&path("realm"), format!("{text:?} is no URL")))?,
        ),
    };
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let or_time = |given: Option<GoDuration>, default| given.map_or(default, |given| given.0);
    let rotate = or_time(raw.rotate, hours(90 * 24));
    let lifetime = or_time(raw.lifetime, Duration::from_secs(300));
    if rotate < hours(1).max(lifetime) {
        let message = "must be an hour at least, and longer than a token lives";
        return Err(layers.refuse(&path("rotate"), message));
    }
    let service = or(raw.service, known);
    Ok(Some(TokenService {
        issuer: or(raw.issuer, &service),
        service,
        others: raw.others,
        path: endpoint,
        realm: realm.map(|uri| uri.to_string()),
        keys: folder,
        eddsa,
        lifetime,
        refresh: or_time(raw.refresh, hours(30 * 24)),
        rotate,
        certificates: raw.certificates,
    }))
}
