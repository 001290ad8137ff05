//! `registry fsck`: reads everything that is stored, or makes again what can be made from it.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::sync::Arc;

use clap::Args;
use registry_core::access::Identity;
use registry_core::registry::{FsckSeen, Fscked, Reindexed, Trace, TraceKind};
use registry_core::{Registry, RegistryError, Rules};
use serde::Serialize;

use crate::check::{meaning, printable};
use crate::cli::chain;
use crate::collect::{self, Shown};
use crate::config::Config;
use crate::factories::Factories;
use crate::server::Error;

/// The flags of `fsck`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct FsckArguments {
    /// Make the indexes again, of repositories in a bucket and of referrers, instead of reading
    /// every blob
    #[arg(long)]
    reindex: bool,
    /// Say everything as one JSON object per line
    #[arg(long)]
    json: bool,
}

impl FsckArguments {
    /// How those who wait are told.
    pub(crate) fn progress(self) -> Shown {
        match self.json {
            true => Shown::nowhere(),
            false => Shown::on_standard_error(),
        }
    }
}

/// Opens the registry of the configuration: to read, beside whoever has it; to make indexes, as a
/// collection does.
pub(crate) async fn open(
    factories: &Factories,
    config: Config,
    arguments: FsckArguments,
) -> Result<Registry, Error> {
    collect::open_to_maintain(factories, config, !arguments.reindex, arguments.json).await
}

/// Does it, and tells on standard output what was seen; whether that was all well.
pub(crate) async fn fsck(registry: &Registry, arguments: FsckArguments, progress: Shown) -> bool {
    let mut report = Report {
        out: BufWriter::new(io::stdout()),
        beside: io::stdout().is_terminal(),
        json: arguments.json,
        progress,
    };
    let well = match arguments.reindex {
        true => reindex(registry, &mut report).await,
        false => read(registry, &mut report).await,
    };
    report.progress.end();
    let _ = report.out.flush();
    match well {
        Ok(well) => well,
        Err(error) => {
            eprintln!("registry: {}", chain(&error));
            false
        }
    }
}

async fn read(registry: &Registry, report: &mut Report) -> Result<bool, RegistryError> {
    report.say("reading every blob and manifest; nothing is changed");
    let fscked = registry.fsck(&mut |seen| report.saw(seen)).await?;
    report.end(&Line::End(fscked), &summary(&fscked));
    Ok(fscked.damaged == 0)
}

async fn reindex(registry: &Registry, report: &mut Report) -> Result<bool, RegistryError> {
    report.say("making the indexes again; nothing that images consist of is changed");
    // Nobody is asking, and nothing is kept from who runs this.
    let rules = Arc::new(Rules::everything());
    let Ok(grant) = rules.authorize(Identity::anonymous(), &[], &[]) else {
        return Ok(false);
    };
    let done = registry
        .reindex(&grant, &mut |seen| report.saw(seen))
        .await?;
    let text = format!(
        "{} repositories; {} entries of repositories that are gone removed\n\
         {} records of referrers made, {} removed",
        done.repositories, done.removed, done.made, done.forgotten
    );
    report.end(&Line::Reindexed(done), &text);
    Ok(true)
}

fn summary(fscked: &Fscked) -> String {
    let counts = format!(
        "{} repositories, {} manifests, {} tags; {} blobs read ({} bytes)",
        fscked.repositories, fscked.revisions, fscked.tags, fscked.read.count, fscked.read.bytes
    );
    let traces = match fscked.traces {
        0 => String::new(),
        traces => format!("\n{traces} traces of crashes and deletes, which harm nobody"),
    };
    let verdict = match fscked.damaged {
        0 => "nothing is missing, cut short or rotten".to_owned(),
        damaged => format!(
            "{damaged} missing, cut short or rotten; whatever is pushed again is whole again"
        ),
    };
    format!("{counts}{traces}\n{verdict}")
}

/// A line for machines.
#[derive(Serialize)]
#[serde(rename_all = "lowercase", tag = "seen")]
enum Line<'a> {
    Trace {
        kind: TraceKind,
        path: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<&'a str>,
        damage: bool,
    },
    End(Fscked),
    Reindexed(Reindexed),
}

struct Report {
    out: BufWriter<io::Stdout>,
    /// Whether that is a terminal, where the progress may be shown, too.
    beside: bool,
    json: bool,
    progress: Shown,
}

impl Report {
    fn saw(&mut self, seen: FsckSeen<'_>) {
        match seen {
            FsckSeen::Progress(progress) => self.progress.show(progress),
            FsckSeen::Trace(trace) if self.json => self.object(&Line::Trace {
                kind: trace.kind,
                path: &trace.path,
                detail: trace.detail.as_deref(),
                damage: trace.is_damage(),
            }),
            FsckSeen::Trace(trace) => self.say(&text(trace)),
            _ => {}
        }
    }

    fn end(&mut self, line: &Line<'_>, text: &str) {
        self.progress.end();
        match self.json {
            true => self.object(line),
            false => self.say(text),
        }
    }

    /// To people. Whoever reads may have seen enough; the work goes on.
    fn say(&mut self, text: &str) {
        if self.json {
            return;
        }
        let Self {
            out,
            beside,
            progress,
            ..
        } = self;
        let _ = match beside {
            true => progress.aside(|| {
                writeln!(out, "{text}")?;
                out.flush()
            }),
            false => writeln!(out, "{text}"),
        };
    }

    fn object(&mut self, line: &Line<'_>) {
        let _ = serde_json::to_writer(&mut self.out, line);
        let _ = writeln!(self.out);
    }
}

fn text(trace: &Trace) -> String {
    let (meaning, path) = (meaning(trace.kind), printable(&trace.path));
    match &trace.detail {
        Some(detail) => format!("{meaning}: {path} ({})", printable(detail)),
        None => format!("{meaning}: {path}"),
    }
}
