//! Uploads in parts.

use std::collections::BTreeMap;

use bytes::Bytes;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, Checksum, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CompletedPart, CopyPartResult, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, ETag, Timestamp, UploadPartCopyInput, UploadPartCopyOutput,
    UploadPartInput, UploadPartOutput,
};
use s3s::{S3Result, s3_error};

use super::bucket::{Upload, hex, stored};
use super::conditions::{self, Read};
use super::objects::{check, metadata, source, whole};
use super::{Options, Shared, Stored, lock, now};

impl Shared {
    pub(super) fn create_upload(
        &self,
        input: CreateMultipartUploadInput,
    ) -> S3Result<CreateMultipartUploadOutput> {
        let mut world = lock(&self.world);
        world.uploads += 1;
        let id = format!("upload-{:08}", world.uploads);
        let upload = Upload::begun(metadata(input.metadata));
        let name = (input.key.clone(), id.clone());
        world.find(&input.bucket)?.uploads.insert(name, upload);
        Ok(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        })
    }

    pub(super) async fn upload_part(&self, input: UploadPartInput) -> S3Result<UploadPartOutput> {
        let bytes = whole(input.body, input.content_length).await?;
        let sent = Checksum {
            checksum_crc32: input.checksum_crc32,
            checksum_crc32c: input.checksum_crc32c,
            checksum_crc64nvme: input.checksum_crc64nvme,
            checksum_sha1: input.checksum_sha1,
            checksum_sha256: input.checksum_sha256,
            checksum_type: None,
        };
        check(&bytes, &sent, input.content_md5.as_deref())?;
        let mut world = lock(&self.world);
        let number = number(input.part_number, world.options.parts)?;
        world.takes(bytes.len())?;
        let bucket = world.find(&input.bucket)?;
        let part = stored(bytes, Vec::new());
        let e_tag = Some(ETag::Strong(part.e_tag.clone()));
        let upload = bucket.upload(&input.key, &input.upload_id)?;
        upload.parts.insert(number, part);
        Ok(UploadPartOutput {
            e_tag,
            checksum_crc64nvme: sent.checksum_crc64nvme,
            checksum_sha256: sent.checksum_sha256,
            ..UploadPartOutput::default()
        })
    }

    pub(super) fn upload_part_copy(
        &self,
        input: &UploadPartCopyInput,
    ) -> S3Result<UploadPartCopyOutput> {
        let mut world = lock(&self.world);
        let number = number(input.part_number, world.options.parts)?;
        let conditions = Read {
            if_match: input.copy_source_if_match.as_ref(),
            if_none_match: input.copy_source_if_none_match.as_ref(),
            modified_since: input.copy_source_if_modified_since.as_ref(),
            unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
        };
        let (source, _) = source(&mut world, &input.copy_source, &conditions, |_, _| false)?;
        let bytes = match &input.copy_source_range {
            None => source.bytes,
            Some(range) => slice(&source.bytes, range)?,
        };
        if bytes.len() > world.options.copy {
            return Err(s3_error!(
                InvalidRequest,
                "the source is too large for one copy"
            ));
        }
        let part = stored(bytes, Vec::new());
        let result = CopyPartResult {
            e_tag: Some(ETag::Strong(part.e_tag.clone())),
            last_modified: Some(Timestamp::from(part.modified)),
            ..CopyPartResult::default()
        };
        let bucket = world.find(&input.bucket)?;
        let upload = bucket.upload(&input.key, &input.upload_id)?;
        upload.parts.insert(number, part);
        Ok(UploadPartCopyOutput {
            copy_part_result: Some(result),
            ..UploadPartCopyOutput::default()
        })
    }

    pub(super) fn complete_upload(
        &self,
        input: CompleteMultipartUploadInput,
    ) -> S3Result<CompleteMultipartUploadOutput> {
        let mut world = lock(&self.world);
        let options = world.options.clone();
        let bucket = world.find(&input.bucket)?;
        let upload = bucket.upload(&input.key, &input.upload_id)?;
        let named = input.multipart_upload.and_then(|named| named.parts);
        let parts = chosen(&upload.parts, &named.unwrap_or_default(), &options)?;
        let object = joined(&parts, upload.metadata.clone());
        if options.conditions {
            let there = bucket.objects.get(&input.key);
            conditions::write(there, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        }
        let e_tag = Some(ETag::Strong(object.e_tag.clone()));
        bucket.uploads.remove(&(input.key.clone(), input.upload_id));
        bucket.objects.insert(input.key.clone(), object);
        Ok(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag,
            ..CompleteMultipartUploadOutput::default()
        })
    }

    pub(super) fn abort_upload(
        &self,
        input: AbortMultipartUploadInput,
    ) -> S3Result<AbortMultipartUploadOutput> {
        let mut world = lock(&self.world);
        let uploads = &mut world.find(&input.bucket)?.uploads;
        match uploads.remove(&(input.key, input.upload_id)) {
            Some(_) => Ok(AbortMultipartUploadOutput::default()),
            None => Err(s3_error!(NoSuchUpload)),
        }
    }
}

