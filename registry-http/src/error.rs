//! Errors at the edge: the one table from code to status, and the JSON envelope.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use registry_core::{ErrorCode, RegistryError, StorageError};
use serde_json::{Value, json};

use crate::accept::Stalled;
use crate::body::Slow;

/// Why a request is not answered as it wished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// What the semantics say.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// No request of the API at all.
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    #[error("malformed Content-Range")]
    BadContentRange,
    /// Others hold the memory that it needs.
    #[error("too many bodies of requests at a time")]
    Crowded,
    /// A request for a token that is none.
    #[error("no token: {0}")]
    BadToken(&'static str),
    /// A login at the token service; the challenge says how to try again, where that is one way.
    #[cfg_attr(
        not(feature = "token"),
        allow(dead_code, reason = "nobody hands out tokens")
    )]
    #[error("authentication required")]
    BadLogin { challenge: Option<HeaderValue> },
    #[error("denied")]
    Denied,
    #[error("request body in a content encoding")]
    Encoded,
    /// A head that does not say clearly where the request ends or whom it is for.
    #[error("bad request: {0}")]
    Framing(&'static str),
    #[error("internal error")]
    Internal,
    #[error("form larger than {limit} bytes")]
    FormTooLarge { limit: usize },
    #[error("manifest larger than {limit} bytes")]
    ManifestTooLarge { limit: usize },
    #[error("method not allowed")]
    MethodNotAllowed { allow: &'static str },
    #[error("repository name {0}")]
    NameInvalid(String),
    #[error("no such path")]
    NotFound,
    #[error("bad number {0}")]
    PaginationNumber(Value),
    #[error("range not satisfiable")]
    Range { size: u64 },
    #[error("tag {0:?} does not match the grammar")]
    TagInvalid(String),
    #[error("transfer codings other than chunked are not implemented")]
    TransferCoding,
    /// Whoever asks may be who it says, and is to ask later.
    #[error("too many logins; try again in {} s", seconds(*retry_after))]
    Throttled { retry_after: Duration },
    #[error("more than {0} tags")]
    TooManyTags(usize),
    #[error("authentication required")]
    Unauthorized {
        challenge: HeaderValue,
        scope: Value,
    },
    #[error("temporarily unavailable")]
    Unavailable,
    /// What a check has seen and said.
    #[error("health check failed: please see {}", crate::debug::HEALTH)]
    Unhealthy,
}

impl ApiError {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Registry(error) => error.code(),
            Self::BadRequest(_) | Self::NameInvalid(_) => ErrorCode::NameInvalid,
            Self::BadToken(_) | Self::FormTooLarge { .. } => ErrorCode::Unsupported,
            Self::BadLogin { .. } => ErrorCode::Unauthorized,
            Self::BadContentRange => ErrorCode::BlobUploadInvalid,
            Self::Denied => ErrorCode::Denied,
            Self::Encoded
            | Self::Framing(_)
            | Self::MethodNotAllowed { .. }
            | Self::TransferCoding => ErrorCode::Unsupported,
            Self::Internal => ErrorCode::Unknown,
            Self::ManifestTooLarge { .. } => ErrorCode::ManifestInvalid,
            Self::NotFound => ErrorCode::NameUnknown,
            Self::PaginationNumber(_) => ErrorCode::PaginationNumberInvalid,
            Self::Range { .. } => ErrorCode::RangeInvalid,
            Self::TagInvalid(_) | Self::TooManyTags(_) => ErrorCode::TagInvalid,
            Self::Throttled { .. } => ErrorCode::TooManyRequests,
            Self::Unauthorized { .. } => ErrorCode::Unauthorized,
            Self::Crowded | Self::Unavailable | Self::Unhealthy => ErrorCode::Unavailable,
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::ManifestTooLarge { .. } | Self::FormTooLarge { .. } => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::TooManyTags(_) => StatusCode::URI_TOO_LONG,
            Self::Registry(RegistryError::Body(error)) if is_late(&**error) => {
                StatusCode::REQUEST_TIMEOUT
            }
            Self::BadContentRange
            | Self::BadToken(_)
            | Self::Framing(_)
            | Self::Registry(RegistryError::Body(_)) => StatusCode::BAD_REQUEST,
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::Registry(RegistryError::Storage(StorageError::Full)) => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            Self::Registry(RegistryError::Storage(StorageError::Backend {
                temporary: true,
                ..
            })) => StatusCode::SERVICE_UNAVAILABLE,
            _ => status_of(self.code()),
        }
    }

    /// Whether something is wrong here, and not with the request.
    pub(crate) fn is_fault(&self) -> bool {
        let known = matches!(self, Self::TransferCoding | Self::Crowded | Self::Unhealthy);
        self.status().is_server_error() && !known
    }

    /// What helps the client; never internals.
    fn detail(&self, request_id: &str) -> Value {
        match self {
            Self::Registry(error) => match error {
                RegistryError::BlobUnknown(digest) => json!(digest.to_string()),
                RegistryError::DigestInvalid(reason)
                | RegistryError::ManifestInvalid(reason)
                | RegistryError::ManifestUnknown(reason)
                | RegistryError::SizeInvalid(reason) => json!(reason),
                RegistryError::NameUnknown(name) => json!({ "name": name.as_str() }),
                RegistryError::RangeInvalid(progress) => json!({ "received": progress.len }),
                RegistryError::Unsupported(reason) => json!(reason),
                RegistryError::Storage(StorageError::Full) => json!("no space left in the store"),
                RegistryError::Storage(_) => json!({ "request": request_id }),
                _ => Value::Null,
            },
            Self::PaginationNumber(n) => json!({ "n": n }),
            Self::Unauthorized { scope, .. } => scope.clone(),
            Self::Internal => json!({ "request": request_id }),
            Self::MethodNotAllowed { .. }
            | Self::BadLogin { .. }
            | Self::Denied
            | Self::Unavailable => Value::Null,
            other => json!(other.to_string()),
        }
    }

    /// The answer. One entry for each digest that a manifest lacks.
    pub(crate) fn respond(&self, request_id: &str) -> Response<Body> {
        let (code, message) = self.code().texts();
        let message = match self {
            // As distribution says it, where clients look.
            Self::Registry(RegistryError::Denied(reason)) => reason,
            _ => message,
        };
        let entry = |detail: Value| match detail {
            Value::Null => json!({ "code": code, "message": message }),
            detail => json!({ "code": code, "message": message, "detail": detail }),
        };
        let entries: Vec<Value> = match self {
            Self::Registry(RegistryError::ManifestBlobUnknown(missing)) => missing
                .iter()
                .map(|digest| entry(json!(digest.to_string())))
                .collect(),
            _ => vec![entry(self.detail(request_id))],
        };
        let body = format!("{}\n", json!({ "errors": entries }));
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        );
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        match self {
            Self::MethodNotAllowed { allow } => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            Self::Range { size } => {
                if let Ok(value) = HeaderValue::try_from(format!("bytes */{size}")) {
                    headers.insert(header::CONTENT_RANGE, value);
                }
            }
            Self::BadLogin { challenge } => {
                if let Some(challenge) = challenge {
                    headers.insert(header::WWW_AUTHENTICATE, challenge.clone());
                }
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            }
            Self::Unauthorized { challenge, .. } => {
                headers.insert(header::WWW_AUTHENTICATE, challenge.clone());
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            }
            Self::Denied => {
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            }
            Self::Crowded
            | Self::Registry(RegistryError::Storage(StorageError::Backend {
                temporary: true,
                ..
            })) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            Self::Throttled { retry_after } => {
                let seconds = HeaderValue::from(seconds(*retry_after));
                headers.insert(header::RETRY_AFTER, seconds);
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            }
            _ => {}
        }
        *response.body_mut() = Body::from(body);
        response
    }
}

