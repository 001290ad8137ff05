//! The log on standard error, in each of its forms.

use serde_json::Value;

use crate::client::Request;
use crate::server::{Server, Setup};

fn start(log: &str) -> Server {
    let more = format!("log: {log}\n");
    let setup = Setup {
        more: &more,
        ..Setup::default()
    };
    Server::with("inmemory", setup)
}

/// The line that says where the server listens, and nothing else was said.
fn serving(server: &Server) -> String {
    let lines = server.process.log.lines();
    let [line] = &lines[..] else {
        panic!("{lines:?}");
    };
    line.clone()
}

/// Whether it is a time as in RFC 3339, of this century and in UTC.
fn is_time(text: &Value) -> bool {
    let pattern = r"^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]+Z$";
    let pattern = regex::Regex::new(pattern).unwrap();
    text.as_str().is_some_and(|text| pattern.is_match(text))
}

pub(crate) fn each_form_says_the_same() {
    let fields = "fields: {environment: prod, node: 5, team: {name: a}}";
    for formatter in ["", "formatter: text, "] {
        let server = start(&format!("{{{formatter}{fields}}}"));
        let line = serving(&server);
        assert!(line.starts_with("time=\"2"), "{line}");
        assert!(line.contains(" level=info msg=\"serving; "), "{line}");
        let end = r#" environment=prod node=5 team="{\"name\":\"a\"}""#;
        assert!(line.ends_with(end), "{line}");
    }
    let form = |name: &str| {
        let server = start(&format!("{{formatter: {name}, {fields}}}"));
        let line: Value = serde_json::from_str(&serving(&server)).unwrap();
        let said = if name == "json" { "msg" } else { "message" };
        assert!(line[said].as_str().unwrap().starts_with("serving; "));
        assert_eq!(line["address"], server.address.to_string());
        assert_eq!(line["storage"], "inmemory");
        assert_eq!(line["environment"], "prod");
        assert_eq!(line["node"], "5");
        assert_eq!(line["team"]["name"], "a");
        line
    };
    let line = form("json");
    assert!(is_time(&line["time"]), "{line}");
    assert_eq!(line["level"], "info");
    let line = form("logstash");
    assert!(is_time(&line["@timestamp"]), "{line}");
    assert_eq!(
        (&line["@version"], &line["type"]),
        (&"1".into(), &"log".into())
    );
    assert_eq!(line["level"], "info");
}

pub(crate) fn what_is_on_every_line_can_be_a_variable() {
    let variables = [
        ("REGISTRY_LOG_FORMATTER", "logstash"),
        ("REGISTRY_LOG_LEVEL", "Debug"),
        ("REGISTRY_LOG_FIELDS_ENVIRONMENT", "staging"),
        ("REGISTRY_LOG_FIELDS_TYPE", "registry"),
    ];
    let setup = Setup {
        variables: &variables,
        ..Setup::default()
    };
    let server = Server::with("inmemory", setup);
    server.send(Request::new("GET", "/v2/").header("User-Agent", "docker"));
    server.process.log.wait("\"docker\"");
    let lines = server.process.log.lines();
    let lines = lines.iter().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<Value> = lines.collect();
    for line in &lines {
        assert_eq!(
            (&line["environment"], &line["type"]),
            (&"staging".into(), &"registry".into())
        );
    }
    let line = lines.iter().find(|line| line["agent"] == "docker").unwrap();
    assert_eq!(line["request"]["path"], "/v2/");
    assert_eq!(line["request"]["id"].as_str().map(str::len), Some(16));
}

pub(crate) fn the_caller_is_on_a_line_that_is_to_have_it() {
    for formatter in ["text", "json", "logstash"] {
        let with = start(&format!("{{formatter: {formatter}, reportcaller: true}}"));
        let line = serving(&with);
        assert!(line.contains("registry-http/src/server.rs:"), "{line}");
        let without = serving(&start(&format!("{{formatter: {formatter}}}")));
        assert!(!without.contains("server.rs:"), "{without}");
    }
}
