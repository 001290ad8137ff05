//! A driver that panics, through the library: the request is answered, and what it held is free.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use registry_core::layout::StorePath;
use registry_core::storage::{
    Durability, Guarantees, ListQuery, MemoryDriver, Outcome, PutMode, Record, RecordEntry,
    RecordStore, Storage, StorageError, Version,
};
use registry_http::config::Config;
use registry_http::{Server, ambient};
use tokio::sync::oneshot;
use tracing::Level;

use crate::client::{Answer, Request};
use crate::process::wait_for;
use crate::server::sha256;

/// Records that cannot be had, in the ways that the names of repositories say.
#[derive(Debug)]
struct Brittle {
    records: MemoryDriver,
    mended: Arc<AtomicBool>,
    waiting: Arc<AtomicUsize>,
}

impl Brittle {
    async fn tried(&self, path: &StorePath) -> Result<(), StorageError> {
        if self.mended.load(Ordering::SeqCst) {
            return Ok(());
        }
        let path = path.as_str();
        let is_of = |repo: &str| path.contains(&format!("/repositories/{repo}/"));
        if is_of("panics") || path.contains("/uploads/") && path.ends_with("/record") {
            panic!("as the test wants it");
        }
        if is_of("panics-elsewhere") {
            let work = tokio::task::spawn_blocking(|| panic!("in another thread"));
            let why = |error| StorageError::backend("brittle", "reading", error);
            work.await.map_err(why)?;
        }
        if is_of("waits") {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[async_trait]
impl RecordStore for Brittle {
    async fn get(&self, path: &StorePath) -> Result<Option<Record>, StorageError> {
        self.tried(path).await?;
        self.records.get(path).await
    }

    async fn put(
        &self,
        path: &StorePath,
        value: Bytes,
        mode: PutMode,
        durability: Durability,
    ) -> Result<Outcome, StorageError> {
        self.tried(path).await?;
        self.records.put(path, value, mode, durability).await
    }

    async fn delete(
        &self,
        path: &StorePath,
        if_version: Option<&Version>,
    ) -> Result<Outcome, StorageError> {
        self.records.delete(path, if_version).await
    }

    async fn delete_below(&self, dir: &StorePath) -> Result<(), StorageError> {
        self.records.delete_below(dir).await
    }

    fn list(&self, query: ListQuery) -> BoxStream<'_, Result<RecordEntry, StorageError>> {
        RecordStore::list(&self.records, query)
    }

    async fn stamp(&self, dir: &StorePath) -> Result<Option<Version>, StorageError> {
        self.records.stamp(dir).await
    }

    fn guarantees(&self) -> Guarantees {
        self.records.guarantees()
    }
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The lines that contain all of these.
    fn with(&self, words: &[&str]) -> usize {
        let has = |line: &&String| words.iter().all(|word| line.contains(word));
        self.lines().iter().filter(has).count()
    }
}

/// A server on one thread, which is how its log is its own.
struct Running {
    address: SocketAddr,
    log: Written,
    mended: Arc<AtomicBool>,
    waiting: Arc<AtomicUsize>,
    /// Dropped with the test, which ends the server.
    _stop: oneshot::Sender<()>,
}

fn start() -> Running {
    start_at(Level::INFO)
}

fn start_at(level: Level) -> Running {
    let (log, mended, waiting) = (Written::default(), Arc::default(), Arc::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let (tell, told) = mpsc::channel();
    let (writer, mend, wait) = (log.clone(), Arc::clone(&mended), Arc::clone(&waiting));
    thread::spawn(move || {
        let lines = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(level);
        let lines = lines.with_writer(move || writer.clone()).finish();
        let _log = tracing::subscriber::set_default(lines);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let server = build(mend, wait).await;
            tell.send(server.local_addr().unwrap()).unwrap();
            let stopped = async {
                let _ = stopped.await;
            };
            server.serve(stopped).await;
        });
    });
    let address = told.recv_timeout(Duration::from_secs(60)).unwrap();
    Running {
        address,
        log,
        mended,
        waiting,
        _stop: stop,
    }
}

async fn build(mended: Arc<AtomicBool>, waiting: Arc<AtomicUsize>) -> Server {
    let text = "version: 0.1
storage: {brittle: , delete: {enabled: true}}
http: {addr: '127.0.0.1:0', draintimeout: 1ms}";
    let open = move |(), _mode| {
        let records = Brittle {
            records: MemoryDriver::new(ambient()),
            mended: Arc::clone(&mended),
            waiting: Arc::clone(&waiting),
        };
        let blobs = MemoryDriver::new(ambient());
        let storage = Storage::new(Arc::new(blobs), Arc::new(records));
        std::future::ready(Ok::<_, StorageError>(storage))
    };
    let config = Config::parse("config.yml", text, &[]).unwrap();
    let builder = Server::builder().storage("brittle", open).config(config);
    builder.build().await.unwrap()
}

impl Running {
    fn send(&self, request: Request) -> Answer {
        request.send(self.address)
    }

