//! What names a manifest: a tag or a digest, nothing else.

use std::fmt;

use crate::digest::Digest;
use crate::name::Tag;

/// A tag or a digest (OCI distribution-spec, `<reference>`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)]
pub enum Reference {
    /// A name that may move.
    Tag(Tag),
    /// An address that cannot.
    Digest(Digest),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}
