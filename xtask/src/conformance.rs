//! `conformance`: the OCI suite against our release build; nothing may fail and nothing be skipped.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::flags::Args;
use crate::replicas::Replicas;
use crate::server::{Profile, Server, Start, binary, free_address};
use crate::sh;

/// All that is settled and the unreleased checks; only sparse manifests are a registry's choice.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("OCI_TLS", "disabled"),
    ("OCI_VERSION", "dev"),
    ("OCI_DATA_SPARSE", "false"),
    ("OCI_API_BLOBS_DIGEST_HEADER", "true"),
    ("OCI_API_MANIFESTS_DIGEST_HEADER", "true"),
    ("OCI_API_BLOBS_UPLOAD_CANCEL", "true"),
];

pub(crate) fn run(args: &Args) -> Result<()> {
    let Some(suite) = std::env::var_os("OCI_CONFORMANCE").map(PathBuf::from) else {
        sh::skip(
            "conformance",
            "OCI_CONFORMANCE does not name the suite's binary",
        );
        return Ok(());
    };
    let results = args
        .values("--results")
        .last()
        .map(|folder| sh::root().join(folder));
    let results = results.unwrap_or_else(|| sh::target().join("conformance"));
    // What an earlier run left must not be taken for this one's.
    if results.join("junit.xml").exists() {
        fs::remove_file(results.join("junit.xml"))?;
    }
    fs::create_dir_all(&results)?;

    let binary = binary(Profile::Release)?;
    let folder = sh::TempDir::new("conformance")?;
    let bucket = match args.values("--storage").last() {
        None => None,
        Some("s3") => Some(Bucket::start()?),
        Some(other) => bail!("--storage takes s3, and not {other}"),
    };
    let section = bucket.as_ref().map(|bucket| bucket.section.as_str());
    let tested = Tested::start(args, &binary, folder.path(), section)?;
    let mut command = sh::command(&suite);
    command
        .envs(ENVIRONMENT)
        .env("OCI_REGISTRY", tested.address());
    if bucket.is_some() {
        // A bucket, which the suite is sent to for blobs, has no such header.
        command.env("OCI_API_BLOBS_DIGEST_HEADER", "false");
    }
    if matches!(tested, Tested::Several(_)) {
        // Where a digest was seen each server remembers by itself.
        command.env("OCI_API_BLOBS_MOUNT_ANONYMOUS", "false");
    }
    command
        .env("OCI_RESULTS_DIR", &results)
        .current_dir(folder.path());
    // Its status says nothing: a mistake in its configuration ends in success.
    let said = command
        .output()
        .with_context(|| format!("cannot run {}", suite.display()))?;

    let Ok(report) = fs::read_to_string(results.join("junit.xml")) else {
        println!("{}", String::from_utf8_lossy(&said.stderr));
        bail!("the suite wrote no {}", results.join("junit.xml").display());
    };
    let Counts {
        tests,
        failed,
        skipped,
    } = Counts::read(&report)?;
    let content = failed == 0 && skipped == 0;
    if !content {
        tested.print_logs();
    }
    for case in bad_cases(&report) {
        println!("{case}");
    }
    println!("reports: {}", results.display());
    let passed = tests.saturating_sub(failed + skipped);
    let counts = format!("{passed} passed, {failed} failed, {skipped} skipped of {tests}");
    if !content {
        bail!("{counts}");
    }
    println!("conformance: {counts}");
    Ok(())
}

/// One server, or several that share a bucket behind one address.
#[derive(Debug)]
enum Tested {
    One(Server),
    Several(Replicas),
}

impl Tested {
    fn start(args: &Args, binary: &Path, folder: &Path, section: Option<&str>) -> Result<Self> {
        if let Some(count) = args.values("--replicas").last() {
            let count = count.parse().context("--replicas takes a number")?;
            let section = section.context("--replicas needs --storage s3")?;
            return Replicas::start(binary, folder, section, count).map(Self::Several);
        }
        let server = Server::launch(Start {
            binary,
            folder,
            address: &free_address()?,
            level: "info",
            driver: section,
            more: "",
            tls: None,
        })?;
        Ok(Self::One(server))
    }

