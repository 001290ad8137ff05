//! HTTP/2 on the port of HTTP/1.1: without TLS, and over it.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::Request;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::client::{Request as Plain, exchange, parse};
use crate::server::{Server, Setup, sha256};
use crate::tls::{self, Files, Version};

const H2C: &str = "http: {h2c: {enabled: true}}\n";

fn start(more: &str) -> Server {
    let setup = Setup {
        more: &format!("{H2C}{more}"),
        ..Setup::default()
    };
    Server::with("inmemory", setup)
}

/// A server of HTTP/2, and what it is reached over.
struct Spoken {
    server: Server,
    files: Option<Files>,
}

impl Spoken {
    fn clear(more: &str) -> Self {
        Self {
            server: start(more),
            files: None,
        }
    }

    fn over_tls(more: &str) -> Self {
        let files = Files::new();
        Self {
            server: files.start("", "", more),
            files: Some(files),
        }
    }

    /// What HTTP/2 is spoken over.
    async fn stream(&self) -> Box<dyn Duplex> {
        let stream = TcpStream::connect(self.server.address).await.unwrap();
        let Some(files) = &self.files else {
            return Box::new(stream);
        };
        let config = files.client(Version::Tls13, &["h2"]);
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(config).connect(name, stream);
        Box::new(soon(stream).await.unwrap())
    }

    /// Sends it, reads to the end of the connection, and says whether that came.
    fn ends_after(&self, wire: &[u8]) -> bool {
        fn ends(mut stream: impl Read + Write, wire: &[u8]) -> bool {
            // It may be over before all is sent.
            let _ = stream.write_all(wire);
            let ended = stream.read_to_end(&mut Vec::new());
            let waited = |kind| [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&kind);
            !ended.is_err_and(|error| waited(error.kind()))
        }
        match &self.files {
            None => ends(self.server.process.connect(), wire),
            Some(files) => {
                let config = files.client(Version::Tls13, &["h2"]);
                ends(tls::connect(&self.server, config).unwrap(), wire)
            }
        }
    }

    /// Whether somebody else is answered.
    async fn answers(&self) -> bool {
        let (client, _driver) = connect(self).await;
        send(&client, "GET", "/v2/", b"").await.0 == 200
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Each is a test without TLS, and one over it.
macro_rules! both_ways {
    ($($name:ident($more:expr);)+) => {
        mod clear {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
                super::$name(super::Spoken::clear($more)).await;
            })+
        }
        mod over_tls {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
                super::$name(super::Spoken::over_tls($more)).await;
            })+
        }
    };
}

both_ways! {
    blobs_are_pushed_and_pulled_side_by_side_over_one_connection("");
    requests_of_a_connection_and_their_headers_have_limits(
        "extensions: {limits: {header: 4000, headers: 20}}\n"
    );
    a_client_that_leaves_an_answer_is_cut_though_it_says_other_things(
        "extensions: {limits: {stall_timeout: 1s}}\nlog: {level: debug}\n"
    );
    a_connection_without_requests_ends_however_often_it_pings(
        "extensions: {limits: {idle_timeout: 500ms, header_timeout: 10m}}\n"
    );
    at_a_signal_what_has_begun_ends_and_the_connection_after_it("");
    a_head_that_never_ends_is_cut(
        "extensions: {limits: {idle_timeout: 10m, header_timeout: 10m}}\n"
    );
    frames_without_a_byte_are_no_body("extensions: {limits: {stall_timeout: 500ms}}\n");
    a_client_that_takes_back_what_it_asks_for_is_sent_away(
        "extensions: {limits: {idle_timeout: 10m, header_timeout: 10m}}\n"
    );
}

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(60), future).await.unwrap()
}

/// A connection of HTTP/2, and what drives it to its end.
async fn connect(spoken: &Spoken) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = spoken.stream().await;
    let handshake = Builder::new().initial_window_size(65_535).handshake(stream);
    let (client, connection) = handshake.await.unwrap();
    (client, tokio::spawn(connection))
}

async fn begin(
    client: &SendRequest<Bytes>,
    method: &str,
    path: &str,
    ends: bool,
) -> (ResponseFuture, SendStream<Bytes>) {
    let request = Request::builder().method(method);
    let request = request.uri(format!("http://registry{path}")).body(());
    let mut client = soon(client.clone().ready()).await.unwrap();
    client.send_request(request.unwrap(), ends).unwrap()
}

async fn collect(mut body: RecvStream) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(piece) = soon(body.data()).await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        whole.extend_from_slice(&piece);
    }
    whole
}

