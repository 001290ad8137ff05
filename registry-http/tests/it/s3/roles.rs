//! Credentials that somebody is asked for: a token service, a pod, a machine. Each is a server on a port.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use storage_s3::testing::{Failure, Fault, S3Server, When};
use tempfile::TempDir;

use crate::client::Request;
use crate::process::{Process, wait_for};
use crate::server::command;

/// What must never be shown.
const SESSION: &str = "hush-session";
const IDENTITY: &str = "hush-identity";

/// Answers by method and path, without the query; all else is 404.
struct Giver {
    address: SocketAddr,
    told: Arc<Told>,
}

#[derive(Default)]
struct Told {
    answers: Mutex<BTreeMap<String, (u16, String)>>,
    /// The lines of the head of each request.
    asked: Mutex<Vec<Vec<String>>>,
}

impl Giver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Told::default());
        let serving = Arc::clone(&told);
        // It ends with the tests.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who hangs up is none of its business.
                let _ = serving.serve(&stream);
            }
        });
        Self { address, told }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn answers(&self, what: &str, status: u16, body: impl Into<String>) {
        let answer = (status, body.into());
        self.told
            .answers
            .lock()
            .unwrap()
            .insert(what.to_owned(), answer);
    }

    /// From now on nothing but this status.
    fn answers_all(&self, status: u16) {
        for answer in self.told.answers.lock().unwrap().values_mut() {
            *answer = (status, "no".to_owned());
        }
    }

    fn asked(&self) -> Vec<Vec<String>> {
        self.told.asked.lock().unwrap().clone()
    }

    /// Whether one of the requests had this line, in any letters.
    fn heard(&self, line: &str) -> bool {
        let asked = self.asked();
        asked
            .iter()
            .flatten()
            .any(|one| one.eq_ignore_ascii_case(line))
    }
}

impl Told {
    fn serve(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut head = Vec::new();
        for line in BufReader::new(stream).lines() {
            match line? {
                line if line.is_empty() => break,
                line => head.push(line),
            }
        }
        let words: Vec<&str> = head
            .first()
            .map_or(Vec::new(), |line| line.split(' ').collect());
        let [method, path, ..] = words[..] else {
            return Ok(());
        };
        let path = path.split('?').next().unwrap_or_default();
        let found = self
            .answers
            .lock()
            .unwrap()
            .get(&format!("{method} {path}"))
            .cloned();
        let (status, body) = found.unwrap_or((404, String::new()));
        self.asked.lock().unwrap().push(head);
        write!(
            stream,
            "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// So many seconds from now on, as XML and JSON have it.
fn ends_in(seconds: u64) -> String {
    let at = SystemTime::now() + Duration::from_secs(seconds);
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let at = jiff::Timestamp::from_second(since.as_secs().try_into().unwrap()).unwrap();
    at.to_string()
}

/// As a machine, a container and a pod say it.
fn json(ends_in_seconds: u64) -> String {
    format!(
        "{{\"Code\": \"Success\", \"AccessKeyId\": \"{}\", \"SecretAccessKey\": \"{}\", \"Token\": \
         \"{SESSION}\", \"Expiration\": \"{}\"}}",
        S3Server::ACCESS_KEY,
        S3Server::SECRET_KEY,
        ends_in(ends_in_seconds)
    )
}

fn sts() -> String {
    format!(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
         <AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
         <SessionToken>{SESSION}</SessionToken><Expiration>{}</Expiration></Credentials>\
         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
        S3Server::ACCESS_KEY,
        S3Server::SECRET_KEY,
        ends_in(3_600)
    )
}

/// A machine with a role that has credentials.
fn machine(ends_in_seconds: u64) -> Giver {
    let machine = Giver::start();
    let roles = "/latest/meta-data/iam/security-credentials/";
    machine.answers("PUT /latest/api/token", 200, "hush-imds");
    machine.answers(&format!("GET {roles}"), 200, "images");
    machine.answers(&format!("GET {roles}images"), 200, json(ends_in_seconds));
    machine
}

fn folder(bucket: &S3Server) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let (name, endpoint) = (bucket.bucket(), bucket.endpoint());
    let config = format!(
        "version: 0.1\nlog: {{level: debug}}\nstorage: {{s3: {{bucket: {name}, regionendpoint: \
         '{endpoint}', loglevel: debug}}}}\n"
    );
    fs::write(root.path().join("c.yml"), config).unwrap();
    fs::write(root.path().join("identity"), IDENTITY).unwrap();
    root
}

fn registry(root: &TempDir, word: &str, variables: &[(&str, &str)]) -> std::process::Command {
    let mut registry = command(&[]);
    registry.args([word, "c.yml"]).current_dir(root.path());
    registry
        .env_clear()
        .env("REGISTRY_HTTP_ADDR", "127.0.0.1:0");
    registry.env("HOME", root.path());
    registry.envs(variables.iter().copied());
    registry
}

/// Serves, pushes and pulls with credentials of this origin, and looks that no secret was shown.
#[track_caller]
fn serves(variables: &[(&str, &str)], origin: &str) {
    let bucket = S3Server::start();
    let root = folder(&bucket);
    let checked = registry(&root, "check", variables).output().unwrap();
    let told = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
    assert!(checked.status.success(), "{told}");
    assert!(told.contains(&format!("credentials: {origin}")), "{told}");
    let process = Process::start(registry(&root, "serve", variables)).unwrap();
    let send = |request: Request| request.send(process.address);
    let begun = send(Request::new("POST", "/v2/app/blobs/uploads/"));
    let digest = crate::server::sha256(b"some content");
    let put = format!("{}&digest={digest}", begun.header("location"));
    assert_eq!(
        send(Request::new("PUT", &put).body(b"some content")).status,
        201
    );
    let path = format!("/v2/app/blobs/{digest}");
    assert_eq!(send(Request::new("GET", &path)).status, 307);
    let with_token = bucket.take_log().into_iter().all(|one| {
        let header = one.headers.get("x-amz-security-token");
        header.is_some_and(|token| token == SESSION)
            || one
                .query
                .contains(&format!("X-Amz-Security-Token={SESSION}"))
    });
    assert!(with_token, "all is signed with the token");
    for secret in ["hush", S3Server::SECRET_KEY, S3Server::ACCESS_KEY] {
        assert!(!told.contains(secret), "{secret}: {told}");
        assert_eq!(process.log.count(secret), 0, "{secret}");
    }
}

#[test]
pub(crate) fn a_web_identity_is_a_role_for_a_while() {
    let service = Giver::start();
    service.answers("POST /", 200, sts());
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "identity"),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/images"),
        ("AWS_ROLE_SESSION_NAME", "registry"),
        ("AWS_ENDPOINT_URL_STS", &service.url()),
    ];
    serves(
        &variables,
        "a role for the token of AWS_WEB_IDENTITY_TOKEN_FILE",
    );
    let asked = service.asked();
    let words = [
        "Action=AssumeRoleWithWebIdentity",
        "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fimages",
        "RoleSessionName=registry",
        &format!("WebIdentityToken={IDENTITY}"),
    ];
    for word in words {
        assert!(asked[0][0].contains(word), "{word}: {asked:?}");
    }
}

