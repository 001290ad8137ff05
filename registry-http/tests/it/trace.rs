//! System calls, as strace tells them.
//!
//! strace stops a thread before and after a call, and writes a line before it lets the thread go
//! on. So if one call is done in a line above that in which another begins, then it was.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::server::command;

/// How long it may take to find out whether strace works.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the last line says when the process ended well and nothing of the trace is missing.
const END: &str = " +++ exited with 0 +++";

/// A system call, with the lines in which it begins and is done.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    arguments: String,
    result: String,
    pub(crate) begun: usize,
    /// The largest number if it never was.
    pub(crate) done: usize,
}

impl Call {
    pub(crate) fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str())
    }

    pub(crate) fn succeeded(&self) -> bool {
        !self.result.starts_with(['-', '?'])
    }

    /// Its arguments as strace writes them.
    pub(crate) fn arguments(&self) -> &str {
        &self.arguments
    }

    /// What its first argument, an open file, is at that moment.
    pub(crate) fn file(&self) -> &str {
        let open = self.arguments.split_once('<').map(|(_, rest)| rest);
        let path = open.and_then(|rest| rest.split_once('>'));
        path.unwrap_or_else(|| panic!("no file: {self:?}")).0
    }

    /// The paths among its arguments.
    pub(crate) fn paths(&self) -> Vec<&Path> {
        let quoted = self.arguments.split('"').skip(1).step_by(2);
        let paths: Vec<_> = quoted.map(Path::new).collect();
        let whole = paths.iter().all(|path| path.is_absolute());
        assert!(whole && !paths.is_empty(), "absolute paths: {self:?}");
        paths
    }
}

/// The calls of a whole trace, in the order in which they began.
pub(crate) fn calls(trace: &str) -> Vec<Call> {
    assert!(trace.trim_end().ends_with(END), "cut off: {trace}");
    let mut calls: Vec<Call> = Vec::new();
    let mut open: HashMap<&str, usize> = HashMap::new();
    for (at, line) in trace.lines().enumerate() {
        let (thread, event) = line.split_once(' ').unwrap_or_default();
        let event = event.trim_start();
        if event.starts_with("---") || event.starts_with("+++") {
            continue;
        }
        if let Some(resumed) = event.strip_prefix("<... ") {
            let (name, rest) = resumed.split_once(" resumed>").unwrap_or_default();
            let call = &mut calls[open.remove(thread).expect(line)];
            assert_eq!(call.name, name, "{line}");
            end(call, rest, at);
            continue;
        }
        let (name, rest) = event.split_once('(').expect(line);
        let mut call = Call {
            name: name.to_owned(),
            arguments: String::new(),
            result: "?".to_owned(),
            begun: at,
            done: usize::MAX,
        };
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            call.arguments.push_str(begun);
            open.insert(thread, calls.len());
        } else {
            end(&mut call, rest, at);
        }
        calls.push(call);
    }
    calls
}

/// What a line says of the end of a call: the rest of the arguments, and the result.
fn end(call: &mut Call, rest: &str, at: usize) {
    let (arguments, result) = rest.rsplit_once(" = ").expect(rest);
    let arguments = arguments.trim_end().strip_suffix(')').expect(rest);
    call.arguments.push_str(arguments);
    call.result = result.to_owned();
    call.done = at;
}

/// Why nothing is traced.
pub(crate) enum Untraced {
    /// It can be installed, and in CI must be.
    NotInstalled,
    /// Whoever runs this may not trace, as in some containers, and cannot help it.
    Refused(String),
}

impl From<String> for Untraced {
    fn from(why: String) -> Self {
        Self::Refused(why)
    }
}

