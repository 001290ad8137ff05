//! What the server holds.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use s3s::crypto::{Checksum, Md5};
use s3s::{S3Result, s3_error};

use super::{Options, Pending, Stored, now};

pub(super) struct World {
    pub(super) options: Options,
    buckets: BTreeMap<String, Bucket>,
    /// Counts uploads, so that no two share an id.
    pub(super) uploads: u64,
}

#[derive(Clone, Default)]
pub(super) struct Bucket {
    pub(super) objects: BTreeMap<String, Stored>,
    /// By key and id, which is the order of their listing.
    pub(super) uploads: BTreeMap<(String, String), Upload>,
}

/// A multipart upload under way.
#[derive(Clone)]
pub(super) struct Upload {
    pub(super) begun: SystemTime,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) parts: BTreeMap<u32, Stored>,
}

impl World {
    pub(super) fn new(options: Options) -> Self {
        let buckets = BTreeMap::from([(options.bucket.clone(), Bucket::default())]);
        Self {
            options,
            buckets,
            uploads: 0,
        }
    }

    /// One that is known to be there.
    pub(super) fn bucket(&mut self, name: &str) -> &mut Bucket {
        self.buckets.get_mut(name).expect("no such bucket")
    }

    pub(super) fn find(&mut self, name: &str) -> S3Result<&mut Bucket> {
        self.buckets
            .get_mut(name)
            .ok_or_else(|| s3_error!(NoSuchBucket))
    }

    /// Whether one request may bring so much.
    pub(super) fn takes(&self, len: usize) -> S3Result<()> {
        match len > self.options.put {
            true => Err(s3_error!(EntityTooLarge)),
            false => Ok(()),
        }
    }

    pub(super) fn create(&mut self, name: &str) -> S3Result<()> {
        if self.buckets.contains_key(name) {
            return Err(s3_error!(BucketAlreadyOwnedByYou));
        }
        self.buckets.insert(name.to_owned(), Bucket::default());
        Ok(())
    }
}

impl Upload {
    /// Now, without a part.
    pub(super) fn begun(metadata: Vec<(String, String)>) -> Self {
        Self {
            begun: now(),
            metadata,
            parts: BTreeMap::new(),
        }
    }
}

impl Bucket {
    pub(super) fn object(&self, key: &str) -> S3Result<&Stored> {
        self.objects.get(key).ok_or_else(|| s3_error!(NoSuchKey))
    }

    pub(super) fn upload(&mut self, key: &str, id: &str) -> S3Result<&mut Upload> {
        let upload = self.uploads.get_mut(&(key.to_owned(), id.to_owned()));
        upload.ok_or_else(|| s3_error!(NoSuchUpload))
    }

    pub(super) fn pending(&self) -> Vec<Pending> {
        let parts = |upload: &Upload| {
            let sizes = upload.parts.iter();
            sizes
                .map(|(number, part)| (*number, part.bytes.len() as u64))
                .collect()
        };
        let uploads = self.uploads.iter();
        uploads
            .map(|((key, id), upload)| Pending {
                key: key.clone(),
                id: id.clone(),
                parts: parts(upload),
            })
            .collect()
    }
}

/// Written now, in one piece.
pub(super) fn stored(bytes: Bytes, metadata: Vec<(String, String)>) -> Stored {
    let e_tag = hex(&Md5::checksum(&bytes));
    Stored {
        bytes,
        e_tag,
        modified: now(),
        metadata,
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
