//! The one handler behind every request: parse, authorize, dispatch, render.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use registry_core::access::{Anyone, Authenticator};
use registry_core::{Registry, Rules};
use tracing::{Instrument, Span};

use crate::auth;
use crate::body::RequestBody;
use crate::endpoint::{self, Endpoint, Limits};
use crate::error::ApiError;
use crate::handlers;
use crate::telemetry;

/// How the API answers, as far as the configuration decides it.
#[derive(Clone, Debug)]
pub(crate) struct AppConfig {
    pub(crate) limits: Limits,
    /// Largest manifest in bytes.
    pub(crate) manifest_limit: usize,
    /// Below which path everything lies, without a final slash; mostly empty.
    pub(crate) prefix: String,
    /// Scheme and host of `Location`, where it is not relative.
    pub(crate) host: Option<String>,
    /// Whether `Location` is absolute by the host that was asked.
    pub(crate) absolute: bool,
    /// Put on every answer of the API.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) access_log: bool,
}

/// Everything that a request needs.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) registry: Registry,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) config: AppConfig,
}

/// What a handler sees of a request beside its endpoint.
pub(crate) struct Incoming {
    pub(crate) headers: HeaderMap,
    pub(crate) body: RequestBody,
}

/// Where a request came from; put there by the accept loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddr(pub(crate) SocketAddr);

impl App {
    /// Open to everyone.
    pub(crate) fn new(registry: Registry, config: AppConfig) -> Self {
        Self {
            registry,
            authenticator: Arc::new(Anyone),
            rules: Arc::new(Rules::everything()),
            config,
        }
    }

    /// Answers one request, whatever it is. A panic in a handler is a bug, is logged, and ends
    /// neither the process nor the connection.
    pub(crate) async fn serve(self: Arc<Self>, request: Request<Body>) -> Response<Body> {
        let id = telemetry::request_id();
        let span = tracing::info_span!("request", id = %id);
        let method = request.method().clone();
        let line = self
            .config
            .access_log
            .then(|| AccessLine::new(&request, span.clone()));
        let answer = AssertUnwindSafe(self.answer(request, &id))
            .catch_unwind()
            .instrument(span.clone());
        let (operation, mut response) = answer.await.unwrap_or_else(|panic| {
            let _entered = span.enter();
            let panic = telemetry::message_of(panic.as_ref());
            tracing::error!(panic, "a handler panicked");
            ("panic", ApiError::Internal.respond(&id))
        });
        self.finish(&method, &mut response);
        if let Some(line) = line {
            line.log(operation, &response);
        }
        response
    }