/// Status, location and body.
async fn send(
    client: &SendRequest<Bytes>,
    method: &str,
    path: &str,
    body: &[u8],
) -> (u16, String, Vec<u8>) {
    let (answer, mut sending) = begin(client, method, path, body.is_empty()).await;
    if !body.is_empty() {
        sending
            .send_data(Bytes::copy_from_slice(body), true)
            .unwrap();
    }
    let answer = soon(answer).await.unwrap();
    let location = answer.headers().get("location");
    let location = location.map(|location| location.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    (
        status,
        location.unwrap_or_default(),
        collect(answer.into_body()).await,
    )
}

async fn blobs_are_pushed_and_pulled_side_by_side_over_one_connection(spoken: Spoken) {
    let (client, _driver) = connect(&spoken).await;
    let all = (0..8_u8).map(|at| {
        let client = client.clone();
        async move {
            let content = vec![at; 3 << 20];
            let digest = sha256(&content);
            let (status, url, _) = send(&client, "POST", "/v2/a/blobs/uploads/", b"").await;
            assert_eq!(status, 202);
            let url = format!("{url}&digest={digest}");
            assert_eq!(send(&client, "PUT", &url, &content).await.0, 201);
            let path = format!("/v2/a/blobs/{digest}");
            let (status, _, body) = send(&client, "GET", &path, b"").await;
            assert!(status == 200 && body == content);
            let (status, _, body) = send(&client, "HEAD", &path, b"").await;
            assert!(status == 200 && body.is_empty());
        }
    });
    let all: Vec<_> = all.map(tokio::spawn).collect();
    for one in all {
        one.await.unwrap();
    }
    let (status, _, body) = send(&client, "GET", "/v2/a/manifests/t", b"").await;
    assert_eq!(status, 404);
    assert!(
        String::from_utf8(body)
            .unwrap()
            .contains("MANIFEST_UNKNOWN")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_is_answered_as_ever_on_the_same_port() {
    let server = start("extensions: {limits: {header: 1000, header_timeout: 1s}}\n");
    assert_eq!(server.get("/v2/").status, 200);
    let digest = server.push_blob("a", b"content");
    assert_eq!(
        server.get(&format!("/v2/a/blobs/{digest}")).body,
        b"content"
    );
    let long = Plain::new("GET", "/v2/").header("x", &"a".repeat(1000));
    let refused = exchange(server.address, &long.wire());
    assert_eq!(parse(&refused).unwrap().status, 431);
    // What begins as the other protocol and is neither.
    for (sent, begin) in [
        ("PRI * HT", ""),
        ("PRI * HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "),
    ] {
        let mut stream = server.process.connect();
        stream.write_all(sent.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(begin), "{sent:?}: {answer}");
        assert_eq!(answer.is_empty(), begin.is_empty(), "{sent:?}: {answer}");
    }
}

#[test]
fn http_2_is_not_spoken_unless_it_was_asked_for() {
    let wire = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let server = Server::start("inmemory");
    let answer = exchange(server.address, &wire);
    let other = answer.is_empty() || answer.starts_with(b"HTTP/1.1 ");
    assert!(other, "{answer:?}");
    let server = start("");
    let mut stream = server.process.connect();
    stream.write_all(&wire).unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[3], SETTINGS);
}

async fn requests_of_a_connection_and_their_headers_have_limits(spoken: Spoken) {
    let (client, _driver) = connect(&spoken).await;
    assert_eq!(send(&client, "GET", "/v2/", b"").await.0, 200);
    assert_eq!(client.current_max_send_streams(), 100);
    for (count, size, expected) in [(10, 10, 200), (21, 10, 431), (10, 500, 431)] {
        let mut request = Request::get("http://registry/v2/");
        for at in 0..count {
            request = request.header(format!("x-{at}"), "a".repeat(size));
        }
        let request = request.body(()).unwrap();
        let mut client = soon(client.clone().ready()).await.unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let status = soon(answer).await.unwrap().status().as_u16();
        assert_eq!(status, expected, "{count} of {size}");
    }
}

async fn a_client_that_leaves_an_answer_is_cut_though_it_says_other_things(spoken: Spoken) {
    let content = vec![7; 1 << 20];
    let digest = push(&spoken, &content).await;
    let stream = spoken.stream().await;
    let (client, mut connection) = h2::client::handshake(stream).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let driver = tokio::spawn(connection);
    let path = format!("/v2/a/blobs/{digest}");
    let (answer, _) = begin(&client, "GET", &path, true).await;
    let _left = soon(answer).await.unwrap();
    soon(async { while pings.ping(h2::Ping::opaque()).await.is_ok() {} }).await;
    let _ = soon(driver).await.unwrap();
    let log = &spoken.server.process.log;
    log.wait("the client does not read an answer");
}

async fn a_connection_without_requests_ends_however_often_it_pings(spoken: Spoken) {
    let stream = spoken.stream().await;
    let (client, mut connection) = h2::client::handshake(stream).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let driver = tokio::spawn(connection);
    let (answer, _) = begin(&client, "GET", "/v2/", true).await;
    assert_eq!(soon(answer).await.unwrap().status(), 200);
    soon(async { while pings.ping(h2::Ping::opaque()).await.is_ok() {} }).await;
    let _ = soon(driver).await.unwrap();
}

async fn at_a_signal_what_has_begun_ends_and_the_connection_after_it(mut spoken: Spoken) {
    let (client, driver) = connect(&spoken).await;
    let content = b"slow upload";
    let (status, url, _) = send(&client, "POST", "/v2/a/blobs/uploads/", b"").await;
    assert_eq!(status, 202);
    let url = format!("{url}&digest={}", sha256(content));
    let (answer, mut sending) = begin(&client, "PUT", &url, false).await;
    sending
        .send_data(Bytes::from_static(&content[..4]), false)
        .unwrap();
    // Whoever has answered the next request has seen this one.
    assert_eq!(send(&client, "GET", "/v2/", b"").await.0, 200);
    spoken.server.process.signal("TERM");
    spoken
        .server
        .process
        .log
        .wait("stopping: what has begun may end");
    sending
        .send_data(Bytes::from_static(&content[4..]), true)
        .unwrap();
    assert_eq!(soon(answer).await.unwrap().status(), 201);
    soon(driver).await.unwrap().unwrap();
    assert_eq!(spoken.server.process.end().code(), Some(0));
}

async fn push(spoken: &Spoken, content: &[u8]) -> String {
    let (client, _driver) = connect(spoken).await;
    let digest = sha256(content);
    let (status, url, _) = send(&client, "POST", "/v2/a/blobs/uploads/", b"").await;
    assert_eq!(status, 202);
    let url = format!("{url}&digest={digest}");
    assert_eq!(send(&client, "PUT", &url, content).await.0, 201);
    digest
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;

/// A frame as it goes over the wire.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = len[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

async fn a_head_that_never_ends_is_cut(spoken: Spoken) {
    for piece in [vec![], vec![b'a'; 1000]] {
        let mut wire = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        // GET, without the end of its headers; and more of them for as long as it is let.
        wire.extend(frame(1, 1, 1, &[0x82, 0x86, 0x84]));
        for _ in 0..20_000 {
            wire.extend(frame(9, 0, 1, &piece));
        }
        assert!(spoken.ends_after(&wire), "of {} bytes", piece.len());
    }
    assert!(spoken.answers().await);
}

async fn frames_without_a_byte_are_no_body(spoken: Spoken) {
    let (client, _driver) = connect(&spoken).await;
    let (status, url, _) = send(&client, "POST", "/v2/a/blobs/uploads/", b"").await;
    assert_eq!(status, 202);
    let (answer, mut sending) = begin(&client, "PATCH", &url, false).await;
    let flood = async {
        while sending.send_data(Bytes::new(), false).is_ok() {
            // What drives the connection is to have its turn; it may have come to its end as well.
            let Ok(mut ready) = client.clone().ready().await else {
                break;
            };
            let request = Request::get("http://registry/v2/").body(()).unwrap();
            if let Ok((answer, _)) = ready.send_request(request, true) {
                let _ = answer.await;
            }
        }
        std::future::pending().await
    };
    let answer = tokio::select! {
        answer = soon(answer) => answer,
        never = flood => never,
    };
    let ended = answer.map_or(true, |answer| answer.status().as_u16() >= 400);
    assert!(ended, "a body without a byte has come to an end");
}

async fn a_client_that_takes_back_what_it_asks_for_is_sent_away(spoken: Spoken) {
    let mut wire = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    for stream in (1..10_000).step_by(2) {
        // GET, http, `/`, and the authority `a`; then a reset.
        wire.extend(frame(1, 5, stream, &[0x82, 0x86, 0x84, 0x41, 1, b'a']));
        wire.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    assert!(spoken.ends_after(&wire));
    assert!(spoken.answers().await);
}
