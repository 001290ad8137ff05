//! What was measured on a bucket, with the goals beside it.

use std::fmt::Write as _;

use super::super::Scale;
use super::super::report::median;
use super::rows::{Goal, Measured, Row, Unit};

/// Of a row: per contender, per round.
#[derive(Debug)]
pub(super) struct Result {
    row: &'static Row,
    rounds: Vec<Vec<Measured>>,
}

impl Result {
    pub(super) fn new(row: &'static Row, contenders: usize) -> Self {
        Self {
            row,
            rounds: vec![Vec::new(); contenders],
        }
    }

    pub(super) fn add(&mut self, who: usize, measured: Measured) {
        self.rounds[who].push(measured);
    }

    pub(super) fn value(&self, who: usize) -> f64 {
        median(self.rounds[who].iter().map(|one| one.value))
    }

    /// How often theirs is ours: the median of the rounds' ratios, more than 1 where ours is better.
    fn times(&self, peer: usize) -> f64 {
        let both = self.rounds[0].iter().zip(&self.rounds[peer]);
        median(both.map(|(ours, theirs)| match self.row.unit {
            Unit::Rate | Unit::MegabytesPerSecond => ours.value / theirs.value,
            Unit::Requests | Unit::Milliseconds | Unit::Mebibytes => theirs.value / ours.value,
        }))
    }

    pub(super) fn cell(&self, who: usize) -> String {
        let value = self.value(who);
        let cpu = median(self.rounds[who].iter().filter_map(|one| one.cpu));
        match self.row.unit {
            Unit::Requests => format!("{value:.0}"),
            Unit::Mebibytes => format!("{value:.0} MiB"),
            Unit::Milliseconds => format!("{value:.0} ms, {:.1} ms CPU", cpu * 1e3),
            Unit::Rate => format!("{value:.1}/s, {:.1} ms CPU", cpu * 1e3),
            Unit::MegabytesPerSecond => format!("{value:.0} MB/s, {cpu:.2} s/GiB CPU"),
        }
    }

    pub(super) fn note(&self, who: usize) -> &str {
        self.rounds[who].last().map_or("", |one| &one.note)
    }

    /// What is wrong, if a limit of ours was passed.
    pub(super) fn failure(&self, ours: bool, scale: Scale) -> Option<String> {
        match (self.row.goal)(scale) {
            Goal::AtMost(most) if ours && self.value(0) > most => Some(format!(
                "{}: {:.0} in place of {most:.0} at most: {}",
                self.row.name,
                self.value(0),
                self.note(0)
            )),
            _ => None,
        }
    }
}

/// The table, in Markdown.
pub(super) fn table(names: &[String], results: &[Result], scale: Scale) -> String {
    let mut text = String::from("| work |");
    for name in names {
        let _ = write!(text, " {name} |");
    }
    for peer in names.iter().skip(1) {
        let _ = write!(text, " better than {peer} |");
    }
    text.push_str(" goal |\n|---|");
    text.push_str(&"---|".repeat(names.len() * 2));
    for result in results {
        let _ = write!(text, "\n| {} |", result.row.name);
        for who in 0..names.len() {
            let _ = write!(text, " {} |", result.cell(who));
        }
        for peer in 1..names.len() {
            let _ = write!(text, " {:.2} × |", result.times(peer));
        }
        let _ = match (result.row.goal)(scale) {
            Goal::AtMost(most) => write!(text, " ≤ {most:.0} |"),
            Goal::Times(times) => write!(text, " ≥ {times} × |"),
            Goal::Nothing => write!(text, " |"),
        };
    }
    text.push_str("\n\n");
    for result in results {
        for (who, name) in names.iter().enumerate() {
            let note = result.note(who);
            if !note.is_empty() {
                let _ = writeln!(text, "- {}, {name}: {note}", result.row.name);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::rows::ROWS;
    use super::*;

    fn measured(value: f64) -> Measured {
        Measured {
            value,
            ..Measured::default()
        }
    }

    #[test]
    fn who_passes_a_limit_fails_and_nobody_else() {
        let scale = crate::bench::QUICK;
        let row = &ROWS[0];
        let Goal::AtMost(most) = (row.goal)(scale) else {
            panic!("{row:?} has no limit");
        };
        let mut result = Result::new(row, 2);
        result.add(0, measured(most));
        result.add(1, measured(9.0 * most));
        assert_eq!(result.failure(true, scale), None);
        let names = ["ours".to_owned(), "another".to_owned()];
        let text = table(&names, &[result], scale);
        assert!(text.contains("| 3 | 27 | 9.00 × | ≤ 3 |"), "{text}");

        let mut result = Result::new(row, 1);
        result.add(0, measured(most + 1.0));
        assert!(result.failure(true, scale).is_some());
        assert_eq!(result.failure(false, scale), None);
    }
}