#[test]
pub(crate) fn a_pod_has_its_role_by_its_token() {
    let agent = Giver::start();
    agent.answers("GET /v1/credentials", 200, json(3_600));
    let url = format!("{}/v1/credentials", agent.url());
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "identity"),
    ];
    serves(&variables, "the role of the pod");
    assert!(agent.heard(&format!("authorization: {IDENTITY}")));
}

#[test]
pub(crate) fn a_machine_has_its_role_in_a_session() {
    let machine = machine(3_600);
    let variables = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.url())];
    let variables = variables
        .each_ref()
        .map(|(name, url)| (*name, url.as_str()));
    serves(&variables, "the role of the machine");
    assert!(machine.heard("x-aws-ec2-metadata-token: hush-imds"));
}

#[test]
pub(crate) fn a_machine_that_knows_no_sessions_is_asked_without_unless_that_is_forbidden() {
    let machine = machine(3_600);
    machine.answers("PUT /latest/api/token", 403, "");
    let url = machine.url();
    let endpoint = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str());
    serves(&[endpoint], "the role of the machine");
    let bucket = S3Server::start();
    let disabled = ("AWS_EC2_METADATA_V1_DISABLED", "true");
    let root = folder(&bucket);
    let mut check = registry(&root, "check", &[endpoint, disabled]);
    let refused = check.output().unwrap();
    assert!(!refused.status.success());
}

#[test]
pub(crate) fn credentials_that_cannot_be_renewed_go_on_until_they_end() {
    // Less than is left when others are asked for, so that each request asks.
    let machine = machine(60);
    let url = machine.url();
    let variables = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str())];
    let bucket = S3Server::start();
    let root = folder(&bucket);
    let process = Process::start(registry(&root, "serve", &variables)).unwrap();
    let catalog = || Request::new("GET", "/v2/_catalog").send(process.address);
    assert_eq!(catalog().status, 200);
    machine.answers_all(403);
    // What has just come is not asked for at once again.
    wait_for(|| {
        assert_eq!(catalog().status, 200);
        let failed = process
            .log
            .count("the credentials for the store cannot be renewed");
        (failed > 0).then_some(())
    });
    for _ in 0..3 {
        assert_eq!(catalog().status, 200);
    }
    let line = process
        .log
        .wait("the credentials for the store cannot be renewed");
    assert!(
        line.contains("level=warning") && line.contains("goes_on=true"),
        "{line}"
    );

    // Then they have ended: the store says so.
    let ended = Fault::Status(StatusCode::BAD_REQUEST, "ExpiredToken");
    bucket.fail(Failure::new(When::Before, ended).times(10_000));
    let answer = catalog();
    assert_eq!((answer.status, answer.header("retry-after")), (503, "5"));
    process.log.wait("ExpiredToken");
    bucket.stop_failing();
    assert_eq!(catalog().status, 200);
    for secret in ["hush", S3Server::SECRET_KEY, S3Server::ACCESS_KEY] {
        assert_eq!(process.log.count(secret), 0, "{secret}");
    }
}

#[test]
pub(crate) fn who_gives_no_credentials_is_named_and_no_secret_is_shown() {
    let bucket = S3Server::start();
    let service = Giver::start();
    let url = service.url();
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "identity"),
        ("AWS_ROLE_ARN", "images"),
        ("AWS_ENDPOINT_URL_STS", url.as_str()),
    ];
    // Refused with a body, and an answer that is none, both with what was sent in them.
    let secrets = format!("<SecretAccessKey>{SESSION}</SecretAccessKey>{IDENTITY}");
    for status in [403, 200] {
        service.answers("POST /", status, secrets.clone());
        for word in ["check", "serve"] {
            let root = folder(&bucket);
            let ended = registry(&root, word, &variables).output().unwrap();
            assert!(!ended.status.success());
            let told = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
            let expected = "credentials of a role for the token of AWS_WEB_IDENTITY_TOKEN_FILE";
            assert!(told.contains(expected), "{told}");
            assert!(!told.contains("hush"), "{told}");
        }
    }
}
