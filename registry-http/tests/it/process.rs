//! The binary as a process: started, listened to, and told to end.

use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that is waited for.
const LONG: Duration = Duration::from_secs(60);

/// What is on the line that says where it listens, in each form of the log.
const LISTENS: &str = "serving; ";

/// Stands for the address of a server that listens on a socket of the file system.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A server that listens.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Standard error.
    pub(crate) log: Log,
    /// Standard output, where requests are logged.
    pub(crate) access: Log,
}

/// A program that ended before it listened.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) lines: Vec<String>,
}

impl Process {
    /// Starts it with no variables but those that the command sets, and waits until it listens
    /// or has ended.
    pub(crate) fn start(command: Command) -> Result<Self, Ended> {
        Self::launch(command, Stdio::null(), LISTENS)
    }

    /// The same with something on its standard input.
    pub(crate) fn start_with(command: Command, stdin: Stdio) -> Result<Self, Ended> {
        Self::launch(command, stdin, LISTENS)
    }

    /// The same of a program that has other words for where it listens.
    pub(crate) fn start_saying(command: Command, listens: &str) -> Result<Self, Ended> {
        Self::launch(command, Stdio::null(), listens)
    }

    fn launch(command: Command, stdin: Stdio, listens: &str) -> Result<Self, Ended> {
        let (mut child, log, access) = spawn(command, stdin);
        match log.find(listens) {
            Some(line) => {
                let socket = line.contains(".sock").then_some(NOWHERE);
                let address = address_in(&line).or(socket);
                let address = address.unwrap_or_else(|| panic!("{line}"));
                Ok(Self {
                    child,
                    address,
                    log,
                    access,
                })
            }
            None => Err(Ended {
                code: end_of(&mut child).code(),
                lines: log.lines(),
            }),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal: `TERM`, `INT`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Waits for the end, and for the last line.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let status = end_of(&mut self.child);
        self.log.wait_for_end();
        self.access.wait_for_end();
        status
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address)
    }
}

/// A connection on which nothing stands still for ever.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    stream
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let from = &line[line.find("127.0.0.1:")?..];
    let ends = |c: char| !c.is_ascii_digit() && !".:".contains(c);
    from.split(ends).next()?.parse().ok()
}

fn spawn(mut command: Command, stdin: Stdio) -> (Child, Log, Log) {
    command.stdin(stdin).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let log = Log::of(child.stderr.take().unwrap());
    let access = Log::of(child.stdout.take().unwrap());
    (child, log, access)
}

/// Sends a signal, by its name without `SIG`.
pub(crate) fn signal(process: u32, name: &str) {
    let mut kill = Command::new("/bin/sh");
    kill.args(["-c", "kill -s \"$0\" \"$1\"", name]);
    assert!(kill.arg(process.to_string()).status().unwrap().success());
}

/// Waits for the end.
pub(crate) fn end_of(child: &mut Child) -> ExitStatus {
    wait_for(|| child.try_wait().unwrap())
}

/// What a server says on one of its outputs.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<(Mutex<Said>, Condvar)>);

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    ended: bool,
    paused: bool,
}

impl Log {
    fn of(output: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let said = log.clone();
        thread::spawn(move || said.follow(output));
        log
    }

    /// Reads to the end, so that the server never finds a full pipe, but for when that is wanted.
    fn follow(&self, output: impl Read) {
        let (said, news) = &*self.0;
        let goes_on = || drop(news.wait_while(said.lock().unwrap(), |said| said.paused));
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.contains("level=error") || line.contains("panicked") {
                eprintln!("server: {line}");
            }
            said.lock().unwrap().lines.push(line);
            news.notify_all();
            goes_on();
        }
        said.lock().unwrap().ended = true;
        news.notify_all();
    }

    /// Stands still, after one more line at most, or goes on.
    pub(crate) fn pause(&self, paused: bool) {
        let (said, news) = &*self.0;
        said.lock().unwrap().paused = paused;
        news.notify_all();
    }

    pub(crate) fn wait_for_end(&self) {
        let (said, news) = &*self.0;
        let said = said.lock().unwrap();
        let waited = news.wait_timeout_while(said, LONG, |said| !said.ended);
        assert!(!waited.unwrap().1.timed_out(), "somebody holds its output");
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.0.lock().unwrap().lines.clone()
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.lines()
            .iter()
            .filter(|line| line.contains(what))
            .count()
    }

    /// Waits for a line that contains this.
    pub(crate) fn wait(&self, what: &str) -> String {
        self.find(what)
            .unwrap_or_else(|| panic!("it ended without saying {what:?}: {:?}", self.lines()))
    }

    /// The first line that contains this, as soon as there is one; none if the end comes first.
    fn find(&self, what: &str) -> Option<String> {
        let (said, news) = &*self.0;
        let found = |said: &Said| said.lines.iter().find(|line| line.contains(what)).cloned();
        let waiting = |said: &mut Said| found(said).is_none() && !said.ended;
        let (said, late) = news
            .wait_timeout_while(said.lock().unwrap(), LONG, waiting)
            .unwrap();
        assert!(!late.timed_out(), "{what:?} is not among {:?}", said.lines);
        found(&said)
    }
}

/// Asks until there is an answer, for a while.
pub(crate) fn wait_for<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + LONG;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "waited too long");
        // tidy: sleep: between two looks at a condition that has a limit
        thread::sleep(Duration::from_millis(1));
    }
}
