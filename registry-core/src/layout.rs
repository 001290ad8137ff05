//! Typed keys of a store and the paths of distribution's tree; the only maker of paths.
//!
//! What distribution needs to serve an image is written exactly as it would write it. All else
//! lives where distribution never looks: `uploads/`, `gc/` and `_index/` beside `blobs/` and
//! `repositories/`, and names with a leading `_` inside a repository, which no repository component can have.

mod catalog;

use std::fmt;

use crate::digest::{Algorithm, Digest};
use crate::name::{RepositoryName, Tag};
use crate::storage::{RetiredId, UploadId};

pub use self::catalog::{catalog_name, catalog_start};

/// Everything below the root of a store lies under this.
const V2: &str = "docker/registry/v2";

/// A path of this tree, relative to the root of the store. Only this module makes one, from
/// validated parts, so it has no empty, `.` or `..` component and no control character.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePath(Box<str>);

impl StorePath {
    /// Relative to the root, components joined by `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One file or object of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)]
pub enum Key {
    /// The bytes of a blob or manifest.
    Blob(Digest),
    /// That a blob is visible in a repository.
    Layer(RepositoryName, Digest),
    /// That a manifest exists in a repository.
    Revision(RepositoryName, Digest),
    /// What a tag points to.
    TagCurrent(RepositoryName, Tag),
    /// That a tag has pointed to this digest.
    TagIndex(RepositoryName, Tag, Digest),
    /// The descriptor of a manifest that names `subject`. Ours.
    Referrer {
        /// Where both live.
        repository: RepositoryName,
        /// What is referred to; it need not exist.
        subject: Digest,
        /// The manifest that refers to it.
        referrer: Digest,
    },
    /// What the scan for referrers has seen of a repository. Ours.
    ReferrersScanned(RepositoryName),
    /// The media type a manifest was pushed with, when its body does not name one. Ours.
    MediaType(RepositoryName, Digest),
    /// The state of an upload. Ours.
    UploadRecord(UploadId),
    /// The staged bytes of an upload, for a driver that keeps them in a file. Ours.
    UploadData(UploadId),
    /// A part of the staged bytes of an upload, for a store that takes only whole records. Ours.
    UploadPiece {
        /// Of which upload.
        upload: UploadId,
        /// The how-manieth it is.
        sequence: u64,
        /// Random bits of whoever wrote it, so that no two ever write one record.
        writer: u128,
    },
    /// The key that signs the state of uploads. Ours.
    UploadSecret,
    /// A retired copy of a blob. Ours.
    Retired(Digest, RetiredId),
    /// That there is, or was, a repository of this name, for stores whose directories are dear to
    /// walk. Ours.
    CatalogEntry(RepositoryName),
    /// That every repository has its entry. Ours.
    CatalogComplete,
}

/// One directory of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)]
pub enum Dir {
    /// The whole tree.
    Tree,
    /// All blobs of an algorithm.
    Blobs(Algorithm),
    /// Above all repositories.
    Repositories,
    /// A repository, or what lies above repositories of longer names.
    Repository(RepositoryName),
    /// The blobs of an algorithm visible in a repository.
    Layers(RepositoryName, Algorithm),
    /// The manifests of an algorithm in a repository.
    Revisions(RepositoryName, Algorithm),
    /// The tags of a repository.
    Tags(RepositoryName),
    /// One tag.
    Tag(RepositoryName, Tag),
    /// The referrers of a subject.
    Referrers(RepositoryName, Digest),
    /// The referrers of all subjects, and what the scan has seen.
    AllReferrers(RepositoryName),
    /// The uploads that distribution has begun in a repository.
    ForeignUploads(RepositoryName),
    /// All uploads.
    Uploads,
    /// One upload.
    Upload(UploadId),
    /// The trash.
    Trash,
    /// The retired copies of one digest.
    RetiredCopies(Digest),
    /// The entries of all repositories.
    Catalog,
}

/// Directories in a repository that make it one: distribution 2.8 lists what has `_layers`, 3.x
/// what has `_manifests`; we list what either would.
pub const REPOSITORY_MARKS: [&str; 2] = ["_layers", "_manifests"];

/// Whether distribution takes a repository, or its tags, for absent without this directory: a store
/// that has directories keeps it when it is left empty.
#[must_use]
pub fn outlasts_its_records(dir: &str) -> bool {
    let Some(within) = dir.strip_prefix(V2).and_then(|dir| {
        let (_, within) = dir.strip_prefix("/repositories/")?.split_once("/_")?;
        Some(within)
    }) else {
        return false;
    };
    let parts: Vec<&str> = within.split('/').collect();
    matches!(
        *parts.as_slice(),
        ["manifests"]
            | ["manifests", "tags" | "revisions"]
            | ["manifests", "revisions", _]
            | ["layers"]
            | ["layers", _]
    )
}

/// The record in a tag's directory without which there is no tag.
pub const CURRENT_LINK: &str = "current/link";

/// The record in a digest's directory that makes it a link.
pub const LINK: &str = "link";

impl Key {
    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> StorePath {
        let text = match self {
            Self::Blob(digest) => {
                let hex = digest.hex();
                format!("{V2}/blobs/{}/{}/{hex}/data", digest.algorithm(), &hex[..2])
            }
            Self::Layer(name, digest) => link(&format!("{name}/_layers"), digest),
            Self::Revision(name, digest) => link(&format!("{name}/_manifests/revisions"), digest),
            Self::TagCurrent(name, tag) => {
                format!("{V2}/repositories/{name}/_manifests/tags/{tag}/{CURRENT_LINK}")
            }
            Self::TagIndex(name, tag, digest) => {
                link(&format!("{name}/_manifests/tags/{tag}/index"), digest)
            }
            Self::Referrer {
                repository,
                subject,
                referrer,
            } => {
                let dir = Dir::Referrers(repository.clone(), *subject).path();
                format!("{dir}/{}", flat(referrer))
            }
            Self::ReferrersScanned(name) => format!("{V2}/repositories/{name}/_referrers/_scanned"),
            Self::MediaType(name, digest) => {
                format!("{V2}/repositories/{name}/_mediatypes/{}", flat(digest))
            }
            Self::UploadRecord(id) => format!("{V2}/uploads/{id}/record"),
            Self::UploadData(id) => format!("{V2}/uploads/{id}/data"),
            Self::UploadPiece {
                upload,
                sequence,
                writer,
            } => format!("{V2}/uploads/{upload}/piece-{sequence:016x}-{writer:032x}"),
            Self::UploadSecret => format!("{V2}/uploads/_key"),
            Self::Retired(digest, id) => format!("{}/{id}", Dir::RetiredCopies(*digest).path()),
            Self::CatalogEntry(name) => {
                format!("{}/{}", Dir::Catalog.path(), catalog::component(name))
            }
            Self::CatalogComplete => format!("{V2}/_index/_complete"),
        };
        StorePath(text.into())
    }

