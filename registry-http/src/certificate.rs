//! `registry certificate`: a certificate for `http.tls` that no public authority has to sign, and
//! where each client wants to be told of it.

mod advice;
mod authority;
mod files;
mod host;
mod issue;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use registry_core::BoxError;

use self::advice::Made;
use self::authority::Authority;
use self::files::{Kind, Output};
use self::host::Host;
use self::issue::Order;
use crate::ambient::{ambient, probe};
use crate::cli::chain;

/// Clients of Apple believe no certificate that is valid for longer, whoever signed it.
const LONGEST: u16 = 825;

/// An authority outlives many certificates: in days.
const AUTHORITY: u16 = 3650;

/// Clocks differ: what is made is valid since a while ago.
const BEFORE: Duration = Duration::from_secs(60 * 60);

/// Clients take no certificate that is much larger, in bytes of DER.
const LARGEST: usize = 48 << 10;

/// The flags of `certificate`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CertificateArguments {
    /// Name or address by which clients reach the registry, with its port if it is not 443; can be
    /// repeated
    #[arg(long = "host", value_name = "NAME[:PORT]", required = true)]
    hosts: Vec<Host>,
    /// Have a private authority sign it: that of the folder, or else a new one
    #[arg(long)]
    ca: bool,
    /// Folder for the files
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Name of the files, before `.crt` and `.key`
    #[arg(long, value_name = "NAME", default_value = "registry", value_parser = files::name)]
    name: String,
    /// Days that the certificate is valid for; an authority is for ten years
    #[arg(
        long,
        default_value_t = LONGEST,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(LONGEST))
    )]
    days: u16,
    /// A key of RSA, of 2048 bits, for clients that know nothing else; else of P-256
    #[arg(long)]
    rsa: bool,
    /// Replace the certificate and its key; an authority is never replaced
    #[arg(long)]
    force: bool,
    /// Say what was made as one JSON object
    #[arg(long)]
    json: bool,
}

/// Why nothing was made, or not all of it.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{} is there already (--force replaces it, --name makes another)", .0.display())]
    Exists(PathBuf),
    #[error("{} is there, but not {}: an authority is both", .there.display(), .missing.display())]
    HalfAuthority { there: PathBuf, missing: PathBuf },
    #[error("the authority {} cannot sign: {why}", .path.display())]
    Authority { path: PathBuf, why: &'static str },
    #[error("{}", .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error("so many names make a certificate of {0} bytes, which clients refuse")]
    TooLarge(usize),
    #[error("making the certificate")]
    Issue(#[source] BoxError),
    #[error("asking the kernel for randomness")]
    Random(#[source] BoxError),
    #[error("standard output")]
    Output(#[source] io::Error),
}

/// Makes what the arguments ask for, and tells what to do with it.
pub(crate) fn run(arguments: &CertificateArguments) -> ExitCode {
    let done = make(arguments).and_then(|made| {
        let text = match arguments.json {
            true => made.json().to_string() + "\n",
            false => made.text(),
        };
        let mut out = io::stdout().lock();
        let told = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        told.map_err(Failed::Output)
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("registry: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn make(arguments: &CertificateArguments) -> Result<Made, Failed> {
    probe().map_err(|error| Failed::Random(error.into()))?;
    let output = Output::open(&arguments.out)?;
    let at = |extension: &str| output.at(&format!("{}.{extension}", arguments.name));
    let (certificate, key) = (at("crt"), at("key"));
    if !arguments.force {
        output.expect_free([&certificate, &key])?;
    }
    let since = whole_seconds((ambient().now)()) - BEFORE;
    let (authority, is_new) = match arguments.ca {
        true => {
            let (authority, is_new) = Authority::of(&output, since)?;
            (Some(authority), is_new)
        }
        false => (None, false),
    };
    let mut order = Order {
        hosts: unique(&arguments.hosts),
        rsa: arguments.rsa,
        since,
        until: since + days(arguments.days),
    };
    if let Some(authority) = &authority {
        // Nobody would believe it for longer.
        order.until = order.until.min(authority.until);
    }
    let issued = issue::issue(&order, authority.as_ref())?;
    if issued.der.len() > LARGEST {
        return Err(Failed::TooLarge(issued.der.len()));
    }
    let mut wrote = Vec::new();
    // Whoever stops in between has an authority that the next call goes on with.
    if let Some(authority) = authority.as_ref().filter(|_| is_new) {
        wrote.extend(authority.write(&output)?);
    }
    output.write(&key, &issued.key, Kind::Key, arguments.force)?;
    let text = issue::pem("CERTIFICATE", &issued.der);
    output.write(&certificate, &text, Kind::Certificate, arguments.force)?;
    wrote.extend([key.clone(), certificate.clone()]);
    let fingerprint = issue::fingerprint(&issued.der);
    let (trust, trusted) = match authority {
        Some(authority) => (authority.certificate, issue::fingerprint(&authority.der)),
        None => (certificate.clone(), fingerprint.clone()),
    };
    Ok(Made {
        certificate,
        key,
        trust,
        wrote,
        fingerprint,
        trusted,
        order,
    })
}

/// Each host once, in the order in which they were named.
fn unique(hosts: &[Host]) -> Vec<Host> {
    let mut seen = std::collections::HashSet::new();
    let fresh = hosts.iter().filter(|host| seen.insert(*host));
    fresh.cloned().collect()
}

fn days(count: u16) -> Duration {
    Duration::from_secs(24 * 60 * 60 * u64::from(count))
}

/// Certificates know no fractions.
fn whole_seconds(time: SystemTime) -> Duration {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    // Before 1970 there were no certificates.
    Duration::from_secs(since.map_or(0, |since| since.as_secs())).max(BEFORE)
}

/// A path as it is from everywhere.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
