//! Objects in one piece: written, read, copied and deleted.

use bytes::Bytes;
use futures_util::TryStreamExt;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{
    Checksum, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectInput,
    DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag,
    ETagCondition, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, Metadata,
    MetadataDirective, PutObjectInput, PutObjectOutput, Range, StreamingBlob, Timestamp,
};
use s3s::{Body, S3Result, s3_error};

use super::bucket::{World, stored};
use super::conditions::{self, Read};
use super::{Checksums, Shared, Stored, lock};

impl Shared {
    pub(super) async fn put_object(&self, input: PutObjectInput) -> S3Result<PutObjectOutput> {
        let bytes = whole(input.body, input.content_length).await?;
        let sent = Checksum {
            checksum_crc32: input.checksum_crc32,
            checksum_crc32c: input.checksum_crc32c,
            checksum_crc64nvme: input.checksum_crc64nvme,
            checksum_sha1: input.checksum_sha1,
            checksum_sha256: input.checksum_sha256,
            checksum_type: None,
        };
        let mut world = lock(&self.world);
        match world.options.checksums {
            Checksums::Compared => check(&bytes, &sent, input.content_md5.as_deref())?,
            Checksums::Refused if sent != Checksum::default() => {
                return Err(s3_error!(NotImplemented, "a header that is not known"));
            }
            _ => {}
        }
        world.takes(bytes.len())?;
        let honoured = world.options.conditions;
        let bucket = world.find(&input.bucket)?;
        if honoured {
            let there = bucket.objects.get(&input.key);
            conditions::write(there, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        }
        let object = stored(bytes, metadata(input.metadata));
        let e_tag = Some(ETag::Strong(object.e_tag.clone()));
        bucket.objects.insert(input.key, object);
        Ok(PutObjectOutput {
            e_tag,
            checksum_crc32: sent.checksum_crc32,
            checksum_crc32c: sent.checksum_crc32c,
            checksum_crc64nvme: sent.checksum_crc64nvme,
            checksum_sha1: sent.checksum_sha1,
            checksum_sha256: sent.checksum_sha256,
            ..PutObjectOutput::default()
        })
    }

    pub(super) fn get_object(&self, input: &GetObjectInput) -> S3Result<GetObjectOutput> {
        let mut world = lock(&self.world);
        let object = world.find(&input.bucket)?.object(&input.key)?;
        let conditions = Read {
            if_match: input.if_match.as_ref(),
            if_none_match: input.if_none_match.as_ref(),
            modified_since: input.if_modified_since.as_ref(),
            unmodified_since: input.if_unmodified_since.as_ref(),
        };
        conditions.check(object)?;
        let part = part(object, input.range)?;
        let bytes = object.bytes.slice(part.from..part.to);
        Ok(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(bytes.len() as i64),
            content_range: part.header,
            body: Some(StreamingBlob::from(Body::from(bytes))),
            e_tag: Some(ETag::Strong(object.e_tag.clone())),
            last_modified: Some(Timestamp::from(object.modified)),
            metadata: Some(object.metadata.iter().cloned().collect()),
            ..GetObjectOutput::default()
        })
    }

    pub(super) fn head_object(&self, input: &HeadObjectInput) -> S3Result<HeadObjectOutput> {
        let mut world = lock(&self.world);
        let object = world.find(&input.bucket)?.object(&input.key)?;
        let conditions = Read {
            if_match: input.if_match.as_ref(),
            if_none_match: input.if_none_match.as_ref(),
            modified_since: input.if_modified_since.as_ref(),
            unmodified_since: input.if_unmodified_since.as_ref(),
        };
        conditions.check(object)?;
        let part = part(object, input.range)?;
        Ok(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some((part.to - part.from) as i64),
            content_range: part.header,
            e_tag: Some(ETag::Strong(object.e_tag.clone())),
            last_modified: Some(Timestamp::from(object.modified)),
            metadata: Some(object.metadata.iter().cloned().collect()),
            ..HeadObjectOutput::default()
        })
    }

    /// `destination` has the conditions on what is there, which the type of the input lacks.
    pub(super) fn copy_object(
        &self,
        input: CopyObjectInput,
        destination: [Option<ETagCondition>; 2],
    ) -> S3Result<CopyObjectOutput> {
        let mut world = lock(&self.world);
        let conditions = Read {
            if_match: input.copy_source_if_match.as_ref(),
            if_none_match: input.copy_source_if_none_match.as_ref(),
            modified_since: input.copy_source_if_modified_since.as_ref(),
            unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
        };
        let (source, same) = source(
            &mut world,
            &input.copy_source,
            &conditions,
            |bucket, key| (bucket, key) == (input.bucket.as_str(), input.key.as_str()),
        )?;
        if source.bytes.len() > world.options.copy {
            return Err(s3_error!(
                InvalidRequest,
                "the source is too large for one copy"
            ));
        }
        let replaces = input
            .metadata_directive
            .as_ref()
            .map(MetadataDirective::as_str)
            == Some(MetadataDirective::REPLACE);
        if same && !replaces {
            return Err(s3_error!(
                InvalidRequest,
                "a copy onto itself changes nothing"
            ));
        }
        let honoured = world.options.conditions;
        let bucket = world.find(&input.bucket)?;
        if honoured {
            let [if_match, if_none_match] = destination;
            let there = bucket.objects.get(&input.key);
            conditions::write(there, if_match.as_ref(), if_none_match.as_ref())?;
        }
        let metadata = match replaces {
            true => metadata(input.metadata),
            false => source.metadata,
        };
        let copy = stored(source.bytes, metadata);
        let result = CopyObjectResult {
            e_tag: Some(ETag::Strong(copy.e_tag.clone())),
            last_modified: Some(Timestamp::from(copy.modified)),
            ..CopyObjectResult::default()
        };
        bucket.objects.insert(input.key, copy);
        Ok(CopyObjectOutput {
            copy_object_result: Some(result),
            ..CopyObjectOutput::default()
        })
    }

    pub(super) fn delete_object(&self, input: &DeleteObjectInput) -> S3Result<DeleteObjectOutput> {
        let mut world = lock(&self.world);
        let honoured = world.options.conditions && world.options.conditional_deletes;
        let bucket = world.find(&input.bucket)?;
        if honoured && let Some(condition) = &input.if_match {
            conditions::write(bucket.objects.get(&input.key), Some(condition), None)?;
        }
        bucket.objects.remove(&input.key);
        Ok(DeleteObjectOutput::default())
    }

    pub(super) fn delete_objects(
        &self,
        input: DeleteObjectsInput,
    ) -> S3Result<DeleteObjectsOutput> {
        if input.delete.objects.len() > 1_000 {
            return Err(s3_error!(MalformedXML));
        }
        let mut world = lock(&self.world);
        let bucket = world.find(&input.bucket)?;
        let mut deleted = Vec::new();
        for object in input.delete.objects {
            bucket.objects.remove(&object.key);
            deleted.push(DeletedObject {
                key: Some(object.key),
                ..DeletedObject::default()
            });
        }
        let quiet = input.delete.quiet.unwrap_or_default();
        Ok(DeleteObjectsOutput {
            deleted: (!quiet).then_some(deleted),
            ..DeleteObjectsOutput::default()
        })
    }
}

