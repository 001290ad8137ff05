//! A proxy that cuts the connection in the middle of an answer, as bad networks do.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};

/// Cuts as often as it was told, then lets everything pass; ends when dropped.
#[derive(Debug)]
pub(super) struct CuttingProxy {
    pub(super) address: String,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    upstream: String,
    /// Bytes of answers after which a connection is cut.
    after: u64,
    cuts_left: AtomicUsize,
    /// Requests with a `Range`.
    ranges: AtomicUsize,
    over: AtomicBool,
}

impl CuttingProxy {
    pub(super) fn start(upstream: &str, after: u64, cuts: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port for the proxy")?;
        let address = listener.local_addr()?.to_string();
        let state = Arc::new(State {
            upstream: upstream.to_owned(),
            after,
            cuts_left: AtomicUsize::new(cuts),
            ranges: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let accepting = thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.serve(&client));
            }
        });
        Ok(Self {
            address,
            state,
            accepting: Some(accepting),
        })
    }

    /// Fails unless it has cut as often as it should, and someone asked for the rest.
    pub(super) fn expect_resumed(&self) -> Result<()> {
        let left = self.state.cuts_left.load(Ordering::SeqCst);
        anyhow::ensure!(left == 0, "the client was to be cut {left} times more");
        let ranges = self.state.ranges.load(Ordering::SeqCst);
        anyhow::ensure!(
            ranges > 0,
            "the client began anew in place of asking for the rest"
        );
        Ok(())
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for clients; if that fails, the process ends it.
        if TcpStream::connect(&self.address).is_ok()
            && let Some(accepting) = self.accepting.take()
        {
            let _ = accepting.join();
        }
    }
}

impl State {
    /// An error ends the connection, which is all that it could do.
    fn serve(&self, client: &TcpStream) {
        let Ok(server) = TcpStream::connect(&self.upstream) else {
            return;
        };
        thread::scope(|scope| {
            scope.spawn(|| self.upward(client, &server));
            self.downward(&server, client);
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        });
    }

    fn upward(&self, mut client: &TcpStream, mut server: &TcpStream) {
        let mut buffer = [0; 16 << 10];
        while let Ok(read @ 1..) = client.read(&mut buffer) {
            let text = buffer[..read].to_ascii_lowercase();
            if text.windows(8).any(|window| window == b"\r\nrange:") {
                self.ranges.fetch_add(1, Ordering::SeqCst);
            }
            if server.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Write);
    }

    fn downward(&self, mut server: &TcpStream, mut client: &TcpStream) {
        let mut buffer = [0; 16 << 10];
        let mut passed = 0;
        while let Ok(read @ 1..) = server.read(&mut buffer) {
            passed += read as u64;
            if passed > self.after && self.take_cut() {
                return;
            }
            if client.write_all(&buffer[..read]).is_err() {
                return;
            }
        }
    }

    fn take_cut(&self) -> bool {
        let take = |left: usize| left.checked_sub(1);
        self.cuts_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .is_ok()
    }
}
