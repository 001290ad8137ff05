//! The second listener, and the checks whose failure turns every request away.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::client::{Answer, Request, exchange, parse};
use crate::https::{Authority, Https, Reply};
use crate::process::wait_for;
use crate::server::{Server, Setup};

const DEBUG: &str = "http: {debug: {addr: '127.0.0.1:0'}}\n";

pub(crate) fn start(more: &str) -> (Server, SocketAddr) {
    start_with(more, &[])
}

fn start_with(more: &str, variables: &[(&str, &str)]) -> (Server, SocketAddr) {
    let more = format!("{DEBUG}{more}");
    let server = Server::with(
        "inmemory",
        Setup {
            more: &more,
            variables,
            ..Setup::default()
        },
    );
    let debug = debug_address(&server);
    (server, debug)
}

/// Where the second listener is, by the line that says so.
pub(crate) fn debug_address(server: &Server) -> SocketAddr {
    let line = server.process.log.wait("serving; ");
    let (_, rest) = line
        .split_once("debug=")
        .unwrap_or_else(|| panic!("{line}"));
    let address = rest.split_whitespace().next().unwrap();
    address.trim_matches('"').parse().unwrap()
}

/// Asks where the headers of the API are not.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str) -> Answer {
    let answer = exchange(address, &Request::new(method, path).wire());
    parse(&answer).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

pub(crate) fn status(server: &Server) -> u16 {
    server.get("/v2/").status
}

pub(crate) fn wait_for_status(server: &Server, wanted: u16) {
    wait_for(|| (status(server) == wanted).then_some(()));
}

/// What `/debug/health` says, with the status that goes with it.
pub(crate) fn reasons(debug: SocketAddr) -> serde_json::Value {
    let told = ask(debug, "GET", "/debug/health");
    let kind = "application/json; charset=utf-8";
    assert_eq!(told.header("content-type"), kind);
    let reasons = told.json();
    let well = reasons == serde_json::json!({});
    assert_eq!(told.status, if well { 200 } else { 503 }, "{told:?}");
    reasons
}

pub(crate) fn a_file_turns_every_request_away_until_it_is_gone() {
    let (server, debug) = start("health: {file: [{file: out-of-service, interval: 5ms}]}\n");
    assert_eq!(status(&server), 200);
    assert_eq!(reasons(debug), serde_json::json!({}));

    let file = server.root.path().join("out-of-service");
    std::fs::write(&file, "").unwrap();
    wait_for_status(&server, 503);
    let expected = serde_json::json!({"out-of-service": "file exists"});
    assert_eq!(reasons(debug), expected);
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/v2/"),
        ("GET", "/v2/_catalog"),
        ("POST", "/v2/a/blobs/uploads/"),
        ("PUT", "/v2/a/manifests/t"),
        ("DELETE", "/v2/a/manifests/t"),
        ("GET", "/nowhere"),
    ] {
        let answer = server.send(Request::new(method, path));
        answer.expect(503, "UNAVAILABLE");
        let detail = "health check failed: please see /debug/health";
        assert_eq!(answer.json()["errors"][0]["detail"], detail);
    }
    assert_eq!(server.head("/v2/").status, 503);

    std::fs::remove_file(&file).unwrap();
    wait_for_status(&server, 200);
    assert_eq!(reasons(debug), serde_json::json!({}));
    server.process.log.wait("passes again");
    assert_eq!(server.process.log.count("a health check fails"), 1);
    assert_eq!(server.process.log.count("request failed"), 0);
}

/// Where nobody else listens, so that a port that was given back is not somebody else's at once.
fn own_host() -> &'static str {
    if cfg!(target_os = "linux") {
        "127.77.0.1"
    } else {
        "127.0.0.1"
    }
}

