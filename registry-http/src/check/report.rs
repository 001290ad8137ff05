//! What a check says, to people or to machines.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io::{self, BufWriter, Write};

use registry_core::registry::{Checked, Trace, TraceKind};
use registry_core::storage::Survey;
use serde::Serialize;

use super::CheckArguments;
use crate::cli::chain;
use crate::config::effective::Setting;

/// Traces of each kind that are told, unless all are asked for.
const TOLD: u64 = 20;

/// Says on standard output what is found, and on standard error what is in the way.
pub(crate) struct Report {
    out: BufWriter<io::Stdout>,
    arguments: CheckArguments,
    servable: bool,
    /// Whether nobody has what a server needs.
    free: bool,
    /// What stands above the lines that are being written.
    heading: &'static str,
    traces: BTreeMap<TraceKind, u64>,
}

/// A line for machines.
#[derive(Serialize)]
#[serde(rename_all = "lowercase", tag = "seen")]
enum Line<'a> {
    Setting {
        key: &'a str,
        value: &'a str,
        origin: &'a str,
    },
    Warning {
        message: &'a str,
    },
    Problem {
        message: &'a str,
    },
    /// Something that another has now.
    #[serde(rename = "inuse")]
    InUse {
        message: &'a str,
    },
    Store {
        kind: &'a str,
        #[serde(flatten)]
        facts: BTreeMap<&'a str, &'a str>,
    },
    Tls {
        expires: &'a str,
    },
    Certificate {
        host: &'a str,
        expires: Option<&'a str>,
    },
    Trace {
        kind: TraceKind,
        path: &'a str,
    },
    Address {
        address: String,
    },
    End {
        servable: bool,
        /// Whether nothing has to be stopped before.
        free: bool,
        /// None where the store could not be opened.
        #[serde(flatten)]
        checked: Option<Checked>,
    },
}

impl Report {
    pub(crate) fn new(arguments: CheckArguments) -> Self {
        Self {
            out: BufWriter::new(io::stdout()),
            arguments,
            servable: true,
            free: true,
            heading: "",
            traces: BTreeMap::new(),
        }
    }

    pub(super) fn arguments(&self) -> CheckArguments {
        self.arguments
    }

    pub(super) fn setting(&mut self, setting: &Setting) {
        let origin = setting.origin.as_ref().map(ToString::to_string);
        let origin = origin.as_deref().unwrap_or("default");
        let (key, value) = (setting.key.as_str(), setting.value.as_str());
        let text = format!("{key} = {value}  [{origin}]");
        let line = Line::Setting { key, value, origin };
        self.say("configuration", &text, &line);
    }

    pub(super) fn warning(&mut self, message: &str) {
        self.say("warnings", message, &Line::Warning { message });
    }