/// A body, which must be as long as was said.
pub(super) async fn whole(body: Option<StreamingBlob>, len: Option<i64>) -> S3Result<Bytes> {
    let Some(body) = body else {
        return Ok(Bytes::new());
    };
    let pieces: Vec<Bytes> = body.try_collect().await.map_err(|error| {
        // What is not as it was signed, s3s finds while it is read.
        s3s::S3Error::with_source(s3s::S3ErrorCode::InvalidRequest, error)
    })?;
    let bytes = Bytes::from(pieces.concat());
    match len {
        Some(len) if usize::try_from(len) != Ok(bytes.len()) => Err(s3_error!(IncompleteBody)),
        _ => Ok(bytes),
    }
}

/// Whether the content has the checksums that came with it.
pub(super) fn check(bytes: &Bytes, sent: &Checksum, md5: Option<&str>) -> S3Result<()> {
    let mut hasher = ChecksumHasher {
        crc32: sent.checksum_crc32.is_some().then(Default::default),
        crc32c: sent.checksum_crc32c.is_some().then(Default::default),
        crc64nvme: sent.checksum_crc64nvme.is_some().then(Default::default),
        sha1: sent.checksum_sha1.is_some().then(Default::default),
        sha256: sent.checksum_sha256.is_some().then(Default::default),
    };
    hasher.update(bytes);
    if hasher.finalize() != *sent {
        return Err(s3_error!(BadDigest, "the checksum does not match"));
    }
    // Compared as spelled: there is no decoder at hand, and only one way to spell it.
    match md5 {
        Some(md5) if base64(&Md5::checksum(bytes)) != md5 => Err(s3_error!(BadDigest)),
        _ => Ok(()),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut three = [0; 4];
        three[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(three);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() {
                digit.into()
            } else {
                '='
            });
        }
    }
    text
}

/// The source of a copy as it is now, and whether it is what `same` looks for.
pub(super) fn source(
    world: &mut World,
    source: &CopySource,
    conditions: &Read<'_>,
    same: impl Fn(&str, &str) -> bool,
) -> S3Result<(Stored, bool)> {
    let CopySource::Bucket { bucket, key, .. } = source else {
        return Err(s3_error!(NotImplemented));
    };
    let object = world.find(bucket)?.object(key)?;
    // Not modified is no answer to a copy.
    conditions
        .check(object)
        .map_err(|_| s3_error!(PreconditionFailed))?;
    Ok((object.clone(), same(bucket, key)))
}

pub(super) fn metadata(sent: Option<Metadata>) -> Vec<(String, String)> {
    let mut metadata: Vec<_> = sent.unwrap_or_default().into_iter().collect();
    metadata.sort();
    metadata
}

struct Part {
    from: usize,
    to: usize,
    header: Option<String>,
}

fn part(object: &Stored, range: Option<Range>) -> S3Result<Part> {
    let len = object.bytes.len();
    let Some(range) = range else {
        let (from, to, header) = (0, len, None);
        return Ok(Part { from, to, header });
    };
    let range = range
        .check(len as u64)
        .map_err(|_| s3_error!(InvalidRange))?;
    let last = range.end - 1;
    // Both lie inside, so they fit.
    Ok(Part {
        from: range.start as usize,
        to: range.end as usize,
        header: Some(format!("bytes {}-{last}/{len}", range.start)),
    })
}
