//! Every call of the store goes wrong in turn: never a success for lost work, never an absence
//! for a fault. Each sweep takes what opens an empty store, and panics where the semantics over
//! that store lose something.
#![allow(missing_docs, reason = "the name of a sweep is the sentence it tests")]
#![allow(clippy::unwrap_used, reason = "these are the bodies of tests")]

mod changes;
mod leaving;
mod looks;
mod referrers;
mod uploads;
mod writers;

pub use self::changes::*;
pub use self::leaving::*;
pub use self::looks::*;
pub use self::referrers::*;
pub use self::uploads::*;
pub use self::writers::*;
use super::faults::{Control, Fault, Faulty};
use super::image::Image;
use crate::RegistryError;
use crate::registry::Repository;
use crate::storage::Storage;

/// What becomes of one call, and of whoever waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mishap {
    /// It goes wrong.
    Fault(Fault),
    /// It is slow, and waited for.
    Slow,
    /// It is slow before it is done, and the caller goes away. What was begun goes on.
    LeftBefore,
    /// It is done, and the caller is gone when the answer comes. What was begun goes on.
    LeftAfter,
    /// The process has gone before it, so that it leaves what a crash would leave.
    Gone,
}

const MISHAPS: [Mishap; 8] = [
    Mishap::Fault(Fault::Fail),
    Mishap::Fault(Fault::Full),
    Mishap::Fault(Fault::FailAfter),
    Mishap::Fault(Fault::Truncate),
    Mishap::Slow,
    Mishap::LeftBefore,
    Mishap::LeftAfter,
    Mishap::Gone,
];

impl Mishap {
    fn fault(self) -> Fault {
        match self {
            Self::Fault(fault) => fault,
            Self::Slow | Self::LeftBefore => Fault::Stall,
            Self::LeftAfter => Fault::StallAfter,
            Self::Gone => Fault::Fail,
        }
    }

    /// What the caller is told while call number `n` meets with this; `None` when it has gone.
    async fn befall<T>(
        self,
        control: &Control,
        n: usize,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        match self {
            Self::Gone => control.from_call(n, self.fault()),
            _ => control.on_call(n, self.fault()),
        }
        let stalled = async {
            control.stalled().await;
            if self == Self::Slow {
                control.release();
                std::future::pending::<()>().await;
            }
        };
        match self {
            Self::Fault(_) | Self::Gone => Some(work.await),
            Self::Slow | Self::LeftBefore | Self::LeftAfter => tokio::select! {
                told = work => Some(told),
                () = stalled => None,
            },
        }
    }
}

/// An empty store, the same one behind the decorator, and what keeps it alive.
struct Trial<K> {
    inner: Storage,
    storage: Storage,
    control: Control,
    _keep: K,
}

impl<K> Trial<K> {
    async fn open(open: &impl AsyncFn() -> (Storage, K)) -> Self {
        let (inner, keep) = open().await;
        let (storage, control) = Faulty::wrap(inner.clone());
        Self {
            inner,
            storage,
            control,
            _keep: keep,
        }
    }
}

/// Lets everything go on that stalls, until nothing is left of what a caller has begun.
async fn settle(control: &Control, repository: &Repository) {
    control.reset();
    repository.registry().drained().await;
}

fn old() -> Image {
    Image::new(1)
}

fn new() -> Image {
    Image::new(2)
}

/// Whether this may be answered to a fault of the store.
fn is_fault(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Storage(_))
}
