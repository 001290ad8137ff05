//! Signals, and what is done at each.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::server::Error;

pub(super) fn listen(kind: SignalKind) -> Result<Signal, Error> {
    signal(kind).map_err(|source| Error::System {
        doing: "listening to signals",
        source,
    })
}

/// Those that this program asks for.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// They end a process that does not listen to them, and say nothing to this one.
    user: [Signal; 2],
}

impl Signals {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            user: [
                listen(SignalKind::user_defined1())?,
                listen(SignalKind::user_defined2())?,
            ],
        })
    }

    /// Waits for one that asks for the end.
    pub(super) async fn next(&mut self) {
        let [first, second] = &mut self.user;
        loop {
            let ignored = tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = first.recv() => "SIGUSR1",
                _ = second.recv() => "SIGUSR2",
            };
            tracing::info!("{ignored} means nothing here, and is ignored");
        }
    }
}
