//! What the S3 of the tests holds to, asked by `object_store`, and by signed URLs where that has no
//! such request.

mod conditions;
mod faults;
mod listing;
mod multipart;
mod objects;
mod signatures;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer as _};
use storage_s3::testing::S3Server;

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The text of the first element of this name.
    fn element(&self, name: &str) -> Option<String> {
        let text = std::str::from_utf8(&self.body).unwrap();
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        let (inner, _) = rest.split_once(&format!("</{name}>"))?;
        Some(inner.replace("&quot;", "\""))
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// A request by a signed URL; an empty key is the bucket itself.
async fn ask(
    server: &S3Server,
    method: Method,
    key: &str,
    query: &[(&str, &str)],
    headers: &[(&'static str, &str)],
    body: &Bytes,
) -> Answer {
    let mut options = SignedUrlOptions::default().with_query(query.iter().copied());
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).unwrap();
        options = options.with_signed_header(HeaderName::from_static(name), value);
    }
    let (store, path) = (server.object_store(), Path::parse(key).unwrap());
    let valid = Duration::from_secs(60);
    let url = store.signed_url_opts(method.clone(), &path, valid, &options);
    let url = url.await.unwrap();
    send(method, url.as_str(), headers, body).await
}

pub(crate) async fn send(
    method: Method,
    url: &str,
    headers: &[(&'static str, &str)],
    body: &Bytes,
) -> Answer {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.clone())).unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let (parts, body) = client.request(request).await.unwrap().into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

const NOTHING: Bytes = Bytes::new();
