//! MinIO.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Endpoint;
use crate::server::{Daemon, free_address};
use crate::sh;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// MinIO, one node on one folder.
#[derive(Debug)]
pub(crate) struct Minio {
    /// Ends with this.
    pub(crate) daemon: Daemon,
    pub(crate) endpoint: Endpoint,
    log: PathBuf,
}

impl Minio {
    /// Where the program is, if it is here.
    pub(crate) fn program() -> Option<PathBuf> {
        sh::which("minio")
    }

    /// Starts it with its objects and its log below the folder, and waits until it takes requests.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let endpoint = Endpoint {
            address: free_address()?,
            region: "us-east-1",
            access_key: "registry".to_owned(),
            secret_key: "registry-secret".to_owned(),
        };
        let mut command = sh::command(Self::program().context("no MinIO")?);
        command.args(["server", "--quiet", "--address", &endpoint.address]);
        command.arg(folder.join("objects"));
        command.env("MINIO_ROOT_USER", &endpoint.access_key);
        command.env("MINIO_ROOT_PASSWORD", &endpoint.secret_key);
        // It would open a port for people, too, and look for newer versions of itself.
        command
            .env("MINIO_BROWSER", "off")
            .env("MINIO_UPDATE", "off");
        let log = folder.join("minio.log");
        std::fs::create_dir_all(folder)?;
        let mut minio = Self {
            daemon: Daemon::spawn(command, &log)?,
            endpoint,
            log,
        };
        // It answers before it has read what is there, and then with 503.
        let ready = sh::wait_for("an answer of MinIO", PATIENCE, || {
            minio.daemon.expect_alive()?;
            Ok(minio.endpoint.answers().then_some(()))
        });
        if let Err(error) = ready {
            minio.print_log();
            return Err(error);
        }
        Ok(minio)
    }

    /// Shows what it had to say.
    pub(crate) fn print_log(&self) {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        println!("-- log of MinIO\n{}\n-- end of the log", log.trim_end());
    }
}
