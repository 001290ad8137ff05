//! Whether a token is good: the order of the questions, none of which is left out.

use std::sync::Arc;
use std::time::Duration;

use registry_core::access::{Identity, Scheme};

use crate::algorithm::Algorithm;
use crate::cache::Known;
use crate::claims::Claims;
use crate::error::TokenError;
use crate::issuer::Bond;
use crate::jws::Unverified;
use crate::keys::Keys;

/// What a token must be.
#[derive(Clone, Debug)]
pub(crate) struct Verifier {
    pub(crate) issuer: String,
    pub(crate) service: String,
    /// Longest life of a token.
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) algorithms: Vec<Algorithm>,
}

impl Verifier {
    /// Whether the token is good now, by these keys alone.
    pub(crate) fn verify(&self, token: &str, keys: &Keys, now: i64) -> Result<Known, TokenError> {
        let unverified = Unverified::parse(token)?;
        if !self.algorithms.contains(&unverified.algorithm) {
            return Err(TokenError::Algorithm);
        }
        let vouched = keys.verify(&unverified, now)?;
        let claims = Claims::read(&unverified.payload, self, now)?;
        let mut identity = Identity::anonymous();
        identity.name = Some(claims.subject).filter(|name| !name.is_empty());
        identity.scheme = Scheme::Bearer;
        identity.granted = Some(claims.granted);
        Ok(Known {
            identity,
            from: claims.from,
            until: claims.until.min(vouched),
            generation: keys.generation,
            bond: claims
                .proof
                .map(|(id, proof)| Arc::new(Bond::new(&id, &proof))),
        })
    }
}

#[cfg(test)]
mod tests;
