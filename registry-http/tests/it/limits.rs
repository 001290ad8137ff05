//! What a client can take of the server is bounded, by what the configuration says.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;

use crate::client::{Answer, Request, exchange, parse};
use crate::manifests::image;
use crate::process::wait_for;
use crate::server::{Server, Setup};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

fn start(more: &str) -> Server {
    Server::with(
        "inmemory",
        Setup {
            more,
            ..Setup::default()
        },
    )
}

pub(crate) fn a_head_that_is_too_large_is_refused_and_one_that_stalls_is_cut() {
    let server =
        start("extensions: {limits: {header: 2000, headers: 10, header_timeout: 200ms}}\n");
    let status = |head: &str| {
        let text = format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{head}\r\n");
        // A connection that is slow to say something is cut, too: what is asked is asked again.
        wait_for(|| parse(&exchange(server.address, text.as_bytes()))).status
    };
    let many = (0..8).fold(String::new(), |mut many, at| {
        let _ = write!(many, "x-{at}: y\r\n");
        many
    });
    assert_eq!(status(&many), 200);
    assert_eq!(status(&format!("{many}x: y\r\n")), 431);
    assert_eq!(status(&format!("x: {}\r\n", "a".repeat(1900))), 200);
    assert_eq!(status(&format!("x: {}\r\n", "a".repeat(2000))), 431);
    for sent in ["", "G", "GET /v2/ HTTP/1.1\r\nHost:"] {
        assert_eq!(exchange(server.address, sent.as_bytes()), b"", "{sent:?}");
    }
}

pub(crate) fn a_body_that_stops_arriving_ends_and_what_came_is_kept() {
    let server = start("extensions: {limits: {stall_timeout: 200ms}}\n");
    let begun = server.send(Request::new("POST", "/v2/a/blobs/uploads/"));
    let url = begun.header("location").to_owned();
    let patch = Request::new("PATCH", &url).body(b"half of it").wire();
    let answer = exchange(server.address, &patch[..patch.len() - 5]);
    let answer = parse(&answer).unwrap();
    answer.expect(408, "BLOB_UPLOAD_INVALID");
    assert_eq!(answer.header("connection"), "close");
    assert_eq!(server.get(&url).header("range"), "0-4");
    let manifest = Request::new("PUT", "/v2/a/manifests/t").body(b"{}").wire();
    let answer = exchange(server.address, &manifest[..manifest.len() - 1]);
    assert_eq!(parse(&answer).unwrap().status, 408);
}

#[cfg(feature = "fs")]
#[test]
fn a_client_that_stops_reading_is_cut() {
    let content = vec![7; 32 << 20];
    let mut server = Server::with("filesystem", Setup::default());
    let digest = server.push_blob("a", &content);
    server.restart_with(Setup {
        more: "extensions: {limits: {stall_timeout: 200ms}}\nlog: {level: debug}\n",
        ..Setup::default()
    });
    let mut stream = server.process.connect();
    let get = Request::new("GET", &format!("/v2/a/blobs/{digest}"));
    stream.write_all(&get.wire()).unwrap();
    server.process.log.wait("the client does not read");
    let mut got = Vec::new();
    let _ = stream.read_to_end(&mut got);
    assert!(got.len() < content.len(), "{}", got.len());
    assert_eq!(server.get("/v2/").status, 200);
}

/// The most memory that the server ever had, in bytes.
#[cfg(target_os = "linux")]
fn peak(server: &Server) -> usize {
    let path = format!("/proc/{}/status", server.process.id());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<usize>().unwrap() << 10
}

#[cfg(target_os = "linux")]
#[test]
fn a_manifest_without_end_is_refused_and_takes_no_memory() {
    let server = start("");
    server.push_manifest("a", "t", &image(&server, "a", "layer"));
    let before = peak(&server);
    // It reads on for a second, so that the client sees the answer, and no longer.
    const MOST: usize = 64 << 10;
    let mut sent = server.process.connect();
    let mut stream = sent.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let head =
            "PUT /v2/a/manifests/t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        sent.write_all(head.as_bytes()).unwrap();
        let mut piece = format!("{:x}\r\n", 1 << 20).into_bytes();
        piece.resize(piece.len() + (1 << 20), b' ');
        piece.extend(b"\r\n");
        (0..MOST)
            .take_while(|_| sent.write_all(&piece).is_ok())
            .count()
    });
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    parse(&answer).unwrap().expect(413, "MANIFEST_INVALID");
    assert!(sending.join().unwrap() < MOST, "it reads without end");
    let grown = peak(&server) - before;
    assert!(grown < 32 << 20, "{grown}");
    assert_eq!(server.get("/v2/a/manifests/t").status, 200);
}

