//! The files of docs/examples: served by us, and by distribution where it is installed.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

#[cfg(feature = "s3")]
use storage_s3::testing::S3Server;
use tempfile::TempDir;

use crate::client::{Request, exchange, parse};
use crate::https::Authority;
use crate::process::Process;
use crate::server::{Server, Setup, command};
use crate::trace::skip_everywhere;

fn examples() -> BTreeMap<String, PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let files = fs::read_dir(dir).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, path)
    });
    let served = |name: &str| cfg!(feature = "s3") || name != "s3.yml";
    files
        .filter(|(name, _)| name.ends_with(".yml") && served(name))
        .collect()
}

/// A command with a root and ports of its own, whatever its file says.
pub(crate) fn elsewhere(mut command: Command, root: &TempDir) -> Command {
    for folder in ["certs", "store", "tls", "token"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    let (certificate, keys) = other_service();
    fs::write(root.path().join("token/root.crt"), certificate).unwrap();
    fs::write(root.path().join("token/jwks.json"), keys).unwrap();
    let (authority, certificate, key) = certificates();
    fs::write(root.path().join("tls/clients.crt"), authority).unwrap();
    fs::write(root.path().join("tls/server.crt"), certificate).unwrap();
    fs::write(root.path().join("tls/server.key"), key).unwrap();
    let (certificate, key) = Authority::new("an authority").pair(&["registry.example"]);
    fs::write(root.path().join("certs/domain.crt"), certificate).unwrap();
    fs::write(root.path().join("certs/domain.key"), key).unwrap();
    command
        .env_clear()
        .current_dir(root.path())
        .env("REGISTRY_HTTP_ADDR", "127.0.0.1:0")
        .env("REGISTRY_HTTP_DEBUG_ADDR", "127.0.0.1:0")
        .env("REGISTRY_LOG_LEVEL", "info")
        .env("OTEL_TRACES_EXPORTER", "none")
        .env(
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY",
            root.path().join("store"),
        );
    command
}

/// An authority, and what a server proves itself by.
fn certificates() -> &'static (String, String, String) {
    static MADE: OnceLock<(String, String, String)> = OnceLock::new();
    MADE.get_or_init(|| {
        let authority = Authority::new("an authority");
        let (certificate, key) = authority.pair(&["localhost"]);
        (
            fs::read_to_string(authority.file()).unwrap(),
            certificate,
            key,
        )
    })
}

/// The certificate and the keys of a token service.
fn other_service() -> &'static (Vec<u8>, Vec<u8>) {
    static MADE: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    MADE.get_or_init(|| {
        let more = "\
auth: {htpasswd: {realm: users, path: ./htpasswd}}
extensions: {token: {certificates: true}}
";
        let server = Server::with(
            "filesystem",
            Setup {
                more,
                ..Setup::default()
            },
        );
        let certificate = server.root.path().join("store/token-keys/root.crt");
        let keys = server.get("/auth/token/keys").body;
        (fs::read(certificate).unwrap(), keys)
    })
}

#[track_caller]
pub(crate) fn answers(address: SocketAddr, name: &str) {
    let answer = exchange(address, &Request::new("GET", "/v2/").wire());
    let status = parse(&answer).map(|answer| answer.status);
    // Where there are users, nobody else is let in.
    let users = ["access.yml", "htpasswd.yml", "token.yml"];
    let expected = match name {
        // They speak TLS, and say so to who does not.
        "client-certificates.yml" | "letsencrypt.yml" | "tls.yml" => 400,
        name if users.contains(&name) => 401,
        _ => 200,
    };
    assert_eq!(status, Some(expected), "{name}: {answer:?}");
}

/// The same for a file that may have another driver.
fn placed(command: Command, root: &TempDir, file: &Path) -> Command {
    let mut command = elsewhere(command, root);
    let text = fs::read_to_string(file).unwrap();
    if !text.contains("filesystem:") {
        command.env_remove("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY");
    }
    if text.contains("letsencrypt:") {
        let section = "REGISTRY_HTTP_TLS_LETSENCRYPT";
        command.env(format!("{section}_CACHEFILE"), root.path().join("kept"));
        // Nobody is there.
        let nowhere = "https://127.0.0.1:1/directory";
        command.env(format!("{section}_DIRECTORYURL"), nowhere);
    }
    #[cfg(feature = "s3")]
    if text.contains("  s3:") {
        command
            .env("REGISTRY_STORAGE_S3_REGIONENDPOINT", bucket().endpoint())
            .env("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", S3Server::SECRET_KEY);
    }
    command
}