pub(crate) fn a_port_that_is_closed_turns_requests_away_until_it_is_open() {
    let listener = TcpListener::bind((own_host(), 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let (server, debug) = start(&format!(
        "health: {{tcp: [{{addr: '{addr}', interval: 5ms, timeout: 20s}}]}}\n"
    ));
    // It has been looked at.
    listener.accept().unwrap();
    assert_eq!(status(&server), 200);
    drop(listener);
    wait_for_status(&server, 503);
    let told = reasons(debug);
    let reason = told[addr.to_string()].as_str().unwrap();
    assert!(
        reason.starts_with(&format!("connecting to {addr}: ")),
        "{reason}"
    );
    let _listener = TcpListener::bind(addr).unwrap();
    wait_for_status(&server, 200);
}

/// A server of HTTP that answers as it is told, on connections of one request each.
#[derive(Default)]
struct Service {
    asked: AtomicUsize,
    down: AtomicBool,
    silent: AtomicBool,
}

impl Service {
    fn start(self: &Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let service = Arc::clone(self);
        // It ends with the tests.
        thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if service.silent.load(Ordering::Relaxed) {
                    kept.push(stream);
                    continue;
                }
                let _ = service.answer(&mut stream);
            }
        });
        addr
    }

    /// Two of three answers are wrong, or all are.
    fn answer(&self, stream: &mut (impl Read + Write)) -> std::io::Result<()> {
        let mut head = Vec::new();
        for line in BufReader::new(&mut *stream).lines() {
            match line? {
                line if line.is_empty() => break,
                line => head.push(line),
            }
        }
        let n = self.asked.fetch_add(1, Ordering::Relaxed);
        let sent_as_told = head
            .first()
            .is_some_and(|line| line == "HEAD /alive?deep=1 HTTP/1.1")
            && head.iter().any(|line| line == "x-from: the registry");
        let status = match sent_as_told {
            false => "400 Bad Request",
            true if n.is_multiple_of(3) && !self.down.load(Ordering::Relaxed) => "204 No Content",
            true => "500 Internal Server Error",
        };
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: 9\r\nConnection: close\r\n\r\n"
        )
    }
}

pub(crate) fn a_url_that_answers_wrongly_so_many_times_turns_requests_away_until_it_does_not() {
    let service = Arc::new(Service::default());
    let addr = service.start();
    let (server, debug) = start(&format!(
        "health:
  http:
    - uri: http://{addr}/alive?deep=1
      headers: {{X-From: [the registry]}}
      statuscode: 204
      interval: 2ms
      timeout: 20s
      threshold: 3\n"
    ));
    // Never three wrong ones in a row.
    wait_for(|| (service.asked.load(Ordering::Relaxed) > 12).then_some(()));
    assert_eq!(status(&server), 200);
    assert_eq!(server.process.log.count("a health check fails"), 0);
    service.down.store(true, Ordering::Relaxed);
    wait_for_status(&server, 503);
    let expected = format!("http://{addr}/alive?deep=1");
    assert_eq!(reasons(debug)[expected], "answered 500, not 204");
    service.down.store(false, Ordering::Relaxed);
    wait_for_status(&server, 200);
}

pub(crate) fn a_url_that_does_not_answer_in_time_turns_requests_away() {
    let service = Arc::new(Service::default());
    service.silent.store(true, Ordering::Relaxed);
    let addr = service.start();
    let (server, debug) = start(&format!(
        "health: {{http: [{{uri: 'http://{addr}', interval: 2ms, timeout: 50ms}}]}}\n"
    ));
    wait_for_status(&server, 503);
    let told = reasons(debug);
    assert_eq!(told[format!("http://{addr}/")], "no answer within 50ms");
}

/// A server that looks at another over HTTPS, and what it calls that.
fn start_beside(
    service: &Https,
    authorities: &str,
    patience: &str,
) -> (Server, SocketAddr, String) {
    let uri = format!("https://{}/alive", service.address);
    let check = format!("{{uri: '{uri}', interval: 2ms, timeout: {patience}}}");
    let more = format!("health: {{http: [{check}]}}\n");
    let (server, debug) = start_with(&more, &[("SSL_CERT_FILE", authorities)]);
    (server, debug, uri)
}

pub(crate) fn a_url_over_https_turns_requests_away_while_it_is_down() {
    let authority = Authority::new("authority");
    let service = Https::start(&authority, "127.0.0.1", Reply::status("200 OK"));
    let (server, debug, uri) = start_beside(&service, &authority.file(), "20s");
    wait_for(|| (service.asked().len() > 3).then_some(()));
    assert_eq!(status(&server), 200);
    assert_eq!(server.process.log.count("a health check fails"), 0);
    assert_eq!(service.asked()[0][0], "HEAD /alive HTTP/1.1");
    service.replies(Reply::answer("302 Found", "Location: /well\r\n"));
    wait_for_status(&server, 503);
    let reason = "answered 302, not 200; redirects are not followed";
    assert_eq!(reasons(debug)[uri], reason);
    service.replies(Reply::status("200 OK"));
    wait_for_status(&server, 200);
}

