//! The plain data of uploads.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::digest::Digest;

/// An upload: a random UUID (version 4); unguessable, because holding one is holding the upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(u128);

impl UploadId {
    /// A UUID of version 4 from random bits (RFC 9562, section 5.4).
    #[must_use]
    pub fn new(random: u128) -> Self {
        Self(random & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62)
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(
            f,
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        )
    }
}

impl FromStr for UploadId {
    type Err = ();

    /// Canonical only: lower case, hyphens, version 4.
    fn from_str(text: &str) -> Result<Self, ()> {
        let hex: String = text.chars().filter(|c| *c != '-').collect();
        let id = u128::from_str_radix(&hex, 16)
            .map(Self::new)
            .map_err(|_| ())?;
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(())
        }
    }
}

/// What is known of an upload's content before its bytes arrive.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)]
pub struct UploadHint {
    /// The digest that it will have, if the client named it.
    pub digest: Option<Digest>,
    /// Its size in bytes, if the client declared it.
    pub size: Option<u64>,
}

/// Where an upload stands. `token` is the driver's own and opaque to core, which keeps it in
/// the same record as the hash state, so that the two cannot disagree.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[allow(clippy::exhaustive_structs)]
pub struct Checkpoint {
    /// Bytes that survive a crash of the process.
    pub len: u64,
    /// What the driver needs to go on.
    pub token: Bytes,
}

/// Content of which core has hashed every byte. Only core can make one, so that nothing else
/// can ever be published as a blob.
#[derive(Debug)]
pub struct Verified {
    digest: Digest,
    len: u64,
}

impl Verified {
    pub(crate) fn new(digest: Digest, len: u64) -> Self {
        Self { digest, len }
    }

    /// The digest of the accepted bytes.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// How many bytes were accepted.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the content is the empty blob.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_a_canonical_uuid_of_version_4() {
        let id = UploadId::new(u128::MAX);
        assert_eq!(id.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in [
            "",
            "x",
            "FFFFFFFF-ffff-4fff-bfff-ffffffffffff",
            "ffffffffffff4fffbfffffffffffffff",
        ] {
            assert!(text.parse::<UploadId>().is_err(), "{text:?}");
        }
        assert!(
            "ffffffff-ffff-1fff-bfff-ffffffffffff"
                .parse::<UploadId>()
                .is_err()
        );
        assert!(format!("{{{id}}}").parse::<UploadId>().is_err());
        assert!("../x".parse::<UploadId>().is_err());
        assert!(
            "+fffffff-ffff-4fff-bfff-ffffffffffff"
                .parse::<UploadId>()
                .is_err()
        );
    }
}
