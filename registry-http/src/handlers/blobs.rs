//! Blobs: whole, in part, or only their size.

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use registry_core::registry::{BlobContent, BlobInfo, Repository};
use registry_core::storage::{ByteRange, RangeSpec};
use registry_core::{BoxError, Digest};

use super::{Answer, address, empty, not_modified, put, unchanged};
use crate::body;
use crate::error::ApiError;
use crate::range::{self, Selection};

const CONTENT_TYPE: &str = "application/octet-stream";

/// Between the parts of an answer with several ranges. Content is never looked at: 70 random
/// looking characters that no header of ours contains.
const BOUNDARY: &str = "6b9c1f0d2e7a4835b1c6d9e0f3a7485c2b1d";

pub(super) async fn head(repo: &Repository, digest: &Digest, headers: &HeaderMap) -> Answer {
    let info = repo.stat_blob(digest).await?;
    if not_modified(headers, digest) {
        return Ok(unchanged(digest));
    }
    Ok(whole(info, Body::empty()))
}

pub(super) async fn get(repo: Repository, digest: Digest, headers: &HeaderMap) -> Answer {
    if not_modified(headers, &digest) {
        repo.stat_blob(&digest).await?;
        return Ok(unchanged(&digest));
    }
    let asked = headers
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok());
    let Some(asked) = asked.filter(|_| if_range(headers, &digest)) else {
        return all(&repo, &digest).await;
    };
    let info = repo.stat_blob(&digest).await?;
    match range::select(Some(asked), info.size) {
        Selection::Whole => all(&repo, &digest).await,
        Selection::Nothing => Err(ApiError::Range { size: info.size }),
        Selection::One(range) => part(&repo, info, range).await,
        Selection::Many(ranges) => Ok(parts(repo, info, ranges)),
    }
}

pub(super) async fn delete(repo: &Repository, digest: &Digest) -> Answer {
    repo.delete_blob(digest).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// Whether a range holds: `If-Range` names this very blob, or is not there.
fn if_range(headers: &HeaderMap, digest: &Digest) -> bool {
    let Some(value) = headers.get(header::IF_RANGE) else {
        return true;
    };
    value
        .to_str()
        .is_ok_and(|tag| tag == format!("\"{digest}\""))
}

async fn all(repo: &Repository, digest: &Digest) -> Answer {
    match repo.open_blob(digest, None).await? {
        BlobContent::Redirect(url) => redirect(url.as_str(), digest),
        BlobContent::Reader { size, reader, .. } => Ok(whole(
            BlobInfo {
                digest: *digest,
                size,
            },
            body::from_reader(reader),
        )),
    }
}

async fn part(repo: &Repository, info: BlobInfo, range: ByteRange) -> Answer {
    match repo.open_blob(&info.digest, Some(spec(range))).await? {
        BlobContent::Redirect(url) => redirect(url.as_str(), &info.digest),
        BlobContent::Reader {
            size,
            range,
            reader,
        } => {
            let mut response = whole(info, body::from_reader(reader));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(range.len));
            put(headers, header::CONTENT_RANGE, content_range(range, size));
            Ok(response)
        }
    }
}

/// Several ranges in one answer (RFC 9110, section 14.6); one is open at a time.
fn parts(repo: Repository, info: BlobInfo, ranges: Vec<ByteRange>) -> Response<Body> {
    let heads: Vec<String> = ranges
        .iter()
        .map(|range| part_head(*range, info.size))
        .collect();
    let tail = format!("\r\n--{BOUNDARY}--\r\n");
    let length = heads.iter().map(|head| head.len() as u64).sum::<u64>()
        + ranges.iter().map(|range| range.len).sum::<u64>()
        + tail.len() as u64;
    let digest = info.digest;
    let bodies = stream::iter(heads.into_iter().zip(ranges)).then(move |(head, range)| {
        let repo = repo.clone();
        async move {
            let head = stream::once(async move { Ok::<_, BoxError>(Bytes::from(head)) });
            match repo.open_blob(&digest, Some(spec(range))).await {
                Ok(BlobContent::Reader { reader, .. }) => Ok(head
                    .chain(body::pieces_of(reader).map_err(BoxError::from))
                    .boxed()),
                Ok(BlobContent::Redirect(_)) => {
                    Err(BoxError::from("several ranges are not redirected"))
                }
                Err(error) => Err(BoxError::from(error)),
            }
        }
    });
    let pieces = bodies
        .try_flatten()
        .chain(stream::once(async move { Ok(Bytes::from(tail)) }));
    let mut response = whole(info, body::from_pieces(pieces));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    put(
        headers,
        header::CONTENT_TYPE,
        format!("multipart/byteranges; boundary={BOUNDARY}"),
    );
    response
}

fn part_head(range: ByteRange, size: u64) -> String {
    let range = content_range(range, size);
    format!("\r\n--{BOUNDARY}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Range: {range}\r\n\r\n")
}

fn content_range(range: ByteRange, size: u64) -> String {
    format!(
        "bytes {}-{}/{size}",
        range.start,
        range.start + range.len - 1
    )
}

fn spec(range: ByteRange) -> RangeSpec {
    RangeSpec::Between(range.start, range.start + range.len - 1)
}

/// The headers of a whole blob. Its bytes are nobody's page: never rendered, always a download.
fn whole(info: BlobInfo, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    address(headers, &info.digest);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(info.size));
    let fixed = [
        (header::CONTENT_TYPE, CONTENT_TYPE),
        (header::CACHE_CONTROL, "max-age=31536000"),
        (header::ACCEPT_RANGES, "bytes"),
        (header::CONTENT_DISPOSITION, "attachment"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn redirect(url: &str, digest: &Digest) -> Answer {
    let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
    let url = HeaderValue::try_from(url).map_err(|_| ApiError::Internal)?;
    response.headers_mut().insert(header::LOCATION, url);
    put(
        response.headers_mut(),
        super::CONTENT_DIGEST,
        digest.to_string(),
    );
    Ok(response)
}
