//! Distribution, of both generations, with us as its token service. It is started with its socket in
//! a folder of its own, and skipped, visibly, where it is not installed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{fs, thread};

use auth_token::Issuer;
use auth_token::issuer::{IssuerConfig, KeyKind};
use registry_core::access::{Access, Action};
use tempfile::TempDir;

use crate::given::{alice, pull, true_ambient};

/// What does not come within this time does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// How it is told of our keys.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    /// A file with our key set, by the names of its keys.
    KeySet,
    /// Our root, by the certificates in the tokens.
    Root,
}

/// One that runs, and is ended with this.
struct Distribution {
    child: Child,
    folder: TempDir,
}

impl Drop for Distribution {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Distribution {
    fn start(program: &Path, keys: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display();
        let config = format!(
            "version: 0.1\n\
             storage: {{filesystem: {{rootdirectory: {root}/store}}}}\n\
             http: {{net: unix, addr: {root}/socket}}\n\
             auth: {{token: {{realm: 'https://auth.example.com/token', service: service, \
             issuer: issuer, {keys}}}}}\n"
        );
        let file = folder.path().join("config.yml");
        fs::write(&file, config).unwrap();
        let mut child = Command::new(program)
            .arg("serve")
            .arg(&file)
            .env_clear()
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let this = Self { child, folder };
        let (tells, told) = mpsc::channel();
        // Read to the end, so that the process never waits for a reader.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = tells.send(line);
            }
        });
        let mut said = String::new();
        while let Ok(line) = told.recv_timeout(PATIENCE) {
            if line.contains("listening on") {
                return this;
            }
            said.push_str(&line);
            said.push('\n');
        }
        panic!("it does not listen: {said}");
    }

    /// Status and challenge of an answer.
    fn get(&self, path: &str, token: &str) -> (u16, String) {
        let mut stream = UnixStream::connect(self.folder.path().join("socket")).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|text| text.parse().ok());
        let challenge = answer
            .lines()
            .find(|line| line.to_lowercase().starts_with("www-authenticate"));
        (
            status.unwrap_or_else(|| panic!("{answer}")),
            challenge.unwrap_or_default().to_owned(),
        )
    }
}

/// An issuer by the clock of this machine.
fn issuer(folder: &Path, kind: KeyKind, by: By) -> Arc<Issuer> {
    let mut config = IssuerConfig::new("issuer", "service", folder.join("keys"));
    config.services.push("other".to_owned());
    config.kind = kind;
    config.certificates = by == By::Root;
    Issuer::open(config, true_ambient()).unwrap()
}

async fn token(issuer: &Issuer, service: &str, granted: &[Access]) -> String {
    let minted = issuer.mint(Some(alice()), service, granted).await.unwrap();
    minted.token.expose().clone()
}

/// Has it verify tokens of ours, and refuse those of another issuer.
async fn verifies(program: &Path, kind: KeyKind, by: By) {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(folder.path(), kind, by);
    let keys = match by {
        By::KeySet => {
            let file = folder.path().join("jwks.json");
            fs::write(&file, issuer.jwks().await).unwrap();
            format!("jwks: {}", file.display())
        }
        By::Root => {
            let file = issuer.root_certificate().unwrap();
            format!("rootcertbundle: {}", file.display())
        }
    };
    let theirs = Distribution::start(program, &keys);
    let what = format!("{kind:?} {by:?}");

    let good = token(&issuer, "service", &[pull(), Access::Catalog]).await;
    assert_eq!(theirs.get("/v2/", &good).0, 200, "{what}");
    assert_eq!(theirs.get("/v2/_catalog", &good).0, 200, "{what}");
    // Let in, and there is no such repository.
    assert_eq!(theirs.get("/v2/a/b/tags/list", &good).0, 404, "{what}");
    let (status, challenge) = theirs.get("/v2/other/tags/list", &good);
    assert_eq!(status, 401, "{what}");
    assert!(
        challenge.contains("insufficient_scope"),
        "{what} {challenge}"
    );

    let push = Access::repository(&"a/b".parse().unwrap(), Action::Push);
    let push = token(&issuer, "service", &[push]).await;
    assert_eq!(theirs.get("/v2/a/b/tags/list", &push).0, 401, "{what}");
    let other = token(&issuer, "other", &[pull()]).await;
    assert_eq!(theirs.get("/v2/", &other).0, 401, "{what}");
    let folder = tempfile::tempdir().unwrap();
    let foreign = self::issuer(folder.path(), kind, by);
    let foreign = token(&foreign, "service", &[pull()]).await;
    assert_eq!(theirs.get("/v2/", &foreign).0, 401, "{what}");
}

/// The program that `variable` names, or that is in the path and says it is of this version.
fn installed(variable: &str, program: &str, says: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = std::env::var_os(variable).map(PathBuf::from);
    let in_path = std::env::split_paths(&path).map(|dir| dir.join(program));
    let mut candidates = named
        .into_iter()
        .chain(in_path)
        .filter(|path| path.is_file());
    candidates.find(|path| {
        let told = Command::new(path).arg("--version").output();
        told.is_ok_and(|told| String::from_utf8_lossy(&told.stdout).contains(says))
    })
}

/// Past the harness, which would keep it to itself.
fn skip(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIP {what}: it is not installed");
}

#[tokio::test]
async fn distribution_3_verifies_our_tokens() {
    let Some(program) = installed("DISTRIBUTION_3", "registry", "/distribution/v3 ") else {
        // It would have to be built by Go, which CI does not have.
        return skip("our tokens by distribution 3");
    };
    for kind in [KeyKind::Es256, KeyKind::EdDsa] {
        for by in [By::KeySet, By::Root] {
            verifies(&program, kind, by).await;
        }
    }
}

/// It knows no key sets, and of our kinds of keys ES256 alone.
#[tokio::test]
async fn distribution_2_verifies_our_tokens() {
    let Some(program) = installed("DISTRIBUTION_2", "docker-registry", "/distribution ") else {
        return skip("our tokens by distribution 2");
    };
    verifies(&program, KeyKind::Es256, By::Root).await;
}
