//! Starts the binary on a free port with a root of its own, and ends it with the test.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::{Answer, Request};

/// How long a server may take to say where it listens.
const START: Duration = Duration::from_secs(60);

/// How long a server may take to end when it is asked to.
const STOP: Duration = Duration::from_secs(60);

/// What runs the binary: a program and its arguments, before the binary's own; nothing for none.
pub(crate) type Launcher = [OsString];

#[cfg_attr(
    not(feature = "fs"),
    allow(dead_code, reason = "nothing to restart in memory")
)]
pub(crate) struct Server {
    child: Child,
    /// Disconnected when nobody holds the server's stderr any more.
    said: Receiver<String>,
    launcher: Vec<OsString>,
    pub(crate) address: SocketAddr,
    pub(crate) root: TempDir,
    config: String,
}

impl Server {
    pub(crate) fn start(driver: &str) -> Self {
        Self::with(driver, "")
    }

    /// With more lines of configuration, at the top level.
    pub(crate) fn with(driver: &str, more: &str) -> Self {
        Self::launch(&[], driver, more)
    }

    /// Run by another program, which must hold on to stderr until it has ended itself.
    pub(crate) fn launch(launcher: &Launcher, driver: &str, more: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let storage = match driver {
            "filesystem" => {
                let root = root.path().join("store");
                format!(
                    "  filesystem: {{ rootdirectory: {:?} }}\n",
                    root.display().to_string()
                )
            }
            other => format!("  {other}: {{}}\n"),
        };
        let delete = "  delete: { enabled: true }\n";
        let http = "http: { addr: \"127.0.0.1:0\" }\n";
        let config = format!("version: 0.1\nstorage:\n{storage}{delete}{http}{more}");
        let (child, said, address) = spawn(launcher, &root, &config);
        Self {
            child,
            said,
            launcher: launcher.to_owned(),
            address,
            root,
            config,
        }
    }

    #[cfg_attr(
        not(feature = "fs"),
        allow(dead_code, reason = "nothing to restart in memory")
    )]
    /// Kills it without warning and starts it again on the same root.
    pub(crate) fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        (self.child, self.said, self.address) = spawn(&self.launcher, &self.root, &self.config);
    }

    /// Asks it to end, and waits until it has, and what ran it, too.
    #[cfg_attr(
        not(feature = "fs"),
        allow(dead_code, reason = "nothing to read in memory")
    )]
    pub(crate) fn stop(&mut self) -> ExitStatus {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let deadline = Instant::now() + STOP;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.said.recv_timeout(left) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => panic!("the server does not end"),
            }
        }
    }

    pub(crate) fn send(&self, request: Request) -> Answer {
        request.send(self.address)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(Request::new("GET", path))
    }

    pub(crate) fn head(&self, path: &str) -> Answer {
        self.send(Request::new("HEAD", path))
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send(Request::new("DELETE", path))
    }

    /// Pushes a blob by POST and PUT, and says its digest.
    pub(crate) fn push_blob(&self, repo: &str, content: &[u8]) -> String {
        let digest = sha256(content);
        let begun = self.send(Request::new("POST", &format!("/v2/{repo}/blobs/uploads/")));
        assert_eq!(begun.status, 202, "{begun:?}");
        let url = format!("{}&digest={digest}", begun.header("location"));
        let answer = self.send(Request::new("PUT", &url).body(content));
        assert_eq!(answer.status, 201, "{answer:?}");
        digest
    }

    /// Pushes a manifest, and says its digest.
    pub(crate) fn push_manifest(&self, repo: &str, reference: &str, body: &str) -> String {
        let answer = self.put_manifest(repo, reference, body);
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.header("docker-content-digest").to_owned()
    }

    pub(crate) fn put_manifest(&self, repo: &str, reference: &str, body: &str) -> Answer {
        let kind: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let kind = kind["mediaType"]
            .as_str()
            .unwrap_or("application/vnd.oci.image.manifest.v1+json");
        let request = Request::new("PUT", &format!("/v2/{repo}/manifests/{reference}"));
        self.send(request.header("Content-Type", kind).body(body.as_bytes()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(
    launcher: &Launcher,
    root: &TempDir,
    config: &str,
) -> (Child, Receiver<String>, SocketAddr) {
    let file = root.path().join("config.yml");
    std::fs::write(&file, config).unwrap();
    let mut child = command(launcher)
        .arg("serve")
        .arg(&file)
        .env_clear()
        .current_dir(root.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (told, said) = mpsc::channel();
    // Reads to the end, so that the server never blocks on a full pipe.
    thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            if let Some(at) = line.find("address=127.0.0.1:") {
                let text = line[at + 8..]
                    .split(' ')
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                let _ = told.send(text);
            } else if line.contains("ERROR") || line.contains("panicked") {
                eprintln!("server: {line}");
            }
        }
    });
    let address = said
        .recv_timeout(START)
        .expect("the server says where it listens");
    (child, said, address.parse().unwrap())
}

/// The binary, run by `launcher`.
pub(crate) fn command(launcher: &Launcher) -> Command {
    let binary = env!("CARGO_BIN_EXE_registry");
    match launcher {
        [] => Command::new(binary),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(binary);
            command
        }
    }
}

pub(crate) fn sha256(content: &[u8]) -> String {
    registry_core::hasher::digest_of(registry_core::Algorithm::Sha256, content).to_string()
}

pub(crate) fn sha512(content: &[u8]) -> String {
    registry_core::hasher::digest_of(registry_core::Algorithm::Sha512, content).to_string()
}
