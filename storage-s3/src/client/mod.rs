//! HTTP to the object store: one pool of connections, one TLS stack, and time limits that count
//! silence and not work.
//!
//! `object_store` comes with a client of its own, whose limit is on a whole request: a part that
//! goes out slowly, or a blob that is read slowly, would end in the middle. Here a request may take
//! as long as it likes while bytes move.

mod body;
mod circuit;
mod tls;

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderValue, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::client::legacy::{self, Client as Pool};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use tokio::time::{Instant, timeout_at};

pub use self::tls::TlsError;

use self::body::{Sent, Taken, Watch};
use self::circuit::Circuit;
use crate::clock::Clock;

/// How long a name and a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a connection that nobody uses is kept. AWS ends them after about 20 seconds, and a
/// request that meets such an end has to be sent again.
const IDLE: Duration = Duration::from_secs(15);

/// How many of those there may be.
const MOST_IDLE: usize = 64;

/// What is said of oneself, unless the configuration says otherwise.
const USER_AGENT: &str = concat!("registry/", env!("CARGO_PKG_VERSION"));

/// How requests are sent.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How long nothing may move.
    pub(crate) patience: Duration,
    /// How long nothing may be answered before requests are refused here.
    pub(crate) despair: Duration,
    /// Whether anybody's certificate will do.
    pub(crate) skip_verify: bool,
    /// Instead of ours.
    pub(crate) user_agent: Option<HeaderValue>,
    /// Whether each request is a line at level `debug`.
    pub(crate) logged: bool,
    /// Host and port of the store. Who is asked for credentials has a clock of its own.
    pub(crate) clock_of: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(30),
            despair: Duration::from_secs(2),
            skip_verify: false,
            user_agent: None,
            logged: false,
            clock_of: None,
        }
    }
}

/// Clones share the connections.
#[derive(Clone)]
pub(crate) struct Client(Arc<Inner>);

struct Inner {
    pool: Pool<HttpsConnector<TcpConnector>, Sent>,
    patience: Duration,
    circuit: Circuit,
    user_agent: HeaderValue,
    logged: bool,
    clock_of: Option<String>,
    clock: Arc<Clock>,
}

impl Client {
    /// `clock` is told the time of every answer.
    ///
    /// # Errors
    /// Where no certificate authority is known, and https is spoken.
    pub(crate) fn new(
        settings: &Settings,
        secure: bool,
        clock: Arc<Clock>,
    ) -> Result<Self, TlsError> {
        let mut tcp = TcpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls::config(settings, secure)?);
        let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MOST_IDLE)
            .build(connector);
        let ours = HeaderValue::from_static(USER_AGENT);
        Ok(Self(Arc::new(Inner {
            pool,
            patience: settings.patience,
            circuit: Circuit::new(settings.despair),
            user_agent: settings.user_agent.clone().unwrap_or(ours),
            logged: settings.logged,
            clock_of: settings.clock_of.clone(),
            clock,
        })))
    }
}

impl Client {
    /// Whether the store has answered nothing for so long that hardly anything is sent to it.
    pub(crate) fn despairs(&self) -> bool {
        self.0.circuit.is_open(Instant::now())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl HttpConnector for Client {
    /// The options of `object_store` are for its own client.
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if !self.0.logged {
            return self.0.call(request).await;
        }
        let method = request.method().clone();
        // Whoever has the query may have signed it.
        let path = request.uri().path().to_owned();
        let begun = Instant::now();
        let answer = self.0.call(request).await;
        let took = begun.elapsed();
        match &answer {
            Ok(answer) => {
                let status = answer.status().as_u16();
                tracing::debug!(%method, path, status, ?took, "the store has answered");
            }
            Err(error) => {
                tracing::debug!(%method, path, %error, ?took, "the store has not answered")
            }
        }
        answer
    }
}

impl Inner {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let authority = request.uri().authority().map(|one| one.as_str());
        let of_store = self.clock_of.is_none() || self.clock_of.as_deref() == authority;
        if !of_store {
            return self.send(request, Watch::default()).await;
        }
        self.circuit.admit(Instant::now()).map_err(down)?;
        let watch = Watch::default();
        let answer = self.send(request, watch.clone()).await;
        match &answer {
            Ok(answer) => {
                self.circuit.answered(Instant::now());
                if let Some(date) = answer.headers().get(header::DATE) {
                    self.clock.note(date);
                }
            }
            Err(_) => self.circuit.failed(watch.last()),
        }
        answer
    }

    async fn send(&self, request: HttpRequest, watch: Watch) -> Result<HttpResponse, HttpError> {
        let patience = self.patience;
        let mut request = request.map(|body| Sent::new(body, watch.clone()));
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        let mut answering = pin!(self.pool.request(request));
        let answer = loop {
            let limit = watch.last() + patience;
            match timeout_at(limit, &mut answering).await {
                Ok(answer) => break answer.map_err(failed)?,
                // Bytes of the request have moved meanwhile.
                Err(_) if watch.last() + patience > Instant::now() => {}
                Err(_) => return Err(silent(patience)),
            }
        };
        Ok(answer.map(|body| HttpResponseBody::new(Taken::new(body, patience))))
    }
}

/// Whether a request may have been heard: then only one that may be repeated is repeated.
fn failed(error: legacy::Error) -> HttpError {
    let kind = match error.is_connect() {
        true => HttpErrorKind::Connect,
        false => HttpErrorKind::Interrupted,
    };
    HttpError::new_boxed(kind, Box::new(Whole(error)))
}

/// Not even sent, and not to be repeated now.
fn down(silence: Duration) -> HttpError {
    let why = format!("the store has answered nothing for {silence:?}");
    HttpError::new(
        HttpErrorKind::Unknown,
        io::Error::new(io::ErrorKind::NotConnected, why),
    )
}

fn silent(patience: Duration) -> HttpError {
    let why = format!("nothing has moved for {patience:?}");
    HttpError::new(
        HttpErrorKind::Timeout,
        io::Error::new(io::ErrorKind::TimedOut, why),
    )
}

/// `object_store` shows an error without what is behind it.
#[derive(Debug)]
struct Whole<E>(E);

impl<E: Error + 'static> fmt::Display for Whole<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut why = self.0.source();
        while let Some(error) = why {
            write!(f, ": {error}")?;
            why = error.source();
        }
        Ok(())
    }
}

impl<E: Error + 'static> Error for Whole<E> {}
