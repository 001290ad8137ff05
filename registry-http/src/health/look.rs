//! One look at something: well, or why not.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use registry_core::BoxError;
use registry_core::layout::Dir;
use registry_core::storage::{ListQuery, RecordStore};
use tokio::net::TcpStream;

use crate::cli::chain;
use crate::config::HttpCheck;

/// What is looked at.
#[derive(Debug)]
pub(super) enum Look {
    Store(Arc<dyn RecordStore>),
    File(PathBuf),
    Http(Box<HttpCheck>),
    Tcp(String),
}

impl Look {
    /// Whether giving up leaves nothing behind.
    pub(super) fn can_be_dropped(&self) -> bool {
        match self {
            Self::Store(_) | Self::File(_) => false,
            Self::Http(_) | Self::Tcp(_) => true,
        }
    }

    pub(super) async fn look(&self) -> Result<(), String> {
        match self {
            Self::Store(records) => store(&**records).await,
            Self::File(path) => file(path.clone()).await,
            Self::Http(check) => http(check).await,
            Self::Tcp(addr) => connect(addr).await.map(drop),
        }
    }
}

/// One entry of the tree, of which there need not be any.
async fn store(records: &dyn RecordStore) -> Result<(), String> {
    let query = ListQuery::children(Dir::Tree.path()).limit(1);
    match records.list(query).next().await {
        None | Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(chain(&error)),
    }
}

async fn file(path: PathBuf) -> Result<(), String> {
    let exists = tokio::task::spawn_blocking(move || path.try_exists()).await;
    match exists {
        Ok(Ok(false)) => Ok(()),
        Ok(Ok(true)) => Err("file exists".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

async fn connect(addr: &str) -> Result<TcpStream, String> {
    let connected = TcpStream::connect(addr).await;
    connected.map_err(|error| format!("connecting to {addr}: {error}"))
}

async fn http(check: &HttpCheck) -> Result<(), String> {
    let stream = connect(&address(&check.uri)).await?;
    let status = ask(stream, check)
        .await
        .map_err(|error| chain(error.as_ref()))?;
    match status == check.status {
        true => Ok(()),
        false => Err(format!(
            "answered {}, not {}",
            status.as_u16(),
            check.status.as_u16()
        )),
    }
}

fn address(uri: &Uri) -> String {
    let port = uri.port_u16().unwrap_or(80);
    format!("{}:{port}", uri.host().unwrap_or_default())
}

async fn ask(stream: TcpStream, check: &HttpCheck) -> Result<StatusCode, BoxError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let path = check.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::head(path).body(Empty::<Bytes>::new())?;
    *request.headers_mut() = check.headers.clone();
    if !check.headers.contains_key(header::HOST) {
        let host = address(&check.uri).parse()?;
        request.headers_mut().insert(header::HOST, host);
    }
    // The connection ends once nobody can ask any more.
    let asking = async move { Ok(sender.send_request(request).await?.status()) };
    let (answer, _) = tokio::join!(asking, connection);
    answer
}
