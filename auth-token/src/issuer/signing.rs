//! A key that signs, and its file.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use registry_core::access::Secret;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;

use super::config::KeyKind;
use super::plan::Born;
use crate::algorithm::Algorithm;
use crate::error::OpenError;
use crate::key::{Curve, Parts, PublicKey};

/// A pair of keys.
#[derive(Debug)]
pub(super) struct SigningKey {
    pair: Pair,
    pub(super) public: PublicKey,
    /// What tokens call it by: its thumbprint.
    pub(super) id: String,
    /// The private key, as PKCS #8.
    pub(super) pkcs8: Secret<Vec<u8>>,
    pub(super) born: Born,
}

#[derive(Debug)]
enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl SigningKey {
    /// A new key.
    pub(super) fn generate(kind: KeyKind, at: i64) -> Result<Self, OpenError> {
        loop {
            let document = match kind {
                KeyKind::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                    .and_then(|pair| pair.to_pkcs8v1()),
                KeyKind::EdDsa => Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1()),
            };
            let document = document.map_err(|_| OpenError::Key("no randomness"))?;
            let key = Self::from_pkcs8(document.as_ref(), at).map_err(OpenError::Key)?;
            // Distribution 3 has another name than all others for one in 128 keys.
            if key.public.has_one_thumbprint() {
                return Ok(key);
            }
        }
    }

    fn from_pkcs8(der: &[u8], at: i64) -> Result<Self, &'static str> {
        let (pair, public, kind) =
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
                // An uncompressed point.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                let (x, y) = (x.to_vec(), y.to_vec());
                let curve = Curve::P256;
                let public = PublicKey::new(Parts::Ec { curve, x, y });
                (Pair::Es256(pair), public, KeyKind::Es256)
            } else if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
                let public = PublicKey::new(Parts::Ed25519(pair.public_key().as_ref().to_vec()));
                (Pair::EdDsa(pair), public, KeyKind::EdDsa)
            } else {
                return Err("neither a P-256 nor an Ed25519 key");
            };
        let public = public.map_err(|_| "a key without a public half")?;
        Ok(Self {
            pair,
            id: public.thumbprint(),
            public,
            pkcs8: Secret::new(der.to_vec()),
            born: Born { at, kind },
        })
    }

    /// Reads a file, whose name says when the key was made.
    pub(super) fn from_pem(pem: &[u8], at: i64) -> Result<Self, &'static str> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem);
        let der = der.map_err(|_| "no private key in PEM")?;
        Self::from_pkcs8(der.secret_pkcs8_der(), at)
    }

    pub(super) fn to_pem(&self) -> Secret<String> {
        Secret::new(pem("PRIVATE KEY", self.pkcs8.expose()))
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Es256(_) => Algorithm::Es256,
            Pair::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    /// A signature as a token has it.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = match &self.pair {
            Pair::Es256(pair) => pair.sign(&SystemRandom::new(), message),
            Pair::EdDsa(pair) => pair.try_sign(message),
        };
        Some(signature.ok()?.as_ref().to_vec())
    }
}

/// Text in PEM (RFC 7468).
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_has_one_name_for_everyone() {
        for _ in 0..600 {
            let key = SigningKey::generate(KeyKind::Es256, 0).unwrap();
            assert!(key.public.has_one_thumbprint());
        }
    }

    #[test]
    fn a_key_is_read_as_it_was_written() {
        for kind in [KeyKind::Es256, KeyKind::EdDsa] {
            let key = SigningKey::generate(kind, 5).unwrap();
            let again = SigningKey::from_pem(key.to_pem().expose().as_bytes(), 5).unwrap();
            assert_eq!((again.id, again.born), (key.id.clone(), key.born));
            let hidden = format!("{key:?}");
            assert!(!hidden.contains(&format!("{:?}", key.pkcs8.expose())));
        }
    }
}
