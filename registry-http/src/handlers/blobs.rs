//! Blobs: whole, in part, or only their size.

use std::fmt::Write as _;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use registry_core::registry::{BlobContent, BlobInfo, Repository};
use registry_core::storage::{ByteRange, RangeSpec};
use registry_core::{BoxError, Digest};

use super::{Answer, address, empty, not_modified, put, unchanged};
use crate::ambient::ambient;
use crate::body;
use crate::error::ApiError;
use crate::range::{self, Selection};

const CONTENT_TYPE: &str = "application/octet-stream";

/// How long a copy may be kept: what is behind a digest never changes.
const CACHE: HeaderValue = HeaderValue::from_static("max-age=31536000");

pub(super) async fn head(repo: &Repository, digest: &Digest, headers: &HeaderMap) -> Answer {
    let info = repo.stat_blob(digest).await?;
    if not_modified(headers, digest) {
        return Ok(known(digest));
    }
    Ok(whole(info, Body::empty()))
}

pub(super) async fn get(repo: Repository, digest: Digest, headers: &HeaderMap) -> Answer {
    if not_modified(headers, &digest) {
        repo.stat_blob(&digest).await?;
        return Ok(known(&digest));
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
        Selection::Many(ranges) => parts(repo, info, ranges).await,
    }
}

pub(super) async fn delete(repo: &Repository, digest: &Digest) -> Answer {
    repo.delete_blob(digest).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// 304, with what a 200 says of keeping it.
fn known(digest: &Digest) -> Response<Body> {
    let mut response = unchanged(digest);
    response.headers_mut().insert(header::CACHE_CONTROL, CACHE);
    response
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

/// Several ranges in one answer (RFC 9110, section 14.6); one is open at a time, and all of them
/// are one pull.
async fn parts(repo: Repository, info: BlobInfo, ranges: Vec<ByteRange>) -> Answer {
    let boundary = boundary();
    let heads: Vec<String> = ranges
        .iter()
        .map(|range| part_head(&boundary, *range, info.size))
        .collect();
    let tail = format!("\r\n--{boundary}--\r\n");
    let length = heads.iter().map(|head| head.len() as u64).sum::<u64>()
        + ranges.iter().map(|range| range.len).sum::<u64>()
        + tail.len() as u64;
    let digest = info.digest;
    let mut first = match ranges.first() {
        Some(range) => Some(repo.open_blob_here(&digest, Some(spec(*range))).await?),
        None => None,
    };
    let bodies = stream::iter(heads.into_iter().zip(ranges)).then(move |(head, range)| {
        let (repo, opened) = (repo.clone(), first.take());
        async move {
            let head = stream::once(async move { Ok::<_, BoxError>(Bytes::from(head)) });
            let opened = match opened {
                Some(opened) => opened,
                None => repo.reopen_blob(&digest, Some(spec(range))).await?,
            };
            match opened {
                BlobContent::Reader { reader, .. } => Ok(head
                    .chain(body::pieces_of(reader).map_err(BoxError::from))
                    .boxed()),
                BlobContent::Redirect(_) => {
                    Err(BoxError::from("several ranges are not redirected"))
                }
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
        format!("multipart/byteranges; boundary={boundary}"),
    );
    Ok(response)
}

/// Between the parts of an answer (RFC 2046, section 5.1.1). Content is never looked at, so that
/// nobody may know beforehand what it must not contain.
fn boundary() -> String {
    let random = (ambient().random)();
    random.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn part_head(boundary: &str, range: ByteRange, size: u64) -> String {
    let range = content_range(range, size);
    format!("\r\n--{boundary}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Range: {range}\r\n\r\n")
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
        (header::ACCEPT_RANGES, "bytes"),
        (header::CONTENT_DISPOSITION, "attachment"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CACHE_CONTROL, CACHE);
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http_body_util::BodyExt as _;
    use registry_core::access::Identity;
    use registry_core::events::{Event, EventAction, EventSink};
    use registry_core::registry::{Append, Options};
    use registry_core::storage::{MemoryDriver, Storage};
    use registry_core::{Algorithm, Registry, Rules, hasher::digest_of};

    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Told(Arc<Mutex<Vec<EventAction>>>);

    impl EventSink for Told {
        fn emit(&self, event: Event) {
            self.0.lock().unwrap().push(event.action);
        }
    }

    #[tokio::test]
    async fn several_ranges_are_one_pull() {
        let told = Told::default();
        let mut options = Options::new(ambient());
        options.events = Arc::new(told.clone());
        let storage = Storage::from_driver(MemoryDriver::new(ambient()));
        let registry = Registry::open(storage, options).await.unwrap();
        let rules = Arc::new(Rules::everything());
        let grant = rules.authorize(Identity::anonymous(), &[], &[]).unwrap();
        let repo = registry.repository("a".parse().unwrap(), grant);
        let content = Bytes::from_static(b"0123456789");
        let digest = digest_of(Algorithm::Sha256, &content);
        let pieces = stream::iter([Ok(content)]).boxed();
        let pushed = repo.push_blob(Append::default(), pieces, &digest);
        pushed.await.unwrap();
        let mut expected = vec![EventAction::Push];
        for range in ["bytes=0-1,3-4,6-7", "bytes=2-3", ""] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_static(range));
            let answer = get(repo.clone(), digest, &headers).await.unwrap();
            answer.into_body().collect().await.unwrap();
            expected.push(EventAction::Pull);
            assert_eq!(*told.0.lock().unwrap(), expected, "{range}");
        }
    }

    #[test]
    fn boundaries_are_long_and_differ() {
        let (one, other) = (boundary(), boundary());
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
    }
}
