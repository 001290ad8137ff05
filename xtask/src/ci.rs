//! `ci`: what CI runs before the tests, so that it is also what one runs at home.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::flags::Args;
use crate::sh;

/// Each alone, none, and all: a member is linted by itself, since a build of the whole workspace
/// unifies features and hides what is missing in one of them.
const FEATURES: [&str; 5] = ["", "fs", "s3", "htpasswd", "token"];

pub(crate) fn run(args: &Args) -> Result<()> {
    sh::section("format");
    sh::run(sh::cargo().args(["fmt", "--all", "--check"]))?;

    sh::section("tidy");
    crate::tidy::run(args)?;

    sh::section("lints");
    for member in members()? {
        clippy(&["--package", &member])?;
    }
    for features in FEATURES {
        clippy(&[
            "--package",
            "registry-http",
            "--no-default-features",
            "--features",
            features,
        ])?;
    }

    sh::section("documentation");
    sh::run(sh::cargo().env("RUSTDOCFLAGS", "-Dwarnings").args([
        "doc",
        "--quiet",
        "--no-deps",
        "--workspace",
    ]))?;

    sh::section("licences, duplicates and sources");
    deny()?;

    sh::section("the driver of one's own");
    sh::run(sh::cargo().args([
        "build",
        "--quiet",
        "--package",
        "registry-http",
        "--no-default-features",
        "--example",
        "custom_driver",
    ]))?;

    if !args.has("--no-integration") {
        sh::section("real clients");
        crate::integration::run(args)?;
    }
    Ok(())
}

/// The members of the workspace, by name.
fn members() -> Result<Vec<String>> {
    let metadata = crate::tidy::metadata()?;
    let members = metadata["workspace_members"]
        .as_array()
        .context("there are no members")?;
    let packages = metadata["packages"]
        .as_array()
        .context("there are no packages")?;
    let is_member = |package: &&Value| members.contains(&package["id"]);
    let names = packages
        .iter()
        .filter(is_member)
        .filter_map(|one| one["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}

fn clippy(selection: &[&str]) -> Result<()> {
    sh::run(
        sh::cargo()
            .args(["clippy", "--quiet", "--all-targets"])
            .args(selection)
            .args(["--", "-Dwarnings"]),
    )
}

fn deny() -> Result<()> {
    if sh::output(sh::cargo().args(["deny", "--version"])).is_err() {
        anyhow::ensure!(!sh::in_ci(), "cargo-deny is not installed");
        sh::skip("deny", "cargo-deny is not installed");
        return Ok(());
    }
    sh::run(sh::cargo().args(["deny", "check", "bans", "licenses", "sources"]))?;
    // Tried last: the database of advisories lies outside, and may not be reached.
    if let Err(error) = sh::output(sh::cargo().args(["deny", "fetch", "db"])) {
        let why = error.to_string();
        let why = why
            .lines()
            .find(|line| line.starts_with("fatal:"))
            .unwrap_or("no answer");
        sh::skip(
            "advisories",
            &format!("the database cannot be reached ({})", why.trim()),
        );
        return Ok(());
    }
    sh::run(sh::cargo().args(["deny", "check", "advisories"]))
}
