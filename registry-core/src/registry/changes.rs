//! A change of the store that was begun comes to its end, whatever becomes of the request that
//! wants it: a client that leaves must not let go of a lock while the driver is still at work.

use std::future::pending;
use std::panic::resume_unwind;

use tokio::sync::watch;
use tracing::Instrument;

use super::{Inner, Registry};

/// How many changes are going on.
#[derive(Debug, Default)]
pub(super) struct Changes(watch::Sender<usize>);

struct Running(watch::Sender<usize>);

impl Changes {
    fn begin(&self) -> Running {
        self.0.send_modify(|running| *running += 1);
        Running(self.0.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

impl Inner {
    /// Runs a change in a task of its own and waits for it. Whoever waits may leave; the task
    /// goes on, with the locks that were moved into it or that it takes.
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        change: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let running = self.changes.begin();
        let task = async move {
            let done = change.await;
            drop(running);
            done
        };
        match tokio::spawn(task.in_current_span()).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The runtime ends, and this with it.
                Err(_) => pending().await,
            },
        }
    }
}

impl Inner {
    /// Runs something beside whoever began it, and does not wait for it.
    pub(super) fn beside(&self, work: impl Future<Output = ()> + Send + 'static) {
        let running = self.changes.begin();
        let task = async move {
            work.await;
            drop(running);
        };
        drop(tokio::spawn(task.in_current_span()));
    }
}

impl Registry {
    /// Waits until no change is going on: what was begun for requests that have gone since, too.
    pub async fn drained(&self) {
        let mut changes = self.0.changes.0.subscribe();
        // Never an error, since the sender lives as long as `self`.
        drop(changes.wait_for(|running| *running == 0).await);
    }
}
