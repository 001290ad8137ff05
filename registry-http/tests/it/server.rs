//! Starts the binary on a free port with a root of its own, and ends it with the test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(feature = "s3")]
use storage_s3::testing::S3Server;
use tempfile::TempDir;

use crate::client::{Answer, Request};
use crate::process::{Ended, Process};

pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) root: TempDir,
    /// More of them on the same bucket, which all requests go to in turn.
    others: Vec<Process>,
    turn: AtomicUsize,
    /// What is stored in, where that is a bucket; it outlives the process.
    #[cfg(feature = "s3")]
    bucket: Option<S3Server>,
}

/// How many take turns, where several are asked for.
pub(crate) const REPLICAS: usize = 3;

/// How to start it, beyond the driver.
#[derive(Clone, Copy, Default)]
pub(crate) struct Setup<'a> {
    /// More lines of configuration, at the top level.
    pub(crate) more: &'a str,
    pub(crate) variables: &'a [(&'a str, &'a str)],
    /// A program and its arguments that the command line is given to.
    pub(crate) through: &'a [&'a str],
}

#[cfg_attr(
    not(feature = "fs"),
    allow(dead_code, reason = "nothing to restart in memory")
)]
impl Server {
    pub(crate) fn start(driver: &str) -> Self {
        Self::with(driver, Setup::default())
    }

    pub(crate) fn with(driver: &str, setup: Setup) -> Self {
        let root = tempfile::tempdir().unwrap();
        #[cfg(feature = "s3")]
        let bucket = ["s3", "replicas"].contains(&driver).then(S3Server::start);
        let storage = match driver {
            #[cfg(feature = "s3")]
            "s3" | "replicas" => crate::s3::section(bucket.as_ref().unwrap(), true),
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
        let config = format!("version: 0.1\nstorage:\n{storage}{delete}");
        std::fs::write(root.path().join("storage.yml"), config).unwrap();
        let process = launch(&root, setup).unwrap();
        let others = match driver {
            "replicas" => 1..REPLICAS,
            _ => 1..1,
        };
        let others = others.map(|_| launch(&root, setup).unwrap());
        Self {
            address: process.address,
            process,
            others: others.collect(),
            turn: AtomicUsize::new(0),
            root,
            #[cfg(feature = "s3")]
            bucket,
        }
    }

    /// The bucket that it stores in.
    #[cfg(feature = "s3")]
    pub(crate) fn bucket(&self) -> &S3Server {
        self.bucket.as_ref().unwrap()
    }

    /// Another one on the same root, or what it says instead.
    pub(crate) fn beside(&self, setup: Setup) -> Result<Process, Ended> {
        launch(&self.root, setup)
    }

    /// Kills it without warning and starts it again on the same root.
    pub(crate) fn restart(&mut self) {
        self.restart_with(Setup::default());
    }

    pub(crate) fn restart_with(&mut self, setup: Setup) {
        self.process.kill();
        self.process = launch(&self.root, setup).unwrap();
        self.address = self.process.address;
    }

    /// Where a path of the tree lies.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        let tree = self.root.path().join("store/docker/registry/v2");
        tree.join(path)
    }

    /// Whom the next request goes to.
    pub(crate) fn next(&self) -> SocketAddr {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % (self.others.len() + 1);
        match turn {
            0 => self.address,
            other => self.others[other - 1].address,
        }
    }

    pub(crate) fn send(&self, request: Request) -> Answer {
        request.send(self.next())
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

fn launch(root: &TempDir, setup: Setup) -> Result<Process, Ended> {
    let storage = std::fs::read_to_string(root.path().join("storage.yml")).unwrap();
    let file = root.path().join("config.yml");
    std::fs::write(&file, storage + setup.more).unwrap();
    let mut command = command(setup.through);
    command.arg("serve").arg(&file).current_dir(root.path());
    command
        .env_clear()
        .env("REGISTRY_HTTP_ADDR", "127.0.0.1:0")
        .envs(setup.variables.iter().copied());
    Process::start(command)
}

/// The binary, its command line given to a program with arguments if there is one.
pub(crate) fn command(through: &[&str]) -> Command {
    let binary = env!("CARGO_BIN_EXE_registry");
    let mut line = through.iter().copied().chain([binary]);
    let mut command = Command::new(line.next().unwrap_or(binary));
    command.args(line);
    command
}

pub(crate) fn sha256(content: &[u8]) -> String {
    registry_core::hasher::digest_of(registry_core::Algorithm::Sha256, content).to_string()
}

pub(crate) fn sha512(content: &[u8]) -> String {
    registry_core::hasher::digest_of(registry_core::Algorithm::Sha512, content).to_string()
}
