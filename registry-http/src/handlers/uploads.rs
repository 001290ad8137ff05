//! Uploads: start, mount, append, finish, status, cancel.

use axum::body::Body;
use http::{HeaderMap, HeaderName, Response, StatusCode, header};
use registry_core::error::Progress;
use registry_core::hasher::digest_of;
use registry_core::registry::{Append, Mounted, NewUpload, Repository, UploadUrl};
use registry_core::{Digest, RegistryError};

use super::{Answer, CONTENT_DIGEST, empty, put};
use crate::app::{App, Incoming};
use crate::endpoint::{Start, blob_path, upload_path};
use crate::error::ApiError;
use crate::proxies::Outside;
use crate::range;

const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

pub(super) async fn start(
    app: &App,
    repo: &Repository,
    start: Start,
    incoming: &mut Incoming,
) -> Answer {
    match start {
        Start::Plain(algorithm) => {
            let new = repo.start_upload(algorithm).await?;
            Ok(opened(app, repo, new, &incoming.outside))
        }
        Start::Mount { digest, from } => match repo.mount_blob(&digest, from.as_ref()).await? {
            Mounted::Done => Ok(created(app, repo, &digest, &incoming.outside)),
            Mounted::Upload(new) => Ok(opened(app, repo, new, &incoming.outside)),
        },
        Start::Whole(digest) => {
            let append = append_of(&incoming.headers)?;
            // Some clients name the digest before they mean to send anything.
            let nothing = digest == digest_of(digest.algorithm(), b"");
            if !nothing && incoming.body.is_empty().await {
                let new = repo.start_upload(digest.algorithm()).await?;
                return Ok(opened(app, repo, new, &incoming.outside));
            }
            repo.push_blob(append, incoming.body.pieces(), &digest)
                .await?;
            Ok(created(app, repo, &digest, &incoming.outside))
        }
    }
}

pub(super) async fn append(
    app: &App,
    repo: &Repository,
    url: UploadUrl,
    incoming: &mut Incoming,
) -> Answer {
    let append = append_of(&incoming.headers)?;
    match repo
        .append_upload(&url, append, incoming.body.pieces())
        .await
    {
        Ok(at) => Ok(progress(
            app,
            repo,
            &url,
            at,
            StatusCode::ACCEPTED,
            &incoming.outside,
        )),
        Err(error) => elsewhere(app, repo, &url, error, &incoming.outside),
    }
}

pub(super) async fn finish(
    app: &App,
    repo: &Repository,
    url: UploadUrl,
    digest: &Digest,
    incoming: &mut Incoming,
) -> Answer {
    let append = append_of(&incoming.headers)?;
    match repo
        .finish_upload(&url, append, incoming.body.pieces(), digest)
        .await
    {
        Ok(()) => Ok(created(app, repo, digest, &incoming.outside)),
        Err(error) => elsewhere(app, repo, &url, error, &incoming.outside),
    }
}

pub(super) async fn status(
    app: &App,
    repo: &Repository,
    url: UploadUrl,
    outside: &Outside,
) -> Answer {
    let at = repo.upload_status(&url).await?;
    Ok(progress(
        app,
        repo,
        &url,
        at,
        StatusCode::NO_CONTENT,
        outside,
    ))
}

pub(super) async fn cancel(repo: &Repository, url: &UploadUrl) -> Answer {
    repo.cancel_upload(url).await?;
    let mut response = empty(StatusCode::NO_CONTENT);
    put(response.headers_mut(), UPLOAD_UUID, url.id.to_string());
    Ok(response)
}

/// What a request says of its bytes. `Content-Type` is not looked at; an encoding is refused,
/// since digest and length are of the plain bytes.
fn append_of(headers: &HeaderMap) -> Result<Append, ApiError> {
    refuse_encoding(headers)?;
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|len| len.to_str().ok()?.parse().ok());
    let Some(value) = headers.get(header::CONTENT_RANGE) else {
        return Ok(Append {
            declared,
            ..Append::default()
        });
    };
    let text = value.to_str().unwrap_or_default();
    let range = range::content_range(text);
    let (at, len) = range.ok_or(ApiError::BadContentRange)?;
    Ok(Append {
        at: Some(at),
        len: Some(len),
        declared,
    })
}

pub(super) fn refuse_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    let encoding = headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(ApiError::Encoded);
    }
    Ok(())
}

/// 416 tells where the upload stands, so that a client can go on without asking.
fn elsewhere(
    app: &App,
    repo: &Repository,
    url: &UploadUrl,
    error: RegistryError,
    outside: &Outside,
) -> Answer {
    let RegistryError::RangeInvalid(at) = error else {
        return Err(error.into());
    };
    let status = StatusCode::RANGE_NOT_SATISFIABLE;
    let told = progress(app, repo, url, at, status, outside);
    let mut response = ApiError::Registry(RegistryError::RangeInvalid(at)).respond("");
    for name in [header::LOCATION, header::RANGE, UPLOAD_UUID] {
        if let Some(value) = told.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    Ok(response)
}

fn opened(app: &App, repo: &Repository, new: NewUpload, outside: &Outside) -> Response<Body> {
    let url = UploadUrl {
        id: new.id,
        state: Some(new.state),
    };
    let at = Progress { id: new.id, len: 0 };
    progress(app, repo, &url, at, StatusCode::ACCEPTED, outside)
}

/// Where an upload stands. `0-0` also means nothing yet; clients live with that.
fn progress(
    app: &App,
    repo: &Repository,
    url: &UploadUrl,
    at: Progress,
    status: StatusCode,
    outside: &Outside,
) -> Response<Body> {
    let mut response = empty(status);
    let location = app.location(&upload_path(repo.name(), url), outside);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    put(
        headers,
        header::RANGE,
        format!("0-{}", at.len.saturating_sub(1)),
    );
    put(headers, UPLOAD_UUID, at.id.to_string());
    response
}

/// A blob that is in the repository now.
fn created(app: &App, repo: &Repository, digest: &Digest, outside: &Outside) -> Response<Body> {
    let mut response = empty(StatusCode::CREATED);
    let location = app.location(&blob_path(repo.name(), digest), outside);
    response.headers_mut().insert(header::LOCATION, location);
    put(response.headers_mut(), CONTENT_DIGEST, digest.to_string());
    response
}
