//! The plain data that crosses the storage traits.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use bytes::Bytes;

use crate::digest::Digest;
use crate::layout::StorePath;

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenMode {
    /// Serve, and write.
    Serve,
    /// Serve without changing anything.
    ReadOnly,
    /// Collect garbage while no server writes.
    Collect,
    /// Look at it and close it again.
    Check,
}

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

/// What a record said, and when.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs)]
pub struct Record {
    /// Its bytes.
    pub value: Bytes,
    /// For [`PutMode::IfVersion`] and conditional deletes.
    pub version: Version,
    /// Last put, by the store's clock.
    pub modified: SystemTime,
}

/// One state of a record or a directory, comparable and otherwise opaque.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(Box<str>);

impl Version {
    /// As the driver spells it. Two states must never share a spelling.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The driver's spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Under which condition a record is written.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_enums)]
pub enum PutMode {
    /// Only if there is none.
    Create,
    /// Only over this version.
    IfVersion(Version),
    /// Whatever is there.
    Replace,
}

/// How long a record must last once its put has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)]
pub enum Durability {
    /// On stable storage before the call returns, as far as the driver's configuration promises.
    Durable,
    /// Survives a crash of the process; no more is promised (the state of uploads).
    Volatile,
}

/// What became of a conditional write.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)]
pub enum Outcome {
    /// The condition did not hold; nothing was written.
    Conflict,
    /// With the new version, after a put.
    Done(Option<Version>),
}

/// Which records to list.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListQuery {
    /// The directory below which to look; it need not exist.
    pub dir: StorePath,
    /// Exclusive, relative to `dir`, compared as the order of the listing compares: by the
    /// bytes of the full key, a directory as `name/`. It need not exist.
    pub after: Option<String>,
    /// At most this many entries.
    pub limit: Option<usize>,
    /// The next level only, directories among it; otherwise every record below.
    pub children: bool,
    /// With `children`: leave out directories that lack this record. A store that cannot tell
    /// without a request for each may show them.
    pub holding: Option<&'static str>,
}

impl ListQuery {
    /// The entries of the next level.
    #[must_use]
    pub fn children(dir: StorePath) -> Self {
        Self {
            dir,
            after: None,
            limit: None,
            children: true,
            holding: None,
        }
    }

    /// Every record below, at any depth.
    #[must_use]
    pub fn recursive(dir: StorePath) -> Self {
        Self {
            children: false,
            ..Self::children(dir)
        }
    }

    /// Only what comes after this name.
    #[must_use]
    pub fn after(mut self, after: Option<String>) -> Self {
        self.after = after;
        self
    }

    /// At most so many.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Only directories that hold this record.
    #[must_use]
    pub fn holding(mut self, record: &'static str) -> Self {
        self.holding = Some(record);
        self
    }
}

/// An entry of a listing. Names are relative to the directory asked for, without a final slash;
/// `layout` makes typed keys of them again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)]
pub enum RecordEntry {
    /// Something with entries below it.
    Directory {
        /// One component.
        name: String,
    },
    /// A record.
    Record {
        /// One component with `children`, else several joined by `/`.
        name: String,
        /// Its last put, where the store tells without being asked for each.
        modified: Option<SystemTime>,
    },
}

impl RecordEntry {
    /// The name, of either.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Directory { name } | Self::Record { name, .. } => name,
        }
    }

    /// What the listing sorts by: the name, and for a directory a slash behind it.
    #[must_use]
    pub fn sort_key(&self) -> String {
        match self {
            Self::Directory { name } => format!("{name}/"),
            Self::Record { name, .. } => name.clone(),
        }
    }
}

/// What a record store was found to guarantee when it was opened.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Guarantees {
    /// `Create` and `IfVersion` hold among several processes. Within one they always do.
    pub conditional_writes: bool,
    /// No other process changes this store while it is open, so that what was read stays
    /// true until this process changes it.
    pub exclusive: bool,
}

impl Guarantees {
    /// Of a store that this process has for itself.
    #[must_use]
    pub fn exclusive() -> Self {
        Self {
            conditional_writes: true,
            exclusive: true,
        }
    }
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
