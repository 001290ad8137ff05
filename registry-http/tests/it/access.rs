//! The log of requests: a line for each, under a name of its own, whatever is in it.

use std::collections::HashSet;

use serde_json::Value;

use crate::client::{Request, exchange, parse};
use crate::server::{Server, Setup};

const JSON: Setup = Setup {
    more: "log: {formatter: json}\n",
    variables: &[],
    through: &[],
};

/// All that was said of requests which have their answers.
fn lines(server: &Server) -> Vec<String> {
    server.get("/the-end");
    server.process.access.wait("/the-end");
    let mut lines = server.process.access.lines();
    lines.retain(|line| !line.contains("/the-end"));
    lines
}

fn accesses(server: &Server) -> Vec<Value> {
    let lines = lines(server);
    let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line));
    let lines = lines.map(|line| line.expect("each line is JSON"));
    lines.filter(|line| line["target"] == "access").collect()
}

#[test]
fn each_request_is_a_line_under_a_name_of_its_own() {
    let server = Server::with("inmemory", JSON);
    let table = [
        ("GET", "/v2/", "GET /v2/ 200"),
        ("GET", "/v2/a/tags/list?n=1", "GET /v2/a/tags/list 404"),
        ("BREW", "/v2/a/tags/list", "BREW /v2/a/tags/list 405"),
        ("GET", "/favicon.ico", "GET /favicon.ico 404"),
        (
            "PUT",
            "/v2/a/manifests/.bad",
            "PUT /v2/a/manifests/.bad 400",
        ),
    ];
    for (method, path, _) in table {
        server.send(Request::new(method, path));
    }
    let lines = accesses(&server);
    let told = |line: &Value| {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", text("method"), text("path"), line["status"])
    };
    let lines_told: Vec<String> = lines.iter().map(told).collect();
    assert_eq!(lines_told, table.map(|(_, _, line)| line));
    let ids: HashSet<_> = lines
        .iter()
        .map(|line| line["span"]["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), table.len());
}

#[test]
fn requests_are_logged_on_standard_output_and_all_else_on_standard_error() {
    for setup in [Setup::default(), JSON] {
        let server = Server::with("inmemory", setup);
        let lines = lines(&server);
        assert!(lines.is_empty(), "{lines:?}");
        assert_eq!(server.process.access.count("/the-end"), 1);
        // It has the name of the request, too.
        let named = server.process.access.wait("/the-end");
        assert!(
            named.contains("request{id=") || named.contains("\"id\":"),
            "{named}"
        );
        assert_eq!(server.process.log.count("/the-end"), 0);
    }
    let off = Setup {
        more: "log: {accesslog: {disabled: true}}\n",
        ..Setup::default()
    };
    let mut server = Server::with("inmemory", off);
    server.get("/v2/");
    server.process.signal("TERM");
    assert!(server.process.end().success());
    assert_eq!(server.process.access.lines(), Vec::<String>::new());
}

#[cfg(feature = "fs")]
#[test]
fn an_internal_error_names_its_lines_of_the_log() {
    let server = Server::with("filesystem", JSON);
    let link = server.at("repositories/a/_manifests/tags/t/current/link");
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&link, &link).unwrap();
    let answer = server.get("/v2/a/manifests/t");
    answer.expect(500, "UNKNOWN");
    let id = &answer.json()["errors"][0]["detail"]["request"];
    assert_eq!(accesses(&server)[0]["span"]["id"], *id);
    let line = server.process.log.wait("request failed");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["span"]["id"], &line["level"]), (id, &"ERROR".into()));
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let root = server.root.path().to_str().unwrap();
    assert!(!text.contains(root), "no internals: {text}");
}

/// Requests that would like to be more than one line, or another one.
const NASTY: [&[u8]; 9] = [
    b"GET /v2/%0a%1b[31m/tags/list HTTP/1.1\r\nHost: a\r\n",
    b"GET /v2/\xc2\x9b31m/tags/list HTTP/1.1\r\nHost: a\r\n",
    b"GET /v2/\xe2\x80\xae/tags/list HTTP/1.1\r\nHost: a\r\n",
    b"GET /v2/\x7f/tags/list HTTP/1.1\r\nHost: a\r\n",
    b"GET /v2/ HTTP/1.1\r\nHost: a\r\nUser-Agent: x\" status=500 method=DELETE y=\"\t\\\r\n",
    b"GET /v2/ HTTP/1.1\r\nHost: a\r\nUser-Agent: \x1b[31mred\r\n",
    b"GET /v2/ HTTP/1.1\r\nHost: a\r\nUser-Agent: \xc2\x9b31m\r\n",
    b"GET /v2/ HTTP/1.1\r\nHost: a\r\nUser-Agent: a\rGET /v2/b HTTP/1.1\r\n",
    b"A'|\"B /v2/ HTTP/1.1\r\nHost: a\r\n",
];

#[test]
fn no_request_can_forge_a_line_or_a_field() {
    for setup in [Setup::default(), JSON] {
        let server = Server::with("inmemory", setup);
        let mut answered = 0;
        for head in NASTY {
            let wire = [head, b"Connection: close\r\n\r\n"].concat();
            let answer = parse(&exchange(server.address, &wire)).unwrap();
            // What is no HTTP never becomes a request.
            answered += usize::from(!answer.all("docker-distribution-api-version").is_empty());
        }
        let lines = lines(&server);
        let count = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
        assert_eq!(count("peer"), answered, "{lines:?}");
        assert!(answered >= 3, "{lines:?}");
        for line in &lines {
            let hides = |c: char| c.is_control() || c == '\u{202e}';
            assert!(!line.contains(hides), "{line:?}");
        }
        let forged = r#"x\" status=500 method=DELETE y=\"\t\\"#;
        assert!(
            lines
                .iter()
                .any(|line| line.contains(&format!("\"{forged}\"")))
        );
    }
}
