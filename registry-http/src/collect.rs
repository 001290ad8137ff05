//! `registry garbage-collect`: takes away what nothing needs, while no server writes.

mod progress;

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::time::Duration;

use clap::{ArgAction, Args};
use registry_core::access::Secret;
use registry_core::registry::{Amount, CollectOptions, Collected, Fate, Seen};
use registry_core::storage::OpenMode;
use registry_core::{Digest, Registry};
use serde::Serialize;

pub(crate) use self::progress::Shown;
use crate::ambient::probe;
use crate::cli::chain;
use crate::config::Config;
use crate::factories::Factories;
use crate::server::{self, Error};

/// The flags of `garbage-collect`: distribution's, and two of ours.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct CollectArguments {
    /// Do everything except remove anything
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(
        default_missing_value = "true",
        default_value = "false",
        hide_default_value = true
    )]
    #[arg(action = ArgAction::Set, value_parser = go_bool)]
    dry_run: bool,
    /// Remove manifests that no tag, no index and no subject holds, too
    #[arg(short = 'm', long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(
        default_missing_value = "true",
        default_value = "false",
        hide_default_value = true
    )]
    #[arg(action = ArgAction::Set, value_parser = go_bool)]
    delete_untagged: bool,
    /// Say nothing
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(
        default_missing_value = "true",
        default_value = "false",
        hide_default_value = true
    )]
    #[arg(action = ArgAction::Set, value_parser = go_bool)]
    quiet: bool,
    /// Destroy what nothing needs at once, instead of a day after it went into the trash
    #[arg(long)]
    now: bool,
    /// Say everything as one JSON object per line
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
}

/// A flag's value as Go's `strconv.ParseBool` takes it.
fn go_bool(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("true or false is wanted"),
    }
}

/// How long what went into the trash stays there.
const QUARANTINE: Duration = Duration::from_secs(24 * 3600);

impl CollectArguments {
    /// Whether nothing is to be said, but why it did not work.
    pub(crate) fn quiet(self) -> bool {
        self.quiet
    }

    #[cfg(test)]
    pub(crate) fn flags(self) -> [bool; 3] {
        [self.dry_run, self.delete_untagged, self.quiet]
    }

    /// How those who wait are told, if they want to be told anything but the end.
    pub(crate) fn progress(self) -> Shown {
        match self.quiet || self.json {
            true => Shown::nowhere(),
            false => Shown::on_standard_error(),
        }
    }

    fn options(self) -> CollectOptions {
        let mut options = CollectOptions::default();
        // Nobody is pushing, and what an interrupted push needs comes back from the trash.
        options.grace = Duration::ZERO;
        options.quarantine = if self.now { Duration::ZERO } else { QUARANTINE };
        options.untagged = self.delete_untagged;
        options.dry_run = self.dry_run;
        options.offline = true;
        options
    }
}

/// Opens the registry of the configuration, beside no server that writes.
pub(crate) async fn open(
    factories: &Factories,
    config: Config,
    arguments: CollectArguments,
) -> Result<Registry, Error> {
    open_to_maintain(factories, config, arguments.dry_run, arguments.quiet).await
}

/// The same; who only looks needs no lock, and changes nothing beside a server that has it.
pub(crate) async fn open_to_maintain(
    factories: &Factories,
    mut config: Config,
    looks: bool,
    quiet: bool,
) -> Result<Registry, Error> {
    probe().map_err(Error::Random)?;
    let mode = match looks {
        true => OpenMode::Check,
        false => OpenMode::Collect,
    };
    let storage = server::open(factories, &config, mode).await?;
    if let Some(obstacle) = storage.survey.read_only.clone() {
        let error = server::unopened(&config, obstacle.into());
        if !storage.survey.in_use {
            return Err(error);
        }
        if !quiet {
            let error = chain(&error);
            eprintln!("registry: {error}; what is being pushed meanwhile may be told wrongly");
        }
    }
    let mut options = server::options(&mut config);
    options.read_only = looks;
    // Nothing is uploaded, so the key of uploads need not be made.
    options.secret = Some(Secret::new(String::new()));
    Registry::open(storage, options)
        .await
        .map_err(Error::Registry)
}

/// Collects, and tells on standard output what was seen; whether that went well.
pub(crate) async fn collect(
    registry: &Registry,
    arguments: CollectArguments,
    progress: Shown,
) -> bool {
    let mut report = Report {
        out: BufWriter::new(io::stdout()),
        beside: io::stdout().is_terminal(),
        progress,
        arguments,
    };
    let options = arguments.options();
    let collected = registry
        .collect(&options, &mut |seen| report.saw(seen))
        .await;
    match collected {
        Ok(collected) => {
            report.end(&collected);
            true
        }
        Err(error) => {
            report.progress.end();
            let _ = report.out.flush();
            eprintln!("registry: collecting: {}", chain(&error));
            false
        }
    }
}

struct Report {
    out: BufWriter<io::Stdout>,
    /// Whether that is a terminal, where the progress may be shown, too.
    beside: bool,
    progress: Shown,
    arguments: CollectArguments,
}

/// A line for machines.
#[derive(Serialize)]
#[serde(rename_all = "lowercase", tag = "seen")]
enum Line<'a> {
    Repository {
        repository: &'a str,
    },
    Unreadable {
        repository: &'a str,
        manifest: String,
    },
    Untagged {
        repository: &'a str,
        manifest: String,
    },
    Blob {
        digest: String,
        size: u64,
        #[serde(flatten)]
        fate: &'a Fate,
    },
    Copy {
        digest: String,
        size: u64,
        #[serde(flatten)]
        fate: &'a Fate,
    },
    Link {
        repository: &'a str,
        digest: String,
    },
    End {
        #[serde(rename = "dryrun")]
        dry_run: bool,
        #[serde(flatten)]
        collected: &'a Collected,
    },
}

