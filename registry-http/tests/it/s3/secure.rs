//! A bucket that is asked over TLS.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use storage_s3::testing::S3Server;

use crate::client::Request;
use crate::https::Authority;
use crate::process::Process;
use crate::server::command;

/// Ends TLS in front of a bucket, one request on each connection.
struct Front {
    address: SocketAddr,
}

impl Front {
    fn start(authority: &Authority, bucket: &S3Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let tls = Arc::new(authority.certify("127.0.0.1"));
        let behind = bucket.address();
        // It ends with the tests.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let tls = Arc::clone(&tls);
                // Who does not believe the certificate hangs up.
                thread::spawn(move || pass(stream, tls, behind));
            }
        });
        Self { address }
    }
}

fn pass(stream: TcpStream, tls: Arc<ServerConfig>, behind: SocketAddr) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let connection = ServerConnection::new(tls).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let (mut head, mut len) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        match line.to_ascii_lowercase().split_once(':') {
            Some(("content-length", value)) => len = value.trim().parse().unwrap_or(0),
            Some(("connection", _)) => continue,
            _ => {}
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body)?;
    let mut store = TcpStream::connect(behind)?;
    store.write_all(head.as_bytes())?;
    store.write_all(b"Connection: close\r\n\r\n")?;
    store.write_all(&body)?;
    let mut answer = Vec::new();
    store.read_to_end(&mut answer)?;
    let stream = stream.get_mut();
    stream.write_all(&answer)?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// Serves the bucket behind this address with these keys and variables.
fn serve(
    address: SocketAddr,
    keys: &str,
    variables: &[(&str, &str)],
) -> Result<Process, Vec<String>> {
    let root = tempfile::tempdir().unwrap();
    let config = format!(
        "version: 0.1\nstorage: {{s3: {{bucket: registry, regionendpoint: '{address}', accesskey: \
         {}, secretkey: '{}'{keys}}}}}\n",
        S3Server::ACCESS_KEY,
        S3Server::SECRET_KEY
    );
    std::fs::write(root.path().join("c.yml"), config).unwrap();
    let mut serve = command(&[]);
    serve.args(["serve", "c.yml"]).current_dir(root.path());
    serve.env_clear().env("REGISTRY_HTTP_ADDR", "127.0.0.1:0");
    serve.envs(variables.iter().copied());
    Process::start(serve).map_err(|ended| ended.lines)
}

/// Pushes a blob of a few parts' length, and asks for it.
fn push(process: &Process) {
    let send = |request: Request| request.send(process.address);
    let bytes = vec![7; 100_000];
    let begun = send(Request::new("POST", "/v2/app/blobs/uploads/"));
    let digest = crate::server::sha256(&bytes);
    let put = format!("{}&digest={digest}", begun.header("location"));
    assert_eq!(send(Request::new("PUT", &put).body(&bytes)).status, 201);
    let path = format!("/v2/app/blobs/{digest}");
    let sent = send(Request::new("GET", &path));
    assert!(sent.header("location").starts_with("https://"), "{sent:?}");
}

#[test]
pub(crate) fn an_authority_of_ones_own_counts_and_no_other_unless_none_has_to() {
    let bucket = S3Server::start();
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let front = Front::start(&ours, &bucket);
    let (file, others) = (ours.file(), other.file());
    let trusted = [("SSL_CERT_FILE", file.as_str())];
    push(&serve(front.address, "", &trusted).unwrap());
    push(&serve(front.address, ", secure: 'true'", &trusted).unwrap());

    let untrusted = [("SSL_CERT_FILE", others.as_str())];
    let said = serve(front.address, "", &untrusted)
        .err()
        .unwrap()
        .join("\n");
    assert!(said.contains("certificate"), "{said}");
    let skips = ", secure: true, skipverify: 'true'";
    push(&serve(front.address, skips, &untrusted).unwrap());
}

#[test]
pub(crate) fn without_tls_the_endpoint_is_asked_over_plain_http() {
    let bucket = S3Server::start();
    let process = serve(bucket.address(), ", secure: false", &[]).unwrap();
    let answer = Request::new("GET", "/v2/_catalog").send(process.address);
    assert_eq!(answer.status, 200);
}
