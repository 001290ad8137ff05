//! Medians, ratios of rounds, and the table.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::Scale;
use super::rows::{Row, Sample, Unit, Work};
use crate::sh;

/// What was measured of one row.
#[derive(Debug)]
struct Measured {
    name: &'static str,
    unit: Unit,
    /// As it is to be known: with a login, if the row is about one.
    main: Figures,
    /// The same work without one.
    open: Option<Figures>,
}

/// Per contender, per round.
#[derive(Clone, Debug)]
struct Figures {
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

    pub(super) fn name(&self, who: usize) -> &str {
        self.names.get(who).map_or("", String::as_str)
    }

    pub(super) fn begin(&mut self, row: &Row) {
        println!("{}", row.name);
        let empty = Figures {
            rates: vec![Vec::new(); self.names.len()],
            costs: vec![Vec::new(); self.names.len()],
        };
        let about_login = matches!(row.work, Work::Login(_));
        self.rows.push(Measured {
            name: row.name,
            unit: row.unit,
            open: about_login.then(|| empty.clone()),
            main: empty,
        });
    }

    pub(super) fn add(&mut self, who: usize, sample: &Sample, open: Option<&Sample>) {
        let Some(row) = self.rows.last_mut() else {
            return;
        };
        row.main.add(who, row.unit, sample);
        if let (Some(figures), Some(sample)) = (&mut row.open, open) {
            figures.add(who, row.unit, sample);
        }
    }

    /// Shows the row that is done, so that a long run can be followed.
    pub(super) fn end(&self) {
        let Some(row) = self.rows.last() else { return };
        for (who, name) in self.names.iter().enumerate() {
            let login = row.without_login(who);
            let login = login.map_or_else(String::new, |cells| {
                let [open, ratio] = cells;
                format!("; without a login {open}: {ratio}")
            });
            println!("  {name:<20} {}{login}", row.main.cell(who, row.unit));
        }
    }

    /// The table, in Markdown.
    pub(super) fn table(&self) -> String {
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
                let _ = write!(text, " {} |", row.main.cell(who, row.unit));
            }
            for peer in 1..self.names.len() {
                let (rates, costs) = (&row.main.rates, &row.main.costs);
                let ratio = ratio((&rates[0], &costs[0]), (&rates[peer], &costs[peer]));
                let _ = write!(text, " {ratio} |");
            }
        }
        text + &self.logins() + "\n"
    }

    /// What a login costs each of them: the same work with and without one, in the same rounds.
    fn logins(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            for (who, name) in self.names.iter().enumerate() {
                let Some([open, ratio]) = row.without_login(who) else {
                    continue;
                };
                if text.is_empty() {
                    text.push_str(
                        "\n\n| work | of | without a login | with it | ÷ without (CPU) |",
                    );
                    text.push_str("\n|---|---|---|---|---|");
                }
                let with = row.main.cell(who, row.unit);
                let _ = write!(
                    text,
                    "\n| {} | {name} | {open} | {with} | {ratio} |",
                    row.name
                );
            }
        }
        text
    }
}

impl Measured {
    /// The figure without a login, and the ratio of that with one to it.
    fn without_login(&self, who: usize) -> Option<[String; 2]> {
        let (main, open) = (&self.main, self.open.as_ref()?);
        let ratio = ratio(
            (&main.rates[who], &main.costs[who]),
            (&open.rates[who], &open.costs[who]),
        );
        Some([open.cell(who, self.unit), ratio])
    }
}

impl Figures {
    fn add(&mut self, who: usize, unit: Unit, sample: &Sample) {
        let figure = &sample.figure;
        let (rate, units) = match unit {
            Unit::Operations => (figure.done / figure.seconds, figure.done),
            Unit::Bytes => (
                figure.done / figure.seconds / 1e6,
                figure.done / f64::from(1 << 30),
            ),
        };
        self.rates[who].push(rate);
        self.costs[who].push(sample.cpu / units);
    }

    fn cell(&self, who: usize, unit: Unit) -> String {
        let rate = median(self.rates[who].iter().copied());
        let cost = median(self.costs[who].iter().copied());
        match unit {
            Unit::Operations => format!("{rate:.0}/s, {:.0} µs", cost * 1e6),
            Unit::Bytes => format!("{rate:.0} MB/s, {cost:.2} s/GiB"),
        }
    }
}

/// Of speed, and in parentheses of processor time: the medians of the ratios of rounds.
fn ratio(these: (&[f64], &[f64]), those: (&[f64], &[f64])) -> String {
    let of = |these: &[f64], those: &[f64]| {
        median(these.iter().zip(those).map(|(this, that)| this / that))
    };
    format!("{:.2} ({:.2})", of(these.0, those.0), of(these.1, those.1))
}

pub(super) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => figures[odd / 2],
        even => f64::midpoint(figures[even / 2 - 1], figures[even / 2]),
    }
}

/// What is to be known of all the tables.
pub(super) fn footer(scale: Scale, folder: &Path) -> String {
    format!(
        "Medians of {} interleaved rounds; ratios are medians of the rounds' ratios, of speed \
         and, in parentheses, of the server's processor time per unit. Large blob {} MiB, \
         {} tags, full durability, access logs off, loopback.\nHost: {}; store on {}.\n",
        scale.rounds,
        scale.large >> 20,
        scale.tags,
        host(),
        file_system(folder),
    )
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
    use super::super::rows::{Figure, ROWS};
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0].into_iter()) - 2.5).abs() < 1e-9);
        assert!(median([].into_iter()).is_nan());
    }

    #[test]
    fn a_login_is_compared_with_the_same_work_without_one() {
        let sample = |done, cpu| Sample {
            figure: Figure { done, seconds: 1.0 },
            cpu,
        };
        let mut report = Report::new(vec!["ours".to_owned(), "another".to_owned()]);
        let is_login = |row: &&Row| matches!(row.work, Work::Login(_));
        report.begin(ROWS.iter().find(is_login).unwrap());
        report.add(0, &sample(90.0, 0.9), Some(&sample(100.0, 0.8)));
        report.add(1, &sample(30.0, 0.9), Some(&sample(60.0, 0.9)));
        let text = report.logins();
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        let [.., ours, another] = &lines[..] else {
            panic!("{text}")
        };
        assert!(ours.ends_with("| ours | 100/s, 8000 µs | 90/s, 10000 µs | 0.90 (1.25) |"));
        assert!(another.ends_with("| another | 60/s, 15000 µs | 30/s, 30000 µs | 0.50 (2.00) |"));

        report.begin(ROWS.iter().find(|row| !is_login(row)).unwrap());
        report.add(0, &sample(1.0, 1.0), None);
        assert_eq!(report.logins(), text);
    }
}
