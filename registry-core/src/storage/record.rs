//! The plain data of records, and what a store promises.

use std::time::SystemTime;

use bytes::Bytes;

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
    /// After a put with the new version, if the store tells; without it core asks, or goes on
    /// without a condition. After a delete with none.
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
    /// With `children`: leave out directories that lack this link, or in which it holds no digest
    /// ([`parse_link`](crate::layout::parse_link)), as a crash of distribution can leave it. A
    /// store that cannot tell at the price of a look at each may show them.
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

    /// Only directories that hold this link.
    #[must_use]
    pub fn holding(mut self, link: &'static str) -> Self {
        self.holding = Some(link);
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
    /// A look at each directory of a walk costs a request to somewhere else, and no
    /// [`stamp`](super::RecordStore::stamp) tells that one has changed. Core then keeps an index of
    /// the repositories in the store, and looks once in each process at what others may have done
    /// to the records that tell of referrers.
    pub distant: bool,
}

impl Guarantees {
    /// Of a store that this process has for itself.
    #[must_use]
    pub fn exclusive() -> Self {
        Self {
            conditional_writes: true,
            exclusive: true,
            distant: false,
        }
    }
}
