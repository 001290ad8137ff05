//! Requests that one would hate to get: a clear answer, and the next one is served.

use crate::client::{Request, exchange, parse};
use crate::server::{Server, Setup};

crate::on_each_driver![
    the_support_check_answers,
    a_wrong_method_says_which_are_right,
    paths_that_climb_are_refused,
    requests_that_read_two_ways_are_refused,
    an_unknown_path_is_not_found,
    an_early_error_reaches_a_client_that_still_sends,
    a_head_is_a_get_without_its_body,
    header_names_are_written_as_scripts_look_for_them,
    a_request_that_is_no_http_1_1_is_refused_and_logged,
    a_body_that_nobody_wanted_does_not_take_the_next_request_along,
];

pub(crate) fn the_support_check_answers(server: &Server) {
    for path in ["/v2/", "/v2"] {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (200, b"{}".as_slice())
        );
        assert_eq!(answer.header("content-type"), "application/json");
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let answer = server.send(Request::new(method, path));
            assert_eq!(
                (answer.status, &*answer.body),
                (200, &b"{}"[..]),
                "{method}"
            );
        }
    }
    let root = server.get("/");
    assert_eq!(
        (root.status, root.header("cache-control")),
        (200, "no-cache")
    );
}

fn a_wrong_method_says_which_are_right(server: &Server) {
    let answer = server.send(Request::new("POST", "/v2/a/manifests/t"));
    answer.expect(405, "UNSUPPORTED");
    assert_eq!(answer.header("allow"), "DELETE, GET, HEAD, PUT");
    assert_eq!(
        server.send(Request::new("BREW", "/v2/a/tags/list")).status,
        405
    );
    let options = server.send(Request::new("OPTIONS", "/v2/a/tags/list"));
    assert_eq!(
        (options.status, options.header("allow")),
        (200, "GET, HEAD")
    );
}

fn paths_that_climb_are_refused(server: &Server) {
    for path in [
        "/v2/../../etc/passwd/manifests/x",
        "/v2/..%2f..%2fetc%2fpasswd/manifests/x",
        "/v2/%2e%2e/%2e%2e/manifests/x",
        "/v2/a%00/manifests/x",
        "/v2//a/manifests/x",
        "/v2/a/manifests/%1b[31m",
        "/v2/a/blobs/sha256:../../x",
        "//evil.example/v2/",
    ] {
        let answer = server.get(path);
        assert!([400, 404].contains(&answer.status), "{path}: {answer:?}");
        assert_eq!(answer.header("location"), "");
    }
}

fn requests_that_read_two_ways_are_refused(server: &Server) {
    for head in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Bad Header: x\r\n",
    ] {
        let wire = format!("POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\n{head}\r\nhello");
        let answer = exchange(server.next(), wire.as_bytes());
        let status = parse(&answer).map(|answer| answer.status);
        assert!(matches!(status, Some(400) | None), "{head}: {status:?}");
    }
    assert_eq!(server.get("/v2/").status, 200);
}

pub(crate) fn an_unknown_path_is_not_found(server: &Server) {
    let answer = server.get("/v1/search");
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (404, b"404 page not found\n".as_slice())
    );
}

pub(crate) fn a_head_is_a_get_without_its_body(server: &Server) {
    let digest = server.push_blob("a", b"content");
    for path in [
        "/",
        "/v2/",
        "/v1/search",
        "/v2/a",
        "/v2/a/manifests/t",
        "/v2/a/manifests/sha256:bad",
        "/v2/A/tags/list",
        "/v2/a/tags/list?n=x",
        "/v2/_catalog",
        "/v2/a/blobs/uploads/",
        &format!("/v2/a/blobs/{digest}"),
    ] {
        let (get, head) = (server.get(path), server.head(path));
        assert_eq!(head.status, get.status, "{path}");
        let length = get.body.len().to_string();
        assert_eq!(head.header("content-length"), length, "{path}");
        for name in ["content-type", "allow", "etag", "docker-content-digest"] {
            assert_eq!(head.header(name), get.header(name), "{path}");
        }
    }
}

/// A request that is refused before anybody asks what it wants.
fn a_request_that_is_no_http_1_1_is_refused_and_logged(server: &Server) {
    let post = "POST /v2/a/blobs/uploads/?digest=x HTTP/1.1\r\n";
    let coded = |coding: &str| format!("{post}Host: a\r\nTransfer-Encoding: {coding}\r\n");
    let table = [
        ("GET /v2/no-host/tags/list HTTP/1.1\r\n".to_owned(), 400),
        (
            "GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n".to_owned(),
            400,
        ),
        ("GET /v2/ HTTP/1.1\r\nHost: a b\r\n".to_owned(), 400),
        (coded("gzip, chunked"), 501),
        (coded("chunked, chunked"), 400),
    ];
    for (head, status) in table {
        let wire = format!("{head}\r\n0\r\n\r\n");
        let answer = parse(&exchange(server.address, wire.as_bytes())).unwrap();
        answer.expect(status, "UNSUPPORTED");
        assert_eq!(answer.header("connection"), "close", "{head}");
        assert_eq!(
            answer.header("docker-distribution-api-version"),
            "registry/2.0"
        );
    }
    server.process.access.wait("/v2/no-host/tags/list");
    let old = exchange(server.address, b"GET /v2/ HTTP/1.0\r\n\r\n");
    assert_eq!(parse(&old).unwrap().status, 200);
}

