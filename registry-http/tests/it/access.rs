//! The log of requests: a line for each on standard output, in Apache's combined form, whatever is
//! in it; and under a name of its own in the log.

use regex::Regex;
use serde_json::Value;

use crate::client::{Request, exchange, parse};
use crate::server::{Server, Setup};

const DEBUG: Setup = Setup {
    more: "log: {formatter: json, level: debug}\n",
    variables: &[],
    through: &[],
};

/// As those have it who read such lines: a text in quotes, in which a backslash makes the next
/// character one like any other.
fn combined() -> Regex {
    let quoted = r#""((?:[^"\\]|\\.)*)""#;
    let time = r"\[([0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}(?::[0-9]{2}){3} [+-][0-9]{4})\]";
    let pattern =
        format!("^([^ ]+) - ([^ ]+) {time} {quoted} ([0-9]{{3}}) ([0-9]+) {quoted} {quoted}$");
    Regex::new(&pattern).unwrap()
}

/// What a line says, in the order in which it does.
struct Combined {
    remote: String,
    user: String,
    time: String,
    request: String,
    status: String,
    bytes: String,
    referer: String,
    agent: String,
}

impl Combined {
    fn of(line: &str) -> Self {
        let parts = combined().captures(line);
        let parts = parts.unwrap_or_else(|| panic!("not combined: {line:?}"));
        let (_, parts) = parts.extract::<8>();
        let [remote, user, time, request, status, bytes, referer, agent] = parts.map(str::to_owned);
        Self {
            remote,
            user,
            time,
            request,
            status,
            bytes,
            referer,
            agent,
        }
    }
}

/// All that was said of requests which have their answers.
fn lines(server: &Server) -> Vec<String> {
    server.get("/the-end");
    server.process.access.wait("/the-end");
    let mut lines = server.process.access.lines();
    lines.retain(|line| !line.contains("/the-end"));
    lines
}

/// The same of the structured log.
fn accesses(server: &Server) -> Vec<Value> {
    server.get("/the-end");
    server.process.log.wait("/the-end");
    let lines = server.process.log.lines();
    let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line));
    let lines = lines.map(|line| line.expect("each line is JSON"));
    lines
        .filter(|line| line["msg"] == "answered" && line["request.path"] != "/the-end")
        .collect()
}

#[test]
fn each_request_is_a_line_in_the_combined_form() {
    let server = Server::start("inmemory");
    let table = [
        ("GET", "/v2/", "200 2"),
        ("HEAD", "/v2/", "200 0"),
        ("GET", "/v2/_catalog?n=1", "200 20"),
        ("BREW", "/v2/a/tags/list", "405"),
        ("GET", "/favicon.ico", "404 19"),
        ("PUT", "/v2/a/manifests/.bad", "400"),
        ("GET", "/v2/%22%5c/tags/list", "400"),
    ];
    for (method, path, _) in table {
        let request = Request::new(method, path).header("Referer", "https://a.example/?b");
        server.send(request.header("User-Agent", "docker/27.0 go/go1.22 (linux)"));
    }
    let lines = lines(&server);
    assert_eq!(lines.len(), table.len(), "{lines:?}");
    for (line, (method, path, end)) in lines.iter().zip(table) {
        let told = Combined::of(line);
        assert_eq!((&*told.remote, &*told.user), ("127.0.0.1", "-"), "{line}");
        assert_eq!(told.request, format!("{method} {path} HTTP/1.1"));
        let status = format!("{} {}", told.status, told.bytes);
        assert!(status.starts_with(end), "{line}");
        assert_eq!(told.referer, "https://a.example/?b");
        assert_eq!(told.agent, "docker/27.0 go/go1.22 (linux)");
    }
    server.get("/bare");
    let told = Combined::of(&server.process.access.wait("/bare"));
    assert_eq!((&*told.referer, &*told.agent), ("", ""));
}

#[test]
fn the_bytes_of_a_line_are_those_of_the_body() {
    let server = Server::start("inmemory");
    let digest = server.push_blob("a", &[7; 10_000]);
    let path = format!("/v2/a/blobs/{digest}");
    server.get(&path);
    server.head(&path);
    server.send(Request::new("GET", &path).header("Range", "bytes=0-99"));
    let said = lines(&server).split_off(2);
    let said = said.iter().map(|line| Combined::of(line));
    let said: Vec<String> = said.map(|told| told.status + " " + &told.bytes).collect();
    assert_eq!(said, ["200 10000", "200 0", "206 100"]);
}

