//! The accept loop over a real port.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use axum::body::{Bytes, HttpBody as _};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::body::Stalled;
use super::*;

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(150);

const PATIENT: AcceptLimits = AcceptLimits {
    connections: 100,
    header: 32 << 10,
    headers: 100,
    header_timeout: LONG,
    idle_timeout: LONG,
    stall_timeout: LONG,
    handshakes: 100,
    handshake_timeout: LONG,
    h2c: false,
    drain: LONG,
};

/// Longer than anything should take that is not waited for.
async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(10), future).await.unwrap()
}

struct Running {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: tokio::task::JoinHandle<bool>,
}

impl Running {
    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.addr).await.unwrap())
    }

    fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }
}

async fn start<F, R>(limits: AcceptLimits, handle: F) -> Running
where
    F: Fn(Request<Body>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    start_on(listener, addr, limits, handle)
}

fn start_on<L, F, R>(listener: L, addr: SocketAddr, limits: AcceptLimits, handle: F) -> Running
where
    L: Listen + 'static,
    F: Fn(Request<Body>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let (stop, stopped) = oneshot::channel();
    let service = service_fn(move |request| {
        let answer = handle(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let serving = serve(listener, None, None, service, limits, async {
        let _ = stopped.await;
    });
    Running {
        addr,
        stop: Some(stop),
        ended: tokio::spawn(serving),
    }
}

async fn ok(_request: Request<Body>) -> Response<Body> {
    Response::new(Body::from("ok"))
}

struct Client(TcpStream);

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// An answer whose body is "ok".
    async fn receive_ok(&mut self) -> String {
        self.receive_until("\r\n\r\nok").await
    }

    async fn receive_until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            let byte = soon(self.0.read_u8()).await.unwrap();
            text.push(char::from(byte));
        }
        text
    }

    /// Everything up to the end of the connection; a reset is an end too.
    async fn receive_all(&mut self) -> String {
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(n @ 1..) = soon(self.0.read(&mut piece)).await {
            bytes.extend_from_slice(&piece[..n]);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits to see that nothing happens: neither an answer nor the end.
    async fn stays_open_for(&mut self, time: Duration) {
        let byte = timeout(time, self.0.read_u8()).await;
        assert!(byte.is_err(), "{byte:?}");
    }
}

#[tokio::test]
async fn requests_are_answered_one_after_the_other_and_know_their_peer() {
    let running = start(PATIENT, async |request: Request<Body>| {
        let peer = request.extensions().get::<PeerAddr>().copied();
        Response::new(Body::from(peer.unwrap().to_string()))
    })
    .await;
    let mut client = running.connect().await;
    let me = client.0.local_addr().unwrap().to_string();
    for _ in 0..3 {
        client.send(GET).await;
        let answer = client.receive_until(&me).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\r\nDate: "), "{answer}");
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_in_time_is_cut_however_often_a_byte_comes() {
    let limits = AcceptLimits {
        header_timeout: SHORT,
        ..PATIENT
    };
    let running = start(limits, ok).await;
    let mut silent = running.connect().await;
    let mut half = running.connect().await;
    half.send("GET / HT").await;
    let mut trickling = running.connect().await;
    let begun = Instant::now();
    let trickle = async {
        let (mut read, mut write) = trickling.0.split();
        let mut every = tokio::time::interval(SHORT / 10);
        loop {
            tokio::select! {
                _ = every.tick() => { let _ = write.write_all(b"a").await; }
                end = read.read_u8() => return end,
            }
        }
    };
    assert!(soon(trickle).await.is_err());
    assert!(begun.elapsed() >= SHORT);
    assert_eq!(silent.receive_all().await, "");
    assert_eq!(half.receive_all().await, "");
}

#[tokio::test]
async fn between_requests_a_connection_may_idle_longer_than_a_head_may_take() {
    let limits = AcceptLimits {
        header_timeout: SHORT,
        idle_timeout: SHORT * 24,
        ..PATIENT
    };
    let running = start(limits, ok).await;
    let mut client = running.connect().await;
    for _ in 0..2 {
        client.send(GET).await;
        client.receive_ok().await;
        client.stays_open_for(SHORT * 2).await;
    }
    // The second head is late, however long the connection may idle.
    client.send("GET / HT").await;
    let begun = Instant::now();
    assert_eq!(client.receive_all().await, "");
    assert!(begun.elapsed() < SHORT * 22, "{:?}", begun.elapsed());

    let mut idle = running.connect().await;
    idle.send(GET).await;
    idle.receive_ok().await;
    let begun = Instant::now();
    assert_eq!(idle.receive_all().await, "");
    assert!(begun.elapsed() >= SHORT * 22, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_answer_may_take_longer_than_any_limit() {
    // Long enough for a client on a busy machine to come with its request.
    let limit = SHORT * 8;
    let limits = AcceptLimits {
        header_timeout: limit,
        idle_timeout: limit,
        stall_timeout: limit,
        ..PATIENT
    };
    let (running, mut arrived, gate) = start_gated(limits).await;
    let mut client = running.connect().await;
    client
        .send("PUT / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc")
        .await;
    soon(arrived.recv()).await.unwrap();
    client.stays_open_for(limit * 2).await;
    gate.add_permits(1);
    client.receive_ok().await;
}

#[tokio::test]
async fn a_client_that_stops_sending_is_an_error_of_the_body() {
    let limits = AcceptLimits {
        stall_timeout: SHORT,
        ..PATIENT
    };
    let (tell, mut told) = mpsc::channel(1);
    let running = start(limits, move |request: Request<Body>| {
        let tell = tell.clone();
        async move {
            let mut body = request.into_body();
            let mut bytes = Vec::new();
            let error = loop {
                match body.frame().await.unwrap() {
                    Ok(frame) => bytes.extend(frame.into_data().unwrap()),
                    Err(error) => break error,
                }
            };
            tell.send((bytes, is_stall(&error))).await.unwrap();
            let mut late = Response::new(Body::empty());
            *late.status_mut() = StatusCode::REQUEST_TIMEOUT;
            late
        }
    })
    .await;
    let mut client = running.connect().await;
    client
        .send("PUT / HTTP/1.1\r\ncontent-length: 10\r\n\r\nabc")
        .await;
    let (bytes, stalled) = soon(told.recv()).await.unwrap();
    assert_eq!(bytes, b"abc");
    assert!(stalled);
    let answer = client.receive_all().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

fn is_stall(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<Stalled>())
}

/// A body without an end, that tells when it is dropped.
struct Endless(#[allow(dead_code)] oneshot::Sender<()>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        let piece = Bytes::from_static(&[0; 64 << 10]);
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(piece))))
    }
}

async fn start_endless(limits: AcceptLimits) -> (Running, oneshot::Receiver<()>) {
    let (tell, told) = oneshot::channel();
    let tell = Mutex::new(Some(tell));
    let running = start(limits, move |_| {
        let tell = tell.lock().unwrap().take().unwrap();
        async move { Response::new(Body::new(Endless(tell))) }
    })
    .await;
    (running, told)
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let limits = AcceptLimits {
        stall_timeout: SHORT,
        ..PATIENT
    };
    let (running, told) = start_endless(limits).await;
    let mut client = running.connect().await;
    let begun = Instant::now();
    client.send(GET).await;
    assert!(soon(told).await.is_err());
    assert!(begun.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_not_cut() {
    // Long enough for a busy machine, and shorter than the whole.
    let stall = SHORT * 8;
    let limits = AcceptLimits {
        stall_timeout: stall,
        ..PATIENT
    };
    let (running, mut told) = start_endless(limits).await;
    let mut client = running.connect().await;
    client.send(GET).await;
    let mut every = tokio::time::interval(stall / 10);
    let mut piece = vec![0; 1 << 20];
    for _ in 0..20 {
        every.tick().await;
        assert!(client.0.read(&mut piece).await.unwrap() > 0);
    }
    assert!(
        told.try_recv()
            .is_err_and(|error| error == oneshot::error::TryRecvError::Empty)
    );
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let running = start(PATIENT, async |request: Request<Body>| {
        assert_eq!(request.body().size_hint().exact(), Some(64 << 20));
        let mut refusal = Response::new(Body::from("too large"));
        *refusal.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        refusal
    })
    .await;
    let mut client = running.connect().await;
    client
        .send(&format!(
            "PUT / HTTP/1.1\r\ncontent-length: {}\r\n\r\n",
            64 << 20
        ))
        .await;
    client.receive_until("too large").await;
    // A client that is told by a broken pipe may never look at the answer.
    let piece = vec![0; 1 << 20];
    for _ in 0..8 {
        soon(client.0.write_all(&piece)).await.unwrap();
    }
}

#[tokio::test]
async fn the_end_of_an_answer_may_be_read_slowly() {
    // Long enough for a busy machine, and shorter than the whole.
    let idle = SHORT * 8;
    let limits = AcceptLimits {
        idle_timeout: idle,
        ..PATIENT
    };
    let running = start(limits, async |_| {
        Response::new(Body::from(vec![b'a'; 32 << 20]))
    })
    .await;
    let mut client = running.connect().await;
    client.send(GET).await;
    client.receive_until("\r\n\r\n").await;
    let mut every = tokio::time::interval(idle / 10);
    let mut piece = vec![0; 1 << 20];
    for _ in 0..32 {
        every.tick().await;
        soon(client.0.read_exact(&mut piece)).await.unwrap();
    }
}

#[tokio::test]
async fn heads_have_a_limit_of_bytes_and_of_headers() {
    let limits = AcceptLimits {
        header: 1000,
        headers: 10,
        ..PATIENT
    };
    let running = start(limits, ok).await;
    let long = |size: usize| format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(size));
    let many = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(count));
    let table = [
        (long(900), "HTTP/1.1 200 "),
        (long(1000), "HTTP/1.1 431 "),
        (many(10), "HTTP/1.1 200 "),
        (many(11), "HTTP/1.1 431 "),
    ];
    for (head, expected) in table {
        let mut client = running.connect().await;
        client.send(&head).await;
        let answer = client.receive_until("\r\n\r\n").await;
        assert!(answer.starts_with(expected), "{expected}: {answer}");
    }
}

#[tokio::test]
async fn framing_that_may_be_read_in_two_ways_is_refused() {
    let running = start(PATIENT, ok).await;
    for headers in [
        "content-length: 3\r\ncontent-length: 4",
        "content-length: +3",
        "content-length: 0x3",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: gzip",
        "x: a\r\n folded",
        "x : a",
    ] {
        let mut client = running.connect().await;
        client
            .send(&format!("PUT / HTTP/1.1\r\n{headers}\r\n\r\nabc"))
            .await;
        let answer = client.receive_all().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{headers}: {answer}");
    }
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let limits = AcceptLimits {
        connections: 1,
        ..PATIENT
    };
    let running = start(limits, ok).await;
    let mut first = running.connect().await;
    first.send(GET).await;
    first.receive_ok().await;
    let mut second = running.connect().await;
    second.send(GET).await;
    second.stays_open_for(SHORT).await;
    drop(first);
    second.receive_ok().await;
}

/// Fails as the kernel does when there are no file descriptors left.
struct Exhausted {
    times: usize,
    then: TcpListener,
}

impl Listen for Exhausted {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, PeerAddr)> {
        if self.times > 0 {
            self.times -= 1;
            return Err(io::Error::from_raw_os_error(24));
        }
        Listen::accept(&mut self.then).await
    }
}

#[tokio::test]
async fn errors_of_accept_do_not_end_the_loop() {
    let then = bind("127.0.0.1:0").await.unwrap();
    let addr = then.local_addr().unwrap();
    let begun = Instant::now();
    let running = start_on(Exhausted { times: 4, then }, addr, PATIENT, ok);
    let mut client = running.connect().await;
    client.send(GET).await;
    client.receive_ok().await;
    // 10 + 20 + 40 + 80 ms: it did not spin.
    assert!(begun.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_panic_ends_its_connection_alone() {
    let running = start(PATIENT, async |request: Request<Body>| {
        assert_eq!(request.uri().path(), "/", "as the test wants it");
        Response::new(Body::from("ok"))
    })
    .await;
    let mut other = running.connect().await;
    other.send(GET).await;
    other.receive_ok().await;
    let mut client = running.connect().await;
    client.send("GET /panic HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.receive_all().await, "");
    other.send(GET).await;
    other.receive_ok().await;
}

/// A server whose requests wait until they are let go.
async fn start_gated(limits: AcceptLimits) -> (Running, mpsc::Receiver<()>, Arc<Semaphore>) {
    let (tell, told) = mpsc::channel(1);
    let gate = Arc::new(Semaphore::new(0));
    let behind = Arc::clone(&gate);
    let running = start(limits, move |request: Request<Body>| {
        let (tell, gate) = (tell.clone(), Arc::clone(&behind));
        async move {
            request.into_body().collect().await.unwrap();
            tell.send(()).await.unwrap();
            let _ = gate.acquire().await.unwrap();
            Response::new(Body::from("ok"))
        }
    })
    .await;
    (running, told, gate)
}

#[tokio::test]
async fn at_shutdown_requests_end_and_idle_connections_close() {
    let (mut running, mut arrived, gate) = start_gated(PATIENT).await;
    let mut fresh = running.connect().await;
    let mut idle = running.connect().await;
    idle.send(GET).await;
    soon(arrived.recv()).await.unwrap();
    gate.add_permits(1);
    idle.receive_ok().await;

    gate.forget_permits(1);
    let mut busy = running.connect().await;
    busy.send(GET).await;
    soon(arrived.recv()).await.unwrap();

    running.stop();
    assert_eq!(idle.receive_all().await, "");
    assert_eq!(fresh.receive_all().await, "");
    assert!(TcpStream::connect(running.addr).await.is_err());
    assert!(!running.ended.is_finished());
    gate.add_permits(1);
    let answer = busy.receive_all().await;
    assert!(answer.contains("Connection: close"), "{answer}");
    assert!(answer.ends_with("ok"), "{answer}");
    assert!(soon(running.ended).await.unwrap());
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let limits = AcceptLimits {
        drain: SHORT,
        ..PATIENT
    };
    let (mut running, mut arrived, _gate) = start_gated(limits).await;
    let mut busy = running.connect().await;
    busy.send(GET).await;
    soon(arrived.recv()).await.unwrap();
    let begun = Instant::now();
    running.stop();
    assert!(!soon(running.ended).await.unwrap());
    assert!(begun.elapsed() >= SHORT);
    assert_eq!(busy.receive_all().await, "");
}
