//! One look at something: well, or why not.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt as _;
use http::Method;
use registry_core::layout::Dir;
use registry_core::storage::{ListQuery, RecordStore};
use tokio::net::TcpStream;

use crate::cli::chain;
use crate::client::{Client, Question};
use crate::config::HttpCheck;

/// What is looked at.
#[derive(Debug)]
pub(super) enum Look {
    Store(Arc<dyn RecordStore>),
    File(PathBuf),
    Http(Box<HttpCheck>, Client),
    Tcp(String),
}

impl Look {
    /// Whether giving up leaves nothing behind.
    pub(super) fn can_be_dropped(&self) -> bool {
        match self {
            Self::Store(_) | Self::File(_) => false,
            Self::Http(..) | Self::Tcp(_) => true,
        }
    }

    pub(super) async fn look(&self) -> Result<(), String> {
        match self {
            Self::Store(records) => store(&**records).await,
            Self::File(path) => file(path.clone()).await,
            Self::Http(check, client) => http(check, client).await,
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

async fn http(check: &HttpCheck, client: &Client) -> Result<(), String> {
    let answer = client.ask(Question {
        method: Method::HEAD,
        uri: &check.uri,
        headers: check.headers.clone(),
        status: check.status,
        // That of HEAD has none.
        limit: 0,
        step: check.pace.patience,
    });
    answer.await.map(drop).map_err(|error| chain(&error))
}