#[test]
fn the_state_of_an_upload_is_on_no_line() {
    let server = Server::with("inmemory", DEBUG);
    let begun = server.send(Request::new("POST", "/v2/a/blobs/uploads/"));
    let url = begun.header("location").to_owned();
    let (path, state) = url.split_once("?_state=").unwrap();
    assert_eq!(
        server.send(Request::new("PATCH", &url).body(b"a")).status,
        202
    );
    server.delete(&url);
    let told: Vec<String> = lines(&server);
    let told: Vec<String> = told.iter().map(|line| Combined::of(line).request).collect();
    let expected = [
        "POST /v2/a/blobs/uploads/ HTTP/1.1".to_owned(),
        format!("PATCH {path} HTTP/1.1"),
        format!("DELETE {path} HTTP/1.1"),
    ];
    assert_eq!(told, expected);
    assert_eq!(accesses(&server).len(), 3);
    assert_eq!(server.process.log.count(state), 0);
}

#[test]
fn a_line_tells_the_time_of_the_place_that_is_configured() {
    let setup = Setup {
        variables: &[("TZ", "<+0545>-5:45")],
        ..Setup::default()
    };
    let server = Server::with("inmemory", setup);
    server.get("/v2/");
    let time = Combined::of(&lines(&server)[0]).time;
    assert!(time.ends_with(" +0545"), "{time}");
}

#[test]
fn standard_output_has_nothing_but_requests_and_standard_error_all_else() {
    let server = Server::start("inmemory");
    assert_eq!(lines(&server), Vec::<String>::new());
    assert_eq!(server.process.access.count("/the-end"), 1);
    assert_eq!(server.process.log.count("/the-end"), 0);
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

#[test]
fn at_debug_the_log_has_each_request_by_its_name() {
    let server = Server::with("inmemory", DEBUG);
    server.send(Request::new("GET", "/v2/?a").header("User-Agent", "docker"));
    server.get("/v2/a/tags/list");
    let [first, second] = &accesses(&server)[..] else {
        panic!("{:?}", server.process.log.lines());
    };
    assert_eq!(first["request.method"], "GET");
    assert_eq!(first["request.path"], "/v2/");
    assert_eq!(
        (&first["status"], &first["bytes"]),
        (&200.into(), &2.into())
    );
    assert_eq!(first["agent"], "docker");
    assert!(first["micros"].is_u64() && first["operation"].is_string());
    let peer = first["peer"].as_str().unwrap();
    assert!(peer.starts_with("127.0.0.1:"), "{peer}");
    let id = |line: &Value| line["request.id"].as_str().unwrap().to_owned();
    assert_eq!(id(first).len(), 16);
    assert_ne!(id(first), id(second));
}

#[cfg(feature = "fs")]
#[test]
fn an_internal_error_names_its_lines_of_the_log() {
    let server = Server::with("filesystem", DEBUG);
    let link = server.at("repositories/a/_manifests/tags/t/current/link");
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&link, &link).unwrap();
    let answer = server.get("/v2/a/manifests/t");
    answer.expect(500, "UNKNOWN");
    let id = &answer.json()["errors"][0]["detail"]["request"];
    assert_eq!(accesses(&server)[0]["request.id"], *id);
    let line = server.process.log.wait("request failed");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["request.id"], &line["level"]), (id, &"error".into()));
    assert_eq!(line["request.path"], "/v2/a/manifests/t");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let root = server.root.path().to_str().unwrap();
    assert!(!text.contains(root), "no internals: {text}");
}

