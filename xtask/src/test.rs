//! `test`: every test of the workspace; cargo's own summary is the last thing printed.

use anyhow::Result;

use crate::flags::Args;
use crate::sh;

/// What some tests or commands use beyond the Rust toolchain, and what is lost without it.
const OPTIONAL: &[(&str, &str)] = &[
    (
        "strace",
        "the test that reads the order of system calls of a push",
    ),
    ("podman", "cargo xtask integration"),
    ("skopeo", "cargo xtask integration"),
];

pub(crate) fn run(_: &Args) -> Result<()> {
    let missing: Vec<_> = OPTIONAL
        .iter()
        .filter(|(tool, _)| sh::which(tool).is_none())
        .collect();
    for (tool, what) in missing {
        sh::skip(what, &format!("{tool} is not installed"));
    }
    sh::run(sh::cargo().args(["test", "--workspace"]))
}
