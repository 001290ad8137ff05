//! From method, path and query to what is wanted, and back; pure and total.

mod parse;
mod query;

use http::{Method, Uri};
use registry_core::access::{Access, Action};
use registry_core::registry::PageRequest;
use registry_core::registry::UploadUrl;
use registry_core::{Algorithm, Digest, Reference, RepositoryName, Tag};

pub(crate) use self::parse::parse;
pub(crate) use self::query::{Query, encode};
use crate::error::ApiError;

/// One operation of the API, with all that its URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `/`: are you alive?
    Root,
    /// `/v2/`: do you speak this, and may I?
    Ping,
    Catalog {
        page: PageRequest,
    },
    ListTags {
        repo: RepositoryName,
        page: PageRequest,
    },
    Referrers {
        repo: RepositoryName,
        subject: Digest,
        types: Vec<String>,
        page: ReferrersQuery,
    },
    GetBlob {
        repo: RepositoryName,
        digest: Digest,
        head: bool,
    },
    DeleteBlob {
        repo: RepositoryName,
        digest: Digest,
    },
    StartUpload {
        repo: RepositoryName,
        start: Start,
    },
    UploadStatus {
        repo: RepositoryName,
        url: UploadUrl,
    },
    AppendUpload {
        repo: RepositoryName,
        url: UploadUrl,
    },
    FinishUpload {
        repo: RepositoryName,
        url: UploadUrl,
        digest: Digest,
    },
    CancelUpload {
        repo: RepositoryName,
        url: UploadUrl,
    },
    GetManifest {
        repo: RepositoryName,
        reference: Reference,
        head: bool,
    },
    PutManifest {
        repo: RepositoryName,
        reference: Reference,
        tags: Vec<Tag>,
        digest: Option<Digest>,
    },
    DeleteManifest {
        repo: RepositoryName,
        reference: Reference,
    },
    /// A token, from our own service.
    IssueToken {
        query: Query,
        /// Whether what is asked for stands in a form, and not in the query.
        form: bool,
    },
    /// The keys of our own service.
    TokenKeys,
    /// `OPTIONS`: which methods does this path know?
    Options {
        allow: &'static str,
    },
}

/// How an upload begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Bytes will follow by PATCH and PUT.
    Plain(Algorithm),
    /// All bytes come with this request.
    Whole(Digest),
    /// The blob may be here already.
    Mount {
        digest: Digest,
        from: Option<RepositoryName>,
    },
}

/// Which part of a list of referrers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct ReferrersQuery {
    pub(crate) n: Option<usize>,
    pub(crate) last: Option<Digest>,
}

/// Limits that the configuration sets for requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most entries of a catalog page (`catalog.maxentries`).
    pub(crate) catalog: usize,
    /// Most entries of a tags page that a client may ask for (`tags.maxtags`).
    pub(crate) tags: usize,
    /// Whether only reading is allowed.
    pub(crate) read_only: bool,
}

/// What a request cannot do without, and what it would use if it may.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) required: Vec<Access>,
    pub(crate) optional: Vec<Access>,
    /// Whether nobody is asked who it is, as `/` answers whether anyone is there.
    pub(crate) public: bool,
    /// Whether everyone is: clients find out here how to say it, and what is listed depends on it.
    pub(crate) asks_who: bool,
}

