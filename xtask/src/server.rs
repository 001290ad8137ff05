//! A registry as a child process: ours, or one to compare it with.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::{http, sh};

/// How long a start may take, and an end.
const PATIENCE: Duration = Duration::from_secs(20);

/// How to build the binary.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    Debug,
    Release,
}

/// The binary to test: `REGISTRY_BIN`, or else what the workspace builds.
pub(crate) fn binary(profile: Profile) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("REGISTRY_BIN") {
        let path = PathBuf::from(path);
        println!("note: testing {} in place of our own", path.display());
        return Ok(path);
    }
    let mut cargo = sh::cargo();
    cargo.args(["build", "--package", "registry-http", "--bin", "registry"]);
    let folder = match profile {
        Profile::Debug => "debug",
        Profile::Release => {
            cargo.arg("--release");
            "release"
        }
    };
    sh::run(&mut cargo)?;
    Ok(sh::target().join(folder).join("registry"))
}

/// Whether another server stands in for ours, so that what only ours can do is left out.
pub(crate) fn is_stand_in() -> bool {
    std::env::var_os("REGISTRY_BIN").is_some()
}

/// A registry, with nothing but its arguments and its configuration to tell it what to do.
pub(crate) fn command(binary: &Path) -> Command {
    let mut command = sh::command(binary);
    // Distribution 3 looks for a collector of traces unless told otherwise.
    command.env("OTEL_TRACES_EXPORTER", "none");
    // With a bundle of certificates of AWS's, distribution 2 does not start at all.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
}

/// A daemon of which we want only that it ends when we do.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) child: Child,
    name: String,
}

impl Daemon {
    /// Starts it with its output in `log`. It is told to end when we are killed, too.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        if let Some(setpriv) = sh::which("setpriv") {
            command = tied_to_us(&setpriv, &command);
        }
        let file = File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name })
    }

    /// An error as soon as it has ended.
    pub(crate) fn expect_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended with {status}", self.name);
        }
        Ok(())
    }

    /// Seconds of processor time used so far, user and system, by it and by those it has started.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let pid = self.child.id();
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let all = children.split_whitespace().map(cpu_seconds);
        all.fold(cpu_seconds(&pid.to_string()), |sum, more| Ok(sum? + more?))
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let pid = self.child.id().to_string();
        sh::output(sh::command("kill").args([&format!("-{name}"), &pid])).map(|_| ())
    }

    /// Asks it to end, then makes it.
    pub(crate) fn stop(&mut self) {
        let pid = self.child.id().to_string();
        let asked = matches!(self.child.try_wait(), Ok(None))
            && sh::output(sh::command("kill").args(["-TERM", &pid])).is_ok();
        let ended = || Ok(self.child.try_wait()?.map(|_| ()));
        if asked && sh::wait_for("the end", PATIENCE, ended).is_err() {
            eprintln!("warning: {} does not end when asked", self.name);
        }
        // Both fail when it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The same command, with a signal from the kernel at our end.
fn tied_to_us(setpriv: &Path, command: &Command) -> Command {
    let mut tied = Command::new(setpriv);
    tied.args(["--pdeathsig", "TERM", "--"])
        .arg(command.get_program())
        .args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => tied.env(key, value),
            None => tied.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        tied.current_dir(folder);
    }
    tied
}

/// A running registry, on a port and a store of its own.
#[derive(Debug)]
pub(crate) struct Server {
    daemon: Daemon,
    /// `127.0.0.1:PORT`, as a rule.
    pub(crate) address: String,
    pub(crate) root: PathBuf,
    log: PathBuf,
    /// Who says that it is the right one, where it speaks TLS.
    ca: Option<PathBuf>,
}

/// How a server is started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start<'a> {
    pub(crate) binary: &'a Path,
    /// Holds its store, its configuration and its log.
    pub(crate) folder: &'a Path,
    pub(crate) address: &'a str,
    pub(crate) level: &'a str,
    /// The section of its driver, if it is not to store in files.
    pub(crate) driver: Option<&'a str>,
    /// More lines of configuration. It may ask for a login.
    pub(crate) more: &'a str,
    pub(crate) tls: Option<&'a Tls>,
}

/// What a server speaks TLS with.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Whom clients trust.
    pub(crate) ca: PathBuf,
    /// Further variables, such as `REGISTRY_HTTP_TLS_MINIMUMTLS`.
    pub(crate) variables: Vec<(&'static str, &'static str)>,
}

impl Server {
    /// Starts `binary` with a store below `folder`, and waits until it answers.
    pub(crate) fn start(binary: &Path, folder: &Path, level: &str) -> Result<Self> {
        Self::start_with(binary, folder, &free_address()?, level, "")
    }

