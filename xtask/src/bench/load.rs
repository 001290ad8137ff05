//! Load: a number of connections, each asking again as soon as it is answered.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::rows::Figure;

/// Counts what `connections` threads get done in so many seconds. The operation is made in the
/// thread that runs it, and done once before the clock starts.
pub(super) fn closed_loop<O>(
    connections: usize,
    seconds: f64,
    make: impl Fn(usize) -> Result<O> + Sync,
) -> Result<Figure>
where
    O: FnMut() -> Result<()>,
{
    let barrier = Barrier::new(connections + 1);
    let over = AtomicBool::new(false);
    let work = &|who: usize| -> Result<u64> {
        let ready = make(who).and_then(|mut operation| {
            operation()?;
            Ok(operation)
        });
        // Everyone meets here, also who has failed, or the others would wait for ever.
        barrier.wait();
        let mut operation = ready?;
        let mut done = 0;
        while !over.load(Ordering::Relaxed) {
            operation()?;
            done += 1;
        }
        Ok(done)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|who| scope.spawn(move || work(who)))
            .collect();
        barrier.wait();
        let start = Instant::now();
        thread::sleep(Duration::from_secs_f64(seconds));
        over.store(true, Ordering::Relaxed);
        let mut done = 0;
        for worker in workers {
            let worker = worker
                .join()
                .ok()
                .context("a connection's thread panicked")?;
            done += worker?;
        }
        // What was on its way at the end is counted, and so is its time.
        Ok(Figure {
            done: done as f64,
            seconds: start.elapsed().as_secs_f64(),
        })
    })
}
