//! Requests that one would hate to get: a clear answer, and the next one is served.

use crate::client::{Request, exchange, parse};
use crate::server::Server;

crate::on_each_driver![
    the_support_check_answers,
    a_wrong_method_says_which_are_right,
    paths_that_climb_are_refused,
    requests_that_read_two_ways_are_refused,
    an_unknown_path_is_not_found,
    an_early_error_reaches_a_client_that_still_sends,
];

fn the_support_check_answers(server: &Server) {
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
        let answer = exchange(server.address, wire.as_bytes());
        let status = parse(&answer).map(|answer| answer.status);
        assert!(matches!(status, Some(400) | None), "{head}: {status:?}");
    }
    assert_eq!(server.get("/v2/").status, 200);
}

fn an_unknown_path_is_not_found(server: &Server) {
    let answer = server.get("/v1/search");
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (404, b"404 page not found\n".as_slice())
    );
}

fn an_early_error_reaches_a_client_that_still_sends(server: &Server) {
    let body = vec![0; 2 << 20];
    let put = Request::new("PUT", "/v2/a/manifests/.bad").body(&body);
    server.send(put).expect(400, "TAG_INVALID");
}
