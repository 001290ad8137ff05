//! What a request asks for, told from its shape alone: also of those that never reach the store.

use std::fmt;

use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::percent_decode_str;

/// One of the operations of S3 that the server knows, by the names of AWS.
#[allow(missing_docs, reason = "the names are those of AWS")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Operation {
    AbortMultipartUpload,
    CompleteMultipartUpload,
    CopyObject,
    CreateBucket,
    CreateMultipartUpload,
    DeleteObject,
    DeleteObjects,
    GetBucketLocation,
    GetObject,
    HeadBucket,
    HeadObject,
    ListMultipartUploads,
    ListObjectsV2,
    ListParts,
    PutObject,
    UploadPart,
    UploadPartCopy,
    /// Whatever else was asked for.
    Other,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A request that was answered, or was not.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// What it asked for.
    pub operation: Operation,
    /// Of the object; empty where the bucket itself was meant.
    pub key: String,
    /// The part of the URL behind the question mark.
    pub query: String,
    /// As they were sent.
    pub headers: HeaderMap,
    /// Bytes of the body.
    pub len: usize,
    /// What it was answered; `None` where it was not.
    pub status: Option<StatusCode>,
}

impl Request {
    pub(super) fn of(parts: &Parts) -> Self {
        let path = parts.uri.path().trim_start_matches('/');
        let (_, key) = path.split_once('/').unwrap_or((path, ""));
        Self {
            operation: operation(parts, !key.is_empty()),
            key: percent_decode_str(key).decode_utf8_lossy().into_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers.clone(),
            len: 0,
            status: None,
        }
    }
}

fn operation(parts: &Parts, object: bool) -> Operation {
    let query = parts.uri.query().unwrap_or_default();
    let asks = |name: &str| {
        let mut names = query.split('&').filter_map(|pair| pair.split('=').next());
        names.any(|one| one == name)
    };
    let copies = parts.headers.contains_key("x-amz-copy-source");
    match (&parts.method, object) {
        (&Method::PUT, true) => match (asks("uploadId"), copies) {
            (true, true) => Operation::UploadPartCopy,
            (true, false) => Operation::UploadPart,
            (false, true) => Operation::CopyObject,
            (false, false) => Operation::PutObject,
        },
        (&Method::PUT, false) => Operation::CreateBucket,
        (&Method::GET, true) if asks("uploadId") => Operation::ListParts,
        (&Method::GET, true) => Operation::GetObject,
        (&Method::GET, false) if asks("uploads") => Operation::ListMultipartUploads,
        (&Method::GET, false) if asks("location") => Operation::GetBucketLocation,
        (&Method::GET, false) if asks("list-type") => Operation::ListObjectsV2,
        (&Method::HEAD, true) => Operation::HeadObject,
        (&Method::HEAD, false) => Operation::HeadBucket,
        (&Method::POST, true) if asks("uploads") => Operation::CreateMultipartUpload,
        (&Method::POST, true) if asks("uploadId") => Operation::CompleteMultipartUpload,
        (&Method::POST, false) if asks("delete") => Operation::DeleteObjects,
        (&Method::DELETE, true) if asks("uploadId") => Operation::AbortMultipartUpload,
        (&Method::DELETE, true) => Operation::DeleteObject,
        _ => Operation::Other,
    }
}
