//! How far a collection or a check of every byte has come, on standard error: one line that changes on a terminal, and
//! elsewhere a line for each part, and now and then one within a part.

use std::io::{self, Write};
use std::mem::discriminant;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar};
use registry_core::registry::Progress;
use tracing_subscriber::fmt::MakeWriter;

/// How often a terminal is written to.
const REDRAWN: Duration = Duration::from_millis(50);

/// How long nothing is said elsewhere.
const SAID: Duration = Duration::from_secs(30);

/// What is shown to those who wait.
#[derive(Debug)]
pub(crate) struct Shown {
    place: Place,
    /// The newest that came, shown or not.
    last: Option<Progress>,
    /// When something was shown last.
    at: Instant,
}

/// Where it is shown.
#[derive(Clone, Debug)]
enum Place {
    Nowhere,
    Terminal(ProgressBar),
    Lines,
}

impl Shown {
    pub(crate) fn nowhere() -> Self {
        Self::at(Place::Nowhere)
    }

    pub(crate) fn on_standard_error() -> Self {
        let bar = ProgressBar::new_spinner();
        // It is where there is no terminal, and on one that cannot go back in a line.
        Self::at(match bar.is_hidden() {
            false => Place::Terminal(bar),
            true => Place::Lines,
        })
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            last: None,
            at: Instant::now(),
        }
    }

    /// A writer for the log, which goes to standard error, too.
    pub(crate) fn log(&self) -> Beside {
        Beside(self.place.clone())
    }

    /// Takes what the work tells of itself.
    pub(crate) fn show(&mut self, next: Progress) {
        let last = self.last.replace(next);
        let begins = last.is_none_or(|last| is_another_part(last, next));
        if begins {
            // Of each part, how it ended.
            self.place.show(last);
        }
        let waits = match self.place {
            Place::Nowhere => return,
            Place::Terminal(_) if begins => Duration::ZERO,
            Place::Terminal(_) => REDRAWN,
            Place::Lines => SAID,
        };
        if self.at.elapsed() >= waits {
            self.place.show(Some(next));
            self.at = Instant::now();
        }
    }

    /// Writes something that may go to the same terminal.
    pub(crate) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.place.aside(write)
    }

    /// Nothing comes any more.
    pub(crate) fn end(&mut self) {
        self.place.show(self.last.take());
        if let Place::Terminal(bar) = &self.place {
            bar.finish_and_clear();
        }
    }
}

impl Place {
    fn show(&self, progress: Option<Progress>) {
        match (self, progress.map(text)) {
            (Self::Terminal(bar), Some(text)) => bar.set_message(text),
            (Self::Lines, Some(text)) => {
                // If nobody takes it, there is nobody to tell.
                let _ = writeln!(io::stderr(), "{text}");
            }
            _ => {}
        }
    }

    fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match self {
            Self::Terminal(bar) => bar.suspend(write),
            _ => write(),
        }
    }
}

/// Whether a part has ended between these two. A collection marks more than once.
fn is_another_part(last: Progress, next: Progress) -> bool {
    let marks_again = Progress::Marking {
        repositories: 0,
        manifests: 0,
    };
    discriminant(&last) != discriminant(&next) || next == marks_again
}

fn text(progress: Progress) -> String {
    match progress {
        Progress::Marking {
            repositories,
            manifests,
        } => format!("marking: {repositories} repositories, {manifests} manifests"),
        Progress::Retiring { blobs, retired } => format!(
            "looking for what nothing needs: {blobs} blobs, {} for the trash ({})",
            retired.count,
            HumanBytes(retired.bytes)
        ),
        Progress::Purging { copies, of, purged } => format!(
            "emptying the trash: {copies} of {of}, {} destroyed ({})",
            purged.count,
            HumanBytes(purged.bytes)
        ),
        Progress::Unlinking {
            repositories,
            links,
        } => format!("removing links: {repositories} repositories, {links} links"),
        Progress::Looking {
            repositories,
            manifests,
        } => format!("looking: {repositories} repositories, {manifests} manifests"),
        Progress::Reading { read, damaged } => format!(
            "reading: {} blobs ({}), {damaged} damaged",
            read.count,
            HumanBytes(read.bytes)
        ),
        Progress::Entering { repositories } => {
            format!("making the index of repositories: {repositories} repositories")
        }
        Progress::Recording { repositories } => {
            format!("making the records of referrers: {repositories} repositories")
        }
        other => format!("{other:?}"),
    }
}

/// Standard error, beside a line that changes.
#[derive(Clone, Debug)]
pub(crate) struct Beside(Place);

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.aside(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Beside {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
