//! The command line of `registry`, which is distribution's.

mod signals;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory as _, Parser, Subcommand};
use registry_core::access::Authenticator;
use tokio::runtime::{self, Runtime};
use tokio::signal::unix::SignalKind;
use tokio::sync::oneshot;

use self::signals::{Signals, listen};
use crate::accept::Passed;
use crate::certificate::{self, CertificateArguments};
use crate::check::{CheckArguments, Question, Report};
use crate::collect::{self, CollectArguments};
use crate::config::{Config, LogLevel, Source};
use crate::fsck::{self, FsckArguments};
#[cfg(feature = "htpasswd")]
use crate::htpasswd;
use crate::image::{self, Called, Next};
use crate::outlet::Outlets;
use crate::server::{Builder, Error};
use crate::tls::Tls;
use crate::{env, telemetry};

/// A container registry.
#[derive(Debug, Parser)]
#[command(name = "registry", version, disable_version_flag = true)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Print the version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
    /// Configuration to serve, as `serve` takes it
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve images
    Serve {
        /// YAML file; without one REGISTRY_CONFIGURATION_PATH names it, or built-in defaults count
        config: Option<PathBuf>,
    },
    /// Show what counts, and open everything once without serving
    ///
    /// Ends with 0 if this could be served, and with 1 if not. An address or a store that another
    /// process has in use is told as such, and is no reason for 1: a server may be checked beside
    /// the one whose place it is to take.
    Check {
        #[command(flatten)]
        arguments: CheckArguments,
        #[command(flatten)]
        question: Question,
        /// What `serve` would be given
        config: Option<PathBuf>,
    },
    /// Change the users of `auth.htpasswd`: Apache's command, with bcrypt alone
    #[cfg(feature = "htpasswd")]
    #[command(disable_help_flag = true)]
    Htpasswd {
        /// As `registry htpasswd -h` tells them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Make a certificate for `http.tls`, and tell where each client wants it
    Certificate {
        #[command(flatten)]
        arguments: CertificateArguments,
    },
    /// Remove what no manifest needs
    #[command(args_override_self = true)]
    GarbageCollect {
        #[command(flatten)]
        arguments: CollectArguments,
        /// Configuration of the store, else REGISTRY_CONFIGURATION_PATH names it; no server may be
        /// writing to it, but for a dry run
        config: Option<PathBuf>,
    },
    /// Read every blob and manifest, and tell what is missing, cut short or rotten
    ///
    /// Ends with 0 if nothing is, and with 1 if something is or not everything could be read. Nothing
    /// is changed, so it may run beside a server; what is being pushed or deleted meanwhile may then be
    /// told wrongly.
    Fsck {
        #[command(flatten)]
        arguments: FsckArguments,
        /// Configuration of the store, else REGISTRY_CONFIGURATION_PATH names it
        config: Option<PathBuf>,
    },
    /// There are no completions for shells in this release
    #[command(hide = true)]
    Completion {
        /// Which shell
        #[arg(num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
        shell: Vec<OsString>,
    },
}

/// What is to be done.
#[derive(Debug)]
enum Work {
    Serve,
    Check(CheckArguments, Question),
    Collect(CollectArguments),
    Fsck(FsckArguments),
    Certificate(CertificateArguments),
    #[cfg(feature = "htpasswd")]
    Htpasswd(Vec<OsString>),
}

/// How long what runs on threads of its own may go on once everything has been answered.
const THREADS: Duration = Duration::from_secs(1);