/// As `Retry-After` has it: whole ones, and never none.
fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// Whether a body was waited for too long. The client may come again: what came of an upload is
/// kept.
fn is_late(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|error| error.is::<Stalled>() || error.is::<Slow>())
}

/// distribution's status for each code.
fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BlobUnknown
        | ErrorCode::BlobUploadInvalid
        | ErrorCode::BlobUploadUnknown
        | ErrorCode::ManifestUnknown
        | ErrorCode::NameUnknown => StatusCode::NOT_FOUND,
        ErrorCode::Denied => StatusCode::FORBIDDEN,
        ErrorCode::DigestInvalid
        | ErrorCode::ManifestBlobUnknown
        | ErrorCode::ManifestInvalid
        | ErrorCode::NameInvalid
        | ErrorCode::PaginationNumberInvalid
        | ErrorCode::SizeInvalid
        | ErrorCode::TagInvalid => StatusCode::BAD_REQUEST,
        ErrorCode::RangeInvalid => StatusCode::RANGE_NOT_SATISFIABLE,
        ErrorCode::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        Self::Registry(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_to_wait_is_told_how_long_in_whole_seconds() {
        for (millis, expected) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (60_000, "60")] {
            let retry_after = Duration::from_millis(millis);
            let answer = ApiError::Throttled { retry_after }.respond("id");
            assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(answer.headers()[header::RETRY_AFTER], expected, "{millis}");
            assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        }
    }
}