/// Of all examples that want one.
#[cfg(feature = "s3")]
fn bucket() -> &'static S3Server {
    static STARTED: OnceLock<S3Server> = OnceLock::new();
    STARTED.get_or_init(S3Server::start)
}

#[test]
fn every_example_is_served_and_checked() {
    let examples = examples();
    assert!(examples.len() >= 4, "{examples:?}");
    for (name, file) in examples {
        let root = tempfile::tempdir().unwrap();
        let mut check = placed(command(&[]), &root, &file);
        let checked = check.arg("check").arg(&file).output().unwrap();
        assert!(checked.status.success(), "{name}: {checked:?}");
        let told = String::from_utf8(checked.stdout).unwrap();
        assert!(!told.contains("unknown key"), "{name}: {told}");

        let mut serve = placed(command(&[]), &root, &file);
        serve.arg("serve").arg(&file);
        let process = Process::start(serve).unwrap();
        answers(process.address, &name);
    }
}

/// The blocks of a page, with what they are said to be.
pub(crate) fn blocks(page: &str) -> Vec<(&str, &str)> {
    let parts = page.split("\n```").skip(1).step_by(2);
    parts.map(|part| part.split_once('\n').unwrap()).collect()
}

#[test]
fn what_the_page_on_access_says_is_so() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/access.md");
    let page = fs::read_to_string(file).unwrap();
    let root = tempfile::tempdir().unwrap();
    let check = |words: &[&str]| {
        let mut check = elsewhere(command(&[]), &root);
        let output = check.arg("check").args(words).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.success(), text)
    };
    let (mut configurations, mut questions) = (0, 0);
    for (kind, text) in blocks(&page) {
        if kind == "yaml" {
            let storage = "version: 0.1\nstorage: {filesystem: {}}\n";
            fs::write(root.path().join("config.yml"), storage.to_owned() + text).unwrap();
            let (success, told) = check(&["config.yml"]);
            assert!(success && !told.contains("unknown key"), "{text}\n{told}");
            configurations += 1;
        }
        let mut lines = text.lines();
        while kind == "console"
            && let (Some(question), Some(answer)) = (lines.next(), lines.next())
        {
            let words = question.strip_prefix("$ registry check ").unwrap();
            let (success, told) = check(&words.split(' ').collect::<Vec<_>>());
            assert!(told.starts_with(answer), "{question}\n{told}");
            assert_eq!(success, !answer.contains(" may not "), "{question}");
            questions += 1;
        }
    }
    assert_eq!((configurations, questions), (4, 8));
}

#[test]
fn distribution_2_serves_the_examples() {
    let program = Path::new("/usr/bin/docker-registry");
    match program.is_file() {
        true => serve_all_by(program, &["official-image-3.yml"]),
        false => skip_everywhere(
            "examples by distribution 2.8",
            "no /usr/bin/docker-registry",
        ),
    }
}

#[test]
fn distribution_3_serves_the_examples() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = std::env::split_paths(&path).map(|dir| dir.join("registry"));
    let is_theirs = |program: &PathBuf| {
        let version = Command::new(program).arg("--version").output();
        version.is_ok_and(|told| {
            String::from_utf8_lossy(&told.stdout).contains("distribution/distribution/v3")
        })
    };
    let found = candidates.filter(|path| path.is_file()).find(is_theirs);
    match found {
        Some(program) => serve_all_by(&program, &[]),
        // It would have to be built by Go, which CI does not have.
        None => skip_everywhere("examples by distribution 3", "no `registry` of it in PATH"),
    }
}

/// `but` are files that this version does not know.
fn serve_all_by(program: &Path, but: &[&str]) {
    for (name, file) in examples() {
        if but.contains(&&*name) {
            continue;
        }
        let root = tempfile::tempdir().unwrap();
        let mut serve = placed(Command::new(program), &root, &file);
        serve.arg("serve").arg(&file);
        let process = Process::start_saying(serve, "listening on 127.0.0.1:");
        let process = process.unwrap_or_else(|ended| panic!("{name}: {ended:?}"));
        answers(process.address, &name);
    }
}
