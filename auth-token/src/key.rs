//! Public keys, what they may verify, and the names that others call them by.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{
    self, EcdsaVerificationAlgorithm, RsaPublicKeyComponents, UnparsedPublicKey,
    VerificationAlgorithm,
};
use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use registry_core::access::Secret;
use x509_cert::der::asn1::{ObjectIdentifier, Uint};
use x509_cert::der::{Decode as _, Reader as _, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use crate::algorithm::Algorithm;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The NIST curves of RFC 7518.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

/// Everything that follows from a curve.
struct CurveFacts {
    curve: Curve,
    name: &'static str,
    oid: ObjectIdentifier,
    /// Bytes of one coordinate.
    size: usize,
    signs: Algorithm,
    verifies: &'static EcdsaVerificationAlgorithm,
}

static CURVES: [CurveFacts; 3] = [
    CurveFacts {
        curve: Curve::P256,
        name: "P-256",
        oid: ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
        size: 32,
        signs: Algorithm::Es256,
        verifies: &signature::ECDSA_P256_SHA256_FIXED,
    },
    CurveFacts {
        curve: Curve::P384,
        name: "P-384",
        oid: ObjectIdentifier::new_unwrap("1.3.132.0.34"),
        size: 48,
        signs: Algorithm::Es384,
        verifies: &signature::ECDSA_P384_SHA384_FIXED,
    },
    CurveFacts {
        curve: Curve::P521,
        name: "P-521",
        oid: ObjectIdentifier::new_unwrap("1.3.132.0.35"),
        size: 66,
        signs: Algorithm::Es512,
        verifies: &signature::ECDSA_P521_SHA512_FIXED,
    },
];

impl Curve {
    fn facts(self) -> &'static CurveFacts {
        &CURVES[self as usize]
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        let found = CURVES.iter().find(|facts| facts.name == name);
        found.map(|facts| facts.curve)
    }
}

/// A key that can verify, in the parts that RFC 7638 names.
#[derive(Clone, Debug)]
pub(crate) enum Parts {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    Ec {
        curve: Curve,
        x: Vec<u8>,
        y: Vec<u8>,
    },
    Ed25519(Vec<u8>),
    Shared(Secret<Vec<u8>>),
}

/// Why a key is of no use to us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("a kind of key that signs no tokens")]
    Kind,
    #[error("not a valid key: {0}")]
    Invalid(&'static str),
}

/// A key that verifies signatures.
#[derive(Clone, Debug)]
pub(crate) struct PublicKey {
    parts: Parts,
    /// As a SubjectPublicKeyInfo; empty for a shared secret.
    der: Vec<u8>,
}

impl PublicKey {
    /// Checks the parts.
    pub(crate) fn new(parts: Parts) -> Result<Self, KeyError> {
        let (parts, der) = match parts {
            Parts::Rsa { n, e } => rsa(&n, &e)?,
            Parts::Ec { curve, x, y } => ec(curve, &x, &y)?,
            Parts::Ed25519(x) => {
                let der = parsed(&signature::ED25519, &x)?;
                (Parts::Ed25519(x), der)
            }
            Parts::Shared(secret) => {
                if secret.expose().len() < 32 {
                    return Err(KeyError::Invalid("a secret of fewer than 32 bytes"));
                }
                (Parts::Shared(secret), Vec::new())
            }
        };
        Ok(Self { parts, der })
    }

