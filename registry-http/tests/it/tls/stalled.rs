//! Handshakes that do not end.

use std::io::ErrorKind;

use super::*;
use crate::process::wait_for;

/// The beginning of what a client says first.
fn half_a_hello(files: &Files) -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(files.client(Version::Tls13, &[]), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello.truncate(hello.len() / 2);
    hello
}

fn stall(server: &Server, hello: &[u8]) -> TcpStream {
    let mut stream = server.process.connect();
    stream.write_all(hello).unwrap();
    stream
}

fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let read = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

fn is_answered(server: &Server, files: &Files) -> bool {
    let mut stream = connect(server, files.client(Version::Tls13, &[])).unwrap();
    send(&mut stream, &Request::new("GET", "/v2/")).status == 200
}

#[test]
pub(crate) fn five_hundred_that_stop_within_their_first_words_delay_nobody() {
    let files = Files::new();
    let patient = "extensions: {limits: {handshake_timeout: 10m}}\n";
    let server = files.start("", "", patient);
    let hello = half_a_hello(&files);
    let stalled: Vec<_> = (0..500).map(|_| stall(&server, &hello)).collect();
    assert!(is_answered(&server, &files));
    // Nobody had to be sent away for that.
    assert!(stalled.iter().all(is_open));
}

#[test]
pub(crate) fn the_oldest_handshake_has_to_go_where_there_are_too_many() {
    let files = Files::new();
    let limits = "extensions: {limits: {handshakes: 20, handshake_timeout: 10m}}\n";
    let server = files.start("", "", limits);
    let hello = half_a_hello(&files);
    let stalled: Vec<_> = (0..50).map(|_| stall(&server, &hello)).collect();
    assert!(is_answered(&server, &files));
    let (gone, stay) = stalled.split_at(31);
    for mut stream in gone {
        // An end, or a reset: it had something to say.
        let ended = stream.read(&mut [0]);
        assert!(ended.map_or_else(
            |error| error.kind() == ErrorKind::ConnectionReset,
            |n| n == 0
        ));
    }
    assert!(stay.iter().all(is_open));
    server
        .process
        .log
        .wait("`extensions.limits.handshakes` is reached");
}

#[test]
fn whoever_comes_by_a_proxy_is_sent_away_for_nobody_else() {
    let files = Files::new();
    let more = "extensions: {proxies: [127.0.0.1], proxyprotocol: true, \
                limits: {handshakes: 3, handshake_timeout: 10m}}\n";
    let server = files.start("", "", more);
    let through = |client: &str, said: &[u8]| {
        let line = format!("PROXY TCP4 {client} 192.0.2.9 4711 5000\r\n");
        stall(&server, &[line.as_bytes(), said].concat())
    };
    let patient = through("192.0.2.1", b"");
    let hello = half_a_hello(&files);
    let stalled: Vec<_> = (0..4).map(|_| through("192.0.2.2", &hello)).collect();
    let open = || stalled.iter().filter(|stream| is_open(stream)).count();
    wait_for(|| (open() == 2).then_some(()));
    let mut stream = shake(patient, files.client(Version::Tls13, &[])).unwrap();
    assert_eq!(send(&mut stream, &Request::new("GET", "/v2/")).status, 200);
}

#[test]
pub(crate) fn a_handshake_that_does_not_end_is_cut() {
    let files = Files::new();
    let limits = "log: {level: debug}\nextensions: {limits: {handshake_timeout: 300ms}}\n";
    let server = files.start("", "", limits);
    let hello = half_a_hello(&files);
    for said in [&b""[..], &hello] {
        let mut stream = stall(&server, said);
        let ended = stream.read(&mut [0]);
        assert!(!ended.is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    }
    assert!(is_answered(&server, &files));
}

#[test]
pub(crate) fn tls_where_there_is_none_is_told_in_the_log() {
    let files = Files::new();
    let server = Server::start("inmemory");
    let error = connect(&server, files.client(Version::Tls13, &[])).unwrap_err();
    // As clients know it from a server of Go, and fall back to HTTP by.
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    server
        .process
        .log
        .wait("a client speaks TLS, which this server does not");
}