pub(crate) fn a_url_with_a_certificate_of_nobody_turns_requests_away() {
    let (known, unknown) = (Authority::new("known"), Authority::new("unknown"));
    let service = Https::start(&unknown, "127.0.0.1", Reply::status("200 OK"));
    for (authorities, expected) in [
        (known.file().as_str(), "UnknownIssuer"),
        ("./none.pem", "SSL_CERT_FILE"),
    ] {
        let (server, debug, uri) = start_beside(&service, authorities, "20s");
        wait_for_status(&server, 503);
        let told = reasons(debug);
        let reason = told[uri].as_str().unwrap();
        assert!(reason.contains(expected), "{reason}");
    }
    assert!(service.asked().is_empty());
}

#[test]
fn a_url_that_shakes_no_hands_turns_requests_away() {
    let authority = Authority::new("authority");
    let service = Https::start(&authority, "127.0.0.1", Reply::Silence);
    let (server, debug, uri) = start_beside(&service, &authority.file(), "50ms");
    wait_for_status(&server, 503);
    let told = reasons(debug);
    let reason = told[uri].as_str().unwrap();
    assert!(reason.contains("no answer within 50ms"), "{reason}");
}

#[cfg(feature = "fs")]
pub(crate) fn a_store_is_well_whether_or_not_there_is_anything_in_it() {
    let server = Server::with(
        "filesystem",
        Setup {
            more: "health: {storagedriver: {enabled: true, interval: 1ms}}\n",
            ..Setup::default()
        },
    );
    for _ in 0..20 {
        assert_eq!(status(&server), 200);
    }
    server.push_blob("a", b"something");
    for _ in 0..20 {
        assert_eq!(status(&server), 200);
    }
    assert_eq!(server.process.log.count("a health check fails"), 0);
}

pub(crate) fn each_listener_answers_its_own_paths_alone() {
    let (server, debug) = start("");
    for path in ["/debug/health", "/debug/vars", "/debug/pprof/", "/metrics"] {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, answer.body),
            (404, b"404 page not found\n".to_vec())
        );
    }
    for path in [
        "/",
        "/v2/",
        "/v2/_catalog",
        "/debug",
        "/debug/health/",
        "/metrics",
    ] {
        assert_eq!(ask(debug, "GET", path).status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(ask(debug, method, "/debug/health").status, 404, "{method}");
    }
    let head = ask(debug, "HEAD", "/debug/health");
    assert_eq!((head.status, head.header("content-length")), (200, "3"));
    assert!(head.body.is_empty());
}

#[test]
fn the_second_listener_has_the_limits_of_the_first_and_ends_with_it() {
    let (mut server, debug) = start("extensions: {limits: {header: 2000, header_timeout: 20s}}\n");
    let long = format!("GET /debug/health?{} HTTP/1.1\r\n\r\n", "a".repeat(2000));
    let refused = parse(&exchange(debug, long.as_bytes())).unwrap();
    assert!([414, 431].contains(&refused.status), "{refused:?}");

    let mut idle = std::net::TcpStream::connect(debug).unwrap();
    idle.set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    idle.write_all(b"GET /debug/health HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    idle.read_exact(&mut [0; 12]).unwrap();
    server.process.signal("TERM");
    idle.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(server.process.end().code(), Some(0));
    assert_eq!(server.process.log.count("cutting connections"), 0);
}

pub(crate) fn a_second_listener_that_cannot_listen_keeps_the_server_from_starting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let (server, _) = start("");
    let ended = server.beside(Setup {
        more: &format!("http: {{debug: {{addr: '{addr}'}}}}\n"),
        ..Setup::default()
    });
    let ended = ended.err().expect("it does not start");
    assert_eq!(ended.code, Some(1));
    let last = ended.lines.last().unwrap();
    let start = "registry: `http.debug.addr` (";
    assert!(last.starts_with(start), "{last}");
    assert!(last.contains(&format!("listening on {addr}: ")), "{last}");
}