fn a_body_that_nobody_wanted_does_not_take_the_next_request_along(server: &Server) {
    let answers = |length: usize, sent: usize| {
        let head = format!(
            "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
        );
        let mut wire = head.into_bytes();
        wire.resize(wire.len() + sent, b'x');
        wire.extend(b"GET /v2/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let text = exchange(server.next(), &wire);
        String::from_utf8(text).unwrap().to_ascii_lowercase()
    };
    let both = answers(200_000, 200_000);
    assert!(both.starts_with("http/1.1 202 "), "{both}");
    assert!(both.ends_with("\r\n\r\n{}"), "{both}");
    // More than is taken off the wire: the client learns that it has to come again.
    let first = answers(64 << 20, 5 << 20);
    assert!(first.starts_with("http/1.1 202 "), "{first}");
    assert!(first.contains("\r\nconnection: close\r\n"), "{first}");
    assert_eq!(first.matches("http/1.1 ").count(), 1, "{first}");
}

pub(crate) fn configured_headers_replace_ours_and_describe_no_answer() {
    let setup = Setup {
        more: "http:
  headers:
    X-Content-Type-Options: [nosniff]
    Cache-Control: [no-store]
    Content-Type: [text/html]
    X-Two: [one, two]
",
        ..Setup::default()
    };
    let server = Server::with("inmemory", setup);
    let digest = server.push_blob("a", b"content");
    let blob = format!("/v2/a/blobs/{digest}");
    for (path, kind) in [
        ("/v2/", "application/json"),
        (&blob, "application/octet-stream"),
    ] {
        let answer = server.get(path);
        assert_eq!(answer.all("x-content-type-options"), ["nosniff"]);
        assert_eq!(answer.all("cache-control"), ["no-store"]);
        assert_eq!(answer.all("content-type"), [kind]);
        assert_eq!(answer.all("x-two"), ["one", "two"]);
        assert_eq!(answer.all("content-security-policy").len(), 1);
    }
    // They are for the API alone.
    for path in ["/", "/elsewhere"] {
        let answer = server.get(path);
        assert_eq!(answer.all("x-two"), [""; 0], "{path}");
        assert!(!answer.all("content-type").contains(&"text/html"), "{path}");
    }
}

pub(crate) fn below_a_prefix_there_is_the_api_and_the_root_stays_where_it_was() {
    let setup = Setup {
        more: "http: {prefix: /p/}\n",
        ..Setup::default()
    };
    let server = Server::with("inmemory", setup);
    for (path, status) in [
        ("/", 200),
        ("/p/v2/", 200),
        ("/p/", 404),
        ("/p", 404),
        ("/v2/", 404),
    ] {
        assert_eq!(server.get(path).status, status, "{path}");
    }
}

pub(crate) fn what_is_no_http_is_told_in_the_log() {
    let server = Server::start("inmemory");
    let wire = b"GET /v2/a/tags/list?n=\"1\" HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = parse(&exchange(server.address, wire)).unwrap();
    assert_eq!((answer.status, answer.body.len()), (400, 0));
    let line = server.process.log.wait("a request is no HTTP");
    assert!(line.contains("peer=") && line.contains("URI"), "{line}");
    assert_eq!(server.get("/v2/").status, 200);
    server.process.access.wait("GET /v2/ ");
    assert_eq!(server.process.access.lines().len(), 1);
}

/// Header names as they come, of an answer.
fn names(answer: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answer);
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let names = head.lines().skip(1);
    names
        .map(|line| line.split(':').next().unwrap().to_owned())
        .collect()
}

pub(crate) fn header_names_are_written_as_scripts_look_for_them(server: &Server) {
    let digest = server.push_blob("a", b"content");
    let ask = |request: Request| names(&exchange(server.next(), &request.wire()));
    for (method, path, expected) in [
        (
            "GET",
            format!("/v2/a/blobs/{digest}"),
            &[
                "Docker-Content-Digest",
                "Etag",
                "Accept-Ranges",
                "Content-Length",
            ][..],
        ),
        (
            "POST",
            "/v2/a/blobs/uploads/".to_owned(),
            &["Location", "Range", "Docker-Upload-Uuid", "Date"],
        ),
        (
            "GET",
            "/v2/".to_owned(),
            &[
                "Docker-Distribution-Api-Version",
                "X-Content-Type-Options",
                "Connection",
            ],
        ),
    ] {
        let names = ask(Request::new(method, &path));
        for name in expected {
            assert!(names.iter().any(|one| one == name), "{name}: {names:?}");
        }
    }
}

#[test]
fn an_absolute_location_has_the_host_that_was_asked() {
    let setup = Setup {
        more: "http: {relativeurls: false}\n",
        ..Setup::default()
    };
    let server = Server::with("inmemory", setup);
    let location = |target: &str| {
        let post = Request::new("POST", &format!("{target}/v2/a/blobs/uploads/"));
        let answer = server.send(post);
        let location = answer.header("location");
        let (host, _) = location.split_once("/v2/").unwrap();
        host.to_owned()
    };
    assert_eq!(location(""), "http://registry");
    assert_eq!(
        location("http://other.example:5000"),
        "http://other.example:5000"
    );
}

fn an_early_error_reaches_a_client_that_still_sends(server: &Server) {
    let body = vec![0; 2 << 20];
    let put = Request::new("PUT", "/v2/a/manifests/.bad").body(&body);
    server.send(put).expect(400, "TAG_INVALID");
}