/// Does what the arguments of the process say.
pub(crate) fn run(builder: Builder) -> ExitCode {
    let variables = env::variables();
    let (work, source) = match work(std::env::args_os(), &variables) {
        Ok(work) => work,
        Err(error) => {
            // There is nobody left to tell if that fails.
            let _ = error.print();
            return match error.use_stderr() {
                true => ExitCode::FAILURE,
                false => ExitCode::SUCCESS,
            };
        }
    };
    let done = match work {
        Work::Serve => serve(builder, &source, &variables),
        Work::Check(arguments, question) => {
            check(builder, arguments, &question, &source, &variables)
        }
        Work::Collect(arguments) => collect(builder, arguments, &source, &variables),
        Work::Fsck(arguments) => fsck(builder, arguments, &source, &variables),
        Work::Certificate(arguments) => return certificate::run(&arguments),
        #[cfg(feature = "htpasswd")]
        Work::Htpasswd(arguments) => return htpasswd::run(arguments),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("registry: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// What is to be done, by the arguments, and where the configuration is, by them and the
/// variables.
fn work(
    arguments: impl IntoIterator<Item = OsString>,
    variables: &[(String, String)],
) -> Result<(Work, Source), clap::Error> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    match Called::by(arguments.first()) {
        Some(Called::EntryPoint) => {
            let mut known = Arguments::command();
            known.build(); // which adds `help`
            let is_command = |word: &OsStr| known.find_subcommand(word).is_some();
            let next = image::next(&arguments, variables, is_command);
            if let Err(error) = next.go_on() {
                let message = format!("going on as {next:?}: {error}");
                return Err(Arguments::command().error(ErrorKind::Io, message));
            }
            let (Next::Registry(words) | Next::Program(words)) = next;
            arguments = words;
        }
        // As if it had been typed there.
        Some(Called::Htpasswd) if cfg!(feature = "htpasswd") => {
            arguments.insert(1, "htpasswd".into());
        }
        Some(Called::Htpasswd) => {
            return Err(Arguments::command().error(
                ErrorKind::InvalidSubcommand,
                "started as htpasswd, which needs a binary built with the `htpasswd` feature",
            ));
        }
        None => {}
    }
    let arguments = Arguments::try_parse_from(arguments)?;
    if let Some(file) = arguments.config {
        // The container image takes a file for `serve` of it, and anything else for a command.
        if !file.is_file() {
            return Err(Arguments::command().error(
                ErrorKind::InvalidSubcommand,
                format!("{} is neither a command nor a file", file.display()),
            ));
        }
        return Ok((Work::Serve, Source::File(file)));
    }
    let (work, named) = match arguments.command {
        Some(Command::Serve { config }) => (Work::Serve, config),
        Some(Command::Check {
            arguments,
            question,
            config,
        }) => (Work::Check(arguments, question), config),
        Some(Command::GarbageCollect { arguments, config }) => (Work::Collect(arguments), config),
        Some(Command::Fsck { arguments, config }) => (Work::Fsck(arguments), config),
        Some(Command::Certificate { arguments }) => (Work::Certificate(arguments), None),
        #[cfg(feature = "htpasswd")]
        Some(Command::Htpasswd { arguments }) => (Work::Htpasswd(arguments), None),
        Some(Command::Completion { .. }) => {
            return Err(Arguments::command().error(
                ErrorKind::InvalidSubcommand,
                "there are no completions for shells in this release",
            ));
        }
        None => (Work::Serve, None),
    };
    let variable = || {
        variables
            .iter()
            .find(|(name, path)| name == env::CONFIGURATION_PATH && !path.is_empty())
            .map(|(_, path)| PathBuf::from(path))
    };
    let source = named
        .or_else(variable)
        .map_or(Source::BuiltIn, Source::File);
    let wants = match (&work, &source) {
        (Work::Collect(_), Source::BuiltIn) => Some("garbage-collect"),
        (Work::Fsck(_), Source::BuiltIn) => Some("fsck"),
        _ => None,
    };
    if let Some(wants) = wants {
        return Err(Arguments::command().error(
            ErrorKind::MissingRequiredArgument,
            format!(
                "{wants} wants the configuration of the store: name its file, or set \
                 REGISTRY_CONFIGURATION_PATH; the built-in one is for `serve` alone"
            ),
        ));
    }
    Ok((work, source))
}

fn serve(
    builder: Builder,
    source: &Source,
    variables: &[(String, String)],
) -> Result<ExitCode, Error> {
    let config = Config::load(source, variables)?;
    let outlets = Outlets::open().map_err(|source| Error::System {
        doing: "opening standard output",
        source,
    })?;
    telemetry::open(&config.log, outlets.log.clone());
    telemetry::log_panics();
    let passed = Passed::take().map_err(|source| Error::System {
        doing: "taking the socket of systemd",
        source,
    })?;
    let runtime = start()?;
    let builder = builder
        .config(config)
        .socket(passed)
        .print_requests(outlets.requests.clone());
    let code = runtime.block_on(until_signal(builder));
    // A disk that does not answer keeps a thread, and is not to keep the process.
    runtime.shutdown_timeout(THREADS);
    code
}

fn check(
    builder: Builder,
    arguments: CheckArguments,
    question: &Question,
    source: &Source,
    variables: &[(String, String)],
) -> Result<ExitCode, Error> {
    let mut report = Report::new(arguments);
    let config = match Config::load_to_maintain(source, variables) {
        Ok(config) => config,
        Err(error) => {
            report.problem(&error);
            report.end(None);
            return Ok(ExitCode::FAILURE);
        }
    };
    match question.answer(&config) {
        Ok(None) => {}
        Ok(Some(answer)) => {
            // The code of the exit says it, too.
            let _ = writeln!(io::stdout(), "{}", answer.line(arguments.json()));
            return Ok(exit(answer.allowed));
        }
        Err(message) => {
            eprintln!("registry: {message}");
            return Ok(ExitCode::FAILURE);
        }
    }
    run_unless_stopped(async move { Ok(exit(builder.check(config, &mut report).await)) })
}

fn exit(well: bool) -> ExitCode {
    match well {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn collect(
    builder: Builder,
    arguments: CollectArguments,
    source: &Source,
    variables: &[(String, String)],
) -> Result<ExitCode, Error> {
    let mut config = Config::load_to_maintain(source, variables)?;
    if arguments.quiet() {
        config.log.level = LogLevel::Error;
    }
    let progress = arguments.progress();
    telemetry::open(&config.log, progress.log());
    run_unless_stopped(async move {
        let registry = builder.open_to_collect(config, arguments).await?;
        Ok(exit(collect::collect(&registry, arguments, progress).await))
    })
}

fn fsck(
    builder: Builder,
    arguments: FsckArguments,
    source: &Source,
    variables: &[(String, String)],
) -> Result<ExitCode, Error> {
    let config = Config::load_to_maintain(source, variables)?;
    let progress = arguments.progress();
    telemetry::open(&config.log, progress.log());
    run_unless_stopped(async move {
        let registry = builder.open_to_fsck(config, arguments).await?;
        Ok(exit(fsck::fsck(&registry, arguments, progress).await))
    })
}

/// Does it until a signal ends it, wherever it is: as in a crash, the store stays whole. The first
/// process of a container gets no signal that it does not listen to.
fn run_unless_stopped(
    work: impl Future<Output = Result<ExitCode, Error>> + Send + 'static,
) -> Result<ExitCode, Error> {
    let runtime = start()?;
    let handle = runtime.handle().clone();
    let done = runtime.block_on(async {
        let mut signals = Signals::new()?;
        // On a thread that may wait for whoever reads what it prints.
        let work = tokio::task::spawn_blocking(move || handle.block_on(work));
        tokio::select! {
            done = work => done.unwrap_or(Ok(ExitCode::FAILURE)), // it has panicked
            () = signals.next() => {
                eprintln!("registry: stopped by a signal");
                Ok(ExitCode::FAILURE)
            }
        }
    });
    runtime.shutdown_timeout(THREADS);
    done
}

fn start() -> Result<Runtime, Error> {
    let runtime = runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|source| Error::System {
        doing: "starting threads",
        source,
    })
}

/// Serves until the first signal, and drains until the second. That requests had to be cut is told
/// by the exit code, as distribution tells it.
async fn until_signal(builder: Builder) -> Result<ExitCode, Error> {
    let mut signals = Signals::new()?;
    let mut hangup = listen(SignalKind::hangup())?;
    let server = tokio::select! {
        built = builder.build() => built?,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    let (authenticator, tls) = (server.authenticator(), server.tls());
    let (stop, stopped) = oneshot::channel::<()>();
    let mut serving = std::pin::pin!(server.serve(async {
        let _ = stopped.await;
    }));
    loop {
        tokio::select! {
            all = &mut serving => return Ok(exit(all)),
            () = signals.next() => break,
            _ = hangup.recv() => reload(Arc::clone(&authenticator), tls.clone()),
        }
    }
    tracing::info!("stopping: what has begun may end");
    let _ = stop.send(());
    tokio::select! {
        all = &mut serving => Ok(exit(all)),
        () = signals.next() => {
            tracing::warn!("stopped at once by a second signal");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Reads again what may have changed, while all else goes on.
fn reload(authenticator: Arc<dyn Authenticator>, tls: Option<Arc<Tls>>) {
    tracing::info!("told to read the users again");
    tokio::spawn(async move { authenticator.reload().await });
    if let Some(tls) = tls {
        tracing::info!("told to read the certificate again");
        tokio::task::spawn_blocking(move || tls.reload());
    }
}

/// An error and all it came from, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