    /// Sees an internal error that is answered, and in the log under the request's name.
    fn expect_fault(&self, request: Request, said: &[&str]) {
        let answer = self.send(request);
        answer.expect(500, "UNKNOWN");
        let json = answer.json();
        let id = json["errors"][0]["detail"]["request"].as_str().unwrap();
        let told = json.to_string();
        assert!(!said.iter().any(|said| told.contains(said)), "{told}");
        let lines = self.log.lines();
        let words = [&[id, "ERROR"], said].concat();
        assert_eq!(self.log.with(&words), 1, "{said:?}: {lines:?}");
        // The line is written once the answer is known, and before it is sent.
        assert_eq!(self.log.with(&[id, "status=500"]), 1, "{lines:?}");
    }
}

#[test]
fn a_panic_in_a_request_is_its_answer_and_a_line_of_the_log() {
    let running = start();
    for _ in 0..3 {
        for method in ["GET", "DELETE"] {
            let request = Request::new(method, "/v2/panics/manifests/t");
            running.expect_fault(request, &["as the test wants it"]);
        }
        let elsewhere = Request::new("GET", "/v2/panics-elsewhere/manifests/t");
        running.expect_fault(elsewhere, &["in another thread"]);
    }
    let other = running.send(Request::new("GET", "/v2/other/manifests/t"));
    other.expect(404, "MANIFEST_UNKNOWN");
}

#[test]
fn a_connection_goes_on_after_a_panic() {
    let running = start();
    let mut stream = std::net::TcpStream::connect(running.address).unwrap();
    let head = "GET /v2/panics/manifests/t HTTP/1.1\r\nHost: a\r\n";
    write!(stream, "{head}\r\n{head}Connection: close\r\n\r\n").unwrap();
    let mut answers = String::new();
    io::Read::read_to_string(&mut stream, &mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 500 ").count(), 2, "{answers}");
}

#[test]
fn what_a_request_that_panicked_held_is_free_again() {
    let running = start();
    let begun = running.send(Request::new("POST", "/v2/panics/blobs/uploads/"));
    let url = begun.header("location").to_owned();
    let patch = || Request::new("PATCH", &url).body(b"bytes");
    let put = || {
        let manifest = br#"{"schemaVersion": 2, "manifests": []}"#;
        let put = Request::new("PUT", "/v2/panics/manifests/t").body(manifest);
        put.header("Content-Type", "application/vnd.oci.image.index.v1+json")
    };
    let delete = || Request::new("DELETE", "/v2/panics/manifests/t");
    for request in [patch(), put(), delete()] {
        running.expect_fault(request, &["as the test wants it"]);
    }
    running.mended.store(true, Ordering::SeqCst);
    let patched = running.send(patch());
    assert_eq!((patched.status, patched.header("range")), (202, "0-4"));
    let finish = format!("{url}&digest={}", sha256(b"bytes"));
    assert_eq!(running.send(Request::new("PUT", &finish)).status, 201);
    assert_eq!(running.send(put()).status, 201);
    assert_eq!(running.send(delete()).status, 202);
}

#[test]
fn a_request_that_nobody_waits_for_has_its_access_line() {
    let running = start();
    let mut stream = std::net::TcpStream::connect(running.address).unwrap();
    write!(
        stream,
        "GET /v2/waits/manifests/t HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    .unwrap();
    wait_for(|| (running.waiting.load(Ordering::SeqCst) == 1).then_some(()));
    drop(stream);
    wait_for(|| (running.log.with(&["/v2/waits/", "status=499"]) == 1).then_some(()));
}

#[test]
fn what_is_said_has_the_name_of_its_request_where_nothing_else_is_said() {
    let running = start_at(Level::ERROR);
    let answer = running.send(Request::new("GET", "/v2/panics/manifests/t"));
    answer.expect(500, "UNKNOWN");
    let json = answer.json();
    let id = json["errors"][0]["detail"]["request"].as_str().unwrap();
    let lines = running.log.lines();
    let words = [id, "GET", "/v2/panics/manifests/t", "as the test wants it"];
    assert_eq!((lines.len(), running.log.with(&words)), (1, 1), "{lines:?}");
}
