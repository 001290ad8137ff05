//! Places to listen beside a port of its own: a socket of the file system, and what systemd has
//! opened.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;

use crate::client::{Answer, Request, parse};
use crate::process::{Ended, Process};
use crate::server::{Server, Setup, command};

const SOCKET: &str = "registry.sock";

const ON_A_SOCKET: [(&str, &str); 2] = [
    ("REGISTRY_HTTP_NET", "unix"),
    ("REGISTRY_HTTP_ADDR", SOCKET),
];

fn start(more: &str) -> Server {
    let setup = Setup {
        more,
        variables: &ON_A_SOCKET,
        ..Setup::default()
    };
    Server::with("inmemory", setup)
}

fn path(server: &Server) -> PathBuf {
    server.root.path().join(SOCKET)
}

fn exchange(path: &Path, wire: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(path).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream.write_all(wire).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

fn get(path: &Path) -> Answer {
    parse(&exchange(path, &Request::new("GET", "/v2/").wire())).unwrap()
}

pub(crate) fn a_socket_of_the_file_system_is_served_and_removed_at_the_end() {
    let mut server = start("");
    let path = path(&server);
    let line = server.process.log.wait("\"serving; ");
    assert!(line.contains(&format!("address={SOCKET}")), "{line}");
    assert_eq!(get(&path).status, 200);
    // Who comes this way has no address.
    let line = server.process.access.wait("GET /v2/ ");
    assert!(line.starts_with("@ - - ["), "{line}");
    server.process.signal("TERM");
    assert_eq!(server.process.end().code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn a_socket_has_the_limits_of_a_port() {
    let server = start("extensions: {limits: {header_timeout: 200ms, header: 1000}}\n");
    let path = path(&server);
    assert_eq!(exchange(&path, b"GET /v2/ HTTP/1.1\r\nHost:"), b"");
    let long = Request::new("GET", "/v2/").header("x", &"a".repeat(1000));
    let answer = exchange(&path, &long.wire());
    assert_eq!(parse(&answer).unwrap().status, 431);
}

pub(crate) fn a_socket_that_was_left_is_replaced_and_one_that_is_anothers_by_now_stays() {
    let mut server = start("");
    let path = path(&server);
    server.process.kill();
    assert!(path.symlink_metadata().unwrap().file_type().is_socket());
    let setup = Setup {
        variables: &ON_A_SOCKET,
        ..Setup::default()
    };
    server.restart_with(setup);
    assert_eq!(get(&path).status, 200);

    let mut second = server.beside(setup).unwrap();
    let made = path.metadata().unwrap().ino();
    server.process.signal("TERM");
    server.process.end();
    assert_eq!(path.metadata().unwrap().ino(), made);
    assert_eq!(get(&path).status, 200);
    second.signal("TERM");
    second.end();
    assert!(!path.exists());
}

pub(crate) fn a_file_in_the_place_of_the_socket_is_left_alone_and_named() {
    let mut server = start("");
    let path = path(&server);
    server.process.signal("TERM");
    server.process.end();
    fs::write(&path, "precious").unwrap();
    let setup = Setup {
        variables: &ON_A_SOCKET,
        ..Setup::default()
    };
    let ended = server.beside(setup).err().unwrap();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let last = ended.lines.last().unwrap();
    let expected = "`http.addr` (REGISTRY_HTTP_ADDR): listening on registry.sock: \
                    registry.sock exists and is not a socket; remove it";
    assert!(last.contains(expected), "{last}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

/// Starts a server with this socket as the descriptors from 3 on, which it is told as systemd does.
fn pass(
    dir: &TempDir,
    socket: impl Into<OwnedFd>,
    count: u32,
    pid: &str,
) -> Result<Process, Ended> {
    let told = format!(
        "exec 3<&0 4<&0 0</dev/null; export LISTEN_FDS={count} LISTEN_PID={pid}; exec \"$0\" \"$@\""
    );
    let file = dir.path().join("config.yml");
    fs::write(&file, "version: 0.1\nstorage: inmemory\n").unwrap();
    let mut command = command(&["/bin/sh", "-c", &told]);
    command.arg("serve").arg(&file).current_dir(dir.path());
    command.env_clear().env("REGISTRY_HTTP_ADDR", "127.0.0.1:0");
    Process::start_with(command, Stdio::from(socket.into()))
}

pub(crate) fn the_socket_of_systemd_is_served_instead_of_the_address() {
    let dir = tempfile::tempdir().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let process = pass(&dir, tcp, 1, "$$").unwrap();
    assert_eq!(process.address, address);
    let answer = Request::new("GET", "/v2/").send(address);
    assert_eq!(answer.status, 200);

    let path = dir.path().join(SOCKET);
    let unix = UnixListener::bind(&path).unwrap();
    let mut process = pass(&dir, unix, 1, "$$").unwrap();
    assert_eq!(get(&path).status, 200);
    process.signal("TERM");
    process.end();
    // Whoever made it removes it.
    assert!(path.exists());
}

pub(crate) fn several_sockets_are_refused_and_those_of_another_process_are_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let ended = pass(&dir, bind(), 2, "$$").err().unwrap();
    let last = ended.lines.last().unwrap();
    assert!(last.contains("systemd: 2 were passed"), "{last}");
    let tcp = bind();
    let address = tcp.local_addr().unwrap();
    let process = pass(&dir, tcp, 1, "1").unwrap();
    assert_ne!(process.address, address);
}
