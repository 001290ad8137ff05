//! The one handler behind every request: parse, authorize, dispatch, render.

use std::fmt;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use registry_core::access::{Authenticator, Caller, Certificate};
use registry_core::{Registry, Rules};
use tracing::Instrument;

use crate::access_log::AccessLine;
use crate::auth;
use crate::body::RequestBody;
use crate::budget::Budget;
use crate::endpoint::{self, Endpoint, Limits};
use crate::error::ApiError;
use crate::follow::Watch;
use crate::framing;
use crate::handlers;
use crate::health::Health;
use crate::metrics::{Measuring, Metrics};
use crate::outlet::Outlet;
use crate::proxies::{Client, Front, Outside};
use crate::telemetry;
use crate::tls::TlsInfo;
use crate::tokens::Tokens;

/// How the API answers, as far as the configuration decides it.
#[derive(Clone, Debug)]
pub(crate) struct AppConfig {
    pub(crate) limits: Limits,
    /// Largest manifest in bytes.
    pub(crate) manifest_limit: usize,
    /// How long a body may stand still.
    pub(crate) stall_timeout: Duration,
    /// Below which path everything lies, without a final slash; mostly empty.
    pub(crate) prefix: String,
    /// Where everything lies as clients see it, without a final slash, if that is fixed.
    pub(crate) base: Option<String>,
    /// Whether `Location` is absolute by the host that was asked.
    pub(crate) absolute: bool,
    /// Put on every answer of the API; they win over [`FIXED`].
    pub(crate) headers: HeaderMap,
    /// Where a line for each request goes, if anywhere.
    pub(crate) access_log: Option<Outlet>,
}

/// On every answer, unless the configuration says otherwise.
const FIXED: [(HeaderName, HeaderValue); 3] = [
    (
        HeaderName::from_static("docker-distribution-api-version"),
        HeaderValue::from_static("registry/2.0"),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox"),
    ),
];

const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Marks an answer that is none of the API: the configured headers are not for it, as in
/// distribution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside;

/// Everything that a request needs.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) registry: Registry,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) rules: Arc<Rules>,
    /// Of bodies that are held whole.
    pub(crate) budget: Budget,
    pub(crate) health: Arc<Health>,
    /// If tokens are had from here.
    pub(crate) tokens: Option<Arc<dyn Tokens>>,
    /// If anyone wants to see them.
    pub(crate) metrics: Option<Arc<Metrics>>,
    /// What proxies say of requests.
    pub(crate) front: Front,
    pub(crate) config: AppConfig,
}

/// What a handler sees of a request beside its endpoint.
pub(crate) struct Incoming {
    pub(crate) client: Client,
    pub(crate) outside: Outside,
    /// What the connection proved of who is at its other end.
    pub(crate) certificate: Option<Arc<Certificate>>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: RequestBody,
}

/// Where a request came from; put there by the accept loop. Who comes through a socket of the file
/// system has no address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddr(pub(crate) Option<SocketAddr>);

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(addr) => addr.fmt(f),
            // As distribution calls it.
            None => f.write_str("@"),
        }
    }
}

impl App {
    /// For whom the authenticator lets in, who may do everything.
    pub(crate) fn new(
        registry: Registry,
        authenticator: Arc<dyn Authenticator>,
        health: Arc<Health>,
        config: AppConfig,
    ) -> Self {
        Self {
            registry,
            authenticator,
            rules: Arc::new(Rules::everything()),
            budget: Budget::new(config.manifest_limit),
            health,
            tokens: None,
            metrics: None,
            front: Front::default(),
            config,
        }
    }

    /// Answers one request, whatever it is. A panic in a handler is a bug, is logged, and ends
    /// neither the process nor the connection.
    pub(crate) async fn serve(self: Arc<Self>, request: Request<Body>) -> Response<Body> {
        let id = telemetry::request_id();
        let method = request.method().clone();
        // Whatever the level is, what is said has the name of the request. Query strings carry
        // states of uploads: left out.
        let path = request.uri().path();
        let span = tracing::error_span!("request", id = %id, method = %method, path);
        let peer = request.extensions().get::<PeerAddr>().copied();
        let peer = peer.unwrap_or(PeerAddr(None));
        let client = self.front.client(peer, request.headers());
        let printed = self.config.access_log.clone();
        let line = AccessLine::new(&request, client, span.clone(), printed);
        let metrics = self.metrics.as_ref();
        let measuring = metrics.map(|metrics| Measuring::begin(metrics, &method));
        let mut watch = Watch::new(line, measuring);
        let answer = AssertUnwindSafe(self.answer(request, client, &id, &mut watch))
            .catch_unwind()
            .instrument(span.clone());
        let mut response = answer.await.unwrap_or_else(|panic| {
            let _entered = span.enter();
            let panic = telemetry::message_of(panic.as_ref());
            tracing::error!(panic, "a handler panicked");
            watch.panicked();
            ApiError::Internal.respond(&id)
        });
        self.finish(&method, &mut response);
        watch.follow(response)
    }

