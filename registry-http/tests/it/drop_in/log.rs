//! What is logged, and how.

use super::{proved_by, server};
use crate::client::Request;
use crate::logging;

proved_by! {
    log_formatter: logging::each_form_says_the_same;
    log_fields: logging::what_is_on_every_line_can_be_a_variable;
    log_reportcaller: logging::the_caller_is_on_a_line_that_is_to_have_it;
}

/// Whether the log says where it serves, and what it does for a request.
fn is_at(keys: &str, serving: bool, request: bool) {
    let mut server = server(&format!(
        "http: {{debug: {{addr: '127.0.0.1:0'}}}}\n{keys}\n"
    ));
    server.send(Request::new("GET", "/v2/").header("User-Agent", "docker"));
    server.process.signal("TERM");
    server.process.end();
    let log = &server.process.log;
    assert_eq!(log.count("serving; ") > 0, serving, "{keys}");
    assert_eq!(log.count("docker") > 0, request, "{keys}");
}

#[test]
fn log_level() {
    is_at("log: {level: info}", true, false);
    is_at("log: {level: Debug}", true, true);
    let refused = super::check_with("log: {level: loud}");
    assert!(refused.problem().starts_with("`log.level`"), "{refused:?}");
    for level in ["warn", "error"] {
        let checked = super::check_with(&format!("log: {{level: {level}}}"));
        assert_eq!(checked.value("log.level"), level);
    }
}

#[test]
fn loglevel() {
    is_at("loglevel: debug", true, true);
    is_at("loglevel: debug\nlog: {level: info}", true, false);
}

#[test]
fn log_accesslog() {
    let mut server = server("");
    let begun = server.send(Request::new("POST", "/v2/a/blobs/uploads/"));
    let location = begun.header("location").to_owned();
    let get = Request::new("GET", &location).header("User-Agent", "docker/1");
    assert_eq!(server.send(get.header("Referer", "r")).status, 204);
    server.process.signal("TERM");
    server.process.end();
    let lines = server.process.access.lines();
    let (path, _) = location.split_once('?').unwrap();
    let line = lines.last().unwrap();
    let pattern = format!(
        r#"^127\.0\.0\.1 - - \[../.../....:..:..:.. [+-]0000\] "GET {path} HTTP/1\.1" 204 0 "r" "docker/1"$"#
    );
    assert!(
        regex::Regex::new(&pattern).unwrap().is_match(line),
        "{line}"
    );

    let mut server = super::server("log: {accesslog: {disabled: true}}\n");
    server.get("/v2/");
    server.process.signal("TERM");
    server.process.end();
    assert_eq!(server.process.access.lines(), [""; 0]);
}
