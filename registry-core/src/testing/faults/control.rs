//! Which call goes wrong, and how.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::ready;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;

use crate::storage::StorageError;

/// One call of a method, as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The half and the method, such as `blobs.stat`, `records.put`, `reader.next`,
    /// `writer.commit`.
    pub name: &'static str,
    /// The path, digest or upload it was about; empty where there is none.
    pub subject: String,
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Not done, and a temporary fault of the backend.
    Fail,
    /// Done, and the same fault: its answer was lost.
    FailAfter,
    /// Not done: no space left.
    Full,
    /// Not begun until [`Control::release`], and then done.
    Stall,
    /// Done, and not answered until [`Control::release`].
    StallAfter,
    /// Half of it, and then the fault of [`Fault::Fail`]: a write takes the first half of its
    /// batch, a reader gives the first half of its next piece and nothing after it, a listing
    /// gives its first entry. What cannot be cut in two is not done at all.
    Truncate,
}

/// Says what goes wrong, and knows what was called. Calls are numbered from 0, as they are in
/// [`Control::calls`], and from the last [`Control::reset`] on.
#[derive(Clone, Debug)]
pub struct Control {
    shared: Arc<Shared>,
}

impl Control {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Everything that was called.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.state().calls.clone()
    }

    /// Lets call number `n` go wrong.
    pub fn on_call(&self, n: usize, fault: Fault) {
        self.shared.state().faults.insert(n, fault);
    }

    /// Lets every call from number `n` on go wrong, as when the store or this process has gone.
    /// What [`Control::on_call`] says of one of them comes first.
    pub fn from_call(&self, n: usize, fault: Fault) {
        self.shared.state().from = Some((n, fault));
    }

    /// Lets the next call of this name go wrong whose subject contains `part`, beside others that may
    /// be made in any order. What is said of numbers comes first.
    pub fn on_next(&self, name: &'static str, part: &str, fault: Fault) {
        self.shared.state().next = Some((name, part.to_owned(), fault));
    }

    /// Stops call number `n` before it is begun, until it is released.
    pub fn pause_before(&self, n: usize) -> Pause {
        let gate = Arc::new(Gate::default());
        self.shared.state().pauses.insert(n, Arc::clone(&gate));
        Pause { n, gate }
    }

    /// Waits until a call stalls: by then it has been done, or will not be before it is released.
    ///
    /// # Panics
    /// When none does within half a minute.
    pub async fn stalled(&self) {
        let gate = Arc::clone(&self.shared.state().stalled);
        assert!(gate.reached().await, "no call stalls");
    }

    /// Lets every call go on that stalls now. Later ones stall as before.
    pub fn release(&self) {
        let stalled = std::mem::take(&mut self.shared.state().stalled);
        stalled.open();
    }

    /// Forgets the calls and what was to go wrong, and lets go of all that waits.
    pub fn reset(&self) {
        let past = std::mem::take(&mut *self.shared.state());
        past.stalled.open();
        past.pauses.values().for_each(|gate| gate.open());
    }
}

/// A call that is stopped. Dropping this lets it go on.
#[must_use = "dropping it lets the call go on"]
#[derive(Debug)]
pub struct Pause {
    n: usize,
    gate: Arc<Gate>,
}

impl Pause {
    /// Waits until the call has been made, and stands.
    ///
    /// # Panics
    /// When it is not made within half a minute.
    pub async fn reached(&self) {
        let reached = self.gate.reached().await;
        assert!(reached, "call number {} was never made", self.n);
    }

    /// Lets it go on.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.gate.open();
    }
}

#[derive(Debug, Default)]
pub(super) struct Gate {
    reached: watch::Sender<bool>,
    open: watch::Sender<bool>,
}

impl Gate {
    fn open(&self) {
        self.open.send_replace(true);
    }

    /// Whether someone comes to it within half a minute.
    async fn reached(&self) -> bool {
        let mut reached = self.reached.subscribe();
        let wait = reached.wait_for(|reached| *reached);
        let in_time = tokio::time::timeout(Duration::from_secs(30), wait).await;
        in_time.is_ok()
    }

