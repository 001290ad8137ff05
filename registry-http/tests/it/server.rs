//! Starts the binary on a free port with a root of its own, and ends it with the test.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::client::{Answer, Request};

/// How long a server may take to say where it listens.
const START: Duration = Duration::from_secs(60);

#[cfg_attr(
    not(feature = "fs"),
    allow(dead_code, reason = "nothing to restart in memory")
)]
pub(crate) struct Server {
    child: Child,
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
        let (child, address) = spawn(&root, &config);
        Self {
            child,
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
        (self.child, self.address) = spawn(&self.root, &self.config);
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

fn spawn(root: &TempDir, config: &str) -> (Child, SocketAddr) {
    let file = root.path().join("config.yml");
    std::fs::write(&file, config).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_registry"))
        .arg("serve")
        .arg(&file)
        .env_clear()
        .current_dir(root.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (told, listening) = mpsc::channel();
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
    let address = listening
        .recv_timeout(START)
        .expect("the server says where it listens");
    (child, address.parse().unwrap())
}

pub(crate) fn sha256(content: &[u8]) -> String {
    registry_core::hasher::digest_of(registry_core::Algorithm::Sha256, content).to_string()
}

pub(crate) fn sha512(content: &[u8]) -> String {
    registry_core::hasher::digest_of(registry_core::Algorithm::Sha512, content).to_string()
}
