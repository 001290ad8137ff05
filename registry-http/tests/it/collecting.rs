//! `registry garbage-collect` on the store of a server: when it is stopped, and beside one that
//! does not write.

use std::process::{Command, Output};

use crate::manifests::image;
use crate::server::{Server, Setup, command};

const READ_ONLY: Setup<'_> = Setup {
    more: "",
    variables: &[("REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED", "true")],
    through: &[],
};

/// A stopped server, in whose store one image was deleted and another was not; their digests.
fn stopped() -> (Server, String, String) {
    let mut server = Server::with("filesystem", Setup::default());
    let gone = server.push_manifest("app", "gone", &image(&server, "app", "layer of one"));
    let stays = server.push_manifest("app", "stays", &image(&server, "app", "layer of two"));
    let deleted = server.delete(&format!("/v2/app/manifests/{gone}"));
    assert_eq!(deleted.status, 202, "{deleted:?}");
    server.process.signal("TERM");
    assert!(server.process.end().success());
    (server, gone, stays)
}

fn collect(server: &Server, flags: &[&str]) -> Output {
    let mut collect: Command = command(&[]);
    collect.arg("garbage-collect").args(flags).arg("config.yml");
    collect.env_clear().current_dir(server.root.path());
    collect.output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn blob(server: &Server, digest: &str) -> std::path::PathBuf {
    let hex = digest.strip_prefix("sha256:").unwrap();
    server.at(&format!("blobs/sha256/{}/{hex}/data", &hex[..2]))
}

#[test]
fn what_was_deleted_goes_and_the_rest_is_served() {
    let (mut server, gone, stays) = stopped();
    let plan = text(&collect(&server, &["--dry-run"]));
    assert!(
        plan.contains(&format!("blob eligible for deletion: {gone}")),
        "{plan}"
    );
    assert!(!plan.contains(&stays), "{plan}");
    assert!(
        plan.contains("2 blobs") && plan.contains("would be moved to the trash"),
        "{plan}"
    );
    assert!(blob(&server, &gone).exists());

    let done = text(&collect(&server, &[]));
    assert!(
        done.contains("in the trash") && done.contains("--now"),
        "{done}"
    );
    assert!(!blob(&server, &gone).exists() && blob(&server, &stays).exists());
    // Nothing of it is told twice, but for what is waiting.
    assert_eq!(text(&collect(&server, &["--quiet"])), "");
    let now = text(&collect(&server, &["--now"]));
    assert!(now.contains(&format!("blob destroyed: {gone}")), "{now}");

    server.restart();
    assert_eq!(server.get("/v2/app/manifests/stays").status, 200);
    assert_eq!(server.get(&format!("/v2/app/blobs/{stays}")).status, 404);
    let body = image(&server, "app", "layer of one");
    assert_eq!(server.push_manifest("app", "again", &body), gone);
}

#[test]
fn every_blob_is_told_with_its_fate_to_machines() {
    let (server, gone, stays) = stopped();
    let said = text(&collect(&server, &["--json", "--dry-run"]));
    let lines: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |digest: &str| {
        let line = lines.iter().find(|line| line["digest"] == digest);
        line.unwrap_or_else(|| panic!("{digest} in {said}"))
    };
    assert_eq!(of(&gone)["fate"], "retire");
    assert_eq!(of(&stays)["fate"], "keep");
    assert_eq!(of(&stays)["repository"], "app");
    assert_eq!(of(&stays)["manifest"], stays.as_str());
    let end = lines.last().unwrap();
    assert_eq!(
        (&end["seen"], &end["dryrun"]),
        (&"end".into(), &true.into())
    );
    assert_eq!(end["retired"]["count"], 2);
}

#[test]
fn untagged_manifests_go_when_that_is_asked_for() {
    let mut server = Server::with("filesystem", Setup::default());
    let first = server.push_manifest("app", "v1", &image(&server, "app", "first"));
    let second = server.push_manifest("app", "v1", &image(&server, "app", "second"));
    server.process.signal("TERM");
    assert!(server.process.end().success());
    let kept = text(&collect(&server, &[]));
    assert!(!kept.contains("eligible"), "{kept}");
    let done = text(&collect(&server, &["-m"]));
    assert!(
        done.contains(&format!("manifest eligible for deletion: app@{first}")),
        "{done}"
    );
    assert!(!done.contains(&second), "{done}");
    server.restart();
    assert_eq!(
        server.get(&format!("/v2/app/manifests/{first}")).status,
        404
    );
    assert_eq!(
        server
            .get("/v2/app/manifests/v1")
            .header("docker-content-digest"),
        second
    );
}

#[test]
fn a_server_that_writes_keeps_a_collection_out_and_one_that_does_not_lets_it_in() {
    let (mut server, gone, stays) = stopped();
    server.restart();
    let refused = collect(&server, &["--now"]);
    assert_eq!(refused.status.code(), Some(1));
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(
        why.contains(&format!("process {}", server.process.id())),
        "{why}"
    );
    assert!(blob(&server, &gone).exists());

    server.restart_with(READ_ONLY);
    assert_eq!(server.get("/v2/app/manifests/stays").status, 200);
    text(&collect(&server, &["--now"]));
    assert!(!blob(&server, &gone).exists());
    assert_eq!(
        server.get(&format!("/v2/app/manifests/{stays}")).status,
        200
    );
}

#[test]
fn a_configuration_that_cannot_be_served_yet_can_be_collected() {
    let (server, gone, _) = stopped();
    let file = server.root.path().join("config.yml");
    let config = std::fs::read_to_string(&file).unwrap();
    let auth = "auth: { htpasswd: { realm: x, path: /nowhere } }\n";
    std::fs::write(&file, config + auth).unwrap();
    let done = text(&collect(&server, &["--now"]));
    assert!(done.contains(&gone), "{done}");
}