fn number(number: i32, last: u32) -> S3Result<u32> {
    let number = u32::try_from(number).ok();
    let number = number.filter(|number| (1..=last).contains(number));
    number.ok_or_else(|| s3_error!(InvalidArgument, "no such number of a part"))
}

/// The parts that a completion names, which must be the ones that are there.
fn chosen<'a>(
    there: &'a BTreeMap<u32, Stored>,
    named: &[CompletedPart],
    options: &Options,
) -> S3Result<Vec<&'a Stored>> {
    if named.is_empty() {
        return Err(s3_error!(MalformedXML));
    }
    let mut last = 0;
    let mut parts = Vec::new();
    for part in named {
        let number = number(part.part_number.unwrap_or_default(), options.parts)?;
        if number <= last {
            return Err(s3_error!(InvalidPartOrder));
        }
        last = number;
        let e_tag = part.e_tag.as_ref().and_then(ETag::as_strong);
        let found = there
            .get(&number)
            .filter(|part| Some(part.e_tag.as_str()) == e_tag);
        parts.push(found.ok_or_else(|| s3_error!(InvalidPart))?);
    }
    let (last, full) = parts.split_last().expect("there is one");
    let len = |part: &&Stored| part.bytes.len();
    if full.iter().any(|part| len(part) < options.part) {
        return Err(s3_error!(EntityTooSmall));
    }
    if options.equal_parts
        && let Some(first) = full.first()
        && (full.iter().any(|part| len(part) != len(first)) || len(last) > len(first))
    {
        return Err(s3_error!(
            InvalidPart,
            "All non-trailing parts must have the same length."
        ));
    }
    Ok(parts)
}

/// Its entity tag is that of the parts' and says how many they were.
fn joined(parts: &[&Stored], metadata: Vec<(String, String)>) -> Stored {
    let bytes: Vec<&[u8]> = parts.iter().map(|part| &part.bytes[..]).collect();
    let sums: Vec<u8> = parts
        .iter()
        .flat_map(|part| Md5::checksum(&part.bytes))
        .collect();
    let e_tag = format!("{}-{}", hex(&Md5::checksum(&sums)), parts.len());
    Stored {
        e_tag,
        bytes: Bytes::from(bytes.concat()),
        modified: now(),
        metadata,
    }
}

/// `bytes=FIRST-LAST`, both inside.
fn slice(bytes: &Bytes, range: &str) -> S3Result<Bytes> {
    let ends = range
        .strip_prefix("bytes=")
        .and_then(|ends| ends.split_once('-'));
    let (first, last) = ends.ok_or_else(|| s3_error!(InvalidArgument))?;
    let (first, last): (usize, usize) = match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) => (first, last),
        _ => return Err(s3_error!(InvalidArgument)),
    };
    match first <= last && last < bytes.len() {
        true => Ok(bytes.slice(first..=last)),
        false => Err(s3_error!(InvalidRange)),
    }
}
