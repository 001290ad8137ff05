//! Signals: what has begun ends in its time, and nothing begins.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::client::{Answer, Request, parse};
use crate::process::wait_for;
use crate::server::{Server, Setup, sha256};

/// More than a socket's buffers take while nobody reads.
const LARGE: usize = 16 << 20;

const STOPPING: &str = "stopping: what has begun may end";

fn start(more: &str) -> Server {
    Server::with(
        "filesystem",
        Setup {
            more,
            ..Setup::default()
        },
    )
}

pub(crate) fn signals_that_ask_for_nothing_end_nothing() {
    let mut server = start("");
    for name in ["USR1", "USR2"] {
        server.process.signal(name);
        server.process.log.wait(&format!("SIG{name} means nothing"));
    }
    assert_eq!(server.get("/v2/").status, 200);
    server.process.signal("TERM");
    assert!(server.process.end().success());
}

fn rest_of(stream: &mut TcpStream) -> Answer {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    parse(&answer).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// A connection that a handler reads the body from, after its first bytes.
fn begin_upload(server: &Server, content: &[u8], rest: usize) -> TcpStream {
    let digest = sha256(content);
    let begun = server.send(Request::new("POST", "/v2/a/blobs/uploads/"));
    let url = format!("{}&digest={digest}", begun.header("location"));
    let put = Request::new("PUT", &url)
        .header("Expect", "100-continue")
        .body(content);
    let wire = put.wire();
    let mut stream = server.process.connect();
    stream.write_all(&wire[..wire.len() - rest]).unwrap();
    let mut begun = [0; 25];
    stream.read_exact(&mut begun).unwrap();
    assert!(begun.starts_with(b"HTTP/1.1 100 Continue"));
    stream
}

/// A connection on which a large answer has begun.
fn begin_download(server: &Server, digest: &str) -> (TcpStream, Vec<u8>) {
    let mut stream = server.process.connect();
    let get = Request::new("GET", &format!("/v2/a/blobs/{digest}"));
    stream.write_all(&get.wire()).unwrap();
    let mut first = vec![0; 1000];
    stream.read_exact(&mut first).unwrap();
    (stream, first)
}

/// Whether the port is closed: what was let in by the kernel alone ends without an answer.
fn is_refused(server: &Server) -> bool {
    let Ok(mut stream) = TcpStream::connect(server.address) else {
        return true;
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
    false
}

/// What has begun when it comes ends, and nothing begins.
pub(crate) fn check_drain(signal: &str) {
    let mut server = start("http: {draintimeout: 10m}\n");
    let content: Vec<u8> = (0..LARGE).map(|at| (at % 251) as u8).collect();
    let large = server.push_blob("a", &content);
    let (mut download, mut got) = begin_download(&server, &large);
    let mut upload = begin_upload(&server, b"slow upload", 6);
    let mut idle = server.process.connect();
    idle.write_all(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    idle.read_exact(&mut [0; 12]).unwrap();

    server.process.signal(signal);
    server.process.log.wait(STOPPING);
    wait_for(|| is_refused(&server).then_some(()));
    // Nothing keeps a connection that has nothing to answer.
    idle.read_to_end(&mut Vec::new()).unwrap();
    upload.write_all(b"upload").unwrap();
    assert_eq!(rest_of(&mut upload).status, 201);
    download.read_to_end(&mut got).unwrap();
    assert!(parse(&got).unwrap().body == content);
    assert_eq!(server.process.end().code(), Some(0));

    server.restart();
    let kept = format!("/v2/a/blobs/{}", sha256(b"slow upload"));
    assert_eq!(server.get(&kept).body, b"slow upload");
}

pub(crate) fn a_second_signal_ends_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM")] {
        let mut server = start("http: {draintimeout: 10m}\n");
        let mut upload = begin_upload(&server, b"never ends", 5);
        server.process.signal(first);
        server.process.log.wait(STOPPING);
        server.process.signal(second);
        assert_eq!(server.process.end().code(), Some(1));
        let mut answer = Vec::new();
        let _ = upload.read_to_end(&mut answer);
        assert_eq!(answer, b"");
        assert_eq!(server.process.log.count("second signal"), 1);
    }
}

pub(crate) fn what_has_not_ended_after_the_drain_timeout_is_cut() {
    let mut server = start("http: {draintimeout: 100ms}\n");
    let _upload = begin_upload(&server, b"never ends", 5);
    server.process.signal("TERM");
    assert_eq!(server.process.end().code(), Some(1));
    let line = server.process.log.wait("cutting connections");
    assert!(line.contains("connections="), "{line}");
}

pub(crate) fn a_server_with_nothing_to_do_stops_when_told() {
    for signal in ["TERM", "INT"] {
        let mut server = start("");
        server.process.signal(signal);
        assert_eq!(server.process.end().code(), Some(0));
        assert_eq!(server.process.log.count("cutting connections"), 0);
    }
}
