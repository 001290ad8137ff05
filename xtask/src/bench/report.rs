//! Medians, ratios of rounds, and the table.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::Scale;
use super::rows::{Figure, Row, Unit};
use crate::sh;

/// What was measured of one row: per contender, per round.
#[derive(Debug)]
struct Measured {
    name: &'static str,
    unit: Unit,
    rates: Vec<Vec<f64>>,
    costs: Vec<Vec<f64>>,
}

#[derive(Debug)]
pub(super) struct Report {
    names: Vec<String>,
    rows: Vec<Measured>,
}

impl Report {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self {
            names,
            rows: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self, row: &Row) {
        println!("{}", row.name);
        let empty = vec![Vec::new(); self.names.len()];
        let (name, unit) = (row.name, row.unit);
        self.rows.push(Measured {
            name,
            unit,
            rates: empty.clone(),
            costs: empty,
        });
    }

    pub(super) fn add(&mut self, who: usize, figure: &Figure, cpu: f64) {
        let Some(row) = self.rows.last_mut() else {
            return;
        };
        let (rate, units) = match row.unit {
            Unit::Operations => (figure.done / figure.seconds, figure.done),
            Unit::Bytes => (
                figure.done / figure.seconds / 1e6,
                figure.done / f64::from(1 << 30),
            ),
        };
        row.rates[who].push(rate);
        row.costs[who].push(cpu / units);
    }

    /// Shows the row that is done, so that a long run can be followed.
    pub(super) fn end(&self) {
        let Some(row) = self.rows.last() else { return };
        for (who, name) in self.names.iter().enumerate() {
            println!("  {name:<20} {}", row.cell(who));
        }
    }

    /// The table, in Markdown.
    pub(super) fn text(&self, scale: Scale, folder: &Path) -> String {
        let mut text = String::from("| work |");
        for name in &self.names {
            let _ = write!(text, " {name} |");
        }
        for peer in self.names.iter().skip(1) {
            let _ = write!(text, " ÷ {peer} (CPU) |");
        }
        text.push_str("\n|---|");
        text.push_str(&"---|".repeat(self.names.len() * 2 - 1));
        for row in &self.rows {
            let _ = write!(text, "\n| {} |", row.name);
            for who in 0..self.names.len() {
                let _ = write!(text, " {} |", row.cell(who));
            }
            for peer in 1..self.names.len() {
                let faster = median(pairs(&row.rates, peer));
                let cost = median(pairs(&row.costs, peer));
                let _ = write!(text, " {faster:.2} ({cost:.2}) |");
            }
        }
        let _ = write!(
            text,
            "\n\nMedians of {} interleaved rounds; ratios are medians of the rounds' ratios, of speed \
             and, in parentheses, of the server's processor time per unit. Large blob {} MiB, \
             {} tags, full durability, access logs off, loopback.\nHost: {}; store on {}.\n",
            scale.rounds,
            scale.large >> 20,
            scale.tags,
            host(),
            file_system(folder),
        );
        text
    }
}

impl Measured {
    fn cell(&self, who: usize) -> String {
        let rate = median(self.rates[who].iter().copied());
        let cost = median(self.costs[who].iter().copied());
        match self.unit {
            Unit::Operations => format!("{rate:.0}/s, {:.0} µs", cost * 1e6),
            Unit::Bytes => format!("{rate:.0} MB/s, {cost:.2} s/GiB"),
        }
    }
}

/// Ours over the peer's, round by round.
fn pairs(figures: &[Vec<f64>], peer: usize) -> impl Iterator<Item = f64> {
    figures[0]
        .iter()
        .zip(&figures[peer])
        .map(|(ours, theirs)| ours / theirs)
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => figures[odd / 2],
        even => f64::midpoint(figures[even / 2 - 1], figures[even / 2]),
    }
}

fn host() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model
        .unwrap_or("an unknown processor")
        .trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} × {model}, Linux {}", kernel.trim())
}

fn file_system(folder: &Path) -> String {
    let mut stat = sh::command("stat");
    stat.args(["--file-system", "--format", "%T"]).arg(folder);
    sh::output(&mut stat).unwrap_or_else(|_| "an unknown file system".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0].into_iter()) - 2.5).abs() < 1e-9);
        assert!(median([].into_iter()).is_nan());
    }
}
