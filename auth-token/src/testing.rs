//! Tokens as others, and worse ones, would make them.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PSS_SHA512, RsaKeyPair,
};
use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der},
    hmac,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use x509_cert::der::Decode as _;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use crate::algorithm::Algorithm;
use crate::key::{Curve, Parts, PublicKey};

/// Some day in 2026.
pub(crate) const NOW: i64 = 1_790_000_000;

pub(crate) fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Claims that are good at [`NOW`].
pub(crate) fn claims() -> Value {
    json!({
        "iss": "issuer", "aud": "service", "sub": "alice",
        "iat": NOW, "nbf": NOW, "exp": NOW + 300,
        "access": [{"type": "repository", "name": "a/b", "actions": ["pull"]}],
    })
}

static RSA: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    [(), ()].map(|()| {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        der.as_ref().to_vec()
    })
});

/// Makes signatures.
pub(crate) enum Signer {
    Rsa(RsaKeyPair),
    P384(EcdsaKeyPair),
    P521(EcdsaKeyPair),
    Shared(Vec<u8>),
}

impl Signer {
    /// Always the same: to find two primes takes a while.
    pub(crate) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::from_pkcs8(&RSA[0]).unwrap())
    }

    /// Another one.
    pub(crate) fn other_rsa() -> Self {
        Self::Rsa(RsaKeyPair::from_pkcs8(&RSA[1]).unwrap())
    }

    pub(crate) fn p384() -> Self {
        Self::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn p521() -> Self {
        Self::P521(EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn public(&self) -> PublicKey {
        match self {
            Self::Rsa(_) => {
                let info = SubjectPublicKeyInfoOwned::from_der(&self.public_der()).unwrap();
                PublicKey::from_spki(&info).unwrap()
            }
            Self::P384(pair) => point(Curve::P384, pair.public_key().as_ref()),
            Self::P521(pair) => point(Curve::P521, pair.public_key().as_ref()),
            Self::Shared(secret) => {
                let secret = registry_core::access::Secret::new(secret.clone());
                PublicKey::new(Parts::Shared(secret)).unwrap()
            }
        }
    }

    /// The public key of RSA, as files have it.
    pub(crate) fn public_der(&self) -> Vec<u8> {
        let Self::Rsa(pair) = self else {
            panic!("not of RSA");
        };
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        der.as_ref().to_vec()
    }

    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding = match algorithm {
                    Algorithm::Ps512 => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Self::P384(pair) | Self::P521(pair) => {
                pair.sign(&random, message).unwrap().as_ref().to_vec()
            }
            Self::Shared(secret) => {
                let (algorithm, _) = algorithm.hmac().unwrap();
                let key = hmac::Key::new(algorithm, secret);
                hmac::sign(&key, message).as_ref().to_vec()
            }
        }
    }

    /// A token with this header and these claims, signed with what the header names.
    pub(crate) fn token(&self, header: &Value, claims: &Value) -> String {
        self.token_of(&header.to_string(), &claims.to_string())
    }

    /// The same of texts that need not be JSON.
    pub(crate) fn token_of(&self, header: &str, claims: &str) -> String {
        let named: Option<Value> = serde_json::from_str(header).ok();
        let named = named.and_then(|header| header["alg"].as_str()?.parse().ok());
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        let algorithm = named.unwrap_or(match self {
            Self::Shared(_) => Algorithm::Hs256,
            _ => Algorithm::Rs256,
        });
        let signature = self.sign(algorithm, signed.as_bytes());
        format!("{signed}.{}", encoded(signature))
    }
}

fn point(curve: Curve, bytes: &[u8]) -> PublicKey {
    let (x, y) = bytes[1..].split_at(bytes.len() / 2);
    let (x, y) = (x.to_vec(), y.to_vec());
    PublicKey::new(Parts::Ec { curve, x, y }).unwrap()
}
