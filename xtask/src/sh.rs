//! Running programs, temporary folders, and how what happens is shown.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where cargo builds to.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Whether missing tools are errors here.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// A headline.
pub(crate) fn section(title: &str) {
    println!("\n== {title}");
}

/// Something that was not done, and why; in one form, so that it can be searched for.
pub(crate) fn skip(what: &str, why: &str) {
    println!("SKIP {what}: {why}");
}

/// The program to run, at the root of the workspace.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Shows the command, runs it with its output shown, and fails if it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs the command quietly and returns what it printed; all that it said is in the error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", shown(command)))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{} ended with {}\n{stdout}{stderr}",
            shown(command),
            output.status
        );
    }
    Ok(stdout.trim_end().to_owned())
}

/// The seconds of the commit, for what is to be the same whenever it is made.
pub(crate) fn commit_time() -> String {
    output(command("git").args(["log", "-1", "--format=%ct"])).unwrap_or_else(|_| "0".to_owned())
}

/// The command as one could type it.
fn shown(command: &Command) -> String {
    let mut text = String::new();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            text += &format!("{}={} ", key.to_string_lossy(), value.to_string_lossy());
        }
    }
    text += &command.get_program().to_string_lossy();
    for arg in command.get_args() {
        text.push(' ');
        text += &arg.to_string_lossy();
    }
    text
}

/// Where a program is, among our own tools or on the path.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Daemons live where an ordinary user's path does not reach.
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    [tools(), tools().join("cargo/bin")]
        .into_iter()
        .chain(std::env::split_paths(&path))
        .chain(more)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Where programs that we install ourselves are kept.
pub(crate) fn tools() -> PathBuf {
    target().join("tools")
}

/// A folder that goes when this does, whatever happened in between.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    /// On the file system of the build, where there is room.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let parent = target().join("xtask");
        remove_orphans(&parent);
        Self::under(&parent, name)
    }

    /// Where paths are short: the name of a socket has at most 107 bytes.
    pub(crate) fn short(name: &str) -> Result<Self> {
        Self::under(&std::env::temp_dir(), name)
    }

    pub(crate) fn under(parent: &Path, name: &str) -> Result<Self> {
        let path = parent.join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Clients leave folders without write permission behind; the shell's rm is no better.
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("warning: {} stays behind: {error}", self.0.display());
        }
    }
}

/// Removes folders of processes that were killed; what cannot be removed is left to the next.
fn remove_orphans(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.rsplit_once('-').map_or("", |(_, process)| process);
        if !Path::new("/proc").join(process).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Asks until the answer is there, or `limit` is over.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if start.elapsed() > limit {
            bail!("{what} did not come within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
