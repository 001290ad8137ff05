//! The keys that are trusted, by the names that tokens call them.

use std::collections::HashMap;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::algorithm::Algorithm;
use crate::chain::Roots;
use crate::error::TokenError;
use crate::jwk::Jwk;
use crate::jws::Unverified;
use crate::key::PublicKey;

/// A key that signatures are verified with.
#[derive(Clone, Debug)]
pub(crate) struct Trusted {
    /// The one algorithm it is for, if it says so.
    algorithm: Option<Algorithm>,
    key: PublicKey,
}

impl Trusted {
    pub(crate) fn new(key: PublicKey, algorithm: Option<Algorithm>) -> Self {
        Self { algorithm, key }
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm) && self.key.suits(algorithm)
    }
}

/// All that may verify a token at one time.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    by_name: HashMap<String, Vec<Trusted>>,
    roots: Roots,
    /// Counts the changes: what was verified with other keys is not believed any more.
    pub(crate) generation: u64,
}

impl Keys {
    pub(crate) fn of_generation(generation: u64) -> Self {
        Self {
            generation,
            ..Self::default()
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(crate) fn put(&mut self, name: String, key: Trusted) {
        self.by_name.entry(name).or_default().push(key);
    }

    /// Adds what a bundle of PEM certificates has. Keys that sign no tokens are told and left out.
    pub(crate) fn add_bundle(&mut self, pem: &[u8]) -> Result<(), String> {
        for der in CertificateDer::pem_slice_iter(pem) {
            let der = der.map_err(|_| "its PEM is broken".to_owned())?;
            match self.roots.add(&der) {
                Ok(key) => {
                    for name in key.names() {
                        self.put(name, Trusted::new(key.clone(), None));
                    }
                }
                Err(error) => tracing::warn!(%error, "a certificate of the bundle is of no use"),
            }
        }
        Ok(())
    }

    /// Adds a set. A key without a name goes by its thumbprint.
    pub(crate) fn add_set(&mut self, set: &[Jwk]) {
        for jwk in set {
            let trusted = Trusted::new(jwk.key.clone(), jwk.algorithm);
            match &jwk.id {
                Some(id) => self.put(id.clone(), trusted),
                None => {
                    for name in jwk.key.names() {
                        self.put(name, trusted.clone());
                    }
                }
            }
        }
    }

    /// Has one of the keys verify the signature, and says until when the key is vouched for.
    pub(crate) fn verify(&self, token: &Unverified<'_>, now: i64) -> Result<i64, TokenError> {
        // Without roots no chain can lead anywhere, and a name may still do.
        if let Some(chain) = &token.hint.chain
            && !self.roots.is_empty()
        {
            let vouched = self.roots.verify(chain, now).map_err(TokenError::Chain)?;
            signed_by(&[Trusted::new(vouched.key, None)], token)?;
            return Ok(vouched.until);
        }
        let name = token.hint.id.as_deref().ok_or(TokenError::NoKey)?;
        let keys = self.by_name.get(name).ok_or(TokenError::UnknownKey)?;
        signed_by(keys, token)?;
        Ok(i64::MAX)
    }
}

fn signed_by(keys: &[Trusted], token: &Unverified<'_>) -> Result<(), TokenError> {
    let mut fitting = keys
        .iter()
        .filter(|key| key.is_for(token.algorithm))
        .peekable();
    if fitting.peek().is_none() {
        return Err(TokenError::KeyMismatch);
    }
    let verified = fitting.any(|trusted| {
        trusted
            .key
            .verifies(token.algorithm, token.signed, &token.signature)
    });
    if verified {
        Ok(())
    } else {
        Err(TokenError::Signature)
    }
}
