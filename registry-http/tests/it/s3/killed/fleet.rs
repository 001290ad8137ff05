//! Several servers on one bucket, and which of them are there.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::process::{Process, wait_for};
use crate::server::{REPLICAS, Server, Setup};

pub(super) struct Fleet {
    /// Whose bucket it is; it is asked for nothing.
    server: Server,
    slots: Vec<Slot>,
    /// Requests that were answered.
    answered: AtomicU64,
    /// Whether as many were killed as had to be.
    pub(super) enough: AtomicBool,
    /// Whether clients have to end, because one of them or the test has.
    over: AtomicBool,
}

/// A server, and those that took its place.
struct Slot {
    process: Mutex<Process>,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
struct State {
    /// How many were here before it.
    life: u64,
    /// Absent as soon as it is to be killed.
    address: Option<SocketAddr>,
}

/// Tells all others of an end, also of one by a panic.
pub(super) struct Over<'a>(&'a Fleet);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.over.store(true, Ordering::Relaxed);
        }
    }
}

impl Fleet {
    pub(super) fn start() -> Self {
        let mut server = Server::start("s3");
        let slots = (0..REPLICAS).map(|_| {
            let process = server.beside(Setup::default()).unwrap();
            let address = Some(process.address);
            Slot {
                process: Mutex::new(process),
                state: Mutex::new(State { life: 0, address }),
            }
        });
        let slots = slots.collect();
        server.process.kill();
        Self {
            server,
            slots,
            answered: AtomicU64::new(0),
            enough: AtomicBool::new(false),
            over: AtomicBool::new(false),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.slots.len() as u64
    }

    pub(super) fn over(&self) -> Over<'_> {
        Over(self)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for so many answers. There are none any more when a client has failed.
    pub(super) fn wait_for_requests(&self, more: u64) -> bool {
        let answered = || self.answered.load(Ordering::Relaxed);
        let until = answered() + more;
        wait_for(|| (answered() >= until || self.is_over()).then_some(()));
        !self.is_over()
    }

    /// Where a server is and which it is, if it is there.
    pub(super) fn at(&self, slot: u64) -> Option<(SocketAddr, u64)> {
        let state = *self.slots[slot as usize].state.lock().unwrap();
        Some((state.address?, state.life))
    }

    /// Whether this one was killed, or is about to be.
    pub(super) fn was_killed(&self, slot: u64, life: u64) -> bool {
        let state = *self.slots[slot as usize].state.lock().unwrap();
        state.life != life || state.address.is_none()
    }

    /// Kills a server, and starts another in its place.
    pub(super) fn kill_one(&self, slot: u64) {
        let slot = &self.slots[slot as usize];
        slot.state.lock().unwrap().address = None;
        let mut process = slot.process.lock().unwrap();
        process.kill();
        *process = self.server.beside(Setup::default()).unwrap();
        let mut state = slot.state.lock().unwrap();
        state.life += 1;
        state.address = Some(process.address);
    }
}
