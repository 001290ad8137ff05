//! The sessions that tutorials print, by curl itself: with a password, and with a token that is had for one.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use super::super::fixture::Fixture;
use crate::server::{Server, free_address};
use crate::sh;

const USER: &str = "testuser";
const PASSWORD: &str = "testpassword";

const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;

/// What each answer has, whatever it is.
const ALWAYS: &[&str] = &[
    "Docker-Distribution-Api-Version: registry/2.0",
    "X-Content-Type-Options: nosniff",
];

/// A registry with one user, and a shell that knows it as `$REGISTRY`.
struct Session {
    server: Server,
    folder: PathBuf,
    token: String,
}

impl Session {
    fn start(fixture: &Fixture, name: &str, more: &str) -> Result<Self> {
        let folder = fixture.folder(name)?;
        let mut line = sh::command(&fixture.binary);
        let line = sh::output(line.args(["htpasswd", "-nbBC", "5", USER, PASSWORD]))?;
        let users = folder.join("htpasswd");
        fs::write(&users, line + "\n")?;
        fs::write(folder.join("manifest.json"), MANIFEST)?;
        let path = users.display().to_string();
        let auth = format!("auth:\n  htpasswd: {{realm: Registry Realm, path: {path:?}}}\n{more}");
        let server = Server::start_with(&fixture.binary, &folder, &free_address()?, "info", &auth)?;
        let token = String::new();
        let session = Self {
            server,
            folder,
            token,
        };
        session.push()?;
        Ok(session)
    }

    /// What the line prints, and no carriage returns.
    fn prints(&self, line: &str) -> Result<String> {
        let mut shell = sh::command("sh");
        shell.args(["-c", line]).current_dir(&self.folder);
        shell.env("REGISTRY", format!("http://{}", self.server.address));
        shell.env("TOKEN", &self.token);
        Ok(sh::output(&mut shell)?.replace('\r', ""))
    }

    fn is(&self, line: &str, expected: &str) -> Result<()> {
        let printed = self.prints(line)?;
        ensure!(
            printed == expected,
            "{line} prints {printed:?}, not {expected:?}"
        );
        Ok(())
    }

    /// It shows a head with this first line, and these among the others.
    fn shows(&self, line: &str, status: &str, expected: &[&str]) -> Result<()> {
        let printed = self.prints(line)?;
        let mut lines = printed.lines();
        let first = lines.next().unwrap_or_default();
        ensure!(first == format!("HTTP/1.1 {status}"), "{line}: {printed}");
        let lines: Vec<&str> = lines.collect();
        for wanted in expected.iter().chain(ALWAYS) {
            ensure!(lines.contains(wanted), "{line}: no {wanted:?} in {printed}");
        }
        Ok(())
    }

    fn push(&self) -> Result<()> {
        let blob = "digest=sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        let octets = "-H 'Content-Type: application/octet-stream' --data-binary '{}'";
        let upload = "$REGISTRY/v2/library/app/blobs/uploads/";
        let login = format!("-u {USER}:{PASSWORD}");
        self.prints(&format!("curl -sSf {login} {octets} \"{upload}?{blob}\""))?;
        let kind = "-H 'Content-Type: application/vnd.oci.image.manifest.v1+json'";
        self.prints(&format!(
            "curl -sSf {login} -X PUT {kind} --data-binary @manifest.json \
             $REGISTRY/v2/library/app/manifests/latest"
        ))
        .map(drop)
    }
}

pub(super) fn with_a_password(fixture: &Fixture) -> Result<()> {
    let session = Session::start(fixture, "curl-password", "")?;
    let asked = "Www-Authenticate: Basic realm=\"Registry Realm\"";
    for line in ["curl -sI $REGISTRY/v2/", "curl -si $REGISTRY/v2/"] {
        session.shows(line, "401 Unauthorized", &[asked])?;
    }
    // A length that is not true has curl wait, or complain.
    let length = "curl -sI $REGISTRY/v2/ | sed -n 's/^Content-Length: //p'";
    let told = session.prints(length)?;
    session.is("curl -s $REGISTRY/v2/ | wc -c", &told)?;
    for wrong in ["testuser:wrong", "nobody:testpassword"] {
        let line = format!("curl -s -o /dev/null -w '%{{http_code}}' -u {wrong} $REGISTRY/v2/");
        session.is(&line, "401")?;
    }
    session.is("curl -s -u testuser:testpassword $REGISTRY/v2/", "{}")?;
    let entered = "curl -I -s -u testuser:testpassword $REGISTRY/v2/";
    session.shows(entered, "200 OK", &["Content-Length: 2"])?;
    for (path, expected) in [
        ("_catalog", r#"{"repositories":["library/app"]}"#),
        (
            "library/app/tags/list",
            r#"{"name":"library/app","tags":["latest"]}"#,
        ),
        ("library/app/manifests/latest", MANIFEST),
    ] {
        let line = format!("curl -sSf -u testuser:testpassword $REGISTRY/v2/{path}");
        session.is(&line, expected)?;
    }
    Ok(())
}

pub(super) fn with_a_token(fixture: &Fixture) -> Result<()> {
    let more = "extensions:\n  token: {service: registry.example.com}\n";
    let mut session = Session::start(fixture, "curl-token", more)?;
    let realm = format!("http://{}/auth/token", session.server.address);
    let bearer =
        format!("Www-Authenticate: Bearer realm=\"{realm}\",service=\"registry.example.com\"");
    let manifest = "$REGISTRY/v2/library/app/manifests/latest";
    let asked = format!("{bearer},scope=\"repository:library/app:pull\"");
    let line = format!("curl -sI {manifest}");
    session.shows(&line, "401 Unauthorized", &[&asked])?;

    let line = "curl -sSf -u testuser:testpassword \
        \"$REGISTRY/auth/token?service=registry.example.com&scope=repository:library/app:pull\"";
    let answer: serde_json::Value = serde_json::from_str(&session.prints(line)?)?;
    session.token = answer["token"].as_str().context("no token")?.to_owned();
    for shown in [
        "-H \"Authorization: Bearer $TOKEN\"",
        "--oauth2-bearer \"$TOKEN\"",
    ] {
        session.is(&format!("curl -sSf {shown} {manifest}"), MANIFEST)?;
        let line = format!("curl -I -s {shown} $REGISTRY/v2/");
        session.shows(&line, "200 OK", &["Content-Length: 2"])?;
        let push = format!("curl -si -X POST {shown} $REGISTRY/v2/library/app/blobs/uploads/");
        let lacks = format!(
            "{bearer},scope=\"repository:library/app:pull,push\",error=\"insufficient_scope\""
        );
        session.shows(&push, "401 Unauthorized", &[&lacks])?;
    }
    let old = "curl -sI -H \"Authorization: Bearer x$TOKEN\" $REGISTRY/v2/";
    let invalid = format!("{bearer},error=\"invalid_token\"");
    session.shows(old, "401 Unauthorized", &[&invalid])
}
