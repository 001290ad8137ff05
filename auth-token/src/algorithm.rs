//! The signature algorithms of RFC 7518 and RFC 8037 that a token may be signed with.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::{hmac, signature};

/// How a token is signed. The list is distribution's; `none` is not in it and cannot be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // the names are RFC 7518's
pub enum Algorithm {
    EdDsa,
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
    Es512,
    Ps256,
    Ps384,
    Ps512,
}

/// The algorithms with their names, in the order of distribution's own list.
const NAMES: [(Algorithm, &str); 13] = [
    (Algorithm::EdDsa, "EdDSA"),
    (Algorithm::Hs256, "HS256"),
    (Algorithm::Hs384, "HS384"),
    (Algorithm::Hs512, "HS512"),
    (Algorithm::Rs256, "RS256"),
    (Algorithm::Rs384, "RS384"),
    (Algorithm::Rs512, "RS512"),
    (Algorithm::Es256, "ES256"),
    (Algorithm::Es384, "ES384"),
    (Algorithm::Es512, "ES512"),
    (Algorithm::Ps256, "PS256"),
    (Algorithm::Ps384, "PS384"),
    (Algorithm::Ps512, "PS512"),
];

impl Algorithm {
    /// All of them: what distribution accepts where `signingalgorithms` says nothing. Which of them
    /// a key verifies is decided by the key.
    #[must_use]
    pub fn all() -> Vec<Self> {
        NAMES.map(|(algorithm, _)| algorithm).to_vec()
    }

    /// The name in a header, and in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let found = NAMES.iter().find(|(algorithm, _)| *algorithm == self);
        found.map_or("", |(_, name)| name)
    }

    /// What verifies it with an RSA key, of 2048 to 8192 bits.
    pub(crate) fn rsa(self) -> Option<&'static signature::RsaParameters> {
        Some(match self {
            Self::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            _ => return None,
        })
    }

    /// What verifies it with a shared secret, and how many bytes that must have (RFC 7518, 3.2).
    pub(crate) fn hmac(self) -> Option<(hmac::Algorithm, usize)> {
        Some(match self {
            Self::Hs256 => (hmac::HMAC_SHA256, 32),
            Self::Hs384 => (hmac::HMAC_SHA384, 48),
            Self::Hs512 => (hmac::HMAC_SHA512, 64),
            _ => return None,
        })
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No algorithm that we know by this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a signing algorithm")]
#[allow(clippy::exhaustive_structs)]
pub struct UnknownAlgorithm;

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        let found = NAMES.iter().find(|(_, name)| *name == text);
        found
            .map(|(algorithm, _)| *algorithm)
            .ok_or(UnknownAlgorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_read_by_its_own_name_and_none_is_no_algorithm() {
        for algorithm in Algorithm::all() {
            assert_eq!(algorithm.as_str().parse(), Ok(algorithm));
        }
        for text in ["none", "None", "", "hs256", "RS256 ", "ES256K", "RS1"] {
            assert_eq!(text.parse::<Algorithm>(), Err(UnknownAlgorithm), "{text}");
        }
    }
}
