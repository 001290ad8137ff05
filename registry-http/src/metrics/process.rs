//! What the system tells of the process, under the names that every exporter gives it. Linux tells
//! it; elsewhere there is the start alone.

use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use prometheus::{Counter, Error, Gauge, Opts, Registry};

use super::registered;
use crate::ambient::ambient;

/// Of the times in `stat`: what Linux counts for others by, whatever it counts by itself.
const TICKS: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process {
    cpu: Mutex<Counter>,
    open: Gauge,
    limit: Gauge,
    resident: Gauge,
    size: Gauge,
}

impl Process {
    pub(super) fn new(all: &Registry) -> Result<Self, Error> {
        let gauge = |name: &str, help: &str| registered(all, Gauge::new(name, help)?);
        let start = gauge(
            "process_start_time_seconds",
            "When the server began, in seconds since 1970",
        )?;
        let now = (ambient().now)().duration_since(UNIX_EPOCH);
        start.set(now.unwrap_or_default().as_secs_f64());
        let cpu = Opts::new(
            "process_cpu_seconds_total",
            "Time of processors that was spent",
        );
        Ok(Self {
            cpu: Mutex::new(registered(all, Counter::with_opts(cpu)?)?),
            open: gauge("process_open_fds", "Open files and connections")?,
            limit: gauge("process_max_fds", "How many may be open")?,
            resident: gauge("process_resident_memory_bytes", "Memory that is in use")?,
            size: gauge("process_virtual_memory_bytes", "Memory that is mapped")?,
        })
    }

    /// Looks again.
    pub(super) fn look(&self) {
        if let Some(spent) = read("stat").as_deref().and_then(spent) {
            let cpu = self.cpu.lock().unwrap_or_else(PoisonError::into_inner);
            cpu.inc_by((spent - cpu.get()).max(0.0));
        }
        if let Some(status) = read("status") {
            let kib = |name| Some(1024.0 * number_after(&status, name)?);
            set(&self.resident, kib("VmRSS:"));
            set(&self.size, kib("VmSize:"));
        }
        let limits = read("limits");
        let limit = limits.and_then(|limits| number_after(&limits, "Max open files"));
        set(&self.limit, limit);
        let open = std::fs::read_dir("/proc/self/fd").map(Iterator::count);
        // One of them is this look.
        set(
            &self.open,
            open.ok().map(|count| count.saturating_sub(1) as f64),
        );
    }
}

fn set(gauge: &Gauge, value: Option<f64>) {
    if let Some(value) = value {
        gauge.set(value);
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "what the kernel tells is no file of the store"
)]
fn read(name: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/self/{name}")).ok()
}

/// Seconds of the user and of the system, by proc_pid_stat(5). The name in parentheses may hold
/// anything.
fn spent(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}

/// The first number after this, on its line.
fn number_after(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 0 1 2 3 4 250 50 9 9 20 0 4 0 1 2 3";
        assert_eq!(spent(stat), Some(3.0));
        assert_eq!(spent("7 (a"), None);
    }

    #[test]
    fn numbers_are_found_by_what_stands_before() {
        let text = "VmSize:\t  10 kB\nVmRSS:\t 3 kB\nMax open files   1024   4096  files\n";
        assert_eq!(number_after(text, "VmRSS:"), Some(3.0));
        assert_eq!(number_after(text, "Max open files"), Some(1024.0));
        assert_eq!(
            number_after("Max open files unlimited", "Max open files"),
            None
        );
    }
}