    pub(super) async fn pass(&self) {
        self.reached.send_replace(true);
        let mut open = self.open.subscribe();
        // Never an error, since the sender lives as long as `self`.
        drop(open.wait_for(|open| *open).await);
    }
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    faults: BTreeMap<usize, Fault>,
    from: Option<(usize, Fault)>,
    next: Option<(&'static str, String, Fault)>,
    pauses: BTreeMap<usize, Arc<Gate>>,
    stalled: Arc<Gate>,
}

impl State {
    fn take_next(&mut self, name: &str, subject: &str) -> Option<Fault> {
        let meets = |next: &mut (&'static str, String, Fault)| {
            next.0 == name && subject.contains(next.1.as_str())
        };
        self.next.take_if(meets).map(|(_, _, fault)| fault)
    }
}

/// How a call goes on that was not refused.
pub(super) enum Passage {
    Clear,
    /// Do it, and then answer with this.
    FailAfter(StorageError),
    /// Do it, and answer once this is open.
    StallAfter(Arc<Gate>),
    /// Do half of it, and then answer with this.
    Truncate(StorageError),
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    /// Counts the call and lets it through, or not.
    pub(super) async fn enter(
        &self,
        name: &'static str,
        subject: &str,
    ) -> Result<Passage, StorageError> {
        let (fault, pause, stalled) = {
            let mut state = self.state();
            let n = state.calls.len();
            state.calls.push(Call {
                name,
                subject: subject.to_owned(),
            });
            let later = state.from.filter(|(from, _)| n >= *from);
            let fault = state.faults.get(&n).copied();
            let fault = fault.or(later.map(|(_, fault)| fault));
            let fault = fault.or_else(|| state.take_next(name, subject));
            let pause = state.pauses.get(&n).cloned();
            (fault, pause, Arc::clone(&state.stalled))
        };
        if let Some(pause) = pause {
            pause.pass().await;
        }
        let failure = StorageError::Backend {
            driver: "faulty",
            doing: name,
            temporary: true,
            source: "an injected fault".into(),
        };
        match fault {
            None => Ok(Passage::Clear),
            Some(Fault::Fail) => Err(failure),
            Some(Fault::FailAfter) => Ok(Passage::FailAfter(failure)),
            Some(Fault::Full) => Err(StorageError::Full),
            Some(Fault::Stall) => {
                stalled.pass().await;
                Ok(Passage::Clear)
            }
            Some(Fault::StallAfter) => Ok(Passage::StallAfter(stalled)),
            Some(Fault::Truncate) => Ok(Passage::Truncate(failure)),
        }
    }

    /// A call that is done or not done. It is not begun before it is let through.
    pub(super) async fn call<T>(
        &self,
        name: &'static str,
        subject: &str,
        call: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        match self.enter(name, subject).await? {
            Passage::Clear => call.await,
            Passage::FailAfter(failure) => {
                call.await?;
                Err(failure)
            }
            Passage::StallAfter(gate) => {
                let done = call.await;
                gate.pass().await;
                done
            }
            Passage::Truncate(failure) => Err(failure),
        }
    }

    /// A listing, which is one call, made when its first entry is asked for.
    pub(super) fn listing<'a, T: Send + 'a>(
        &'a self,
        name: &'static str,
        subject: String,
        entries: BoxStream<'a, Result<T, StorageError>>,
    ) -> BoxStream<'a, Result<T, StorageError>> {
        let failing = |failure| stream::iter([Err(failure)]);
        stream::once(async move {
            match self.enter(name, &subject).await {
                Ok(Passage::Clear) => entries,
                Ok(Passage::FailAfter(failure)) => entries.chain(failing(failure)).boxed(),
                Ok(Passage::StallAfter(gate)) => {
                    let stalling = stream::once(async move { gate.pass().await });
                    entries.chain(stalling.filter_map(|()| ready(None))).boxed()
                }
                Ok(Passage::Truncate(failure)) => entries.take(1).chain(failing(failure)).boxed(),
                Err(failure) => failing(failure).boxed(),
            }
        })
        .flatten()
        .boxed()
    }
}
