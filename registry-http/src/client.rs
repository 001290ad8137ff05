//! Asks others over HTTP and HTTPS: one request on a connection of its own, which goes to the address
//! that was written down and to no other. No redirect is followed, and no proxy is used.

mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use registry_core::BoxError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Knows whose certificates count, from the first question over HTTPS on.
#[derive(Clone, Default)]
pub(crate) struct Client(Arc<OnceCell<TlsConnector>>);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// What is asked, and which answer is one.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) method: Method,
    /// Of scheme `http` or `https`, with a host.
    pub(crate) uri: &'a Uri,
    /// `Host` is that of the URI unless it is here.
    pub(crate) headers: HeaderMap,
    /// Every other status is an error.
    pub(crate) status: StatusCode,
    /// Bytes of the body, at most.
    pub(crate) limit: usize,
    /// How long a connection may take, and then the handshake of TLS. How long all of it may take
    /// is up to the caller, who drops it.
    pub(crate) step: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("connecting to {0}")]
    Connect(String, #[source] io::Error),
    #[error("the TLS handshake with {0}")]
    Handshake(String, #[source] io::Error),
    #[error(
        "no certificate authority is known: neither the system's nor those of SSL_CERT_FILE and SSL_CERT_DIR{0}"
    )]
    NoRoots(String),
    #[error("TLS cannot be spoken")]
    Tls(#[source] BoxError),
    #[error("not a request")]
    Request(#[source] BoxError),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("answered {}, not {}{}", .0.as_u16(), .1.as_u16(), redirected(*.0))]
    Status(StatusCode, StatusCode),
    #[error("answered more than {0} bytes")]
    TooLarge(usize),
    #[error("the answer breaks off")]
    Body(#[source] BoxError),
}

fn redirected(status: StatusCode) -> &'static str {
    match status.is_redirection() {
        true => "; redirects are not followed",
        false => "",
    }
}

impl Client {
    /// Whose certificates count. They are read once; where none are found, the next question looks
    /// again.
    ///
    /// # Errors
    /// [`ClientError::NoRoots`].
    pub(crate) async fn tls(&self) -> Result<&TlsConnector, ClientError> {
        let reading = || async {
            let connector = tokio::task::spawn_blocking(tls::connector).await;
            connector.map_err(|error| ClientError::Tls(error.into()))?
        };
        self.0.get_or_try_init(reading).await
    }

    /// The body of the answer.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn ask(&self, question: Question<'_>) -> Result<Bytes, ClientError> {
        let Question { method, uri, .. } = question;
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = method;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = question.headers;
        let wanted = Wanted {
            status: Some(question.status),
            limit: question.limit,
        };
        let answer = self
            .connect_and_send(request, wanted, question.step)
            .await?;
        Ok(answer.into_body())
    }

    /// The whole answer to a request, whatever its status. The URI is of scheme `http` or `https`,
    /// with a host, which is `Host` unless there is one; `limit` and `step` are those of a
    /// [`Question`].
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn send<B>(
        &self,
        request: Request<B>,
        limit: usize,
        step: Duration,
    ) -> Result<Response<Bytes>, ClientError>
    where
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let wanted = Wanted {
            status: None,
            limit,
        };
        self.connect_and_send(request, wanted, step).await
    }

    async fn connect_and_send<B>(
        &self,
        request: Request<B>,
        wanted: Wanted,
        step: Duration,
    ) -> Result<Response<Bytes>, ClientError>
    where
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let uri = request.uri().clone();
        let address = address(&uri);
        if uri.scheme_str() != Some("https") {
            let stream = connect(&address, step).await?;
            return exchange(stream, request, wanted).await;
        }
        let tls = self.tls().await?;
        let stream = connect(&address, step).await?;
        let wrong = |error| ClientError::Handshake(address.clone(), error);
        let name = tls::name(bare_host(&uri)).map_err(wrong)?;
        let shaking = timeout(step, tls.connect(name, stream));
        let stream = shaking.await.unwrap_or_else(|_| Err(late(step)));
        exchange(stream.map_err(wrong)?, request, wanted).await
    }
}

/// Which answer is one.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// Any, if there is none.
    status: Option<StatusCode>,
    /// Bytes of the body, at most.
    limit: usize,
}

/// The host as a resolver and a certificate know it: an address of IPv6 without brackets.
pub(crate) fn bare_host(uri: &Uri) -> &str {
    let host = uri.host().unwrap_or_default();
    let bare = host.strip_prefix('[');
    bare.and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// `host:port`.
fn address(uri: &Uri) -> String {
    let usual = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let port = uri.port_u16().unwrap_or(usual);
    format!("{}:{port}", uri.host().unwrap_or_default())
}

fn late(patience: Duration) -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("no answer within {patience:?}"),
    )
}

async fn connect(address: &str, patience: Duration) -> Result<TcpStream, ClientError> {
    let found = timeout(patience, lookup_host(address)).await;
    let stream = match found.unwrap_or_else(|_| Err(late(patience))) {
        Ok(found) => connect_to_one(&found.collect::<Vec<_>>(), patience).await,
        Err(error) => Err(error),
    };
    stream.map_err(|error| ClientError::Connect(address.to_owned(), error))
}

/// Each address has its share of the time, so that one that swallows everything does not hide the
/// next.
async fn connect_to_one(found: &[SocketAddr], patience: Duration) -> io::Result<TcpStream> {
    let share = patience / u32::try_from(found.len().max(1)).unwrap_or(u32::MAX);
    let mut why = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in found {
        let connected = timeout(share, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|_| Err(late(share))) {
            Ok(stream) => return Ok(stream),
            Err(error) => why = error,
        }
    }
    Err(why)
}

async fn exchange<S, B>(
    stream: S,
    request: Request<B>,
    wanted: Wanted,
) -> Result<Response<Bytes>, ClientError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let request = relative(request).map_err(ClientError::Request)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let asking = async move {
        let answer = sender.send_request(request).await?;
        if let Some(status) = wanted.status
            && answer.status() != status
        {
            return Err(ClientError::Status(answer.status(), status));
        }
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, wanted.limit).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => ClientError::TooLarge(wanted.limit),
            false => ClientError::Body(error),
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    let connected = async {
        // What goes wrong with it goes wrong with the answer, too.
        let _ = connection.await;
        Ok(())
    };
    // The connection ends once nobody can ask any more, and at once where there is no answer.
    let (answer, ()) = tokio::try_join!(asking, connected)?;
    Ok(answer)
}

/// As it is said to the server that the URI names.
fn relative<B>(mut request: Request<B>) -> Result<Request<B>, BoxError> {
    let uri = request.uri().clone();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse()?;
    if !request.headers().contains_key(header::HOST) {
        let host = uri.host().unwrap_or_default();
        let host = match uri.port() {
            Some(port) => HeaderValue::try_from(format!("{host}:{port}"))?,
            None => HeaderValue::try_from(host)?,
        };
        request.headers_mut().insert(header::HOST, host);
    }
    Ok(request)
}

#[cfg(test)]
mod tests;
