//! From a configuration to a server: which driver, which address, what is open to whom.

mod error;
mod listeners;
mod opening;
mod parts;
mod refused;
mod services;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use hyper::Request;
use hyper::service::service_fn;
use registry_core::access::Authenticator;
use registry_core::storage::{OpenMode, Storage};
use registry_core::{BoxError, Registry};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;

pub use self::error::Error;
pub(crate) use self::listeners::{bind_beside, listen};
use self::opening::open_tokens;
pub(crate) use self::opening::{open, open_auth, open_telling, open_tls};
pub(crate) use self::parts::options;
use self::parts::{accept_limits, app_config};
pub(crate) use self::refused::{unheard, unopened};
use crate::accept::{self, AcceptLimits, Listener, Passed};
use crate::ambient::probe;
use crate::app::App;
use crate::check::{self, Report};
use crate::collect::{self, CollectArguments};
use crate::config::{Config, Source, UploadPurging};
use crate::debug::{self, Debug};
use crate::factories::Factories;
use crate::fsck::{self, FsckArguments};
use crate::health::{Checks, Health};
use crate::metrics::{Metrics, measure};
use crate::outlet::Outlet;
use crate::proxies::{Front, Proxies};
use crate::purge::{purge, purging};
use crate::tls::{self, Tls};
use crate::{builtin, cli};

/// How long the changes may take that outlive their connections: with the drain before it, less
/// than the ten seconds of `docker stop`.
const LAST_CHANGES: Duration = Duration::from_millis(1500);

/// A server that listens already, and answers once it is told to [`serve`](Self::serve).
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    app: Arc<App>,
    registry: Registry,
    watched: Watched,
    purging: Option<UploadPurging>,
    limits: AcceptLimits,
    /// Who says for whom a connection is, if anyone has to.
    proxies: Option<Arc<Proxies>>,
    tls: Option<Arc<Tls>>,
}

/// Beside the API: what is looked at, and who is told.
#[derive(Debug)]
struct Watched {
    checks: Checks,
    health: Arc<Health>,
    debug: Option<(TcpListener, Debug)>,
}

/// What a server is made of: drivers, and a configuration that chooses among them.
#[derive(Debug, Default)]
#[must_use]
pub struct Builder {
    factories: Factories,
    config: Option<Config>,
    requests: Option<Outlet>,
    socket: Option<Passed>,
}

impl Server {
    /// Begins with nothing.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where it listens, unless that is a socket of the file system: of interest when the
    /// configuration says port 0.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.local_addr()
    }

    /// Who knows the users, to be told that they have changed.
    pub(crate) fn authenticator(&self) -> Arc<dyn Authenticator> {
        Arc::clone(&self.app.authenticator)
    }

    /// What connections are told to speak, to be told that its files have changed.
    pub(crate) fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }

    /// Answers until `shutdown`, and then for as long as `http.draintimeout` what has begun;
    /// `false` if that was too short for some of it. Dropping the future cuts every connection.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> bool {
        let app = self.app;
        let metrics = app.metrics.clone();
        let (watched, shown) = (self.tls.clone(), app.metrics.clone());
        let registry = self.registry.clone();
        let service = service_fn(move |request: Request<Body>| {
            // On the heap, or each layer above would move all that any handler may need.
            let answer = Box::pin(Arc::clone(&app).serve(request));
            async move { Ok(answer.await) }
        });
        let Watched {
            checks,
            health,
            debug,
        } = self.watched;
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            shutdown.await;
            drop(stop);
        };
        let stopped = async {
            // Nothing is ever sent.
            let _ = stopped.await;
        };
        let (limits, listener) = (self.limits, self.listener);
        let (proxies, tls) = (self.proxies, self.tls);
        let answering = async {
            match listener {
                Listener::Tcp(tcp) => {
                    accept::serve(tcp, proxies, tls, service, limits, shutdown).await
                }
                Listener::Unix(unix) => {
                    accept::serve(unix, proxies, tls, service, limits, shutdown).await
                }
            }
        };
        let serving = async { tokio::join!(answering, debug::serve(debug, limits, stopped)) };
        let all = tokio::select! {
            (all, ()) = serving => all,
            () = purge(self.registry, self.purging, metrics) => true,
            () = checks.run(health) => true,
            () = tls::watch(watched, shown) => true,
        };
        // What was begun for connections that are cut now.
        let drained = timeout(LAST_CHANGES, registry.drained()).await.is_ok();
        if !drained {
            tracing::warn!("changes of the store have not ended in time");
        }
        all && drained
    }
}