    async fn answer(
        &self,
        request: Request<Body>,
        client: Client,
        id: &str,
        watch: &mut Watch,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let tls = parts.extensions.get::<Arc<TlsInfo>>();
        let secure = tls.is_some();
        let mut incoming = Incoming {
            client,
            outside: Outside::default(),
            certificate: tls.and_then(|tls| tls.client.clone()),
            headers: parts.headers,
            body: RequestBody::new(body),
        };
        if let Err(error) = framing::check(parts.version, &incoming.headers) {
            let mut response = error.respond(id);
            // Where it ends is anybody's guess.
            response.headers_mut().insert(header::CONNECTION, CLOSE);
            return response;
        }
        framing::settle_host(&parts.uri, &mut incoming.headers);
        incoming.outside = self.front.outside(client.peer, &incoming.headers, secure);
        let result = match self.parse(&parts.method, &parts.uri) {
            _ if self.health.is_failing() => Err(ApiError::Unhealthy),
            Ok(endpoint) => {
                watch.wants(&endpoint);
                incoming.body.count_into(watch.arriving());
                self.dispatch(endpoint, &mut incoming).await
            }
            Err(error) => Err(error),
        };
        let mut response = match result {
            Ok(response) => response,
            Err(ApiError::NotFound) => not_found(),
            Err(error) => {
                if error.is_fault() {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "request failed");
                }
                error.respond(id)
            }
        };
        incoming.end(&mut response).await;
        watch.received(incoming.body.came());
        response
    }

    fn parse(&self, method: &Method, uri: &Uri) -> Result<Endpoint, ApiError> {
        if let Some(tokens) = &self.tokens
            && let Some(rest) = uri.path().strip_prefix(&self.config.prefix)
            && let Some(asked) = endpoint::of_tokens(method, uri, rest, tokens.path())
        {
            return asked;
        }
        // Whoever balances load asks for `/`, wherever the API lies.
        if self.config.prefix.is_empty() || uri.path() == "/" {
            return endpoint::parse(method, uri, self.config.limits);
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
        match endpoint::parse(method, &stripped, self.config.limits) {
            Ok(Endpoint::Root) => Err(ApiError::NotFound),
            parsed => parsed,
        }
    }

    async fn dispatch(
        &self,
        endpoint: Endpoint,
        incoming: &mut Incoming,
    ) -> Result<Response<Body>, ApiError> {
        let caller = incoming.caller()?;
        let wanted = endpoint.wanted();
        let grant = auth::authorize(self, &caller, &incoming.outside, &wanted).await?;
        handlers::dispatch(self, endpoint, grant, incoming).await
    }

    /// What every answer carries. What the configuration says of keeping and showing an answer
    /// replaces what we say; what describes the answer is ours.
    fn finish(&self, method: &Method, response: &mut Response<Body>) {
        let none = HeaderMap::new();
        let configured = match response.extensions_mut().remove::<Beside>() {
            Some(Beside) => &none,
            None => &self.config.headers,
        };
        let headers = response.headers_mut();
        for name in configured.keys() {
            let policy = [header::CACHE_CONTROL, header::CONTENT_DISPOSITION];
            if policy.contains(name) {
                headers.remove(name);
            }
        }
        for (name, value) in FIXED {
            if !configured.contains_key(&name) {
                headers.insert(name, value);
            }
        }
        let described: Vec<HeaderName> = headers.keys().cloned().collect();
        for (name, value) in configured {
            if !described.contains(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        if *method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
    }

    /// The URL of a path of ours, for a client who is to come back to it by itself.
    pub(crate) fn url(&self, path: &str, outside: &Outside) -> String {
        match &self.config.base {
            Some(base) => format!("{base}{path}"),
            None => {
                let (scheme, host) = (outside.scheme(), &outside.host);
                format!("{scheme}://{host}{}{path}", self.config.prefix)
            }
        }
    }

    /// `Location` for a path of ours.
    pub(crate) fn location(&self, path: &str, outside: &Outside) -> HeaderValue {
        let is_known = !outside.host.is_empty();
        let text = match self.config.base.is_some() || self.config.absolute && is_known {
            true => self.url(path, outside),
            false => format!("{}{path}", self.config.prefix),
        };
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("/"))
    }
}

impl Incoming {
    /// What it shows of its sender.
    pub(crate) fn caller(&self) -> Result<Caller, ApiError> {
        let mut caller = auth::caller(&self.headers, self.client.address())?;
        caller.certificate.clone_from(&self.certificate);
        Ok(caller)
    }

    /// Takes a bounded rest of the body off the wire, so that the client sees the answer and the
    /// connection can go on; where there is more, the answer says that it does not.
    async fn end(&mut self, response: &mut Response<Body>) {
        // A client that waits for `100 Continue` has sent nothing; taking its body would ask
        // for it.
        if !self.headers.contains_key(header::EXPECT) {
            self.body.drain().await;
        }
        if !self.body.has_ended() {
            response.headers_mut().insert(header::CONNECTION, CLOSE);
        }
    }
}

const NOT_FOUND: &str = "404 page not found\n";

fn not_found() -> Response<Body> {
    let mut response = Response::new(Body::from(NOT_FOUND));
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, text);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(NOT_FOUND.len()));
    response.extensions_mut().insert(Beside);
    response
}
