//! One function for each operation: ask core, set headers.

mod blobs;
mod lists;
mod manifests;
mod tokens;
mod uploads;

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use registry_core::{Digest, Grant};

use crate::app::{App, Beside, Incoming};
use crate::endpoint::Endpoint;
use crate::error::ApiError;

type Answer = Result<Response<Body>, ApiError>;

/// Runs the operation that was asked for and granted.
pub(crate) async fn dispatch(
    app: &App,
    endpoint: Endpoint,
    grant: Grant,
    incoming: &mut Incoming,
) -> Answer {
    let repository = |repo| app.registry.repository(repo, grant.clone());
    match endpoint {
        Endpoint::Root => Ok(root()),
        Endpoint::Ping => Ok(json("{}".to_owned(), "application/json")),
        Endpoint::Options { allow } => Ok(options(allow)),
        Endpoint::IssueToken { query, form } => tokens::issue(app, &query, form, incoming).await,
        Endpoint::TokenKeys => tokens::keys(app).await,
        Endpoint::Catalog { page } => lists::catalog(app, &grant, &page).await,
        Endpoint::ListTags { repo, page } => lists::tags(app, &repository(repo), &page).await,
        Endpoint::Referrers {
            repo,
            subject,
            types,
            page,
        } => lists::referrers(app, &repository(repo), &subject, &types, page).await,
        Endpoint::GetBlob {
            repo,
            digest,
            head: true,
        } => blobs::head(&repository(repo), &digest, &incoming.headers).await,
        Endpoint::GetBlob {
            repo,
            digest,
            head: false,
        } => blobs::get(repository(repo), digest, &incoming.headers).await,
        Endpoint::DeleteBlob { repo, digest } => blobs::delete(&repository(repo), &digest).await,
        Endpoint::StartUpload { repo, start } => {
            uploads::start(app, &repository(repo), start, incoming).await
        }
        Endpoint::UploadStatus { repo, url } => {
            uploads::status(app, &repository(repo), url, &incoming.outside).await
        }
        Endpoint::AppendUpload { repo, url } => {
            uploads::append(app, &repository(repo), url, incoming).await
        }
        Endpoint::FinishUpload { repo, url, digest } => {
            uploads::finish(app, &repository(repo), url, &digest, incoming).await
        }
        Endpoint::CancelUpload { repo, url } => uploads::cancel(&repository(repo), &url).await,
        Endpoint::GetManifest {
            repo,
            reference,
            head: _,
        } => manifests::get(&repository(repo), &reference, &incoming.headers).await,
        Endpoint::PutManifest {
            repo,
            reference,
            tags,
            digest,
        } => manifests::put(app, &repository(repo), (reference, tags, digest), incoming).await,
        Endpoint::DeleteManifest { repo, reference } => {
            manifests::delete(&repository(repo), &reference).await
        }
    }
}

fn root() -> Response<Body> {
    let mut response = empty(StatusCode::OK);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response.extensions_mut().insert(Beside);
    response
}

fn options(allow: &'static str) -> Response<Body> {
    let mut response = empty(StatusCode::OK);
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// An answer without a body, which says so.
fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    }
    response
}

fn json(body: String, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    *response.body_mut() = Body::from(body);
    response
}

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// The address of what is in the body; as `ETag` too.
fn address(headers: &mut HeaderMap, digest: &Digest) {
    put(headers, CONTENT_DIGEST, digest.to_string());
    put(headers, header::ETAG, format!("\"{digest}\""));
}

/// A header of our own making: digests, numbers, validated names.
fn put(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// Whether `If-None-Match` names this digest: quoted or not, weak or not, in a list or as `*`.
fn not_modified(headers: &HeaderMap, digest: &Digest) -> bool {
    let digest = digest.to_string();
    let values = headers.get_all(header::IF_NONE_MATCH).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| {
            let tag = tag.trim();
            let tag = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"');
            tag == "*" || tag == digest
        })
}

/// 304: the same headers, no body.
fn unchanged(digest: &Digest) -> Response<Body> {
    let mut response = empty(StatusCode::NOT_MODIFIED);
    address(response.headers_mut(), digest);
    response
}
