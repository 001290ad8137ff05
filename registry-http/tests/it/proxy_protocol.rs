//! The PROXY protocol: before anything else, a proxy says whom it speaks for.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use crate::client::{Answer, Request, exchange, parse};
use crate::server::{Server, Setup};
use crate::tls::{Files, Version};

const ON: &str = "extensions: {proxies: [127.0.0.1], proxyprotocol: true}\n";

const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 5000\r\n";

/// The same of `192.0.2.3` in binary, and something beside it.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x10\
    \xc0\x00\x02\x03\xc0\x00\x02\x02\x12\x67\x13\x88\x02\x00\x01a";

/// What a proxy sends for itself, to see whether there is someone.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

fn server(more: &str) -> Server {
    let setup = Setup {
        more,
        ..Setup::default()
    };
    Server::with("inmemory", setup)
}

fn get(name: &str) -> Request {
    Request::new("GET", &format!("/{name}"))
}

/// Who asked for this, as the line of the request has it.
fn remote(server: &Server, name: &str) -> String {
    let line = server.process.access.wait(&format!("GET /{name} "));
    line.split(' ').next().unwrap().to_owned()
}

pub(crate) fn a_proxy_says_for_whom_it_speaks() {
    let server = server(ON);
    let table = [
        ("line", LINE, "192.0.2.1"),
        ("binary", BINARY, "192.0.2.3"),
        ("unknown", b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        ("local", LOCAL, "127.0.0.1"),
    ];
    for (name, header, expected) in table {
        let wire = [header, &get(name).wire()].concat();
        let answer: Answer = parse(&exchange(server.address, &wire)).unwrap();
        assert_eq!(answer.status, 404);
        assert_eq!(remote(&server, name), expected, "{name}");
    }
}

#[test]
fn it_may_come_in_any_pieces() {
    let server = server(ON);
    let wire = [BINARY, &get("pieces").wire()].concat();
    let mut stream = server.process.connect();
    stream.set_nodelay(true).unwrap();
    for byte in wire {
        stream.write_all(&[byte]).unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(parse(&answer).unwrap().status, 404);
    assert_eq!(remote(&server, "pieces"), "192.0.2.3");
}

#[test]
fn it_comes_before_tls() {
    let files = Files::new();
    let server = files.start("", "", ON);
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(LINE).unwrap();
    let config = files.client(Version::Tls13, &[]);
    let mut stream = crate::tls::shake(stream, config).unwrap();
    let answer = crate::tls::send(&mut stream, &get("over-tls"));
    assert_eq!(answer.status, 404);
    assert_eq!(remote(&server, "over-tls"), "192.0.2.1");
}

pub(crate) fn who_does_not_speak_it_is_closed_and_told_of() {
    let server = server(ON);
    let closed = |wire: &[u8]| assert_eq!(exchange(server.address, wire), b"");
    // Nothing at all is nothing to tell.
    drop(server.process.connect());
    let half = server.process.connect();
    half.shutdown(Shutdown::Write).unwrap();
    closed(&get("plain").wire());
    let line = server.process.log.wait("a connection is closed");
    assert!(line.contains("without the PROXY protocol"), "{line}");
    closed(&[b"PROXY nonsense of some kind\r\n", &*get("odd").wire()].concat());
    let long = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"[..], &[0; 9999]].concat();
    closed(&long);
    assert_eq!(server.process.access.lines(), [""; 0]);

    let from_elsewhere = ON.replace("127.0.0.1", "10.0.0.1");
    let server = self::server(&from_elsewhere);
    let wire = [LINE, &get("elsewhere").wire()].concat();
    assert_eq!(exchange(server.address, &wire), b"");
    let line = server.process.log.wait("the PROXY protocol");
    assert!(
        line.contains("`extensions.proxies` does not name it"),
        "{line}"
    );
}

#[test]
fn who_begins_and_goes_no_further_is_cut() {
    let more =
        "extensions: {proxies: [all], proxyprotocol: true, limits: {header_timeout: 200ms}}\n";
    let server = server(more);
    for begin in [&b""[..], b"PROXY TCP4 192.0.2.1", &BINARY[..20]] {
        let mut stream = server.process.connect();
        stream.write_all(begin).unwrap();
        let mut rest = Vec::new();
        // Something unread makes it a reset.
        let _ = stream.read_to_end(&mut rest);
        assert_eq!(rest, b"");
    }
}

#[test]
fn what_a_client_says_through_it_is_not_believed() {
    let server = server(&format!("http: {{relativeurls: false}}\n{ON}"));
    let post = Request::new("POST", "/v2/a/blobs/uploads/")
        .header("X-Forwarded-For", "1.1.1.1")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "evil.example");
    let answer = exchange(server.address, &[LINE, &post.wire()].concat());
    let answer = parse(&answer).unwrap();
    let location = answer.header("location");
    assert!(location.starts_with("http://registry/v2/a/"), "{location}");
    let line = server.process.access.wait("POST ");
    assert!(line.starts_with("192.0.2.1 "), "{line}");
}