    /// The same at this address, with more lines of configuration. It may ask for a login.
    pub(crate) fn start_with(
        binary: &Path,
        folder: &Path,
        address: &str,
        level: &str,
        more: &str,
    ) -> Result<Self> {
        Self::launch(Start {
            binary,
            folder,
            address,
            level,
            driver: None,
            more,
            tls: None,
        })
    }

    /// The same with all that can be said of it.
    pub(crate) fn launch(start: Start<'_>) -> Result<Self> {
        let root = start.folder.join("store");
        let log = start.folder.join("server.log");
        fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        let config = start.folder.join("config.yml");
        let files = format!("filesystem: {{rootdirectory: {}}}", root.display());
        let driver = start.driver.unwrap_or(&files);
        let text = configuration(start.address, driver, start.level);
        fs::write(&config, text + start.more)?;
        let ready = match start.more.contains("auth:") {
            true => 401,
            false => 200,
        };
        let is_plain = !start.more.contains("tls:") && !start.more.contains("proxyprotocol:");

        let mut command = command(start.binary);
        command.arg("serve").arg(&config);
        if let Some(tls) = start.tls {
            command.env("REGISTRY_HTTP_TLS_CERTIFICATE", &tls.certificate);
            command.env("REGISTRY_HTTP_TLS_KEY", &tls.key);
            command.envs(tls.variables.iter().copied());
        }
        let daemon = Daemon::spawn(command, &log)?;
        let mut server = Self {
            daemon,
            address: start.address.to_owned(),
            root,
            log,
            ca: start.tls.map(|tls| tls.ca.clone()),
        };
        let answered = sh::wait_for("an answer of the server", PATIENCE, || {
            server.daemon.expect_alive()?;
            // Whoever asks in another way than we do is asked no more than whether it listens.
            if !is_plain {
                let connection = http::Connection::open(&server.address);
                return Ok(connection.ok().map(|_| ()));
            }
            let status = server.status("/v2/", &[]);
            Ok(status.ok().filter(|status| *status == ready).map(|_| ()))
        });
        if let Err(error) = answered {
            server.print_log();
            return Err(error);
        }
        Ok(server)
    }

    /// The status of its answer, whatever it speaks.
    pub(crate) fn status(&self, path: &str, headers: &[(&str, &str)]) -> Result<u16> {
        let Some(ca) = &self.ca else {
            let mut connection = http::Connection::open(&self.address)?;
            return Ok(connection.request("GET", path, headers, b"")?.status);
        };
        // We speak no TLS ourselves.
        let mut curl = sh::command("curl");
        curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}"]);
        curl.arg("--cacert").arg(ca);
        for (name, value) in headers {
            curl.args(["-H", &format!("{name}: {value}")]);
        }
        let said = sh::output(curl.arg(format!("https://{}{path}", self.address)))?;
        said.parse().with_context(|| format!("curl says {said}"))
    }

    /// Seconds of processor time used so far, user and system.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        self.daemon.cpu_seconds()
    }

    /// Bytes of memory that it held at its peak.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.daemon.child.id());
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kibibytes.context("it tells no peak")? << 10)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        self.daemon.signal(name)
    }

    /// What the server had to say.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// Shows what the server had to say.
    pub(crate) fn print_log(&self) {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let from = log.len().saturating_sub(16 << 10);
        let from = (from..log.len())
            .find(|at| log.is_char_boundary(*at))
            .unwrap_or(0);
        println!(
            "-- log of the server\n{}\n-- end of the log",
            log[from..].trim_end()
        );
    }
}

/// Of a process.
fn cpu_seconds(pid: &str) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The name in parentheses may hold anything; utime and stime are fields 14 and 15.
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .flat_map(str::parse::<u64>)
        .sum();
    Ok(ticks as f64 / 100.0) // USER_HZ is 100 wherever Linux runs
}

/// In the words of distribution, so that any of the three can be started with it. At `debug`,
/// requests have lines, too. Keys of `http` can follow.
fn configuration(address: &str, driver: &str, level: &str) -> String {
    let quiet = level != "debug";
    format!(
        "version: 0.1\n\
         log:\n  level: {level}\n  accesslog:\n    disabled: {quiet}\n\
         storage:\n  {driver}\n  delete:\n    enabled: true\n\
         http:\n  addr: {address}\n"
    )
}

/// An address nobody listens at, for now.
pub(crate) fn free_address() -> Result<String> {
    free_address_of("127.0.0.1")
}

/// The same at this address of the machine.
pub(crate) fn free_address_of(host: &str) -> Result<String> {
    let listener = TcpListener::bind((host, 0)).context("no port is free")?;
    Ok(listener.local_addr()?.to_string())
}
