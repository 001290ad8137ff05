//! Manifests by tag and digest.

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use registry_core::registry::{PutManifest, Repository};
use registry_core::{Digest, MediaType, Reference, Tag};

use super::uploads::refuse_encoding;
use super::{Answer, CONTENT_DIGEST, address, empty, not_modified, put as put_header, unchanged};
use crate::app::{App, Incoming};
use crate::endpoint::manifest_path;
use crate::error::ApiError;

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// The stored bytes with the stored type, whatever `Accept` says: nothing is ever converted.
pub(super) async fn get(repo: &Repository, reference: &Reference, headers: &HeaderMap) -> Answer {
    let manifest = repo.manifest(reference).await?;
    if not_modified(headers, &manifest.digest) {
        return Ok(unchanged(&manifest.digest));
    }
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    address(headers, &manifest.digest);
    headers.insert(
        header::CONTENT_LENGTH,
        HeaderValue::from(manifest.bytes.len()),
    );
    put_header(
        headers,
        header::CONTENT_TYPE,
        manifest.media_type.as_str().to_owned(),
    );
    *response.body_mut() = Body::from(manifest.bytes);
    Ok(response)
}

pub(super) async fn put(
    app: &App,
    repo: &Repository,
    (reference, tags, digest): (Reference, Vec<Tag>, Option<Digest>),
    incoming: &mut Incoming,
) -> Answer {
    refuse_encoding(&incoming.headers)?;
    let limit = app.config.manifest_limit;
    let declared = incoming.headers.get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|len| len.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|len| len > limit as u64) {
        return Err(ApiError::ManifestTooLarge { limit });
    }
    let patience = app.config.stall_timeout;
    let bytes = incoming.body.collect(limit, &app.budget, patience).await?;
    let content_type = incoming.headers.get(header::CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .map(MediaType::new);
    let put = PutManifest {
        reference,
        tags,
        digest,
        content_type,
        bytes,
    };
    let pushed = repo.put_manifest(put).await?;
    let mut response = empty(StatusCode::CREATED);
    let location = app.location(
        &manifest_path(repo.name(), &pushed.digest),
        &incoming.outside,
    );
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    put_header(headers, CONTENT_DIGEST, pushed.digest.to_string());
    if let Some(subject) = pushed.subject {
        put_header(headers, OCI_SUBJECT, subject.to_string());
    }
    if !pushed.tags.is_empty() {
        let tags: Vec<&str> = pushed.tags.iter().map(Tag::as_str).collect();
        put_header(headers, OCI_TAG, tags.join(", "));
    }
    Ok(response)
}

pub(super) async fn delete(repo: &Repository, reference: &Reference) -> Answer {
    repo.delete_manifest(reference).await?;
    Ok(empty(StatusCode::ACCEPTED))
}
