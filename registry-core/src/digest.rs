//! Digests as fixed-size bytes, so that none of them can spell a path.

use std::fmt;
use std::str::FromStr;

/// A hash algorithm that we can compute (OCI image-spec, "Registered Algorithms").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256, which every registry must support.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Every algorithm, in the order in which digests sort.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The name that stands before the colon of a digest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or(DigestError::Unsupported)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The address of content. Bytes, not text: it is `Copy`, compares fast, and can never
/// spell a path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Digest {
    /// 32 bytes of SHA-256.
    Sha256([u8; 32]),
    /// 64 bytes of SHA-512.
    Sha512([u8; 64]),
}

impl Digest {
    /// The algorithm that made it.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The raw hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(bytes) => bytes,
            Self::Sha512(bytes) => bytes,
        }
    }

    /// The part after the colon, in lower-case hexadecimal.
    #[must_use]
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(self.as_bytes().len() * 2);
        for byte in self.as_bytes() {
            text.push(DIGITS[usize::from(byte >> 4)] as char);
            text.push(DIGITS[usize::from(byte & 15)] as char);
        }
        text
    }

    /// A digest of this algorithm from the hexadecimal after the colon.
    ///
    /// # Errors
    /// [`DigestError::Malformed`] unless it is exactly as many lower-case digits as needed.
    pub fn from_hex(algorithm: Algorithm, hex: &str) -> Result<Self, DigestError> {
        match algorithm {
            Algorithm::Sha256 => decode(hex).map(Self::Sha256),
            Algorithm::Sha512 => decode(hex).map(Self::Sha512),
        }
    }
}

/// Why a text is no digest of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// Not of the form `algorithm:hex`, or of the wrong length, or in upper case.
    #[error("malformed digest")]
    Malformed,
    /// An algorithm that we cannot compute.
    #[error("unsupported digest algorithm")]
    Unsupported,
}

fn decode<const N: usize>(hex: &str) -> Result<[u8; N], DigestError> {
    fn nibble(digit: u8) -> Result<u8, DigestError> {
        match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(DigestError::Malformed),
        }
    }
    let digits = hex.as_bytes();
    if digits.len() != N * 2 {
        return Err(DigestError::Malformed);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Ok(bytes)
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, hex) = text.split_once(':').ok_or(DigestError::Malformed)?;
        Self::from_hex(algorithm.parse()?, hex)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The longest text of a digest of another algorithm: room for 128 bytes of hash and any name, and
/// short enough for a header.
const LONGEST_OTHER: usize = 512;

/// A digest as a descriptor names it: well formed, but perhaps of an algorithm that we cannot
/// compute (OCI image-spec, "Digests").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)]
pub enum AnyDigest {
    /// Of an algorithm that we compute.
    Known(Digest),
    /// Of another, with its text. Nothing is ever stored under it.
    Other(Box<str>),
}

impl AnyDigest {
    /// The digest, if it is of an algorithm that we compute.
    #[must_use]
    pub fn known(&self) -> Option<&Digest> {
        match self {
            Self::Known(digest) => Some(digest),
            Self::Other(_) => None,
        }
    }
}

impl From<Digest> for AnyDigest {
    fn from(digest: Digest) -> Self {
        Self::Known(digest)
    }
}

impl FromStr for AnyDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text.parse() {
            Ok(digest) => Ok(Self::Known(digest)),
            Err(DigestError::Unsupported) if is_well_formed(text) => Ok(Self::Other(text.into())),
            Err(_) => Err(DigestError::Malformed),
        }
    }
}

impl fmt::Display for AnyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(digest) => digest.fmt(f),
            Self::Other(text) => f.write_str(text),
        }
    }
}

fn is_well_formed(text: &str) -> bool {
    let Some((algorithm, encoded)) = text.split_once(':') else {
        return false;
    };
    let lower = |digit: u8| digit.is_ascii_lowercase() || digit.is_ascii_digit();
    let component = |part: &str| !part.is_empty() && part.bytes().all(lower);
    text.len() <= LONGEST_OTHER
        && algorithm.split(['+', '.', '_', '-']).all(component)
        && !encoded.is_empty()
        && encoded
            .bytes()
            .all(|digit| digit.is_ascii_alphanumeric() || b"=_-".contains(&digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_prints_as_it_was_parsed() {
        for text in [
            format!("sha256:{}", "0a".repeat(32)),
            format!("sha512:{}", "f9".repeat(64)),
        ] {
            assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_exactly_a_digest_is_refused() {
        let hex = "ab".repeat(32);
        for text in [
            String::new(),
            "sha256".into(),
            "sha256:".into(),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}a"),
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha512:{hex}"),
            format!("SHA256:{hex}"),
            format!("md5:{hex}"),
            "sha256:../../x".into(),
            "sha256:totallywrong".into(),
            format!("sha256:{}", "é".repeat(32)),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_descriptor_may_name_an_algorithm_that_we_do_not_know() {
        let known = format!("sha256:{}", "0a".repeat(32));
        let parse = |text: &str| text.parse::<AnyDigest>();
        assert_eq!(parse(&known), Ok(AnyDigest::Known(known.parse().unwrap())));
        let blake3 = format!("blake3:{}", "0a".repeat(32));
        for text in [&blake3, "foo+bar:abc_DEF=", "a.b-c_d+e:-"] {
            let digest = parse(text).unwrap();
            assert_eq!((digest.known(), digest.to_string().as_str()), (None, text));
        }
        let long = format!("a:{}", "b".repeat(LONGEST_OTHER));
        for text in [
            "",
            ":",
            "a:",
            ":a",
            "a",
            "A:b",
            "a++b:c",
            "+a:b",
            "a+:b",
            "a:b/c",
            "a:b:c",
            "a:é",
            "sha256:abc",
            "a/b:c",
            &known.to_uppercase(),
            &long,
        ] {
            assert_eq!(parse(text), Err(DigestError::Malformed), "{text:?}");
        }
    }
}
