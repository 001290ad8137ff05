//! Listings, page by page.

use std::collections::BTreeMap;
use std::ops::Bound;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    CommonPrefix, ETag, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsV2Input,
    ListObjectsV2Output, ListPartsInput, ListPartsOutput, MultipartUpload, Object, Part, Timestamp,
};
use s3s::{S3Result, s3_error};

use super::{Shared, Stored, lock};

/// What a continuation token looks like: opaque to whoever gets it, and not a key.
const TOKEN: &str = "token/";

impl Shared {
    pub(super) fn list_objects(&self, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
        let mut world = lock(&self.world);
        let most = page(world.options.page, input.max_keys)?;
        let objects = &world.find(&input.bucket)?.objects;
        // The token says where the last page ended, whatever `start-after` says.
        let token = input.continuation_token.as_ref();
        let after = match token.map(|token| token.strip_prefix(TOKEN)) {
            Some(Some(after)) => Some(after),
            Some(None) => return Err(s3_error!(InvalidArgument, "not a token")),
            None => input.start_after.as_deref(),
        };
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let delimiter = input.delimiter.as_deref().filter(|text| !text.is_empty());
        let mut found = Page::new(objects, prefix, after, token.is_some(), delimiter, most);
        if input.encoding_type.is_some() {
            found.spell();
        }
        Ok(ListObjectsV2Output {
            key_count: Some((found.objects.len() + found.prefixes.len()) as i32),
            is_truncated: Some(found.next.is_some()),
            next_continuation_token: found.next.map(|next| format!("{TOKEN}{next}")),
            contents: Some(found.objects),
            common_prefixes: Some(found.prefixes),
            max_keys: Some(most as i32),
            name: Some(input.bucket),
            prefix: input.prefix,
            delimiter: input.delimiter,
            start_after: input.start_after,
            continuation_token: input.continuation_token,
            encoding_type: input.encoding_type,
            ..ListObjectsV2Output::default()
        })
    }

    pub(super) fn list_uploads(
        &self,
        input: ListMultipartUploadsInput,
    ) -> S3Result<ListMultipartUploadsOutput> {
        if input.delimiter.is_some() {
            return Err(s3_error!(NotImplemented));
        }
        let mut world = lock(&self.world);
        let most = page(world.options.page, input.max_uploads)?;
        let key = input.key_marker.clone().unwrap_or_default();
        // Without an id, all of the key's uploads count as listed.
        let after = |(one, id): &(String, String)| match &input.upload_id_marker {
            Some(marker) => (one, id) > (&key, marker),
            None => *one > key,
        };
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let by_prefix = world.options.uploads_by_prefix;
        let asked = |key: &str| match by_prefix {
            true => key.starts_with(prefix),
            false => key == prefix,
        };
        let uploads = world.find(&input.bucket)?.uploads.iter();
        let mut found = uploads
            .filter(|(name, _)| asked(&name.0) && after(name))
            .map(|((key, id), upload)| MultipartUpload {
                key: Some(key.clone()),
                upload_id: Some(id.clone()),
                initiated: Some(Timestamp::from(upload.begun)),
                ..MultipartUpload::default()
            });
        let mut uploads: Vec<MultipartUpload> = found.by_ref().take(most).collect();
        let more = found.next().is_some();
        if input.encoding_type.is_some() {
            for one in &mut uploads {
                one.key = one.key.as_deref().map(spelled);
            }
        }
        let last = uploads.last().filter(|_| more);
        Ok(ListMultipartUploadsOutput {
            is_truncated: Some(more),
            next_key_marker: last.and_then(|last| last.key.clone()),
            next_upload_id_marker: last.and_then(|last| last.upload_id.clone()),
            uploads: Some(uploads),
            bucket: Some(input.bucket),
            prefix: input.prefix,
            max_uploads: Some(most as i32),
            encoding_type: input.encoding_type,
            ..ListMultipartUploadsOutput::default()
        })
    }

