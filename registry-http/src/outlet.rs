//! Lines on their way to standard output and standard error. A thread writes them, so that a
//! reader who stands still holds up nobody; what has no room meanwhile is dropped, and the log
//! tells how much that was once the reader goes on.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::mem::{swap, take};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that wait: what comes in some tenths of a second, however busy the server is. As
/// many again may be on their way.
const ROOM: usize = 4 << 20;

/// Beyond that there is room for what the threads that write have to tell themselves.
const RESERVE: usize = 64 << 10;

/// What a queue that was long may keep of its memory.
const KEPT: usize = 64 << 10;

/// How long the process waits at its end for a reader.
const LAST_LINES: Duration = Duration::from_secs(1);

thread_local! {
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

/// Takes lines and never waits for a reader. Clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Outlet(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: &'static str,
    queue: Mutex<Queue>,
    /// What waits, or whether something is being written.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<u8>,
    /// Lines that had no room, since the last were taken out.
    dropped: u64,
    writing: bool,
}

impl Outlet {
    /// To somewhere, which the log calls by this name.
    fn to(name: &'static str, out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            name,
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            out,
            lost: 0,
            failing: false,
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || writer.run())?;
        Ok(Self(shared))
    }

    /// Takes one line, or several, with their ends.
    pub(crate) fn put(&self, lines: &[u8]) {
        let room = match WRITES.get() {
            true => ROOM + RESERVE,
            false => ROOM,
        };
        let mut queue = self.0.queue();
        if queue.waiting.len() + lines.len() > room {
            queue.dropped += count(lines);
            return;
        }
        let was_empty = queue.waiting.is_empty();
        queue.waiting.extend_from_slice(lines);
        drop(queue);
        if was_empty {
            self.0.changed.notify_all();
        }
    }

    /// Waits until all that was taken is written, but no longer than that; whether it is.
    fn flush(&self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let busy = |queue: &mut Queue| queue.writing || !queue.waiting.is_empty();
        let waited = self
            .0
            .changed
            .wait_timeout_while(self.0.queue(), left, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // What it holds is whole after each statement.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// What the thread does.
struct Writer<W> {
    shared: Arc<Shared>,
    out: W,
    /// Lines that could not be written, and that nobody was told of.
    lost: u64,
    /// Whether the last write failed: then nobody is there.
    failing: bool,
}

impl<W: Write> Writer<W> {
    fn run(mut self) {
        WRITES.set(true);
        let mut batch = Vec::new();
        loop {
            self.lost += self.take(&mut batch);
            if self.lost > 0 && !self.failing {
                // Among the lines of the log, where those are missing that are missing from it.
                let (lines, name) = (take(&mut self.lost), self.shared.name);
                tracing::warn!(lines, "dropped lines: nobody read {name}");
            }
            let lost = self.write(&batch);
            self.failing = lost > 0;
            self.lost += lost;
            batch.clear();
            batch.shrink_to(KEPT);
        }
    }

    /// Waits for lines and takes them all. Says how many found no room behind them.
    fn take(&self, batch: &mut Vec<u8>) -> u64 {
        let mut queue = self.shared.queue();
        queue.writing = false;
        self.shared.changed.notify_all();
        let empty = |queue: &mut Queue| queue.waiting.is_empty();
        let waited = self.shared.changed.wait_while(queue, empty);
        queue = waited.unwrap_or_else(PoisonError::into_inner);
        swap(batch, &mut queue.waiting);
        queue.writing = true;
        take(&mut queue.dropped)
    }

    /// Says how many lines could not be written.
    fn write(&mut self, mut rest: &[u8]) -> u64 {
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(written @ 1..) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return count(rest),
            }
        }
        0
    }
}

impl Write for &Outlet {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.put(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Outlet {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

/// Both of a server. When they are dropped, what was said has been written, unless nobody reads
/// it.
#[derive(Debug)]
pub(crate) struct Outlets {
    /// Standard output.
    pub(crate) requests: Outlet,
    /// Standard error.
    pub(crate) log: Outlet,
    /// How long the end waits for a reader.
    patience: Duration,
}

impl Outlets {
    pub(crate) fn open() -> io::Result<Self> {
        // Without the buffer and the lock that the process has for each.
        let requests = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let log = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Ok(Self {
            requests: Outlet::to("standard output", requests)?,
            log: Outlet::to("standard error", log)?,
            patience: LAST_LINES,
        })
    }
}

impl Drop for Outlets {
    fn drop(&mut self) {
        let until = Instant::now() + self.patience;
        // The log last: it may yet be told of what was dropped.
        self.requests.flush(until);
        self.log.flush(until);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn line(n: usize) -> String {
        format!("{n:01023}\n")
    }

    #[test]
    fn lines_come_in_their_order_and_the_end_waits_for_them() {
        let (reader, writer) = io::pipe().unwrap();
        let requests = Outlet::to("a pipe", writer).unwrap();
        let outlets = Outlets {
            log: Outlet::to("nothing", io::sink()).unwrap(),
            requests: requests.clone(),
            patience: LONG,
        };
        let most = ROOM / line(0).len();
        for n in 0..most {
            requests.put(line(n).as_bytes());
        }
        // Far more than a pipe holds, and nobody has read any.
        assert!(!requests.flush(Instant::now()));
        let read = thread::spawn(move || {
            let lines = BufReader::new(reader).lines().take(most);
            lines.map(|line| line.unwrap() + "\n").collect::<Vec<_>>()
        });
        drop(outlets);
        assert!(requests.flush(Instant::now()));
        let expected: Vec<String> = (0..most).map(line).collect();
        assert!(read.join().unwrap() == expected);
    }

    #[test]
    fn what_has_no_room_is_dropped_whole_and_counted() {
        let (mut reader, writer) = io::pipe().unwrap();
        let outlet = Outlet::to("a pipe", writer).unwrap();
        let mut put = 0;
        while outlet.0.queue().dropped < 3 {
            outlet.put(line(put).as_bytes());
            put += 1;
        }
        // At most what waits and what is being written, and what the pipe holds.
        assert!(put * line(0).len() < 3 * ROOM, "{put}");
        let mut kept = vec![0; (put - 3) * line(0).len()];
        reader.read_exact(&mut kept).unwrap();
        let expected: String = (0..put - 3).map(line).collect();
        assert!(kept == expected.as_bytes());
        assert!(outlet.flush(Instant::now() + LONG));
        assert_eq!(outlet.0.queue().dropped, 0);
    }

    #[test]
    fn a_reader_who_has_gone_holds_up_nobody() {
        let (reader, writer) = io::pipe().unwrap();
        let outlet = Outlet::to("a pipe", writer).unwrap();
        drop(reader);
        for n in 0..10 {
            outlet.put(line(n).as_bytes());
            assert!(outlet.flush(Instant::now() + LONG));
        }
    }
}
