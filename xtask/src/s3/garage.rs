//! Garage: three nodes that keep everything three times.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Endpoint;
use crate::server::{Daemon, free_address};
use crate::sh;

/// How long the nodes may take to start and to find each other.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the nodes know each other by, and what it takes to be let in: their forms are given.
const SECRET: &str = "1799bccfd7411eddcf9ebd316bc1f5287ad12a68094e1c6ac6abde7e6feae1ec";
const ACCESS_KEY: &str = "GK31c2f218a2e44f485b94239e";
const SECRET_KEY: &str = "b892c0665f0ada8a4755dae98baa3b133590e11dae3bcc1f9d769d67f16c3835";

/// Three nodes, of which one may be missing.
#[derive(Debug)]
pub(crate) struct Garage {
    nodes: Vec<Node>,
}

/// One of them; its objects, its configuration and its log are below its folder.
#[derive(Debug)]
struct Node {
    folder: PathBuf,
    daemon: Daemon,
    endpoint: Endpoint,
    /// What the others find it by.
    name: String,
}

impl Garage {
    /// Where the program is, if it is here.
    pub(crate) fn program() -> Option<PathBuf> {
        sh::which("garage")
    }

    /// Starts three below the folder, lets them find each other, and waits until they take
    /// requests of one who may make buckets.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let nodes: Result<Vec<Node>> = (1..=3)
            .map(|number| Node::start(&folder.join(number.to_string())))
            .collect();
        let nodes = nodes?;
        let first = &nodes[0];
        for other in &nodes[1..] {
            first.tell(&["node", "connect", &other.name])?;
        }
        for node in &nodes {
            let id = node.name.split('@').next().unwrap_or_default();
            first.tell(&["layout", "assign", "--zone", "here", "--capacity", "1G", id])?;
        }
        first.tell(&["layout", "apply", "--version", "1"])?;
        first.tell(&[
            "key", "import", "--yes", "-n", "registry", ACCESS_KEY, SECRET_KEY,
        ])?;
        first.tell(&["key", "allow", "--create-bucket", "registry"])?;
        for node in &nodes {
            sh::wait_for("an answer of Garage", PATIENCE, || {
                Ok(node.endpoint.answers().then_some(()))
            })?;
        }
        Ok(Self { nodes })
    }

    /// Where the first node answers.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.nodes[0].endpoint
    }

    /// Sends a signal to a node; the first is 0.
    pub(crate) fn signal(&self, node: usize, name: &str) -> Result<()> {
        self.nodes[node].daemon.signal(name)
    }

    /// Starts a node again that was killed.
    pub(crate) fn restart(&mut self, node: usize) -> Result<()> {
        let node = &mut self.nodes[node];
        node.daemon = node.spawn()?;
        sh::wait_for("an answer of Garage", PATIENCE, || {
            node.daemon.expect_alive()?;
            Ok(node.endpoint.answers().then_some(()))
        })
    }

    /// Shows what the nodes had to say.
    pub(crate) fn print_log(&self) {
        for node in &self.nodes {
            let log = fs::read_to_string(node.folder.join("log")).unwrap_or_default();
            println!(
                "-- log of {}\n{}\n-- end of the log",
                node.name,
                log.trim_end()
            );
        }
    }
}

impl Node {
    fn start(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (rpc, api) = (free_address()?, free_address()?);
        let endpoint = Endpoint {
            address: api.clone(),
            region: "garage",
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
        };
        let place = folder.display();
        // What is synced to disk is not looked at here.
        let text = format!(
            "metadata_dir = \"{place}/meta\"\ndata_dir = \"{place}/data\"\n\
             db_engine = \"lmdb\"\nmetadata_fsync = false\ndata_fsync = false\n\
             replication_factor = 3\nconsistency_mode = \"consistent\"\n\
             rpc_bind_addr = \"{rpc}\"\nrpc_public_addr = \"{rpc}\"\n\
             rpc_secret = \"{SECRET}\"\n\
             [s3_api]\ns3_region = \"{}\"\napi_bind_addr = \"{api}\"\n",
            endpoint.region
        );
        fs::write(folder.join("garage.toml"), text)?;
        let mut node = Self {
            folder: folder.to_owned(),
            daemon: spawn(folder)?,
            endpoint,
            name: String::new(),
        };
        node.name = sh::wait_for("Garage", PATIENCE, || {
            node.daemon.expect_alive()?;
            // Its key is there before it listens.
            Ok(node
                .tell(&["status"])
                .is_ok()
                .then(|| node.tell(&["node", "id", "-q"])))
        })??;
        Ok(node)
    }

    fn spawn(&self) -> Result<Daemon> {
        spawn(&self.folder)
    }

    /// Runs a command at it.
    fn tell(&self, words: &[&str]) -> Result<String> {
        sh::output(command(&self.folder)?.args(words))
    }
}

fn spawn(folder: &Path) -> Result<Daemon> {
    let mut command = command(folder)?;
    command.arg("server").env("RUST_LOG", "garage=info");
    Daemon::spawn(command, &folder.join("log"))
}

fn command(folder: &Path) -> Result<Command> {
    let mut command = sh::command(Garage::program().context("no Garage")?);
    command.arg("-c").arg(folder.join("garage.toml"));
    Ok(command)
}