    fn address(&self) -> &str {
        match self {
            Self::One(server) => &server.address,
            Self::Several(replicas) => &replicas.front.address,
        }
    }

    fn print_logs(&self) {
        match self {
            Self::One(server) => server.print_log(),
            Self::Several(replicas) => replicas.print_logs(),
        }
    }
}

/// The S3 of the tests of `storage-s3`, in a process of its own.
#[derive(Debug)]
struct Bucket {
    child: Child,
    /// Of a configuration, as it says.
    section: String,
}

impl Bucket {
    fn start() -> Result<Self> {
        let mut cargo = sh::cargo();
        cargo.args(["build", "--package", "storage-s3", "--example", "s3_server"]);
        sh::run(cargo.args(["--features", "testing"]))?;
        let mut command = sh::command(sh::target().join("debug/examples/s3_server"));
        // It ends with its standard input, and so with us.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the bucket")?;
        let mut section = String::new();
        let said = child.stdout.take().context("the bucket has no output")?;
        BufReader::new(said).read_line(&mut section)?;
        ensure!(section.starts_with("s3: "), "the bucket said {section:?}");
        let section = section.trim_end().to_owned();
        Ok(Self { child, section })
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It fails when it has ended, which is what is wanted.
        let _ = self.child.wait();
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Counts {
    tests: u64,
    failed: u64,
    skipped: u64,
}

impl Counts {
    fn read(report: &str) -> Result<Self> {
        let suite = report
            .split("<testsuite ")
            .nth(1)
            .context("no test suite in the report")?;
        // The suite leaves out what is zero, but there is always something to test.
        let number = |name: &str| -> Result<u64> {
            let value = attribute(suite, name).unwrap_or("0");
            value
                .parse()
                .with_context(|| format!("{name} is not a number"))
        };
        let tests = number("tests")?;
        ensure!(tests > 0, "no tests in the report");
        Ok(Self {
            tests,
            failed: number("failures")? + number("errors")?,
            skipped: number("skipped")?,
        })
    }
}

/// Name, status and first words of every case that did not pass.
fn bad_cases(report: &str) -> impl Iterator<Item = String> {
    report.split("<testcase ").skip(1).filter_map(|case| {
        let status = attribute(case, "status")?;
        let name = attribute(case, "name")?;
        let why = case.split_once("<system-out>").map_or("", |(_, rest)| rest);
        let why = why.split(['<', '\n']).next().unwrap_or_default();
        (!matches!(status, "passed" | "disabled"))
            .then(|| format!("{status}: {name}: {}", why.replace("&#xA;", " ")))
    })
}

fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let element = element.split('>').next()?;
    let (_, value) = element.split_once(&format!("{name}=\""))?;
    value.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<testsuites tests="3"><testsuite name="S" tests="3" failures="1" errors="0" skipped="1" time="1">
        <testcase name="S/a" classname="" time="0" status="passed"><system-err>x</system-err></testcase>
        <testcase name="S/b" classname="" time="0" status="failure"><system-out>404&#xA;no</system-out></testcase>
        <testcase name="S/c" classname="" time="0" status="skipped"><system-out>no mount</system-out></testcase>
        </testsuite></testsuites>"#;

    #[test]
    fn the_counts_are_the_suites_own() {
        let counts = Counts::read(REPORT).unwrap();
        assert_eq!(
            counts,
            Counts {
                tests: 3,
                failed: 1,
                skipped: 1
            }
        );
        let passed = Counts::read(r#"<testsuite name="S" tests="3" errors="0">"#).unwrap();
        assert_eq!((passed.tests, passed.failed, passed.skipped), (3, 0, 0));
        assert!(Counts::read(r#"<testsuite name="S">"#).is_err());
        assert!(Counts::read("").is_err());
    }

    #[test]
    fn what_did_not_pass_is_named() {
        let cases: Vec<_> = bad_cases(REPORT).collect();
        assert_eq!(cases, ["failure: S/b: 404 no", "skipped: S/c: no mount"]);
    }
}