/// What runs the binary so that these calls are written to `trace`; where that cannot be, why.
pub(crate) fn strace(calls: &[&str], trace: &Path) -> Result<Vec<String>, Untraced> {
    let program = installed("strace").ok_or(Untraced::NotInstalled)?;
    // A name that this processor's Linux does not know is no error.
    let calls = calls.iter().map(|call| format!("?{call}"));
    let calls = calls.collect::<Vec<_>>().join(",");
    // -D: it is the server that is our child, and strace the one who watches from aside.
    let options = [
        "-D",
        "-f",
        "-y",
        "-q",
        "-e",
        &format!("trace={calls}"),
        "-o",
    ];
    let name = |path: &Path| {
        path.to_str()
            .map(str::to_owned)
            .ok_or_else(|| "its path is no text".to_owned())
    };
    let mut through = vec![name(&program)?];
    through.extend(options.map(str::to_owned));
    through.push(name(trace)?);
    let parts: Vec<&str> = through.iter().map(String::as_str).collect();
    let said = try_out(&parts)?;
    let text = std::fs::read_to_string(trace).unwrap_or_default();
    if text.trim_end().ends_with(END) {
        Ok(through)
    } else {
        Err(format!("strace cannot trace here: {}", said.trim()).into())
    }
}

/// Runs the binary for a moment; what was said on the way.
fn try_out(through: &[&str]) -> Result<String, String> {
    let mut command = command(through);
    command.arg("--version").env_clear().stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn();
    let mut child = child.map_err(|error| format!("strace cannot be run: {error}"))?;
    let mut stderr = child.stderr.take().unwrap();
    let (told, said) = mpsc::channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        let _ = stderr.read_to_end(&mut text);
        let _ = told.send(String::from_utf8_lossy(&text).into_owned());
    });
    let said = said.recv_timeout(PATIENCE);
    let _ = child.kill();
    let said = said.map_err(|_| "strace does not come to an end".to_owned())?;
    child.wait().map_err(|error| error.to_string())?;
    Ok(said)
}

fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let candidates = std::env::split_paths(&path).map(|dir| dir.join(program));
    candidates.into_iter().find(|path| path.is_file())
}

/// Says that something is not tested, past the harness, which would keep it to itself. In CI
/// nothing may be missing that can be installed.
pub(crate) fn skip(what: &str, why: Untraced) {
    let ci = std::env::var("CI").unwrap_or_default();
    let why = match why {
        Untraced::NotInstalled => {
            assert!(ci.is_empty() || ci == "false", "{what}: strace is missing");
            "strace is not installed".to_owned()
        }
        Untraced::Refused(why) => why,
    };
    skip_everywhere(what, &why);
}

/// The same of what CI need not have either.
pub(crate) fn skip_everywhere(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIP {what}: {why}");
}

#[test]
fn a_call_that_others_interrupt_ends_where_it_is_resumed() {
    let calls = calls(
        "7     fsync(9</a/b> <unfinished ...>\n\
         8     rename(\"/a/x\", \"/a/b/y\") = -1 ENOENT (No such file or directory)\n\
         8     --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER} ---\n\
         8     write(3<socket:[5]>, \"a = (b\", 6 <unfinished ...>\n\
         7     <... fsync resumed>)              = 0\n\
         8     <... write resumed>)              = 6\n\
         9     exit_group(0 <unfinished ...>\n\
         7     +++ exited with 0 +++\n",
    );
    let lines: Vec<_> = calls.iter().map(|call| (call.begun, call.done)).collect();
    assert_eq!(lines, [(0, 4), (1, 1), (3, 5), (6, usize::MAX)]);
    let succeeded: Vec<_> = calls.iter().map(Call::succeeded).collect();
    assert_eq!(succeeded, [true, false, true, false]);
    assert_eq!(calls[0].file(), "/a/b");
    assert_eq!(calls[1].paths(), [Path::new("/a/x"), Path::new("/a/b/y")]);
    assert_eq!(calls[2].file(), "socket:[5]");
    assert_eq!(calls[2].arguments(), "3<socket:[5]>, \"a = (b\", 6");
}