    /// The key that lies at this path, which may come from a listing; `None` for what is foreign.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix(V2)?.strip_prefix('/')?;
        if let Some(rest) = rest.strip_prefix("repositories/") {
            let at = rest.find("/_")?;
            let name = rest[..at].parse().ok()?;
            return Self::parse_in_repository(name, &rest[at + 1..]);
        }
        let parts: Vec<&str> = rest.split('/').collect();
        match *parts.as_slice() {
            ["blobs", algorithm, shard, hex, "data"] => {
                let digest = Digest::from_hex(algorithm.parse().ok()?, hex).ok()?;
                hex.starts_with(shard).then_some(())?;
                (shard.len() == 2).then_some(Self::Blob(digest))
            }
            ["uploads", "_key"] => Some(Self::UploadSecret),
            ["uploads", id, "record"] => Some(Self::UploadRecord(id.parse().ok()?)),
            ["uploads", id, "data"] => Some(Self::UploadData(id.parse().ok()?)),
            ["uploads", id, piece] => {
                let (sequence, writer) = piece.strip_prefix("piece-")?.split_once('-')?;
                let key = Self::UploadPiece {
                    upload: id.parse().ok()?,
                    sequence: u64::from_str_radix(sequence, 16).ok()?,
                    writer: u128::from_str_radix(writer, 16).ok()?,
                };
                // Only as we spell it: no sign, no upper case, every digit there.
                (key.path().as_str() == path).then_some(key)
            }
            ["gc", algorithm, hex, id] => {
                let digest = Digest::from_hex(algorithm.parse().ok()?, hex).ok()?;
                Some(Self::Retired(digest, id.parse().ok()?))
            }
            ["_index", "catalog", entry] => catalog_name(entry).map(Self::CatalogEntry),
            ["_index", "_complete"] => Some(Self::CatalogComplete),
            _ => None,
        }
    }

