//! Who may ask.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::signer::Signer as _;
use storage_s3::testing::S3Server;

use super::{NOTHING, send};

async fn signed(server: &S3Server, method: Method, valid: Duration) -> String {
    let url = server
        .object_store()
        .signed_url(method, &Path::from("a"), valid)
        .await;
    url.unwrap().to_string()
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn without_a_signature_nothing_is_told() {
    let server = S3Server::start();
    server.put("a", "x");
    let url = format!("{}/{}/a", server.endpoint(), server.bucket());
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let answer = send(method, &url, &[], &NOTHING).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
    }
    assert_eq!(server.object("a").unwrap().bytes, "x");
}

#[tokio::test]
async fn a_signed_url_is_for_one_method_and_one_object() {
    let server = S3Server::start();
    server.put("a", "x");
    server.put("b", "x");
    let url = signed(&server, Method::GET, MINUTE).await;
    let answer = send(Method::GET, &url, &[], &NOTHING).await;
    assert_eq!(
        (answer.status, answer.body),
        (StatusCode::OK, Bytes::from("x"))
    );
    for (method, url) in [
        (Method::DELETE, url.clone()),
        (Method::GET, url.replace("/a?", "/b?")),
        (
            Method::GET,
            url.replace("X-Amz-Expires=60", "X-Amz-Expires=61"),
        ),
    ] {
        let answer = send(method, &url, &[], &NOTHING).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{url}: {answer:?}");
    }
    let url = signed(&server, Method::PUT, MINUTE).await;
    let answer = send(Method::PUT, &url, &[], &Bytes::from("y")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(server.object("a").unwrap().bytes, "y");
}

#[tokio::test]
async fn a_signed_url_expires() {
    let server = S3Server::start();
    server.put("a", "x");
    let url = signed(&server, Method::GET, Duration::from_secs(1)).await;
    let begun = Instant::now();
    loop {
        let answer = send(Method::GET, &url, &[], &NOTHING).await;
        if answer.status == StatusCode::FORBIDDEN {
            break;
        }
        assert_eq!(answer.status, StatusCode::OK);
        assert!(begun.elapsed() < MINUTE, "it is still good");
    }
}

#[tokio::test]
async fn another_key_is_refused() {
    let server = S3Server::start();
    server.put("a", "x");
    for (access, secret) in [
        (S3Server::ACCESS_KEY, "another"),
        ("another", S3Server::SECRET_KEY),
    ] {
        let other = AmazonS3Builder::new()
            .with_endpoint(server.endpoint())
            .with_bucket_name(server.bucket())
            .with_access_key_id(access)
            .with_secret_access_key(secret)
            .with_http_connector(Nowhere)
            .build();
        let (other, path) = (other.unwrap(), Path::from("a"));
        let url = other.signed_url(Method::GET, &path, MINUTE).await.unwrap();
        let answer = send(Method::GET, url.as_str(), &[], &NOTHING).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
    }
}

/// Of a store that only signs.
#[derive(Debug)]
struct Nowhere;

impl object_store::client::HttpConnector for Nowhere {
    fn connect(
        &self,
        _options: &object_store::ClientOptions,
    ) -> object_store::Result<object_store::client::HttpClient> {
        Ok(object_store::client::HttpClient::new(Self))
    }
}

#[async_trait::async_trait]
impl object_store::client::HttpService for Nowhere {
    async fn call(
        &self,
        _request: object_store::client::HttpRequest,
    ) -> Result<object_store::client::HttpResponse, object_store::client::HttpError> {
        let why = std::io::Error::other("nowhere");
        let kind = object_store::client::HttpErrorKind::Unknown;
        Err(object_store::client::HttpError::new(kind, why))
    }
}