    pub(super) fn list_parts(&self, input: ListPartsInput) -> S3Result<ListPartsOutput> {
        let mut world = lock(&self.world);
        let most = page(world.options.page, input.max_parts)?;
        let bucket = world.find(&input.bucket)?;
        let upload = bucket.upload(&input.key, &input.upload_id)?;
        let marker = input.part_number_marker.unwrap_or_default();
        let after = Bound::Excluded(u32::try_from(marker).unwrap_or_default());
        let mut found = upload.parts.range((after, Bound::Unbounded)).map(described);
        let parts: Vec<Part> = found.by_ref().take(most).collect();
        let more = found.next().is_some();
        let last = parts.last().filter(|_| more);
        Ok(ListPartsOutput {
            is_truncated: Some(more),
            next_part_number_marker: last.and_then(|last| last.part_number),
            parts: Some(parts),
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            max_parts: Some(most as i32),
            ..ListPartsOutput::default()
        })
    }
}

fn described((number, part): (&u32, &Stored)) -> Part {
    Part {
        part_number: Some(*number as i32),
        e_tag: Some(ETag::Strong(part.e_tag.clone())),
        size: Some(part.bytes.len() as i64),
        last_modified: Some(Timestamp::from(part.modified)),
        ..Part::default()
    }
}

/// What was asked for, but no more than the server gives.
fn page(limit: usize, asked: Option<i32>) -> S3Result<usize> {
    match asked.map(usize::try_from) {
        None => Ok(limit),
        Some(Ok(asked)) => Ok(asked.min(limit)),
        Some(Err(_)) => Err(s3_error!(InvalidArgument)),
    }
}

/// As AWS spells keys where `encoding-type=url` asks for it.
fn spelled(key: &str) -> String {
    const ALL: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'/')
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'*')
        .remove(b' ');
    utf8_percent_encode(key, ALL).to_string().replace(' ', "+")
}

#[derive(Default)]
struct Page {
    objects: Vec<Object>,
    prefixes: Vec<CommonPrefix>,
    /// What the next page comes after.
    next: Option<String>,
}

impl Page {
    fn new(
        objects: &BTreeMap<String, Stored>,
        prefix: &str,
        after: Option<&str>,
        goes_on: bool,
        delimiter: Option<&str>,
        most: usize,
    ) -> Self {
        let mut page = Self::default();
        let mut last: Option<String> = None;
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        for (key, object) in objects.range::<str, _>((from, Bound::Unbounded)) {
            let Some(rest) = key.strip_prefix(prefix) else {
                break;
            };
            let common = delimiter.and_then(|text| Some((rest.find(text)?, text)));
            let common = common.map(|(at, text)| &key[..prefix.len() + at + text.len()]);
            // What the last page ended with is not shown again. After `start-after` it is, as long
            // as there are keys behind that.
            let shown =
                |common: &str| last.as_deref() == Some(common) || goes_on && after == Some(common);
            if common.is_some_and(shown) {
                continue;
            }
            if page.objects.len() + page.prefixes.len() == most {
                // With `max-keys=0` nothing is shown, and nothing is said to follow.
                page.next = last;
                break;
            }
            match common {
                Some(common) => page.prefixes.push(CommonPrefix {
                    prefix: Some(common.to_owned()),
                }),
                None => page.objects.push(listed(key, object)),
            }
            last = Some(common.unwrap_or(key).to_owned());
        }
        page
    }

    fn spell(&mut self) {
        for object in &mut self.objects {
            object.key = object.key.as_deref().map(spelled);
        }
        for common in &mut self.prefixes {
            common.prefix = common.prefix.as_deref().map(spelled);
        }
    }
}

fn listed(key: &str, object: &Stored) -> Object {
    Object {
        key: Some(key.to_owned()),
        e_tag: Some(ETag::Strong(object.e_tag.clone())),
        size: Some(object.bytes.len() as i64),
        last_modified: Some(Timestamp::from(object.modified)),
        ..Object::default()
    }
}
