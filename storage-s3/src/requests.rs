//! Requests that `object_store` has not: by URLs that it signs, over the connections that it uses.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use object_store::client::{HttpRequest, HttpRequestBody, HttpService as _};
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer as _, Url};
use object_store::{ObjectStore as _, PutPayload};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use registry_core::StorageError;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{DRIVER, NO_BUCKET, broken, fault, has_expired, said, unclear};
use crate::listing::Spelling;
use crate::random;
use crate::store::Store;

/// For how long a request is good. Whoever hears it later refuses it.
pub(crate) const VALID: Duration = Duration::from_secs(15 * 60);

/// No request removes more objects.
pub(crate) const MOST_DELETES: usize = 1_000;

/// What the source of a copy spells otherwise: all but what a URL has for itself.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A multipart upload that is under way somewhere in the bucket.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Pending {
    pub(crate) key: String,
    pub(crate) upload_id: String,
    /// As RFC 3339 has it.
    pub(crate) initiated: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PendingPage {
    #[serde(default, rename = "Upload")]
    uploads: Vec<Pending>,
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
    encoding_type: Option<String>,
}

#[derive(Deserialize)]
struct Copied {
    #[serde(rename = "ETag")]
    e_tag: String,
}

/// What is asked for, beside the method and the key.
#[derive(Default)]
pub(crate) struct Question<'a> {
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) headers: Vec<(&'static str, &'a str)>,
}

impl Store {
    /// Copies a range of an object into a part of an upload, and says the part's entity tag.
    pub(crate) async fn copy_part(
        &self,
        from: &Path,
        range: std::ops::Range<u64>,
        to: (&Path, &str),
        number: usize,
    ) -> Result<String, StorageError> {
        let from = utf8_percent_encode(from.as_ref(), ESCAPED);
        let source = format!("/{}/{from}", self.bucket);
        let range = format!("bytes={}-{}", range.start, range.end - 1);
        let (key, upload) = to;
        let question = Question {
            query: vec![
                ("partNumber", number.to_string()),
                ("uploadId", upload.to_owned()),
            ],
            headers: vec![
                ("x-amz-copy-source", &source),
                ("x-amz-copy-source-range", &range),
            ],
        };
        let copied: Copied = self
            .answer("copying a part", Method::PUT, key, &question)
            .await?;
        Ok(copied.e_tag)
    }

    /// Copies an object, over whatever is there. `object_store` takes every 200 for a copy that was
    /// made, unless one of two codes is in it.
    pub(crate) async fn copy_object(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        let from = utf8_percent_encode(from.as_ref(), ESCAPED);
        let source = format!("/{}/{from}", self.bucket);
        let made = self
            .making
            .iter()
            .map(|(name, text)| (*name, text.as_str()));
        let question = Question {
            query: Vec::new(),
            headers: made
                .chain([("x-amz-copy-source", source.as_str())])
                .collect(),
        };
        let _: Copied = self
            .answer("copying an object", Method::PUT, to, &question)
            .await?;
        Ok(())
    }

