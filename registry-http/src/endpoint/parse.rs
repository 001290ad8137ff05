//! The path is read from its end, since a repository may be called `a/manifests` or `tags/list`.

use http::{Method, Uri};
use percent_encoding::percent_decode_str;
use registry_core::registry::{PageRequest, UploadUrl};
use registry_core::{Algorithm, Digest, NameError, Reference, RegistryError, RepositoryName, Tag};

use super::query::Query;
use super::{Endpoint, Limits, ReferrersQuery, Start, method_not_allowed};
use crate::error::ApiError;

const GET: &str = "GET, HEAD";
const BLOB: &str = "DELETE, GET, HEAD";
const MANIFEST: &str = "DELETE, GET, HEAD, PUT";
const UPLOADS: &str = "POST";
const UPLOAD: &str = "DELETE, GET, HEAD, PATCH, PUT";

/// Most tags that one PUT may set (OCI distribution-spec: at least 10 should work).
const MAX_TAGS: usize = 64;

/// What a request wants.
pub(crate) fn parse(method: &Method, uri: &Uri, limits: Limits) -> Result<Endpoint, ApiError> {
    let path = decode(uri.path())?;
    let query = Query::parse(uri.query());
    let parsed = match fixed(method, &path, &query, limits) {
        Some(parsed) => parsed,
        None => {
            let rest = path.strip_prefix("/v2/").ok_or(ApiError::NotFound)?;
            let rest = rest.strip_suffix('/').unwrap_or(rest);
            below(method, rest, &query, limits)
        }
    };
    match limits.read_only {
        true => only_reading(method, parsed),
        false => parsed,
    }
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// The paths that no repository has a part in.
fn fixed(
    method: &Method,
    path: &str,
    query: &Query,
    limits: Limits,
) -> Option<Result<Endpoint, ApiError>> {
    Some(match path {
        "/" | "/v2" | "/v2/" if *method == Method::CONNECT => method_not_allowed(method, GET),
        // Whatever the method, as in distribution.
        "/" => Ok(Endpoint::Root),
        "/v2" | "/v2/" => Ok(Endpoint::Ping),
        "/v2/_catalog" | "/v2/_catalog/" if !reads(method) => method_not_allowed(method, GET),
        "/v2/_catalog" | "/v2/_catalog/" => {
            catalog_page(query, limits).map(|page| Endpoint::Catalog { page })
        }
        _ => return None,
    })
}

/// The paths of a repository, without `/v2/` and a slash at the end.
fn below(method: &Method, rest: &str, query: &Query, limits: Limits) -> Result<Endpoint, ApiError> {
    if let Some(name) = rest.strip_suffix("/tags/list") {
        let repo = name_of(name)?;
        if !reads(method) {
            return method_not_allowed(method, GET);
        }
        let page = tags_page(query, limits)?;
        return Ok(Endpoint::ListTags { repo, page });
    }
    if let Some(name) = rest.strip_suffix("/blobs/uploads") {
        let repo = name_of(name)?;
        if *method != Method::POST {
            return method_not_allowed(method, UPLOADS);
        }
        let start = start(query)?;
        return Ok(Endpoint::StartUpload { repo, start });
    }
    let (above, last) = rest.rsplit_once('/').ok_or(ApiError::NotFound)?;
    if let Some(name) = above.strip_suffix("/blobs/uploads") {
        return upload(method, name_of(name)?, last, query);
    }
    if let Some(name) = above.strip_suffix("/blobs") {
        return blob(method, name_of(name)?, digest_of(last)?);
    }
    if let Some(name) = above.strip_suffix("/manifests") {
        return manifest(method, name_of(name)?, last, query);
    }
    if let Some(name) = above.strip_suffix("/referrers") {
        return referrers(method, name_of(name)?, digest_of(last)?, query);
    }
    Err(ApiError::NotFound)
}

/// Where nothing may change, the methods that change something do not exist.
fn only_reading(method: &Method, parsed: Result<Endpoint, ApiError>) -> Result<Endpoint, ApiError> {
    match parsed {
        Ok(Endpoint::Options { .. }) => Ok(Endpoint::Options { allow: GET }),
        Err(ApiError::MethodNotAllowed { .. }) => Err(ApiError::MethodNotAllowed { allow: GET }),
        Ok(Endpoint::Root | Endpoint::Ping)
        | Err(ApiError::NotFound | ApiError::BadRequest(_) | ApiError::NameInvalid(_)) => parsed,
        _ if reads(method) => parsed,
        _ => Err(ApiError::MethodNotAllowed { allow: GET }),
    }
}

/// Decoded once. A slash or a dot-dot that was hidden by encoding is refused, never resolved.
fn decode(path: &str) -> Result<String, ApiError> {
    let lower = path.to_ascii_lowercase();
    if lower.contains("%2f") || lower.contains("%5c") {
        return Err(ApiError::BadRequest("an encoded slash in the path"));
    }
    let decoded = percent_decode_str(path).decode_utf8();
    let decoded = decoded.map_err(|_| ApiError::BadRequest("path is not UTF-8"))?;
    if decoded.chars().any(char::is_control) {
        return Err(ApiError::BadRequest("a control character in the path"));
    }
    Ok(decoded.into_owned())
}

fn name_of(text: &str) -> Result<RepositoryName, ApiError> {
    text.parse()
        .map_err(|error: NameError| ApiError::NameInvalid(error.to_string()))
}

fn digest_of(text: &str) -> Result<Digest, ApiError> {
    text.parse()
        .map_err(|error| digest_invalid(&format!("{error}")))
}

fn digest_invalid(reason: &str) -> ApiError {
    RegistryError::DigestInvalid(reason.to_owned()).into()
}

fn blob(method: &Method, repo: RepositoryName, digest: Digest) -> Result<Endpoint, ApiError> {
    let head = *method == Method::HEAD;
    match *method {
        Method::GET | Method::HEAD => Ok(Endpoint::GetBlob { repo, digest, head }),
        Method::DELETE => Ok(Endpoint::DeleteBlob { repo, digest }),
        _ => method_not_allowed(method, BLOB),
    }
}

fn referrers(
    method: &Method,
    repo: RepositoryName,
    subject: Digest,
    query: &Query,
) -> Result<Endpoint, ApiError> {
    if !reads(method) {
        return method_not_allowed(method, GET);
    }
    // A client that does not encode the `+` of `application/x+json` shows up with a space.
    let types = query.all("artifactType").filter(|text| !text.is_empty());
    let types = types.map(|text| text.replace(' ', "+")).collect();
    let page = ReferrersQuery {
        n: count(query)?,
        last: query.first("last").and_then(|text| text.parse().ok()),
    };
    Ok(Endpoint::Referrers {
        repo,
        subject,
        types,
        page,
    })
}

fn upload(
    method: &Method,
    repo: RepositoryName,
    id: &str,
    query: &Query,
) -> Result<Endpoint, ApiError> {
    let Ok(id) = id.parse() else {
        return Err(RegistryError::UploadUnknown.into());
    };
    let url = UploadUrl {
        id,
        state: query.first("_state").map(str::to_owned),
    };
    match *method {
        Method::GET | Method::HEAD => Ok(Endpoint::UploadStatus { repo, url }),
        Method::PATCH => Ok(Endpoint::AppendUpload { repo, url }),
        Method::DELETE => Ok(Endpoint::CancelUpload { repo, url }),
        Method::PUT => {
            let text = query
                .first("digest")
                .ok_or_else(|| digest_invalid("digest missing"))?;
            let digest = text
                .parse()
                .map_err(|_| digest_invalid("digest parsing failed"))?;
            Ok(Endpoint::FinishUpload { repo, url, digest })
        }
        _ => method_not_allowed(method, UPLOAD),
    }
}

fn start(query: &Query) -> Result<Start, ApiError> {
    let algorithm = match query.first("digest-algorithm") {
        Some(text) => text
            .parse()
            .map_err(|error| digest_invalid(&format!("{error}")))?,
        None => Algorithm::Sha256,
    };
    if let Some(mount) = query.first("mount") {
        let from = query.first("from").filter(|text| !text.is_empty());
        let source = from.map(str::parse::<RepositoryName>).transpose();
        // A digest or a source that is none is dropped, as in distribution: an upload begins.
        return Ok(match (mount.parse(), source) {
            (Ok(digest), Ok(from)) => Start::Mount { digest, from },
            _ => Start::Plain(algorithm),
        });
    }
    match query.first("digest") {
        Some(text) => Ok(Start::Whole(digest_of(text)?)),
        None => Ok(Start::Plain(algorithm)),
    }
}

fn manifest(
    method: &Method,
    repo: RepositoryName,
    text: &str,
    query: &Query,
) -> Result<Endpoint, ApiError> {
    let head = *method == Method::HEAD;
    if !matches!(
        *method,
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE
    ) {
        return method_not_allowed(method, MANIFEST);
    }
    let reference = if text.contains(':') {
        Reference::Digest(digest_of(text)?)
    } else if let Ok(tag) = text.parse() {
        Reference::Tag(tag)
    } else if *method == Method::PUT {
        return Err(ApiError::TagInvalid(text.to_owned()));
    } else {
        return Err(RegistryError::ManifestUnknown("not a tag".to_owned()).into());
    };
    Ok(match *method {
        Method::DELETE => Endpoint::DeleteManifest { repo, reference },
        Method::PUT => put_manifest(repo, reference, query)?,
        _ => Endpoint::GetManifest {
            repo,
            reference,
            head,
        },
    })
}

fn put_manifest(
    repo: RepositoryName,
    reference: Reference,
    query: &Query,
) -> Result<Endpoint, ApiError> {
    let mut tags: Vec<Tag> = Vec::new();
    let mut digest = None;
    match &reference {
        Reference::Digest(_) => {
            for text in query.all("tag") {
                let tag = text
                    .parse()
                    .map_err(|_| ApiError::TagInvalid(text.to_owned()))?;
                if !tags.contains(&tag) {
                    tags.push(tag);
                }
            }
            if tags.len() > MAX_TAGS {
                return Err(ApiError::TooManyTags(MAX_TAGS));
            }
        }
        Reference::Tag(_) => digest = query.first("digest").map(digest_of).transpose()?,
    }
    Ok(Endpoint::PutManifest {
        repo,
        reference,
        tags,
        digest,
    })
}

/// A number that is not negative. One too large to count with is as large as can be.
fn number(text: &str) -> Option<usize> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().unwrap_or(usize::MAX))
}