/// Requests that would like to be more than one line, or another one; and what is said of them,
/// if they are requests at all.
#[allow(clippy::type_complexity, reason = "a table of cases")]
const NASTY: [(&[u8], Option<(&str, &str)>); 14] = [
    (
        b"GET /v2/%0a%1b[31m/tags/list HTTP/1.1\r\nHost: a\r\n",
        Some(("GET /v2/%0a%1b[31m/tags/list HTTP/1.1", "")),
    ),
    (
        b"GET /v2/\"/tags/list HTTP/1.1\r\nHost: a\r\n",
        Some((r#"GET /v2/\"/tags/list HTTP/1.1"#, "")),
    ),
    (
        b"GET /v2/\\\\\\ HTTP/1.1\r\nHost: a\r\n",
        Some((r"GET /v2/\\\\\\ HTTP/1.1", "")),
    ),
    (
        b"GET /v2/?a\\%0a HTTP/1.1\r\nHost: a\r\n",
        Some((r"GET /v2/?a\\%0a HTTP/1.1", "")),
    ),
    (
        b"GET /v2/\xc2\x9b31m\xe2\x80\xae HTTP/1.1\r\nHost: a\r\n",
        Some((r"GET /v2/\u009b31m\u202e HTTP/1.1", "")),
    ),
    (
        b"GET http://user:password@a/v2/ HTTP/1.1\r\nHost: a\r\n",
        Some(("GET /v2/ HTTP/1.1", "")),
    ),
    (
        b"GET /v2/ HTTP/1.1\r\nHost: a\r\nUser-Agent: x\" 500 0 \"\" \"y\t\\\r\n",
        Some(("GET /v2/ HTTP/1.1", r#"x\" 500 0 \"\" \"y\t\\"#)),
    ),
    (
        b"GET /v2/ HTTP/1.1\r\nHost: a\r\nUser-Agent: \xc2\x9b31m\xe2\x80\xae\xc3\xa9\r\n",
        Some(("GET /v2/ HTTP/1.1", r"\u009b31m\u202eé")),
    ),
    (
        b"GET /v2/ HTTP/1.1\r\nHost: a\r\nUser-Agent: \xff\xfe\\\r\n",
        Some(("GET /v2/ HTTP/1.1", r"\xff\xfe\\")),
    ),
    (
        b"GET /v2/ HTTP/1.1\r\nHost: a\r\nUser-Agent: a\r\nUser-Agent: b\r\n",
        Some(("GET /v2/ HTTP/1.1", "a")),
    ),
    (
        b"GET /v2/ HTTP/1.1\r\nHost: a\r\nUser-Agent: \x1b[31mred\r\n",
        None,
    ),
    (
        b"GET /v2/ HTTP/1.1\r\nHost: a\r\nUser-Agent: a\rGET /v2/b HTTP/1.1\r\n",
        None,
    ),
    (b"GET /v2/\x7f/tags/list HTTP/1.1\r\nHost: a\r\n", None),
    (b"A'|\"B /v2/ HTTP/1.1\r\nHost: a\r\n", None),
];

#[test]
fn no_request_can_forge_a_line_or_a_field() {
    let text = Setup {
        more: "log: {level: debug}\n",
        ..DEBUG
    };
    for setup in [text, DEBUG] {
        let server = Server::with("inmemory", setup);
        let before = server.process.log.lines().len();
        let mut expected = Vec::new();
        for (head, told) in NASTY {
            let wire = [head, b"Connection: close\r\n\r\n"].concat();
            let answer = parse(&exchange(server.address, &wire)).unwrap();
            let text = String::from_utf8_lossy(head);
            // What is no HTTP never becomes a request.
            let is_request = !answer.all("docker-distribution-api-version").is_empty();
            assert_eq!(is_request, told.is_some(), "{text:?}");
            expected.extend(told);
        }
        let lines = lines(&server);
        let told: Vec<Combined> = lines.iter().map(|line| Combined::of(line)).collect();
        let told: Vec<_> = told
            .iter()
            .map(|told| (&*told.request, &*told.agent))
            .collect();
        assert_eq!(told, expected);
        server.process.log.wait("/the-end");
        let log = server.process.log.lines().split_off(before);
        assert!(log.len() >= expected.len(), "{log:?}");
        for line in lines.iter().chain(&log) {
            let hides = |c: char| c.is_control() || c == '\u{202e}';
            assert!(!line.contains(hides), "{line:?}");
            assert!(!line.contains("password"), "{line:?}");
        }
        let forged = r#""x\" 500 0 \"\" \"y\t\\""#;
        assert!(log.iter().any(|line| line.contains(forged)), "{log:?}");
    }
}