    /// Reads the key of a certificate.
    pub(crate) fn from_spki(info: &SubjectPublicKeyInfoOwned) -> Result<Self, KeyError> {
        let bits = info.subject_public_key.as_bytes();
        let bits = bits.ok_or(KeyError::Invalid("odd bits"))?;
        let parts = match info.algorithm.oid {
            RSA => rsa_parts(bits).map_err(|_| KeyError::Invalid("not an RSA key"))?,
            EC => {
                let curve = info.algorithm.parameters.as_ref();
                let curve = curve.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
                let facts = CURVES.iter().find(|facts| Some(facts.oid) == curve);
                let facts = facts.ok_or(KeyError::Kind)?;
                let [4, point @ ..] = bits else {
                    return Err(KeyError::Invalid("not an uncompressed point"));
                };
                let halves = point.split_at_checked(facts.size);
                let (x, y) = halves.ok_or(KeyError::Invalid("a short point"))?;
                Parts::Ec {
                    curve: facts.curve,
                    x: x.to_vec(),
                    y: y.to_vec(),
                }
            }
            ED25519 => Parts::Ed25519(bits.to_vec()),
            _ => return Err(KeyError::Kind),
        };
        Self::new(parts)
    }

    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.parts, Parts::Shared(_))
    }

    /// Whether this kind of key may verify that algorithm at all.
    pub(crate) fn suits(&self, algorithm: Algorithm) -> bool {
        match &self.parts {
            Parts::Rsa { .. } => algorithm.rsa().is_some(),
            Parts::Ec { curve, .. } => curve.facts().signs == algorithm,
            Parts::Ed25519(_) => algorithm == Algorithm::EdDsa,
            Parts::Shared(secret) => {
                let needed = algorithm.hmac().map(|(_, size)| size);
                needed.is_some_and(|size| secret.expose().len() >= size)
            }
        }
    }

    /// Whether `signature` is this key's over `message`.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.suits(algorithm) {
            return false;
        }
        let by: &'static dyn VerificationAlgorithm = match &self.parts {
            Parts::Rsa { .. } => match algorithm.rsa() {
                Some(parameters) => parameters,
                None => return false,
            },
            Parts::Ec { curve, .. } => curve.facts().verifies,
            Parts::Ed25519(_) => &signature::ED25519,
            Parts::Shared(secret) => {
                return algorithm.hmac().is_some_and(|(algorithm, _)| {
                    let tag = hmac::sign(&hmac::Key::new(algorithm, secret.expose()), message);
                    constant_time::verify_slices_are_equal(tag.as_ref(), signature).is_ok()
                });
            }
        };
        UnparsedPublicKey::new(by, &self.der)
            .verify(message, signature)
            .is_ok()
    }

    /// The members of a JSON Web Key that make the key, in alphabetical order.
    pub(crate) fn members(&self) -> Vec<(&'static str, String)> {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.parts {
            Parts::Rsa { n, e } => {
                vec![("e", text(e)), ("kty", "RSA".to_owned()), ("n", text(n))]
            }
            Parts::Ec { curve, x, y } => ec_members(*curve, x, y),
            Parts::Ed25519(x) => vec![
                ("crv", "Ed25519".to_owned()),
                ("kty", "OKP".to_owned()),
                ("x", text(x)),
            ],
            // Never shown, and has no name but its `kid`.
            Parts::Shared(_) => Vec::new(),
        }
    }

    /// The thumbprint of RFC 7638: what distribution 3 calls a key.
    pub(crate) fn thumbprint(&self) -> String {
        thumbprint(&self.members())
    }

    /// All names that a token may call a key of a certificate by: RFC 7638's, the same as
    /// distribution 3 gets it wrong, and libtrust's, which is that of distribution 2.
    pub(crate) fn names(&self) -> Vec<String> {
        if self.is_shared() {
            return Vec::new();
        }
        let mut names = vec![self.thumbprint(), self.libtrust()];
        if let Parts::Ec { curve, x, y } = &self.parts
            && (x.first() == Some(&0) || y.first() == Some(&0))
        {
            // It writes coordinates without leading zeros, where RFC 7518 wants full length.
            let short = ec_members(*curve, without_zeros(x), without_zeros(y));
            names.push(thumbprint(&short));
        }
        names
    }

    /// Whether distribution 3 and RFC 7638 agree about the name.
    pub(crate) fn has_one_thumbprint(&self) -> bool {
        self.names().len() == 2
    }

    /// libtrust's fingerprint: 30 bytes of the SHA-256 of the SubjectPublicKeyInfo, in twelve
    /// groups of base32.
    fn libtrust(&self) -> String {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let hash = digest(&SHA256, &self.der);
        let mut text = String::with_capacity(59);
        for (at, group) in hash.as_ref()[..30].chunks_exact(5).enumerate() {
            let bits = group
                .iter()
                .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            for digit in 0..8 {
                if digit % 4 == 0 && (at, digit) != (0, 0) {
                    text.push(':');
                }
                let value = bits >> (35 - 5 * digit) & 31;
                text.push(char::from(ALPHABET[usize::try_from(value).unwrap_or(0)]));
            }
        }
        text
    }
}

