//! The record of an upload: versioned JSON, so that another release can tell whether it may
//! believe the hash state.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Append, Signed};
use crate::digest::{Algorithm, Digest};
use crate::error::{Progress, RegistryError};
use crate::hasher::Hasher;
use crate::name::RepositoryName;
use crate::registry::signer::Owner;
use crate::storage::{Checkpoint, Record, UploadId, Version};

/// The form written by this release.
const FORM: u32 = 1;

/// An upload as it stands.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) id: UploadId,
    pub(super) algorithm: Algorithm,
    /// Absent for one that was begun by nobody in particular, or by an older release.
    pub(super) owner: Option<Owner>,
    pub(super) len: u64,
    /// Absent when nothing was received, or when its saved form is not ours.
    pub(super) hasher: Option<Hasher>,
    pub(super) checkpoint: Option<Checkpoint>,
    /// Its last bytes came with a request that was to finish it, and could not.
    pub(super) complete: bool,
    /// Of the record; `None` when there is none yet.
    pub(super) version: Option<Version>,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    form: u32,
    repository: String,
    /// Absent in a tombstone.
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<Open>,
}

#[derive(Serialize, Deserialize)]
struct Open {
    len: u64,
    token: String,
    algorithm: String,
    hash: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    complete: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<Owner>,
}

impl Open {
    fn checkpoint(&self) -> Option<Checkpoint> {
        Some(Checkpoint {
            len: self.len,
            token: STANDARD_NO_PAD.decode(&self.token).ok()?.into(),
        })
    }
}

impl Upload {
    pub(super) fn begun(id: UploadId, signed: Signed) -> Self {
        Self {
            id,
            algorithm: signed.algorithm,
            owner: signed.owner,
            len: 0,
            hasher: None,
            checkpoint: None,
            complete: false,
            version: None,
        }
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            id: self.id,
            len: self.len,
        }
    }

    /// Whether all of this content was received: then a request that is to finish it brings its
    /// last bytes once more, or none.
    pub(super) fn is_all_of(&self, digest: &Digest) -> bool {
        let hasher = self.hasher.as_ref().filter(|_| self.complete);
        hasher.is_some_and(|hasher| hasher.clone().finish() == *digest)
    }

    /// Whether a request's bytes belong where the upload stands.
    pub(super) fn expect(&self, append: Append) -> Result<(), RegistryError> {
        if append.at.is_some_and(|at| at != self.len) || append.len == Some(0) {
            return Err(RegistryError::RangeInvalid(self.progress()));
        }
        match (append.len, append.declared) {
            (Some(len), Some(declared)) if len != declared => Err(RegistryError::SizeInvalid(
                format!("Content-Range spans {len} bytes, Content-Length is {declared}"),
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn render(&self, repository: &RepositoryName) -> Bytes {
        let checkpoint = self.checkpoint.clone().unwrap_or_default();
        let hash = self.hasher.as_ref().map(Hasher::save).unwrap_or_default();
        let open = Open {
            len: checkpoint.len,
            token: STANDARD_NO_PAD.encode(&checkpoint.token),
            algorithm: self.algorithm.as_str().to_owned(),
            hash: STANDARD_NO_PAD.encode(hash),
            complete: self.complete,
            owner: self.owner.clone(),
        };
        render(&Wire {
            form: FORM,
            repository: repository.to_string(),
            open: Some(open),
        })
    }
}

fn render(wire: &Wire) -> Bytes {
    // Numbers and strings always serialise.
    Bytes::from(serde_json::to_vec(wire).unwrap_or_default())
}

/// What stays of an upload that has ended.
pub(super) fn tombstone(repository: &RepositoryName) -> Bytes {
    render(&Wire {
        form: FORM,
        repository: repository.to_string(),
        open: None,
    })
}

/// Where the bytes are that a record tells of, whosever it is; `None` for a tombstone, and for what
/// cannot be read.
pub(super) fn checkpoint(record: &Record) -> Option<Checkpoint> {
    let wire: Wire = serde_json::from_slice(&record.value).ok()?;
    wire.open?.checkpoint()
}

/// The upload that a record tells of; `None` for a tombstone, for one of another repository, and
/// for what cannot be read.
pub(super) fn parse(id: UploadId, repository: &RepositoryName, record: &Record) -> Option<Upload> {
    let wire: Wire = serde_json::from_slice(&record.value).ok()?;
    if wire.repository != repository.as_str() {
        return None;
    }
    let open = wire.open?;
    let algorithm: Algorithm = open.algorithm.parse().ok()?;
    let checkpoint = open.checkpoint()?;
    // Another form's hash state is not believed; the bytes are read again instead.
    let hash = STANDARD_NO_PAD
        .decode(&open.hash)
        .ok()
        .filter(|_| wire.form == FORM);
    let hasher = hash.and_then(|hash| Hasher::restore(algorithm, open.len, &hash));
    Some(Upload {
        id,
        algorithm,
        len: open.len,
        hasher,
        checkpoint: Some(checkpoint),
        complete: open.complete,
        owner: open.owner,
        version: Some(record.version.clone()),
    })
}