/// `n`, where it is given and not empty.
fn n_of(query: &Query) -> Option<&str> {
    query.first("n").filter(|text| !text.is_empty())
}

/// How many are wanted. What is refused is told as distribution's lists of tags tell it: as the
/// number that was read, or 0.
fn count(query: &Query) -> Result<Option<usize>, ApiError> {
    let Some(text) = n_of(query) else {
        return Ok(None);
    };
    let refused = || ApiError::PaginationNumber(text.parse::<i64>().unwrap_or(0).into());
    number(text).map(Some).ok_or_else(refused)
}

fn last_of(query: &Query) -> Option<String> {
    query
        .first("last")
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// 100 where nothing is asked for; more than the maximum is refused. distribution tells that
/// number as a number, and what is none as it came.
fn catalog_page(query: &Query, limits: Limits) -> Result<PageRequest, ApiError> {
    let n = match n_of(query) {
        None => limits.catalog.min(100),
        Some(text) => match number(text) {
            Some(n) if n <= limits.catalog => n,
            Some(n) if n < usize::MAX => return Err(ApiError::PaginationNumber(n.into())),
            _ => return Err(ApiError::PaginationNumber(text.into())),
        },
    };
    Ok(PageRequest {
        n: Some(n),
        last: last_of(query),
    })
}

/// All where nothing is asked for; more than the maximum is cut down.
fn tags_page(query: &Query, limits: Limits) -> Result<PageRequest, ApiError> {
    Ok(PageRequest {
        n: count(query)?.map(|n| n.min(limits.tags)),
        last: last_of(query),
    })
}