#[cfg(target_os = "linux")]
#[test]
fn manifests_that_never_end_share_a_bounded_memory_and_others_are_served() {
    let server = start("");
    let manifest = image(&server, "a", "layer");
    server.push_manifest("a", "t", &manifest);
    let before = peak(&server);
    const SENT: usize = 3_900_000;
    let head = format!(
        "PUT /v2/a/manifests/large HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        SENT + 1
    );
    let wire = [head.as_bytes(), &vec![b' '; SENT]].concat();
    let stalled: Vec<TcpStream> = std::thread::scope(|scope| {
        let send = || {
            let mut stream = server.process.connect();
            // Who is refused is cut while sending.
            let _ = stream.write_all(&wire);
            stream
        };
        let sending: Vec<_> = (0..200).map(|_| scope.spawn(send)).collect();
        let sent = sending.into_iter().map(|sending| sending.join().unwrap());
        sent.collect()
    });
    server.process.access.wait("\" 503 ");
    let grown = peak(&server) - before;
    assert!(grown < 450 << 20, "{grown}");
    server.push_manifest("a", "small", &manifest);
    assert_eq!(server.get("/v2/a/manifests/t").status, 200);
    drop(stalled);
}

#[cfg(not(target_os = "linux"))]
#[test]
fn manifests_that_never_end_share_a_bounded_memory_and_others_are_served() {
    let _ = writeln!(
        std::io::stderr(),
        "SKIP the memory of a process: only Linux tells it"
    );
}

/// Sends the head of a request, and shows the first line that comes back, and the body.
fn ask_first(server: &Server, request: &Request) -> (TcpStream, String, Vec<u8>) {
    let wire = request.wire();
    let head = wire.windows(4).position(|at| at == b"\r\n\r\n").unwrap() + 4;
    let mut stream = server.process.connect();
    stream.write_all(&wire[..head]).unwrap();
    let mut line = String::new();
    while !line.ends_with("\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        line.push(char::from(byte[0]));
    }
    (stream, line.trim_end().to_owned(), wire[head..].to_vec())
}

/// Sends the body that was asked for.
fn then_send(mut stream: TcpStream, body: &[u8]) -> Answer {
    stream.read_exact(&mut [0; 2]).unwrap();
    // The answer may come before the end.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    parse(&answer).unwrap()
}

#[test]
fn a_client_that_asks_first_is_told_before_it_sends() {
    let server = start("");
    let put = || {
        let put = Request::new("PUT", "/v2/a/manifests/t").header("Content-Type", OCI);
        put.header("Expect", "100-continue")
    };
    let image = image(&server, "a", "layer");
    let (stream, line, body) = ask_first(&server, &put().body(image.as_bytes()));
    assert_eq!(line, "HTTP/1.1 100 Continue");
    assert_eq!(then_send(stream, &body).status, 201);

    let large = vec![b' '; (4 << 20) + 1];
    let (_, line, _) = ask_first(&server, &put().body(&large));
    assert_eq!(line, "HTTP/1.1 413 Payload Too Large");
    // Without a length, only what has come shows that it is too large.
    let (stream, line, body) = ask_first(&server, &put().chunked(&large));
    assert_eq!(line, "HTTP/1.1 100 Continue");
    then_send(stream, &body).expect(413, "MANIFEST_INVALID");

    let wrong = Request::new("PUT", "/v2/a/manifests/.bad").header("Expect", "100-continue");
    let (_, line, _) = ask_first(&server, &wrong.body(b"{}"));
    assert_eq!(line, "HTTP/1.1 400 Bad Request");
}
