//! The plain data of blobs: what is told of them, ranges, the trash, redirects.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use crate::digest::Digest;

/// Size and age of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)]
pub struct BlobStat {
    /// In bytes.
    pub size: u64,
    /// Last commit or restore of it, by the store's clock.
    pub modified: SystemTime,
}

/// A blob met while listing.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)]
pub struct BlobEntry {
    /// Its address.
    pub digest: Digest,
    /// Its size and age.
    pub stat: BlobStat,
}

/// What one retired copy is called; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RetiredId(u128);

impl RetiredId {
    /// From random bits.
    #[must_use]
    pub fn new(random: u128) -> Self {
        Self(random)
    }
}

impl fmt::Display for RetiredId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for RetiredId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let id = u128::from_str_radix(text, 16).map(Self).map_err(|_| ())?;
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(())
        }
    }
}

/// A copy in the trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)]
pub struct Retired {
    /// Its name in the trash.
    pub id: RetiredId,
    /// Which blob it was.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// When it was retired, by the store's clock.
    pub since: SystemTime,
}

/// A part of a blob as asked for, before its size is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)]
pub enum RangeSpec {
    /// From an offset to the end.
    From(u64),
    /// From the first offset to the second, both included.
    Between(u64, u64),
    /// The last bytes, at most this many.
    Last(u64),
}

impl RangeSpec {
    /// What it comes to in a blob of this size; `None` when nothing of it lies inside.
    #[must_use]
    pub fn resolve(self, size: u64) -> Option<ByteRange> {
        let (start, end) = match self {
            Self::From(start) => (start, size),
            Self::Between(start, last) if start <= last => {
                (start, size.min(last.saturating_add(1)))
            }
            Self::Between(..) => return None,
            Self::Last(len) => (size.saturating_sub(len), size),
        };
        if start < end {
            Some(ByteRange {
                start,
                len: end - start,
            })
        } else {
            None
        }
    }
}

/// A part of a blob of known size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub start: u64,
    /// How many bytes.
    pub len: u64,
}

/// What a client asked for, for a store that may send it elsewhere.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RedirectRequest {
    /// The one range asked for, if any.
    pub range: Option<RangeSpec>,
}

impl RedirectRequest {
    /// For the whole blob, or one range of it.
    #[must_use]
    pub fn new(range: Option<RangeSpec>) -> Self {
        Self { range }
    }
}

/// Where else the bytes may be fetched. It may carry a signature, so `Debug` shows nothing.
#[derive(Clone)]
pub struct RedirectUrl(String);

impl RedirectUrl {
    /// An absolute URL.
    #[must_use]
    pub fn new(url: String) -> Self {
        Self(url)
    }

    /// The URL, signature and all.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RedirectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedirectUrl(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_come_to_what_lies_inside() {
        let part = |start, len| Some(ByteRange { start, len });
        assert_eq!(RangeSpec::Between(500, 1499).resolve(2048), part(500, 1000));
        assert_eq!(RangeSpec::Between(2000, 5000).resolve(2048), part(2000, 48));
        assert_eq!(RangeSpec::Between(0, u64::MAX).resolve(1), part(0, 1));
        assert_eq!(RangeSpec::From(500).resolve(2048), part(500, 1548));
        assert_eq!(RangeSpec::Last(500).resolve(2048), part(1548, 500));
        assert_eq!(RangeSpec::Last(5000).resolve(2048), part(0, 2048));
        assert_eq!(RangeSpec::Last(0).resolve(2048), None);
        assert_eq!(RangeSpec::From(2048).resolve(2048), None);
        assert_eq!(RangeSpec::Between(500, 0).resolve(2048), None);
        assert_eq!(RangeSpec::Last(1).resolve(0), None);
    }
}
