//! A proxy in front of an S3 server that delays, fails and counts, as networks and stores do.
//!
//! Requests pass as they came, `Host` included, since that is signed: whoever is tested has the
//! proxy's address as its endpoint. A thread serves each connection, with one of its own to the
//! server.

mod connection;
mod faults;
mod operation;
mod wire;

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};

pub(crate) use self::faults::{Failure, Fault, When};
pub(crate) use self::operation::Seen;

use self::connection::Connection;
use self::faults::Faults;

/// Runs until it is dropped; then every connection ends.
#[derive(Debug)]
pub(crate) struct FaultProxy {
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    /// Microseconds before a request goes on.
    latency: AtomicU64,
    faults: Mutex<Faults>,
    log: Mutex<Log>,
    /// Clients, to be told of the end.
    open: Mutex<BTreeMap<u64, TcpStream>>,
    over: AtomicBool,
}

/// What has arrived.
#[derive(Debug, Default)]
struct Log {
    /// How many were taken.
    before: usize,
    seen: Vec<Seen>,
}

impl FaultProxy {
    /// In front of the server at `upstream`, on a free port of the loopback.
    pub(crate) fn start(upstream: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port for the proxy")?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            latency: AtomicU64::new(0),
            faults: Mutex::default(),
            log: Mutex::default(),
            open: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let inside = Arc::clone(&shared);
        let accepting = thread::spawn(move || accept(&listener, &inside));
        Ok(Self {
            address,
            shared,
            accepting: Some(accepting),
        })
    }

    /// How long every request waits from now on before it goes on.
    pub(crate) fn delay(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.shared.latency.store(micros, Ordering::SeqCst);
    }

    /// Fails as told, until all of that has happened.
    pub(crate) fn fail(&self, failure: Failure) {
        lock(&self.shared.faults).add(failure);
    }

    /// Forgets what it was told to fail with, and says how much of it has not happened.
    pub(crate) fn stop_failing(&self) -> usize {
        lock(&self.shared.faults).clear()
    }

    /// How many requests have arrived since the log was last taken.
    pub(crate) fn count(&self) -> usize {
        lock(&self.shared.log).seen.len()
    }

    /// What has arrived since the last look, in that order.
    pub(crate) fn take_log(&self) -> Vec<Seen> {
        let mut log = lock(&self.shared.log);
        log.before += log.seen.len();
        std::mem::take(&mut log.seen)
    }
}

/// How often each operation was asked for, such as `GetObject 2, PutObject 3`.
pub(crate) fn tally(log: &[Seen]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for one in log {
        *counts.entry(one.operation).or_default() += 1;
    }
    let counts = counts.iter().map(|(name, count)| format!("{name} {count}"));
    counts.collect::<Vec<_>>().join(", ")
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        for client in lock(&self.shared.open).values() {
            // It may have ended by itself.
            let _ = client.shutdown(Shutdown::Both);
        }
        // Wakes the thread that waits for clients; if that fails, the process ends it.
        if TcpStream::connect(&self.address).is_ok()
            && let Some(accepting) = self.accepting.take()
        {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (number, client) in (0..).zip(listener.incoming().flatten()) {
        if shared.over.load(Ordering::SeqCst) {
            return;
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            if let Ok(copy) = client.try_clone() {
                lock(&shared.open).insert(number, copy);
            }
            // An error ends the connection, which is all that it could do.
            if let Ok(mut connection) = Connection::new(&shared, client) {
                while let Ok(true) = connection.serve() {}
                connection.end();
            }
            lock(&shared.open).remove(&number);
        });
    }
}

/// A test that failed while it held one shows that itself.
fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