impl Report {
    fn saw(&mut self, seen: Seen<'_>) {
        if let Seen::Progress(progress) = seen {
            return self.progress.show(progress);
        }
        if self.arguments.quiet {
            return;
        }
        if self.arguments.json {
            if let Some(line) = line(&seen) {
                self.object(&line);
            }
            return;
        }
        let Some(line) = text(&seen, self.arguments.dry_run) else {
            return;
        };
        // Whoever reads may have seen enough; the work goes on.
        let _ = match self.beside {
            true => self.progress.aside(|| {
                writeln!(self.out, "{line}")?;
                self.out.flush()
            }),
            false => writeln!(self.out, "{line}"),
        };
    }

    fn end(&mut self, collected: &Collected) {
        self.progress.end();
        let dry_run = self.arguments.dry_run;
        if self.arguments.json {
            self.object(&Line::End { dry_run, collected });
        } else if !self.arguments.quiet {
            let _ = writeln!(self.out, "\n{}", summary(collected, dry_run));
        }
        let _ = self.out.flush();
    }

    fn object(&mut self, line: &Line<'_>) {
        let _ = serde_json::to_writer(&mut self.out, line);
        let _ = writeln!(self.out);
    }
}

/// A line for people, of what they want to know; where distribution has one, it is the same, and
/// what is named is its last word.
fn text(seen: &Seen<'_>, dry_run: bool) -> Option<String> {
    Some(match seen {
        Seen::Repository(name) => name.to_string(),
        Seen::Unreadable(name, digest) => {
            format!("{name}: manifest {digest} cannot be read; everything linked here is kept")
        }
        Seen::Untagged(_, digest) => format!("manifest eligible for deletion: {digest}"),
        Seen::Blob(blob, Fate::Keep(need)) => {
            let kind = match need.manifest == Some(blob.digest) {
                true => "manifest",
                false => "blob",
            };
            format!("{}: marking {kind} {}", need.repository, blob.digest)
        }
        Seen::Blob(blob, fate) => return blob_text(&blob.digest, blob.stat.size, fate, dry_run),
        Seen::Copy(copy, fate) => return blob_text(&copy.digest, copy.size, fate, dry_run),
        Seen::Link(name, digest) => format!("link of {digest} in {name} removed"),
        _ => return None,
    })
}

fn blob_text(digest: &Digest, size: u64, fate: &Fate, dry_run: bool) -> Option<String> {
    let would = if dry_run { "would be " } else { "" };
    Some(match fate {
        Fate::Keep(_) | Fate::Young { .. } => return None,
        Fate::Retire { .. } => format!("blob eligible for deletion: {digest}"),
        Fate::Restore(need) => format!("blob {would}restored from the trash: {digest}: {need}"),
        Fate::Wait { age } => {
            let age = span(*age);
            format!("blob in the trash: {digest} ({size} bytes), for {age} so far")
        }
        Fate::Purge { .. } => format!("blob {would}destroyed: {digest} ({size} bytes)"),
    })
}

fn line<'a>(seen: &Seen<'a>) -> Option<Line<'a>> {
    Some(match seen {
        Seen::Repository(name) => Line::Repository {
            repository: name.as_str(),
        },
        Seen::Unreadable(name, digest) => Line::Unreadable {
            repository: name.as_str(),
            manifest: digest.to_string(),
        },
        Seen::Untagged(name, digest) => Line::Untagged {
            repository: name.as_str(),
            manifest: digest.to_string(),
        },
        Seen::Blob(blob, fate) => Line::Blob {
            digest: blob.digest.to_string(),
            size: blob.stat.size,
            fate,
        },
        Seen::Copy(copy, fate) => Line::Copy {
            digest: copy.digest.to_string(),
            size: copy.size,
            fate,
        },
        Seen::Link(name, digest) => Line::Link {
            repository: name.as_str(),
            digest: digest.to_string(),
        },
        _ => return None,
    })
}

fn summary(collected: &Collected, dry_run: bool) -> String {
    let would = if dry_run { "would be " } else { "" };
    let amount = |amount: Amount| format!("{} blobs ({} bytes)", amount.count, amount.bytes);
    let mut text = format!(
        "{} blobs marked, {} blobs and {} manifests eligible for deletion\n\
         {} repositories, {} manifests, {} digests marked; {} kept\n\
         {} {would}moved to the trash, {} {would}destroyed, {} stay in the trash, {} {would}restored, \
         {} manifests {would}deleted",
        collected.marked,
        collected.retired.count,
        collected.untagged,
        collected.repositories,
        collected.revisions,
        collected.marked,
        amount(collected.kept),
        amount(collected.retired),
        amount(collected.purged),
        amount(collected.waiting),
        amount(collected.restored),
        collected.untagged,
    );
    if collected.unreadable > 0 {
        text += &format!(
            "\n{} manifests cannot be read: nothing that is linked beside them was removed",
            collected.unreadable
        );
    }
    if collected.waiting.count > 0 {
        text += "\nWhat is in the trash comes back when it is asked for, and is destroyed by a \
                 collection a day later; `--now` destroys it at once.";
    }
    text
}

/// So many seconds, roughly.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
