//! Who may depend on whom, read from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Findings;

/// The members, and the members each may use outside its tests.
const ARROWS: &[(&str, &[&str])] = &[
    ("auth-htpasswd", &["registry-core"]),
    ("auth-token", &["registry-core"]),
    ("registry-core", &[]),
    (
        "registry-http",
        &[
            "auth-htpasswd",
            "auth-token",
            "registry-core",
            "storage-fs",
            "storage-s3",
        ],
    ),
    ("storage-fs", &["registry-core"]),
    ("storage-s3", &["registry-core"]),
    ("xtask", &[]),
];

/// What the core must not reach, by whatever way.
const NOT_IN_CORE: [&str; 8] = [
    "axum",
    "figment",
    "hyper",
    "hyper-util",
    "object_store",
    "rustix",
    "tempfile",
    "tower",
];

/// Parts of tokio that would give the core sockets, files or processes.
const NOT_OF_TOKIO: [&str; 5] = ["fs", "full", "net", "process", "signal"];

pub(super) fn check(metadata: &Value, findings: &mut Findings) -> Result<()> {
    let packages = metadata["packages"].as_array().context("no packages")?;
    let members: BTreeSet<&str> = strings(&metadata["workspace_members"]).collect();
    let members: BTreeMap<&str, &Value> = packages
        .iter()
        .filter(|one| one["id"].as_str().is_some_and(|id| members.contains(id)))
        .filter_map(|one| Some((one["name"].as_str()?, one)))
        .collect();

    for (name, package) in &members {
        let Some((_, allowed)) = ARROWS.iter().find(|(member, _)| member == name) else {
            findings.add(
                name,
                "a new member needs a decision record and an entry in tidy",
            );
            continue;
        };
        for dependency in dependencies(package) {
            let other = dependency["name"].as_str().unwrap_or_default();
            // A crate may name itself in its tests, to switch a feature on.
            let own = other == *name && dependency["kind"] == "dev";
            let test_suite = other == "registry-core" && dependency["kind"] == "dev";
            if members.contains_key(other) && !allowed.contains(&other) && !own && !test_suite {
                findings.add(name, format!("may not depend on {other}"));
            }
        }
    }

    let core = members
        .get("registry-core")
        .context("there is no registry-core")?;
    for dependency in dependencies(core).filter(|one| one["kind"].is_null()) {
        if dependency["name"] == "tokio" {
            for feature in strings(&dependency["features"]) {
                if NOT_OF_TOKIO.contains(&feature) {
                    findings.add("registry-core", format!("asks for tokio's `{feature}`"));
                }
            }
        }
    }
    let id = core["id"].as_str().unwrap_or_default();
    for name in reached(metadata, packages, id)? {
        if NOT_IN_CORE.contains(&name) {
            findings.add("registry-core", format!("reaches {name}"));
        }
    }
    Ok(())
}

/// Names of all packages that a package needs to be built, by whatever way.
fn reached<'a>(
    metadata: &'a Value,
    packages: &'a [Value],
    from: &'a str,
) -> Result<BTreeSet<&'a str>> {
    let names: BTreeMap<&str, &str> = packages
        .iter()
        .filter_map(|one| Some((one["id"].as_str()?, one["name"].as_str()?)))
        .collect();
    let nodes = metadata["resolve"]["nodes"]
        .as_array()
        .context("nothing is resolved")?;
    let edges: BTreeMap<&str, Vec<&str>> = nodes
        .iter()
        .filter_map(|node| {
            let normal = node["deps"].as_array()?.iter().filter(|dep| {
                dep["dep_kinds"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|k| k["kind"].is_null()))
            });
            Some((
                node["id"].as_str()?,
                normal.filter_map(|dep| dep["pkg"].as_str()).collect(),
            ))
        })
        .collect();
    let mut seen = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(id) = waiting.pop() {
        if seen.insert(id) {
            waiting.extend(edges.get(id).into_iter().flatten());
        }
    }
    Ok(seen
        .into_iter()
        .filter_map(|id| names.get(id).copied())
        .collect())
}

fn dependencies(package: &Value) -> impl Iterator<Item = &Value> {
    package["dependencies"].as_array().into_iter().flatten()
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check_core(dependency: &Value, resolved: &str) -> Vec<String> {
        let metadata = json!({
            "workspace_members": ["core"],
            "packages": [
                { "id": "core", "name": "registry-core", "dependencies": [dependency] },
                { "id": "x", "name": "x", "dependencies": [] },
                { "id": "y", "name": resolved, "dependencies": [] },
            ],
            "resolve": { "nodes": [
                { "id": "core", "deps": [{ "pkg": "x", "dep_kinds": [{ "kind": null }] }] },
                { "id": "x", "deps": [{ "pkg": "y", "dep_kinds": [{ "kind": null }] }] },
            ]},
        });
        let mut findings = Findings::default();
        check(&metadata, &mut findings).expect("metadata as cargo writes it");
        findings.0
    }

    #[test]
    fn the_core_may_not_reach_a_framework_through_another_crate() {
        let x = json!({ "name": "x", "kind": null, "features": [] });
        assert_eq!(check_core(&x, "serde"), [""; 0]);
        assert_eq!(check_core(&x, "hyper"), ["registry-core: reaches hyper"]);
    }

    #[test]
    fn the_core_may_not_ask_for_sockets() {
        let tokio = json!({ "name": "tokio", "kind": null, "features": ["rt", "net"] });
        assert_eq!(
            check_core(&tokio, "mio"),
            ["registry-core: asks for tokio's `net`"]
        );
    }
}