    /// Something that a server would not start with, in its words.
    pub(crate) fn problem(&mut self, error: &(dyn Error + 'static)) {
        self.servable = false;
        let message = &chain(error);
        if self.arguments.json {
            self.object(&Line::Problem { message });
        }
        let _ = self.out.flush();
        eprintln!("registry: {message}");
    }

    /// Something that a server would not start with now, because another has it.
    pub(super) fn in_use(&mut self, error: &(dyn Error + 'static)) {
        self.free = false;
        let message = &chain(error);
        self.say("in use", message, &Line::InUse { message });
    }

    pub(super) fn store(&mut self, kind: &str, survey: &Survey) {
        if self.arguments.json {
            let facts = survey.facts.iter();
            let facts = facts.map(|(name, value)| (*name, value.as_str())).collect();
            return self.object(&Line::Store { kind, facts });
        }
        self.line("store", &format!("kind: {kind}"));
        for (name, value) in &survey.facts {
            self.line("store", &format!("{name}: {value}"));
        }
    }

    /// Until when the certificate is valid.
    pub(super) fn tls(&mut self, expires: &str) {
        let text = format!("the certificate expires at {expires}");
        self.say("tls", &text, &Line::Tls { expires });
    }

    /// A certificate that an authority has issued, and its end; none if it is yet to be ordered.
    pub(super) fn certificate(&mut self, host: &str, expires: Option<&str>) {
        let text = match expires {
            Some(expires) => format!("{host}: the certificate expires at {expires}"),
            None => format!("{host}: no certificate is kept, and one will be ordered"),
        };
        self.say("tls", &text, &Line::Certificate { host, expires });
    }

    /// Beyond some of a kind they are counted only.
    pub(super) fn trace(&mut self, trace: &Trace) {
        let count = self.traces.entry(trace.kind).or_default();
        *count += 1;
        if *count > TOLD && !self.arguments.all {
            return;
        }
        let (kind, path) = (trace.kind, trace.path.as_str());
        let text = format!("{}: {}", meaning(kind), printable(path));
        self.say("traces of crashes", &text, &Line::Trace { kind, path });
    }

    pub(super) fn address(&mut self, address: &dyn fmt::Display, is_free: bool) {
        let address = address.to_string();
        let text = match is_free {
            true => format!("{address} is free"),
            false => address.clone(),
        };
        self.say("address", &text, &Line::Address { address });
    }

    /// Whether a server would start.
    pub(crate) fn end(&mut self, checked: Option<Checked>) -> bool {
        let servable = self.servable;
        if self.arguments.json {
            let free = self.free;
            self.object(&Line::End {
                servable,
                free,
                checked,
            });
        } else {
            self.summary(checked);
        }
        // Whoever reads may have seen enough.
        let _ = self.out.flush();
        servable
    }

    fn summary(&mut self, checked: Option<Checked>) {
        for (kind, count) in std::mem::take(&mut self.traces) {
            if count > TOLD && !self.arguments.all {
                let more = format!("{}: {} more (--all)", meaning(kind), count - TOLD);
                self.line("traces of crashes", &more);
            }
        }
        if let Some(checked) = checked {
            let counts = format!(
                "{} repositories, {} manifests, {} tags, {} traces of crashes",
                checked.repositories, checked.revisions, checked.tags, checked.traces
            );
            self.line("result", &counts);
            if !checked.complete {
                self.line("result", "there are more repositories (--all)");
            }
        }
        let verdict = match (self.servable, self.free) {
            (true, true) => "this could be served",
            (true, false) => "this could be served, once what is in use has been stopped",
            (false, _) => "this could not be served",
        };
        self.line("result", verdict);
    }

    fn say(&mut self, heading: &'static str, text: &str, line: &Line<'_>) {
        match self.arguments.json {
            true => self.object(line),
            false => self.line(heading, text),
        }
    }

    fn line(&mut self, heading: &'static str, text: &str) {
        if self.heading != heading {
            self.heading = heading;
            let _ = writeln!(self.out, "{heading}:");
        }
        let _ = writeln!(self.out, "  {text}");
    }

    fn object(&mut self, line: &Line<'_>) {
        let _ = serde_json::to_writer(&mut self.out, line);
        let _ = writeln!(self.out);
    }
}

pub(crate) fn meaning(kind: TraceKind) -> &'static str {
    match kind {
        TraceKind::EmptyLink => "a link that holds no digest",
        TraceKind::MissingManifest => "a manifest without its bytes",
        TraceKind::UnreadableManifest => "a manifest whose bytes are not its own",
        TraceKind::MissingBlob => "a blob that a manifest needs, without its bytes",
        TraceKind::EmptyBlob => "a blob that has lost its bytes",
        TraceKind::Unlinked => "what a manifest needs and its repository does not have",
        TraceKind::EmptyTag => "a tag that points to nothing",
        TraceKind::DanglingTag => "a tag of a manifest that is not there",
        TraceKind::Upload => "an upload of distribution that never ended",
        TraceKind::CutShort => "a blob that was cut short",
        TraceKind::Rotten => "a blob whose bytes are not its own",
        TraceKind::Unreadable => "a blob that cannot be read",
        _ => "something that does not fit",
    }
}

/// Names that others chose are not to command a terminal.
pub(crate) fn printable(path: &str) -> String {
    let shown = |c: char| match c.is_control() {
        true => c.escape_default().collect(),
        false => String::from(c),
    };
    path.chars().map(shown).collect()
}