impl Endpoint {
    /// No wildcard arm: adding an operation does not compile until someone has decided who may
    /// perform it.
    pub(crate) fn wanted(&self) -> Wanted {
        let one = |repo: &RepositoryName, action| vec![Access::repository(repo, action)];
        let required = match self {
            Self::Root
            | Self::Ping
            | Self::IssueToken { .. }
            | Self::TokenKeys
            | Self::Options { .. } => Vec::new(),
            Self::Catalog { .. } => vec![Access::Catalog],
            Self::ListTags { repo, .. }
            | Self::Referrers { repo, .. }
            | Self::GetBlob { repo, .. }
            | Self::UploadStatus { repo, .. }
            | Self::GetManifest { repo, .. } => one(repo, Action::Pull),
            Self::StartUpload { repo, .. }
            | Self::AppendUpload { repo, .. }
            | Self::FinishUpload { repo, .. }
            | Self::CancelUpload { repo, .. }
            | Self::PutManifest { repo, .. } => {
                vec![
                    Access::repository(repo, Action::Pull),
                    Access::repository(repo, Action::Push),
                ]
            }
            Self::DeleteBlob { repo, .. } | Self::DeleteManifest { repo, .. } => {
                one(repo, Action::Delete)
            }
        };
        let optional = match self {
            Self::StartUpload {
                start: Start::Mount {
                    from: Some(from), ..
                },
                ..
            } => one(from, Action::Pull),
            _ => Vec::new(),
        };
        Wanted {
            required,
            optional,
            // The token service asks in its own way.
            public: matches!(self, Self::Root | Self::IssueToken { .. } | Self::TokenKeys),
            asks_who: matches!(self, Self::Ping | Self::Catalog { .. }),
        }
    }

    /// What it is called in logs.
    pub(crate) fn operation(&self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Ping => "ping",
            Self::IssueToken { .. } => "issue_token",
            Self::TokenKeys => "token_keys",
            Self::Catalog { .. } => "catalog",
            Self::ListTags { .. } => "list_tags",
            Self::Referrers { .. } => "referrers",
            Self::GetBlob { head: true, .. } => "stat_blob",
            Self::GetBlob { head: false, .. } => "pull_blob",
            Self::DeleteBlob { .. } => "delete_blob",
            Self::StartUpload { .. } => "start_upload",
            Self::UploadStatus { .. } => "upload_status",
            Self::AppendUpload { .. } => "append_upload",
            Self::FinishUpload { .. } => "finish_upload",
            Self::CancelUpload { .. } => "cancel_upload",
            Self::GetManifest { head: true, .. } => "stat_manifest",
            Self::GetManifest { head: false, .. } => "pull_manifest",
            Self::PutManifest { .. } => "push_manifest",
            Self::DeleteManifest { .. } => "delete_manifest",
            Self::Options { .. } => "options",
        }
    }
}

/// `/v2/<name>/blobs/<digest>`.
pub(crate) fn blob_path(repo: &RepositoryName, digest: &Digest) -> String {
    format!("/v2/{repo}/blobs/{digest}")
}

/// `/v2/<name>/manifests/<digest>`.
pub(crate) fn manifest_path(repo: &RepositoryName, digest: &Digest) -> String {
    format!("/v2/{repo}/manifests/{digest}")
}

/// `/v2/<name>/blobs/uploads/<id>`, with its state.
pub(crate) fn upload_path(repo: &RepositoryName, url: &UploadUrl) -> String {
    match &url.state {
        Some(state) => format!("/v2/{repo}/blobs/uploads/{}?_state={state}", url.id),
        None => format!("/v2/{repo}/blobs/uploads/{}", url.id),
    }
}

/// What is wanted of our own token service at this path, if that is one of its paths: that of the
/// endpoint, or that of its keys below.
pub(crate) fn of_tokens(
    method: &Method,
    uri: &Uri,
    rest: &str,
    endpoint: &str,
) -> Option<Result<Endpoint, ApiError>> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    Some(match rest.strip_prefix(endpoint)? {
        "" if reads || *method == Method::POST => Ok(Endpoint::IssueToken {
            query: Query::parse(uri.query()),
            form: *method == Method::POST,
        }),
        "" => method_not_allowed(method, "GET, HEAD, POST"),
        "/keys" if reads => Ok(Endpoint::TokenKeys),
        "/keys" => method_not_allowed(method, "GET, HEAD"),
        _ => return None,
    })
}

/// A request that no operation answers to.
fn method_not_allowed(method: &Method, allow: &'static str) -> Result<Endpoint, ApiError> {
    if *method == Method::OPTIONS {
        return Ok(Endpoint::Options { allow });
    }
    Err(ApiError::MethodNotAllowed { allow })
}

#[cfg(test)]
mod tests;
