//! The second listener: for those who watch the registry, and nobody who uses it.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::service::service_fn;
use serde_json::json;
use tokio::net::TcpListener;

use crate::accept::{self, AcceptLimits};
use crate::health::Health;
use crate::metrics::{self, Metrics};

/// Where the health is told, as in distribution.
pub(crate) const HEALTH: &str = "/debug/health";

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// What can be seen from outside.
#[derive(Debug)]
pub(crate) struct Debug {
    pub(crate) health: Arc<Health>,
    /// Where they are, and what they are.
    pub(crate) metrics: Option<(String, Arc<Metrics>)>,
}

/// Answers on the second listener, if there is one, until `shutdown`.
pub(crate) async fn serve(
    debug: Option<(TcpListener, Debug)>,
    limits: AcceptLimits,
    shutdown: impl Future<Output = ()>,
) {
    let Some((listener, debug)) = debug else {
        return;
    };
    let debug = Arc::new(debug);
    let service = service_fn(move |request: Request<Body>| {
        let debug = Arc::clone(&debug);
        async move { Ok(debug.answer(&request)) }
    });
    // Who watches is cut without a loss.
    let _ = accept::serve(listener, None, None, service, limits, shutdown).await;
}

impl Debug {
    /// Answers one request.
    pub(crate) fn answer(&self, request: &Request<Body>) -> Response<Body> {
        let head = *request.method() == Method::HEAD;
        if !head && *request.method() != Method::GET {
            return not_found(head);
        }
        match (request.uri().path(), &self.metrics) {
            (HEALTH, _) => self.health(head),
            (path, Some((known, metrics))) if path == known => self::metrics(metrics, head),
            _ => not_found(head),
        }
    }

    fn health(&self, head: bool) -> Response<Body> {
        let reasons = self.health.reasons();
        let status = match reasons.is_empty() {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        };
        response(status, JSON, format!("{}\n", json!(reasons)), head)
    }
}

fn metrics(metrics: &Metrics, head: bool) -> Response<Body> {
    match metrics.encode() {
        Ok(text) => response(StatusCode::OK, metrics::CONTENT_TYPE, text, head),
        Err(error) => {
            tracing::error!(%error, "writing the metrics");
            let text = "the log says why not\n".to_owned();
            response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, text, head)
        }
    }
}

fn not_found(head: bool) -> Response<Body> {
    let text = "404 page not found\n".to_owned();
    response(StatusCode::NOT_FOUND, TEXT, text, head)
}

fn response(status: StatusCode, kind: &'static str, text: String, head: bool) -> Response<Body> {
    let length = text.len();
    let body = if head {
        Body::empty()
    } else {
        Body::from(text)
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}