    async fn answer(&self, request: Request<Body>, id: &str) -> (&'static str, Response<Body>) {
        let (operation, result) = self.handle(request).await;
        let response = match result {
            Ok(response) => response,
            Err(ApiError::NotFound) => not_found(),
            Err(error) => {
                if error.status().is_server_error() {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "request failed");
                }
                error.respond(id)
            }
        };
        (operation, response)
    }

    async fn handle(
        &self,
        request: Request<Body>,
    ) -> (&'static str, Result<Response<Body>, ApiError>) {
        let endpoint = match self.parse(&request) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                let (parts, body) = request.into_parts();
                drain(&parts.headers, &mut RequestBody::new(body)).await;
                return ("none", Err(error));
            }
        };
        let operation = endpoint.operation();
        (operation, self.dispatch(endpoint, request).await)
    }

    fn parse(&self, request: &Request<Body>) -> Result<Endpoint, ApiError> {
        let uri = request.uri();
        if self.config.prefix.is_empty() {
            return endpoint::parse(request.method(), uri, self.config.limits);
        }
        let rest = uri
            .path()
            .strip_prefix(&self.config.prefix)
            .ok_or(ApiError::NotFound)?;
        let text = match uri.query() {
            Some(query) => format!("{rest}?{query}"),
            None => rest.to_owned(),
        };
        let stripped = text.parse().map_err(|_| ApiError::NotFound)?;
        endpoint::parse(request.method(), &stripped, self.config.limits)
    }

    async fn dispatch(
        &self,
        endpoint: Endpoint,
        request: Request<Body>,
    ) -> Result<Response<Body>, ApiError> {
        let peer = request
            .extensions()
            .get::<PeerAddr>()
            .map(|peer| peer.0.ip());
        let caller = auth::caller(&request, peer)?;
        let (parts, body) = request.into_parts();
        let mut incoming = Incoming {
            headers: parts.headers,
            body: RequestBody::new(body),
        };
        let wanted = endpoint.wanted();
        let result = match auth::authorize(self, &caller, &incoming.headers, &wanted).await {
            Ok(grant) => handlers::dispatch(self, endpoint, grant, &mut incoming).await,
            Err(error) => Err(error),
        };
        if result.is_err() {
            drain(&incoming.headers, &mut incoming.body).await;
        }
        result
    }

    /// What every answer carries.
    fn finish(&self, method: &Method, response: &mut Response<Body>) {
        let headers = response.headers_mut();
        let fixed = [
            ("docker-distribution-api-version", "registry/2.0"),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; sandbox"),
        ];
        for (name, value) in fixed {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        for (name, value) in &self.config.headers {
            headers.append(name.clone(), value.clone());
        }
        if *method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
    }

    /// `Location` for a path of ours.
    pub(crate) fn location(&self, path: &str, headers: &HeaderMap) -> HeaderValue {
        let path = format!("{}{path}", self.config.prefix);
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let text = match (&self.config.host, host) {
            (Some(fixed), _) => format!("{}{path}", fixed.trim_end_matches('/')),
            (None, Some(host)) if self.config.absolute => format!("http://{host}{path}"),
            _ => path,
        };
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("/"))
    }
}

/// A client that waits for `100 Continue` has sent nothing; taking its body would ask for it.
async fn drain(headers: &HeaderMap, body: &mut RequestBody) {
    if !headers.contains_key(header::EXPECT) {
        body.drain().await;
    }
}

fn not_found() -> Response<Body> {
    let mut response = Response::new(Body::from("404 page not found\n"));
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

/// What an access line tells of a request. Query strings carry states of uploads: left out.
struct AccessLine {
    started: Instant,
    span: Span,
    method: Method,
    path: String,
    peer: Option<SocketAddr>,
    agent: String,
    answered: bool,
}

/// What stands for the status of a request whose client did not wait for it, as elsewhere.
const NOBODY_WAITS: u16 = 499;

impl AccessLine {
    fn new(request: &Request<Body>, span: Span) -> Self {
        let agent = request
            .headers()
            .get(header::USER_AGENT)
            .and_then(|agent| agent.to_str().ok());
        Self {
            started: Instant::now(),
            span,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            peer: request.extensions().get::<PeerAddr>().map(|peer| peer.0),
            agent: agent.unwrap_or_default().to_owned(),
            answered: false,
        }
    }

    fn log(mut self, operation: &str, response: &Response<Body>) {
        self.answered = true;
        let bytes = response.headers().get(header::CONTENT_LENGTH);
        let bytes = bytes.and_then(|bytes| bytes.to_str().ok());
        self.write(operation, response.status().as_u16(), bytes.unwrap_or("-"));
    }

    fn write(&self, operation: &str, status: u16, bytes: &str) {
        let _entered = self.span.enter();
        tracing::info!(
            target: "access",
            method = %self.method,
            path = %self.path.escape_debug(),
            operation,
            status,
            bytes,
            micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            peer = self.peer.map(tracing::field::display),
            // As a text it is quoted: it may contain what looks like a field.
            agent = self.agent,
        );
    }
}

impl Drop for AccessLine {
    /// The future of a request is dropped when its connection ends before the answer begins.
    fn drop(&mut self) {
        if !self.answered {
            self.write("cut", NOBODY_WAITS, "-");
        }
    }
}
