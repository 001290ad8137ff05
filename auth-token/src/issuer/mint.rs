//! A token, and the answer that carries it.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use registry_core::access::{Access, Secret};
use serde_json::{Value, json};

use super::signing::SigningKey;
use crate::claims::{PROOF, seconds_of};
use crate::scope;

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// A service that the issuer has nothing to do with.
    #[error("not a service that tokens are issued for")]
    Service,
    /// There is no key, or it does not sign.
    #[error("the key does not sign")]
    Key,
}

/// A token that was asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Minted {
    /// The token.
    pub token: Secret<String>,
    /// How long it lives.
    pub expires_in: Duration,
    /// Since when.
    pub issued_at: SystemTime,
    /// What it grants, as a scope.
    pub scope: String,
}

impl Minted {
    /// The document that answers a request for a token: all members of both ways to ask for one,
    /// with a refresh token where there is one.
    #[must_use]
    pub fn to_json(&self, refresh_token: Option<&Secret<String>>) -> Secret<String> {
        let mut answer = json!({
            "token": self.token.expose(),
            "access_token": self.token.expose(),
            "expires_in": self.expires_in.as_secs(),
            "scope": self.scope,
        });
        if let Ok(issued) = jiff::Timestamp::from_second(seconds_of(self.issued_at)) {
            answer["issued_at"] = Value::String(issued.to_string());
        }
        if let Some(refresh) = refresh_token {
            answer["refresh_token"] = Value::String(refresh.expose().clone());
        }
        Secret::new(answer.to_string())
    }
}

/// What a token is to say.
#[derive(Debug)]
pub(super) struct Order<'a> {
    pub(super) issuer: &'a str,
    pub(super) subject: Option<&'a str>,
    /// Of what the subject is known by.
    pub(super) proof: Option<String>,
    pub(super) service: &'a str,
    pub(super) granted: &'a [Access],
    pub(super) lifetime: Duration,
    pub(super) now: SystemTime,
    pub(super) id: String,
}

impl Order<'_> {
    pub(super) fn fill(
        &self,
        key: &SigningKey,
        certificate: Option<&[u8]>,
    ) -> Result<Minted, MintError> {
        let mut header = json!({"alg": key.algorithm().as_str(), "kid": key.id, "typ": "JWT"});
        if let Some(certificate) = certificate {
            header["x5c"] = json!([STANDARD.encode(certificate)]);
        }
        let now = seconds_of(self.now);
        let lifetime = i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX);
        let mut said = json!({
            "iss": self.issuer,
            "sub": self.subject.unwrap_or_default(),
            // Distribution 2 reads no list.
            "aud": self.service,
            "exp": now.saturating_add(lifetime),
            "nbf": now,
            "iat": now,
            "jti": self.id,
            "access": scope::resources(self.granted),
        });
        if let Some(proof) = &self.proof {
            said[PROOF] = json!(proof);
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&said));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).ok_or(MintError::Key)?);
        Ok(Minted {
            token: Secret::new(format!("{signed}.{signature}")),
            expires_in: self.lifetime,
            issued_at: self.now,
            scope: scope::text(self.granted),
        })
    }
}