impl Builder {
    /// Adds the drivers that were compiled in.
    pub fn with_builtin(mut self) -> Self {
        builtin::register(&mut self.factories);
        self
    }

    /// Makes a storage kind selectable as `storage: {<kind>: {…}}`. Its section becomes a `C`;
    /// [`OpenMode`] says what the store is opened for.
    pub fn storage<C, F, Fut, E>(mut self, kind: &'static str, open: F) -> Self
    where
        C: DeserializeOwned,
        F: Fn(C, OpenMode) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Storage, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.factories.insert_storage(kind, open);
        self
    }

    /// Makes a kind of authentication selectable as `auth: {<kind>: {…}}`, as
    /// [`storage`](Self::storage) does with a driver.
    pub fn auth<C, F, Fut, A, E>(mut self, kind: &'static str, open: F) -> Self
    where
        C: DeserializeOwned,
        F: Fn(C, OpenMode) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, E>> + Send + 'static,
        A: Authenticator,
        E: Into<BoxError>,
    {
        self.factories.insert_auth(kind, open);
        self
    }

    /// What is to be served, and how; the built-in configuration if it is not said.
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// Leaves standard output to the lines of requests, unless the configuration does not want
    /// them.
    pub(crate) fn print_requests(mut self, outlet: Outlet) -> Self {
        self.requests = Some(outlet);
        self
    }

    /// Where to listen, whatever the configuration says.
    pub(crate) fn socket(mut self, passed: Option<Passed>) -> Self {
        self.socket = passed;
        self
    }

    /// Opens the store and listens.
    ///
    /// # Errors
    /// See [`Error`]: nothing is served half.
    pub async fn build(self) -> Result<Server, Error> {
        let begun = Instant::now();
        let mut config = match self.config {
            Some(config) => config,
            None => Config::load(&Source::BuiltIn, &[])?,
        };
        probe().map_err(Error::Random)?;
        for warning in config.take_warnings() {
            tracing::warn!("{warning}");
        }
        let mode = match config.readonly {
            true => OpenMode::ReadOnly,
            false => OpenMode::Serve,
        };
        let warn = |warning: String| tracing::warn!("{warning}");
        let authenticator = open_auth(&self.factories, &config, mode, warn).await?;
        let storage = open(&self.factories, &config, mode).await?;
        let checks = Checks::new(&config.health, &config.driver.kind, &storage.records);
        let metrics = metrics(&config).map_err(Error::Metrics)?;
        let storage = match &metrics {
            Some(metrics) => measure(storage, metrics),
            None => storage,
        };
        let health = Arc::new(checks.health());
        let registry = Registry::open(storage, options(&mut config))
            .await
            .map_err(Error::Registry)?;
        let tls = open_tls(&config)?;
        for remark in tls.iter().flat_map(|tls| tls.of_files()) {
            tracing::warn!("`http.tls`: {remark}");
        }
        let listener = listen(&config, self.socket).await?;
        let debug = listen_beside(&config, &health, metrics.as_ref()).await?;
        let mut answering = app_config(&config);
        answering.access_log = self.requests.filter(|_| config.log.access);
        let welcome = welcome(&config, authenticator.is_open());
        let (tokens, authenticator) = open_tokens(&config, authenticator).await?;
        let mut app = App::new(
            registry.clone(),
            authenticator,
            Arc::clone(&health),
            answering,
        );
        app.metrics = metrics;
        app.front = Front::new(config.proxies.clone());
        app.tokens = tokens;
        app.rules = Arc::clone(&config.rules);
        let debug_addr = debug.as_ref().map(|(listener, _)| listener.local_addr());
        tracing::info!(
            address = %listener,
            tls = tls.is_some(),
            debug = debug_addr.and_then(Result::ok).map(tracing::field::display),
            storage = config.driver.kind,
            root = config.driver.root(),
            elapsed = ?begun.elapsed(),
            "serving; {welcome}",
        );
        Ok(Server {
            listener,
            app: Arc::new(app),
            registry,
            watched: Watched {
                checks,
                health,
                debug,
            },
            purging: purging(&config),
            limits: accept_limits(&config),
            proxies: config
                .proxyprotocol
                .then(|| Arc::new(config.proxies.clone())),
            tls,
        })
    }

    /// Opens the registry of the configuration to take away what nothing needs.
    pub(crate) async fn open_to_collect(
        self,
        config: Config,
        arguments: CollectArguments,
    ) -> Result<Registry, Error> {
        collect::open(&self.factories, config, arguments).await
    }

    /// Opens the registry of the configuration to read all of it, or to make its indexes again.
    pub(crate) async fn open_to_fsck(
        self,
        config: Config,
        arguments: FsckArguments,
    ) -> Result<Registry, Error> {
        fsck::open(&self.factories, config, arguments).await
    }

    /// Opens once what a server needs, without serving, and tells what it found; whether a server
    /// would start.
    pub(crate) async fn check(self, config: Config, report: &mut Report) -> bool {
        check::check(&self.factories, config, report).await
    }

    /// Is the program `registry`: reads its arguments, serves, and says how that ended.
    pub fn run(self) -> ExitCode {
        cli::run(self)
    }
}

/// Who may do what.
fn welcome(config: &Config, is_open: bool) -> String {
    let allowed = allowed(config);
    let clients = config
        .http
        .tls
        .as_ref()
        .and_then(|tls| tls.clients.as_ref());
    let everyone = match clients {
        Some(clients) if clients.auth.is_mandatory() => "everyone with a certificate",
        _ => "everyone",
    };
    match &config.auth {
        None if config.rules.are_set() => {
            format!("no `auth` is configured: {everyone} may do what `extensions.access` gives")
        }
        None => format!("no `auth` is configured: {everyone} may {allowed}"),
        Some(auth) if is_open => format!("`auth.{}` lets everyone in, to {allowed}", auth.kind),
        Some(auth) if config.rules.are_set() => {
            format!(
                "whoever `auth.{}` lets in may do what `extensions.access` gives",
                auth.kind
            )
        }
        Some(auth) => format!("whoever `auth.{}` lets in may {allowed}", auth.kind),
    }
}

/// What those may do who may do everything.
fn allowed(config: &Config) -> &'static str {
    match (config.readonly, config.delete) {
        (true, _) => "pull",
        (false, false) => "pull and push",
        (false, true) => "pull, push and delete",
    }
}

/// The second listener. It is asked for in order to see something, so that nothing is served
/// without it.
async fn listen_beside(
    config: &Config,
    health: &Arc<Health>,
    metrics: Option<&Arc<Metrics>>,
) -> Result<Option<(TcpListener, Debug)>, Error> {
    let Some(debug) = &config.http.debug else {
        return Ok(None);
    };
    let listener = bind_beside(config, debug).await?;
    let debug = Debug {
        health: Arc::clone(health),
        metrics: debug.metrics.clone().zip(metrics.cloned()),
    };
    Ok(Some((listener, debug)))
}

/// What is counted, if anyone can see it.
fn metrics(config: &Config) -> Result<Option<Arc<Metrics>>, BoxError> {
    let debug = config.http.debug.as_ref();
    if debug.is_none_or(|debug| debug.metrics.is_none()) {
        return Ok(None);
    }
    Ok(Some(Arc::new(Metrics::new(&config.driver.kind)?)))
}

#[cfg(test)]
mod tests;
