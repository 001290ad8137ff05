//! Readers of what a server says who stand still: they hold up nobody, and are told what they missed.

use regex::Regex;

use crate::client::Request;
use crate::process::Log;
use crate::server::{Server, Setup};

/// More than the server has room for, with what the pipe takes.
const MANY: usize = 500;

/// Bytes that each of many has to say.
const MUCH: usize = 24 << 10;

/// Asks so often, each time with a number and so much to say, and gets every answer.
fn ask(server: &Server, times: usize, size: usize) {
    for n in 0..times {
        let agent = format!("<{n}>{}", "x".repeat(size));
        let request = Request::new("GET", "/v2/").header("User-Agent", &agent);
        assert_eq!(server.send(request).status, 200, "{n}");
    }
}

/// The numbers that it was told of.
fn numbers(log: &Log) -> Vec<usize> {
    let number = Regex::new("<([0-9]+)>x").unwrap();
    let lines = log.lines();
    let numbers = lines.iter().filter_map(|line| number.captures(line));
    numbers.map(|found| found[1].parse().unwrap()).collect()
}

/// Asks while nobody reads this, reads on, and compares what came with what was said to be missing.
fn stall(server: &Server, stalled: &Log, name: &str) {
    stalled.pause(true);
    ask(server, MANY, MUCH);
    stalled.pause(false);
    let told = server.process.log.wait("dropped lines");
    assert!(told.contains(name), "{told}");
    // From now on there is room.
    server.get("/the-end");
    stalled.wait("/the-end");
    let dropped = Regex::new("\"?lines\"?[=:]([0-9]+)").unwrap();
    let dropped: usize = dropped.captures(&told).unwrap()[1].parse().unwrap();
    let came = numbers(stalled);
    assert!(dropped > 0 && came.is_sorted(), "{dropped} {came:?}");
    assert_eq!(came.len() + dropped, MANY, "{came:?}");
    assert_eq!(server.process.log.count("dropped lines"), 1);
}

#[test]
fn a_reader_of_requests_who_stands_still_holds_up_nobody() {
    let server = Server::start("inmemory");
    stall(&server, &server.process.access, "standard output");
}

#[test]
fn a_reader_of_the_log_who_stands_still_holds_up_nobody() {
    for form in ["text", "json"] {
        let more =
            format!("log: {{level: debug, formatter: {form}, accesslog: {{disabled: true}}}}\n");
        let setup = Setup {
            more: &more,
            ..Setup::default()
        };
        let server = Server::with("inmemory", setup);
        stall(&server, &server.process.log, "standard error");
    }
}

#[test]
fn a_server_that_ends_has_said_everything_in_its_order() {
    let mut server = Server::with(
        "inmemory",
        Setup {
            more: "log: {level: debug}\n",
            ..Setup::default()
        },
    );
    // All of it fits into the pipes.
    ask(&server, 100, 10);
    server.process.signal("TERM");
    assert!(server.process.end().success());
    let all: Vec<usize> = (0..100).collect();
    assert_eq!(numbers(&server.process.access), all);
    assert_eq!(numbers(&server.process.log), all);
    let lines = server.process.log.lines();
    assert!(lines.last().unwrap().contains("stopping"), "{lines:?}");
}

#[test]
fn a_reader_who_never_goes_on_does_not_keep_a_server_from_its_end() {
    let mut server = Server::start("inmemory");
    server.process.access.pause(true);
    ask(&server, MANY, MUCH);
    server.process.signal("TERM");
    server.process.log.wait_for_end();
    server.process.access.pause(false);
    assert!(server.process.end().success());
    let came = numbers(&server.process.access);
    assert!(came.len() < MANY && came.is_sorted(), "{came:?}");
}
