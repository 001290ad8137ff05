//! Where the bytes of an upload are, as its checkpoint says it: all that another process needs.

use bytes::Bytes;
use registry_core::StorageError;
use registry_core::digest::Digest;
use registry_core::layout::{Key, StorePath};
use registry_core::storage::{Checkpoint, UploadId};
use serde::{Deserialize, Serialize};

use crate::error::broken;

/// The form written by this release.
const FORM: u32 = 1;

/// In this order: `base`, the parts of `multipart`, `tails`. Where there is a multipart upload, the
/// base has become its first parts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Token {
    form: u32,
    /// Bytes of a part; fixed with the first one.
    pub(super) part: u64,
    /// Bytes of an object at the staging key.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) base: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) multipart: Option<Multipart>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tails: Vec<Tail>,
    /// Tails that are in parts by now; older checkpoints may still name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) old: Vec<Tail>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(len: &u64) -> bool {
    *len == 0
}

/// A multipart upload under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Multipart {
    pub(super) id: String,
    /// The blob that it becomes; without it, it becomes the staging object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<String>,
    /// Entity tags of the parts.
    pub(super) parts: Vec<String>,
}

/// Bytes that do not fill a part, in an object of their own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Tail {
    pub(super) sequence: u64,
    /// 32 hexadecimal digits.
    pub(super) writer: String,
    pub(super) len: u64,
}

impl Tail {
    pub(super) fn path(&self, upload: UploadId) -> Result<StorePath, StorageError> {
        let writer = u128::from_str_radix(&self.writer, 16);
        let writer = writer.map_err(|error| broken("reading a checkpoint", error))?;
        let sequence = self.sequence;
        let key = Key::UploadPiece {
            upload,
            sequence,
            writer,
        };
        Ok(key.path())
    }
}

impl Multipart {
    /// Where it becomes an object.
    pub(super) fn path(&self, upload: UploadId) -> Result<StorePath, StorageError> {
        let Some(digest) = &self.digest else {
            return Ok(Key::UploadData(upload).path());
        };
        let digest: Digest = digest
            .parse()
            .map_err(|_| broken("reading a checkpoint", "it names no digest"))?;
        Ok(Key::Blob(digest).path())
    }
}

impl Token {
    pub(super) fn new(part: u64) -> Self {
        Self {
            form: FORM,
            part,
            ..Self::default()
        }
    }

    /// A checkpoint that another release wrote is as good as gone.
    pub(super) fn read(checkpoint: &Checkpoint) -> Result<Self, StorageError> {
        let token: Option<Self> = serde_json::from_slice(&checkpoint.token).ok();
        let token = token.filter(|token| token.form == FORM && token.part > 0);
        let token = token.ok_or(StorageError::NotFound)?;
        match token.len() == checkpoint.len {
            true => Ok(token),
            false => Err(StorageError::NotFound),
        }
    }

    pub(super) fn checkpoint(&self) -> Result<Checkpoint, StorageError> {
        let token = serde_json::to_vec(self);
        let token = token.map_err(|error| broken("writing a checkpoint", error))?;
        Ok(Checkpoint {
            len: self.len(),
            token: Bytes::from(token),
        })
    }

    pub(super) fn len(&self) -> u64 {
        self.before_front() + self.front()
    }

    /// Bytes that are in whole parts, or can be copied into some.
    pub(super) fn before_front(&self) -> u64 {
        match &self.multipart {
            Some(multipart) => multipart.parts.len() as u64 * self.part,
            None => self.base - self.base_rest(),
        }
    }

    /// Bytes in the store that have to be read once more to make a part.
    pub(super) fn front(&self) -> u64 {
        self.base_rest() + self.tails.iter().map(|tail| tail.len).sum::<u64>()
    }

    /// Bytes of the base beyond its last whole part.
    pub(super) fn base_rest(&self) -> u64 {
        match self.multipart {
            Some(_) => 0,
            None => self.base % self.part,
        }
    }
}
