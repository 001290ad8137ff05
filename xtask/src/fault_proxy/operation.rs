//! What a request asks for, by its shape alone.

use super::wire::Head;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// By AWS's name, such as `PutObject`; `Other` for what is none of those that a registry uses.
    pub(crate) operation: &'static str,
    /// The path without the bucket, as it was spelled.
    pub(crate) key: String,
    /// Its query, as it was spelled.
    pub(crate) query: String,
    /// What was answered, by whomever; `None` where nothing was, or not yet.
    pub(crate) status: Option<u16>,
    /// Whether it was made to fail.
    pub(crate) failed: bool,
}

impl Seen {
    pub(super) fn of(head: &Head) -> Self {
        let mut words = head.first();
        let method = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = path.trim_start_matches('/');
        let (_, key) = path.split_once('/').unwrap_or((path, ""));
        let copies = head.header("x-amz-copy-source").is_some();
        Self {
            operation: operation(method, !key.is_empty(), query, copies),
            key: key.to_owned(),
            query: query.to_owned(),
            status: None,
            failed: false,
        }
    }
}

fn operation(method: &str, object: bool, query: &str, copies: bool) -> &'static str {
    let asks = |name: &str| {
        let mut names = query.split('&').filter_map(|pair| pair.split('=').next());
        names.any(|one| one == name)
    };
    match (method, object) {
        ("PUT", true) => match (asks("uploadId"), copies) {
            (true, true) => "UploadPartCopy",
            (true, false) => "UploadPart",
            (false, true) => "CopyObject",
            (false, false) => "PutObject",
        },
        ("PUT", false) => "CreateBucket",
        ("GET", true) if asks("uploadId") => "ListParts",
        ("GET", true) => "GetObject",
        ("GET", false) if asks("uploads") => "ListMultipartUploads",
        ("GET", false) if asks("list-type") => "ListObjectsV2",
        ("HEAD", true) => "HeadObject",
        ("HEAD", false) => "HeadBucket",
        ("POST", true) if asks("uploads") => "CreateMultipartUpload",
        ("POST", true) if asks("uploadId") => "CompleteMultipartUpload",
        ("POST", false) if asks("delete") => "DeleteObjects",
        ("DELETE", true) if asks("uploadId") => "AbortMultipartUpload",
        ("DELETE", true) => "DeleteObject",
        _ => "Other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_shows_in_the_shape() {
        let check = |line: &str, header: &str, expected: &str| {
            let text = format!("{line} HTTP/1.1\r\nHost: here\r\n{header}\r\n");
            let seen = Seen::of(&Head::new(text));
            assert_eq!(seen.operation, expected, "{line}");
        };
        check("PUT /b/a/key", "", "PutObject");
        let copy = "X-Amz-Copy-Source: /b/other\r\n";
        check("PUT /b/a/key", copy, "CopyObject");
        check("PUT /b/key?partNumber=1&uploadId=u", "", "UploadPart");
        check("PUT /b/key?uploadId=u&partNumber=1", copy, "UploadPartCopy");
        check("GET /b/key", "", "GetObject");
        check("GET /b?list-type=2&prefix=a", "", "ListObjectsV2");
        check("GET /b/?uploads=", "", "ListMultipartUploads");
        check("POST /b/key?uploads", "", "CreateMultipartUpload");
        check("POST /b/key?uploadId=u", "", "CompleteMultipartUpload");
        check("POST /b/?delete", "", "DeleteObjects");
        check("DELETE /b/key", "", "DeleteObject");
        check("DELETE /b/key?uploadId=u", "", "AbortMultipartUpload");
        check("HEAD /b/key", "", "HeadObject");
        check("PATCH /b/key", "", "Other");
    }
}