    /// The multipart uploads below this.
    pub(crate) fn pending(&self, below: String) -> BoxStream<'_, Result<Pending, StorageError>> {
        let begun = Some((String::new(), String::new()));
        stream::try_unfold(begun, move |after| {
            let below = below.clone();
            async move {
                let Some(after) = after else { return Ok(None) };
                let (found, next) = self.pending_page(below, after).await?;
                Ok(Some((stream::iter(found.into_iter().map(Ok)), next)))
            }
        })
        .try_flatten()
        .boxed()
    }

    /// A page of them, and where the next one begins.
    async fn pending_page(
        &self,
        below: String,
        after: (String, String),
    ) -> Result<(Vec<Pending>, Option<(String, String)>), StorageError> {
        let mut query = vec![
            ("uploads", String::new()),
            ("prefix", below),
            ("encoding-type", "url".to_owned()),
        ];
        if !after.0.is_empty() {
            query.push(("key-marker", after.0.clone()));
            query.push(("upload-id-marker", after.1.clone()));
        }
        let question = Question {
            query,
            headers: Vec::new(),
        };
        let doing = "listing multipart uploads";
        let page: PendingPage = self
            .answer(doing, Method::GET, &Path::ROOT, &question)
            .await?;
        let spelled = Spelling::of(page.encoding_type.as_deref());
        let mut uploads = page.uploads;
        for one in &mut uploads {
            one.key = spelled.read(std::mem::take(&mut one.key));
        }
        let next = (
            spelled.read(page.next_key_marker),
            page.next_upload_id_marker,
        );
        if page.is_truncated && next <= after {
            return Err(unclear(doing, "the listing does not go on where it ended"));
        }
        Ok((uploads, page.is_truncated.then_some(next)))
    }

    /// A URL that deletes this, and does so for [`VALID`] from now on.
    pub(crate) async fn signed_delete(&self, key: &Path) -> Result<Url, StorageError> {
        let signed = self.s3.signed_url(Method::DELETE, key, VALID).await;
        signed.map_err(fault("signing a request"))
    }

    /// Sends what was signed before, and again where nothing was heard of it.
    pub(crate) async fn send_delete(&self, url: &Url) -> Result<(), StorageError> {
        let doing = "removing an object";
        let mut attempts = 0;
        loop {
            let error = match self.send(doing, Method::DELETE, url, &[]).await {
                Ok((StatusCode::NOT_FOUND, _)) => return Ok(()),
                Ok((status, _)) if status.is_success() => return Ok(()),
                Ok((status, text)) => refused(doing, status, &text),
                Err(error) => error,
            };
            self.again(error, &mut attempts).await?;
        }
    }

    /// Removes an object; one that is not there is no error.
    pub(crate) async fn delete(&self, key: &Path) -> Result<(), StorageError> {
        let url = self.signed_delete(key).await?;
        self.send_delete(&url).await
    }

    /// Removes objects, a thousand in a request.
    pub(crate) async fn delete_all(&self, keys: &[Path]) -> Result<(), StorageError> {
        for keys in keys.chunks(MOST_DELETES) {
            let mut attempts = 0;
            loop {
                let these: Vec<_> = keys.iter().cloned().map(Ok).collect();
                let removed = self.s3.delete_stream(stream::iter(these).boxed());
                let removed: Result<Vec<_>, _> = removed.try_collect().await;
                match removed.map_err(fault("removing objects")) {
                    Ok(_) => break,
                    Err(error) => self.again(error, &mut attempts).await?,
                }
            }
        }
        Ok(())
    }

    /// Writes an object over whatever is there, unless its bytes have come to have another SHA-256 on
    /// their way.
    pub(crate) async fn put_checked(
        &self,
        key: &Path,
        payload: PutPayload,
        sha256: &[u8],
    ) -> Result<(), StorageError> {
        let mut attempts = 0;
        loop {
            match self.put_checked_once(key, payload.clone(), sha256).await {
                Err(error) => self.again(error, &mut attempts).await?,
                done => return done,
            }
        }
    }

    /// The same, and nothing is repeated.
    pub(crate) async fn put_checked_once(
        &self,
        key: &Path,
        payload: PutPayload,
        sha256: &[u8],
    ) -> Result<(), StorageError> {
        let doing = "writing a blob";
        let sum = HeaderValue::try_from(STANDARD.encode(sha256));
        let mut headers = HeaderMap::new();
        for (name, text) in &self.making {
            let value = HeaderValue::from_str(text).map_err(|error| broken(doing, error))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        headers.insert(
            HeaderName::from_static("x-amz-checksum-sha256"),
            sum.map_err(|error| broken(doing, error))?,
        );
        let sent = self.send_signed(doing, Method::PUT, key, &headers, payload.into());
        match sent.await? {
            (status, _) if status.is_success() => Ok(()),
            (status, text) => Err(refused(doing, status, &text)),
        }
    }

    /// Removes an object if this is its entity tag, or there is none; says whether that was so.
    pub(crate) async fn delete_if(&self, key: &Path, e_tag: &str) -> Result<bool, StorageError> {
        let mut attempts = 0;
        loop {
            match self.delete_if_once(key, e_tag).await {
                Err(error) => self.again(error, &mut attempts).await?,
                said => return said,
            }
        }
    }

    /// The same, and nothing is repeated.
    pub(crate) async fn delete_if_once(
        &self,
        key: &Path,
        e_tag: &str,
    ) -> Result<bool, StorageError> {
        let doing = "removing a record";
        let value = HeaderValue::from_str(e_tag).map_err(|error| broken(doing, error))?;
        let headers = HeaderMap::from_iter([(header::IF_MATCH, value)]);
        let body = HttpRequestBody::empty();
        let sent = self.send_signed(doing, Method::DELETE, key, &headers, body);
        match sent.await? {
            (StatusCode::PRECONDITION_FAILED, _) => Ok(false),
            (status, _) if status.is_success() || status == StatusCode::NOT_FOUND => Ok(true),
            (status, text) => Err(refused(doing, status, &text)),
        }
    }

    async fn send_signed(
        &self,
        doing: &'static str,
        method: Method,
        key: &Path,
        headers: &HeaderMap,
        body: HttpRequestBody,
    ) -> Result<(StatusCode, String), StorageError> {
        let mut options = SignedUrlOptions::default();
        options.signed_headers.clone_from(headers);
        let signed = self
            .s3
            .signed_url_opts(method.clone(), key, VALID, &options);
        let url = signed.await.map_err(fault(doing))?;
        let mut request = Request::builder().method(method).uri(url.as_str());
        if let Some(all) = request.headers_mut() {
            all.extend(headers.clone());
        }
        let request = request.body(body).map_err(|error| broken(doing, error))?;
        self.exchange(doing, request).await
    }

    /// Asks, and again after a fault that may pass: these requests can all be repeated.
    pub(crate) async fn answer<T: DeserializeOwned>(
        &self,
        doing: &'static str,
        method: Method,
        key: &Path,
        question: &Question<'_>,
    ) -> Result<T, StorageError> {
        let mut options = SignedUrlOptions::default().with_query(question.query.iter().cloned());
        for (name, value) in &question.headers {
            let value = HeaderValue::from_str(value);
            let value = value.map_err(|error| broken(doing, error))?;
            options = options.with_signed_header(HeaderName::from_static(name), value);
        }
        let mut attempts = 0;
        loop {
            let url = self
                .s3
                .signed_url_opts(method.clone(), key, VALID, &options);
            let url = url.await.map_err(fault(doing))?;
            let sent = self.send(doing, method.clone(), &url, &question.headers);
            let error = match sent.await {
                // An error may come with a good status, after the store has begun to answer.
                Ok((status, text)) if !status.is_success() || text.contains("<Error>") => {
                    refused(doing, status, &text)
                }
                Ok((_, text)) => {
                    let answer = quick_xml::de::from_str(&text);
                    return answer.map_err(|error| unclear(doing, error));
                }
                Err(error) => error,
            };
            self.again(error, &mut attempts).await?;
        }
    }

    /// Waits for the next attempt, if there is to be one.
    async fn again(&self, error: StorageError, attempts: &mut usize) -> Result<(), StorageError> {
        let temporary = matches!(
            error,
            StorageError::Backend {
                temporary: true,
                ..
            }
        );
        if !temporary || *attempts == self.retries || self.client.despairs() {
            return Err(error);
        }
        random::pause(*attempts).await?;
        *attempts += 1;
        Ok(())
    }

    async fn send(
        &self,
        doing: &'static str,
        method: Method,
        url: &Url,
        headers: &[(&'static str, &str)],
    ) -> Result<(StatusCode, String), StorageError> {
        let mut request = Request::builder().method(method).uri(url.as_str());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(HttpRequestBody::empty());
        let request = request.map_err(|error| broken(doing, error))?;
        self.exchange(doing, request).await
    }

    async fn exchange(
        &self,
        doing: &'static str,
        request: HttpRequest,
    ) -> Result<(StatusCode, String), StorageError> {
        let lost = |error| StorageError::Backend {
            driver: DRIVER,
            doing,
            temporary: true,
            source: Box::new(error),
        };
        let answer = self.client.call(request).await.map_err(lost)?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(lost)?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

fn refused(doing: &'static str, status: StatusCode, text: &str) -> StorageError {
    // Without its bucket nothing is absent.
    if status == StatusCode::NOT_FOUND && !text.contains(NO_BUCKET) {
        return StorageError::NotFound;
    }
    let again = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::REQUEST_TIMEOUT,
        // Another request was in the way: none of these has a condition of its own.
        StatusCode::CONFLICT,
        StatusCode::PRECONDITION_FAILED,
        // An error behind a good status.
        StatusCode::OK,
    ];
    // Other bytes have come than were sent, or credentials have ended meanwhile.
    let passes = text.contains("<Code>BadDigest<") || has_expired(text);
    StorageError::Backend {
        driver: DRIVER,
        doing,
        temporary: status.is_server_error() || again.contains(&status) || passes,
        source: format!("the store answered {status}: {}", said(text)).into(),
    }
}