    fn parse_in_repository(name: RepositoryName, rest: &str) -> Option<Self> {
        let digest = |algorithm: &str, hex| Digest::from_hex(algorithm.parse().ok()?, hex).ok();
        let parts: Vec<&str> = rest.split('/').collect();
        match *parts.as_slice() {
            ["_layers", algorithm, hex, LINK] => Some(Self::Layer(name, digest(algorithm, hex)?)),
            ["_manifests", "revisions", algorithm, hex, LINK] => {
                Some(Self::Revision(name, digest(algorithm, hex)?))
            }
            ["_manifests", "tags", tag, "current", LINK] => {
                Some(Self::TagCurrent(name, tag.parse().ok()?))
            }
            ["_manifests", "tags", tag, "index", algorithm, hex, LINK] => Some(Self::TagIndex(
                name,
                tag.parse().ok()?,
                digest(algorithm, hex)?,
            )),
            ["_referrers", "_scanned"] => Some(Self::ReferrersScanned(name)),
            ["_referrers", algorithm, hex, referrer] => Some(Self::Referrer {
                repository: name,
                subject: digest(algorithm, hex)?,
                referrer: parse_flat(referrer)?,
            }),
            ["_mediatypes", flat] => Some(Self::MediaType(name, parse_flat(flat)?)),
            _ => None,
        }
    }
}

impl Dir {
    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> StorePath {
        let text = match self {
            Self::Tree => V2.to_owned(),
            Self::Blobs(algorithm) => format!("{V2}/blobs/{algorithm}"),
            Self::Repositories => format!("{V2}/repositories"),
            Self::Repository(name) => format!("{V2}/repositories/{name}"),
            Self::Layers(name, algorithm) => {
                format!("{V2}/repositories/{name}/_layers/{algorithm}")
            }
            Self::Revisions(name, algorithm) => {
                format!("{V2}/repositories/{name}/_manifests/revisions/{algorithm}")
            }
            Self::Tags(name) => format!("{V2}/repositories/{name}/_manifests/tags"),
            Self::Tag(name, tag) => format!("{V2}/repositories/{name}/_manifests/tags/{tag}"),
            Self::Referrers(name, subject) => format!(
                "{V2}/repositories/{name}/_referrers/{}/{}",
                subject.algorithm(),
                subject.hex()
            ),
            Self::ForeignUploads(name) => format!("{V2}/repositories/{name}/_uploads"),
            Self::AllReferrers(name) => format!("{V2}/repositories/{name}/_referrers"),
            Self::Uploads => format!("{V2}/uploads"),
            Self::Upload(id) => format!("{V2}/uploads/{id}"),
            Self::Trash => format!("{V2}/gc"),
            Self::RetiredCopies(digest) => {
                format!("{V2}/gc/{}/{}", digest.algorithm(), digest.hex())
            }
            Self::Catalog => format!("{V2}/_index/catalog"),
        };
        StorePath(text.into())
    }
}

fn link(above: &str, digest: &Digest) -> String {
    format!(
        "{V2}/repositories/{above}/{}/{}/{LINK}",
        digest.algorithm(),
        digest.hex()
    )
}

/// A digest as one component, for keys of ours.
fn flat(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm(), digest.hex())
}

/// The digest that a component of ours spells.
#[must_use]
pub fn parse_flat(text: &str) -> Option<Digest> {
    let (algorithm, hex) = text.split_once('-')?;
    Digest::from_hex(algorithm.parse().ok()?, hex).ok()
}

/// The digest that a link holds: distribution writes it bare; white space around it is forgiven.
/// `None` for an empty or garbled link, which is absent for reads.
#[must_use]
pub fn parse_link(content: &[u8]) -> Option<Digest> {
    std::str::from_utf8(content).ok()?.trim().parse().ok()
}

/// Whether a link of so many bytes is as long as one that was written whole. A driver that can
/// tell the length for less than the bytes need not read those.
#[must_use]
pub fn is_link_len(bytes: u64) -> bool {
    // `sha256:` and `sha512:`, and two digits for each byte.
    matches!(bytes, 71 | 135)
}

#[cfg(test)]
mod tests;
