//! Commands, what they answer to the shell, and signals.

use std::fs;
use std::process::Output;

use super::{MEMORY, proved_by, registry, server};
use crate::client::Request;
use crate::examples::{answers, elsewhere};
use crate::process::Process;
use crate::{checking, fsck, image, refusals, stopping};

const FREE: (&str, &str) = ("REGISTRY_HTTP_ADDR", "127.0.0.1:0");

proved_by! {
    image_entry_point: image::commands_and_flags_go_to_the_registry,
        image::a_program_takes_the_place_of_the_entry_point;
    image_configuration: image::a_file_is_served_with_every_variable;
    check: checking::what_counts_is_shown_with_its_origin_and_without_secrets,
        checking::what_would_not_be_served_is_told_in_the_same_words,
        checking::what_a_running_server_has_hides_nothing;
    fsck: fsck::what_is_whole_is_told_so_beside_a_server_that_writes,
        fsck::what_is_missing_cut_short_or_rotten_is_told_and_is_status_1,
        fsck::records_of_referrers_are_made_again_while_no_server_writes,
        fsck::no_store_is_read_that_nobody_has_named;
    no_port: refusals::an_address_that_cannot_be_had_is_named;
    signal_twice: stopping::a_second_signal_ends_at_once;
    signal_drain: stopping::what_has_not_ended_after_the_drain_timeout_is_cut;
    signal_usr1: stopping::signals_that_ask_for_nothing_end_nothing;
}

/// Runs it to its end, where `c.yml` can be served.
fn run(arguments: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("c.yml"), MEMORY).unwrap();
    registry(dir.path(), arguments, &[FREE]).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Serves with these arguments, where `c.yml` can be served.
#[track_caller]
fn is_served(arguments: &[&str], variables: &[(&str, &str)]) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("c.yml"), MEMORY).unwrap();
    let mut command = registry(dir.path(), arguments, &[FREE]);
    command.envs(variables.iter().copied());
    let served = Process::start(command).unwrap();
    assert_eq!(Request::new("GET", "/v2/").send(served.address).status, 200);
}

#[test]
fn serve() {
    is_served(&["serve", "c.yml"], &[]);
}

#[test]
fn serve_variable() {
    const NAME: &str = "REGISTRY_CONFIGURATION_PATH";
    is_served(&["serve"], &[(NAME, "c.yml")]);
    is_served(&["serve", "c.yml"], &[(NAME, "missing.yml")]);
}

#[test]
fn serve_image() {
    for (path, file) in [
        ("etc/docker/registry", "official-image-2.yml"),
        ("etc/distribution", "official-image-3.yml"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(path);
        fs::create_dir_all(&path).unwrap();
        let path = path.join("config.yml");
        let example = format!("{}/../docs/examples/{file}", env!("CARGO_MANIFEST_DIR"));
        fs::copy(example, &path).unwrap();
        for arguments in [&["serve"][..], &[]] {
            let mut command = crate::server::command(&[]);
            command.args(arguments).arg(&path);
            let served = Process::start(elsewhere(command, &root)).unwrap();
            answers(served.address, file);
        }
    }
}

/// Serves what is built in.
fn is_served_alone(arguments: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let served = Process::start(registry(dir.path(), arguments, &[FREE])).unwrap();
    let first = served.log.lines().remove(0);
    assert!(first.contains("built-in"), "{first}");
    assert!(dir.path().join("registry-data").is_dir());
    let line = served.log.wait("serving; ");
    assert!(
        line.contains("everyone may pull, push and delete"),
        "{line}"
    );
}

#[test]
fn serve_alone() {
    is_served_alone(&["serve"]);
}

#[test]
fn no_command() {
    is_served_alone(&[]);
}

/// One command that is none of ours.
#[track_caller]
fn is_no_command(arguments: &[&str]) {
    let refused = run(arguments);
    assert_eq!((refused.status.code(), &*out(&refused)), (Some(1), ""));
    let why = err(&refused);
    assert!(
        why.starts_with("error: ") && why.contains("Usage: "),
        "{why}"
    );
}

#[test]
fn no_such_command() {
    is_no_command(&["collect"]);
}

#[test]
fn completion() {
    is_no_command(&["completion", "bash"]);
    let why = err(&run(&["completion", "bash"]));
    assert!(why.contains("there are no completions"), "{why}");
}

#[test]
fn no_such_file() {
    let refused = run(&["serve", "missing.yml"]);
    assert_eq!((refused.status.code(), &*out(&refused)), (Some(1), ""));
    let why = err(&refused);
    let start = "registry: reading the configuration missing.yml: ";
    assert!(why.starts_with(start) && why.lines().count() == 1, "{why}");
}

#[test]
fn too_many_arguments() {
    let refused = run(&["serve", "c.yml", "another"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("another"), "{refused:?}");
}

#[test]
fn version() {
    for flag in ["-v", "--version"] {
        let told = run(&[flag]);
        assert!(told.status.success(), "{told:?}");
        let expected = format!("registry {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!((out(&told), err(&told)), (expected, String::new()));
    }
}

#[test]
fn help() {
    for arguments in [
        &["--help"][..],
        &["help"],
        &["help", "serve"],
        &["-h"],
        &["serve", "--help"],
        &["check", "--help"],
        &["garbage-collect", "-h"],
    ] {
        let told = run(arguments);
        assert!(told.status.success(), "{told:?}");
        assert!(out(&told).contains("Usage: registry"), "{told:?}");
        assert_eq!(err(&told), "");
    }
}

#[test]
fn standard_output() {
    let mut server = server("");
    server.get("/v2/");
    server.get("/v2/a/tags/list");
    server.process.signal("TERM");
    server.process.end();
    let lines = server.process.access.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("\"GET /v2/ HTTP/1.1\" 200"), "{lines:?}");
    assert!(
        lines[1].contains("\"GET /v2/a/tags/list HTTP/1.1\" 404"),
        "{lines:?}"
    );
}

#[test]
fn standard_error() {
    let mut server = server("");
    server.get("/v2/");
    server.process.signal("TERM");
    server.process.end();
    let log = &server.process.log;
    assert_eq!((log.count("serving; "), log.count("stopping: ")), (1, 1));
    assert_eq!(log.count("GET /v2/"), 0);
}

#[test]
fn signal_term() {
    stopping::check_drain("TERM");
    stopping::a_server_with_nothing_to_do_stops_when_told();
}

#[test]
fn signal_int() {
    stopping::check_drain("INT");
}

/// What the system does with a signal that a process does not care for, it does unless the process
/// was started so that it does not.
#[track_caller]
fn is_left_to_the_system(number: u32) {
    let server = server("");
    let status = format!("/proc/{}/status", server.process.id());
    let Ok(status) = fs::read_to_string(status) else {
        return crate::trace::skip_everywhere("signals", "there is no /proc");
    };
    let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(line.unwrap().trim(), 16).unwrap();
    let is_caught = |number: u32| caught >> (number - 1) & 1 == 1;
    assert!(is_caught(15) && !is_caught(number), "{caught:x}");
}

#[cfg(feature = "htpasswd")]
#[test]
fn signal_hup() {
    crate::htpasswd::file::users_change_by_a_rename_a_swapped_link_and_a_signal();
}

#[test]
fn signal_quit() {
    is_left_to_the_system(3);
}
