//! nginx itself.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::server::{Daemon, free_address};
use crate::sh;

const MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// What nginx would keep in folders of the system.
const TEMPORARY: [&str; 5] = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

#[derive(Debug)]
pub(crate) struct Front {
    // Ends with us.
    _daemon: Daemon,
    /// Where clients connect to.
    pub(crate) address: String,
    log: PathBuf,
}

impl Front {
    /// Starts it with a block of the page, in which it replaces addresses and files.
    pub(super) fn start(
        folder: &Path,
        template: &str,
        registry: &str,
        certificate: &Path,
        key: &Path,
    ) -> Result<Self> {
        let address = free_address()?;
        let mut text = template.to_owned();
        let is_http = template.starts_with("http {");
        let mut replace = |from: &str, to: &str| {
            ensure!(text.contains(from), "the page has no {from:?}");
            text = text.replace(from, to);
            Ok(())
        };
        replace("127.0.0.1:5000", registry)?;
        if is_http {
            replace("listen 443 ssl", &format!("listen {address} ssl"))?;
            replace(
                "/etc/nginx/registry.crt",
                &certificate.display().to_string(),
            )?;
            replace("/etc/nginx/registry.key", &key.display().to_string())?;
            replace("TEMPORARY", &temporary(folder))?;
        } else {
            replace("listen 5443;", &format!("listen {address};"))?;
        }
        Self::listen(folder, address, &text)
    }

    /// Starts it with what stands in a file of its own below `http`, which has it listen at this
    /// address.
    pub(crate) fn listen_with(folder: &Path, address: String, included: &str) -> Result<Self> {
        let block = format!("http {{\n{}{included}\n}}\n", temporary(folder));
        Self::listen(folder, address, &block)
    }

    /// Starts it with a block that has it listen at this address.
    pub(in super::super) fn listen(folder: &Path, address: String, block: &str) -> Result<Self> {
        let file = folder.join("nginx.conf");
        fs::write(&file, main(folder) + block)?;
        let log = folder.join("nginx.log");
        let mut nginx = sh::command("nginx");
        nginx.arg("-e").arg("stderr").arg("-c").arg(&file);
        let mut daemon = Daemon::spawn(nginx, &log)?;
        sh::wait_for("nginx", Duration::from_secs(20), || {
            daemon.expect_alive()?;
            Ok(TcpStream::connect(&address).ok().map(|_| ()))
        })
        .inspect_err(|_| println!("{}", fs::read_to_string(&log).unwrap_or_default()))?;
        Ok(Self {
            _daemon: daemon,
            address,
            log,
        })
    }

    /// What it has said.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }
}

/// What stands above the block: all that is the machine's.
fn main(folder: &Path) -> String {
    let module = match Path::new(MODULE).exists() {
        true => format!("load_module {MODULE};\n"),
        false => String::new(),
    };
    let folder = folder.display();
    format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid {folder}/nginx.pid;\n\
         error_log stderr warn;\n{module}events {{}}\n"
    )
}

fn temporary(folder: &Path) -> String {
    let lines = TEMPORARY.iter().map(|name| {
        let folder = folder.display();
        format!("{name}_temp_path {folder}/nginx-{name};\n")
    });
    lines.chain(["access_log off;".to_owned()]).collect()
}

/// Whether it knows what a stream is.
pub(in super::super) fn has_streams() -> Result<bool> {
    let mut says = sh::command("sh");
    let says = sh::output(says.args(["-c", "nginx -V 2>&1"]))?;
    let is_built_in = says.split_whitespace().any(|word| word == "--with-stream");
    Ok(is_built_in || Path::new(MODULE).exists())
}