fn ec_members(curve: Curve, x: &[u8], y: &[u8]) -> Vec<(&'static str, String)> {
    vec![
        ("crv", curve.facts().name.to_owned()),
        ("kty", "EC".to_owned()),
        ("x", URL_SAFE_NO_PAD.encode(x)),
        ("y", URL_SAFE_NO_PAD.encode(y)),
    ]
}

/// None of the members has a character that JSON would escape.
fn thumbprint(members: &[(&'static str, String)]) -> String {
    let mut text = String::from("{");
    for (at, (name, value)) in members.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(text, "{comma}\"{name}\":\"{value}\"");
    }
    text.push('}');
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

fn rsa(n: &[u8], e: &[u8]) -> Result<(Parts, Vec<u8>), KeyError> {
    let (n, e) = (without_zeros(n), without_zeros(e));
    let Some(first) = n.first() else {
        return Err(KeyError::Invalid("an empty modulus"));
    };
    let bits = n.len() * 8 - first.leading_zeros() as usize;
    if !(2048..=8192).contains(&bits) {
        return Err(KeyError::Invalid("an RSA key not of 2048 to 8192 bits"));
    }
    let der = RsaPublicKeyComponents { n, e }.as_der();
    let der = der.map_err(|_| KeyError::Invalid("not an RSA key"))?;
    let (n, e) = (n.to_vec(), e.to_vec());
    Ok((Parts::Rsa { n, e }, der.as_ref().to_vec()))
}

/// Coordinates that some write without their leading zeros are brought to full length.
fn ec(curve: Curve, x: &[u8], y: &[u8]) -> Result<(Parts, Vec<u8>), KeyError> {
    let facts = curve.facts();
    let full = |bytes: &[u8]| {
        let missing = facts.size.checked_sub(bytes.len());
        let missing = missing.ok_or(KeyError::Invalid("a long coordinate"))?;
        Ok([vec![0; missing], bytes.to_vec()].concat())
    };
    let (x, y) = (full(x)?, full(y)?);
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    let der = parsed(facts.verifies, &point)?;
    Ok((Parts::Ec { curve, x, y }, der))
}

/// Has the library judge the key, and writes it as a SubjectPublicKeyInfo.
fn parsed(by: &'static dyn VerificationAlgorithm, key: &[u8]) -> Result<Vec<u8>, KeyError> {
    let invalid = KeyError::Invalid("no point of its curve");
    let key = UnparsedPublicKey::new(by, key).parse();
    let der = key.ok().and_then(|key| key.as_der().ok());
    Ok(der.ok_or(invalid)?.as_ref().to_vec())
}

/// An RSAPublicKey of RFC 8017.
fn rsa_parts(bits: &[u8]) -> x509_cert::der::Result<Parts> {
    let mut reader = SliceReader::new(bits)?;
    let parts = reader.sequence(|inner| {
        let n = Uint::decode(inner)?;
        let e = Uint::decode(inner)?;
        x509_cert::der::Result::Ok(Parts::Rsa {
            n: n.as_bytes().to_vec(),
            e: e.as_bytes().to_vec(),
        })
    })?;
    reader.finish()?;
    Ok(parts)
}
