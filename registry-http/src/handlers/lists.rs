//! Lists: catalog, tags, referrers; each a page at a time with a relative `Link` to the next.

use axum::body::Body;
use http::{HeaderName, Response, header};
use registry_core::registry::{PageRequest, Repository};
use registry_core::{Digest, Grant, RepositoryName, Tag};
use serde_json::json;

use super::{Answer, json as json_answer, put};
use crate::app::App;
use crate::endpoint::{ReferrersQuery, encode};

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const JSON: &str = "application/json";

pub(super) async fn catalog(app: &App, grant: &Grant, request: &PageRequest) -> Answer {
    let page = app.registry.catalog(grant, request).await?;
    let names: Vec<&str> = page.items.iter().map(RepositoryName::as_str).collect();
    let mut response = json_answer(format!("{}\n", json!({ "repositories": names })), JSON);
    if let (true, Some(last), Some(n)) = (page.more, names.last(), request.n) {
        next(
            app,
            &mut response,
            &format!("/v2/_catalog?last={}&n={n}", encode(last)),
        );
    }
    Ok(response)
}

pub(super) async fn tags(app: &App, repo: &Repository, request: &PageRequest) -> Answer {
    let page = repo.tags(request).await?;
    let tags: Vec<&str> = page.items.iter().map(Tag::as_str).collect();
    let name = repo.name();
    let body = json!({ "name": name.as_str(), "tags": tags });
    let mut response = json_answer(format!("{body}\n"), JSON);
    if let (true, Some(last), Some(n)) = (page.more, tags.last(), request.n) {
        next(
            app,
            &mut response,
            &format!("/v2/{name}/tags/list?last={}&n={n}", encode(last)),
        );
    }
    Ok(response)
}

/// Never 404: a subject that nobody refers to has an empty list.
pub(super) async fn referrers(
    app: &App,
    repo: &Repository,
    subject: &Digest,
    types: &[String],
    request: ReferrersQuery,
) -> Answer {
    let page = repo
        .referrers(subject, types, request.n, request.last)
        .await?;
    let body = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page.referrers });
    let mut response = json_answer(body.to_string(), OCI_INDEX);
    if !types.is_empty() {
        put(
            response.headers_mut(),
            FILTERS_APPLIED,
            "artifactType".to_owned(),
        );
    }
    if let Some(last) = page.next {
        let mut query: Vec<String> = types
            .iter()
            .map(|kind| format!("artifactType={}", encode(kind)))
            .collect();
        query.push(format!("last={}", encode(&last.to_string())));
        query.extend(request.n.map(|n| format!("n={n}")));
        let path = format!(
            "/v2/{}/referrers/{subject}?{}",
            repo.name(),
            query.join("&")
        );
        next(app, &mut response, &path);
    }
    Ok(response)
}

fn next(app: &App, response: &mut Response<Body>, path: &str) {
    let link = format!("<{}{path}>; rel=\"next\"", app.config.prefix);
    put(response.headers_mut(), header::LINK, link);
}
