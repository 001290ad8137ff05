//! `registry garbage-collect`.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use super::{proved_by, registry};
use crate::collecting;
use crate::manifests::image;
use crate::server::{Server, Setup, sha256, sha512};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

/// A layer that nothing needs, and one that something does.
const GONE: &[u8] = b"layer of what was deleted";
const STAYS: &[u8] = b"layer of what stays";

/// Not every push needs to outlive a crash here.
fn start() -> Server {
    let setup = Setup {
        variables: &[("REGISTRY_STORAGE_FILESYSTEM_DURABILITY", "relaxed")],
        ..Setup::default()
    };
    Server::with("filesystem", setup)
}

fn stop(server: &mut Server) {
    server.process.signal("TERM");
    assert!(server.process.end().success());
}

/// A server that has stopped, with an image and what is left of another.
fn stopped() -> Server {
    let mut server = start();
    let [gone, stays] = [GONE, STAYS].map(|layer| {
        let body = image(&server, "app", std::str::from_utf8(layer).unwrap());
        server.push_manifest("app", &sha256(layer)[7..], &body)
    });
    assert_ne!(gone, stays);
    assert_eq!(
        server.delete(&format!("/v2/app/manifests/{gone}")).status,
        202
    );
    stop(&mut server);
    server
}

fn collect(server: &Server, flags: &[&str]) -> Output {
    let mut arguments = vec!["garbage-collect"];
    arguments.extend(flags);
    arguments.push("config.yml");
    registry(server.root.path(), &arguments, &[])
        .output()
        .unwrap()
}

#[track_caller]
fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn layer(server: &Server, content: &[u8]) -> PathBuf {
    super::store::data(server, &sha256(content))
}

fn pull(server: &Server, content: &[u8]) -> u16 {
    server
        .get(&format!("/v2/app/blobs/{}", sha256(content)))
        .status
}

#[test]
fn gc() {
    let mut server = stopped();
    text(&collect(&server, &[]));
    assert!(!layer(&server, GONE).exists() && layer(&server, STAYS).exists());
    server.restart();
    assert_eq!([pull(&server, GONE), pull(&server, STAYS)], [200, 200]);
    assert!(layer(&server, GONE).exists());
}

#[test]
fn gc_now() {
    let mut server = stopped();
    text(&collect(&server, &["--now"]));
    server.restart();
    assert_eq!([pull(&server, GONE), pull(&server, STAYS)], [404, 200]);
}

#[test]
fn gc_dry_run() {
    let server = stopped();
    for flag in ["-d", "--dry-run"] {
        let plan = text(&collect(&server, &[flag]));
        let said = |digest: &str| plan.contains(&format!("blob eligible for deletion: {digest}"));
        assert!(said(&sha256(GONE)) && !said(&sha256(STAYS)), "{plan}");
        assert!(layer(&server, GONE).exists());
    }
    collecting::a_dry_run_changes_nothing();
    collecting::a_server_that_writes_keeps_a_collection_out_and_one_that_does_not_lets_it_in();
}

#[test]
fn gc_flag_values() {
    let server = stopped();
    for flags in [
        ["--dry-run=true", "-m=0"],
        ["-d=1", "--delete-untagged=false"],
    ] {
        let plan = text(&collect(&server, &flags));
        assert!(plan.contains("0 manifests eligible"), "{plan}");
        assert!(layer(&server, GONE).exists());
    }
    text(&collect(&server, &["--dry-run=false", "-d=0"]));
    assert!(!layer(&server, GONE).exists());
}

proved_by! {
    gc_plan: collecting::what_was_deleted_goes_and_the_rest_is_served;
    gc_signal: collecting::a_signal_ends_it_even_when_nobody_reads_what_it_says;
}

#[test]
fn gc_delete_untagged() {
    for flag in ["-m", "--delete-untagged"] {
        let mut server = start();
        let by_digest = |body: &str| server.push_manifest("app", &sha256(body.as_bytes()), body);
        let alone = by_digest(&image(&server, "app", "alone"));
        let child = by_digest(&image(&server, "app", "child"));
        let kind = "application/vnd.oci.image.index.v1+json";
        let entry = json!({"mediaType": OCI, "digest": child, "size": 1});
        let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": [entry]});
        let tagged = server.push_manifest("app", "t", &index.to_string());
        let mut signature: Value =
            serde_json::from_str(&image(&server, "app", "signature")).unwrap();
        signature["subject"] = json!({"mediaType": kind, "digest": tagged, "size": 1});
        let signature = by_digest(&signature.to_string());
        stop(&mut server);
        text(&collect(&server, &["--now", flag]));
        server.restart();
        for (digest, status) in [(alone, 404), (child, 200), (tagged, 200), (signature, 200)] {
            let got = server.get(&format!("/v2/app/manifests/{digest}"));
            assert_eq!(got.status, status, "{got:?}");
        }
    }
}

#[test]
fn gc_quiet() {
    for flag in ["-q", "--quiet"] {
        let server = stopped();
        let done = collect(&server, &[flag]);
        assert!(done.status.success(), "{done:?}");
        assert_eq!((&*done.stdout, &*done.stderr), (&b""[..], &b""[..]));
        assert!(!layer(&server, GONE).exists());
    }
}

#[test]
fn gc_json() {
    let server = stopped();
    let said = text(&collect(&server, &["--json"]));
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for (content, fate) in [(GONE, "retire"), (STAYS, "keep")] {
        let digest = sha256(content);
        let line = lines.iter().find(|line| line["digest"] == *digest);
        assert_eq!(line.unwrap()["fate"], fate, "{said}");
    }
}

#[test]
fn gc_configuration() {
    let server = stopped();
    let dir = server.root.path();
    collecting::no_store_is_collected_that_nobody_has_named();
    let variable = [("REGISTRY_CONFIGURATION_PATH", "config.yml")];
    let done = registry(dir, &["garbage-collect"], &variable).output();
    text(&done.unwrap());
    assert!(!layer(&server, GONE).exists());
}

#[test]
fn gc_beside_a_writer() {
    let mut server = stopped();
    server.restart();
    let refused = collect(&server, &[]);
    assert_eq!(refused.status.code(), Some(1));
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(
        why.contains(&format!("process {}", server.process.id())),
        "{why}"
    );
    assert!(layer(&server, GONE).exists());
}

#[test]
fn gc_beside_a_reader() {
    let mut server = stopped();
    server.restart_with(Setup {
        variables: &[("REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED", "true")],
        ..Setup::default()
    });
    text(&collect(&server, &["--now"]));
    assert!(!layer(&server, GONE).exists());
    assert_eq!([pull(&server, GONE), pull(&server, STAYS)], [404, 200]);
}

#[test]
fn gc_sha512() {
    let mut server = start();
    let wide = sha512(b"wide");
    let post = format!("/v2/app/blobs/uploads/?digest={wide}");
    let post = crate::client::Request::new("POST", &post).body(b"wide");
    assert_eq!(server.send(post).status, 201);
    let body = image(&server, "app", "layer").replace(&sha256(b"layer"), &wide);
    let manifest = sha512(body.as_bytes());
    server.push_manifest("app", &manifest, &body);
    stop(&mut server);
    text(&collect(&server, &["--now"]));
    server.restart();
    for path in [format!("manifests/{manifest}"), format!("blobs/{wide}")] {
        assert_eq!(server.get(&format!("/v2/app/{path}")).status, 200, "{path}");
    }
}

#[test]
fn gc_unreadable() {
    let mut server = stopped();
    super::store::plant(&server, "app", "torn", b"{ no manifest");
    let done = collect(&server, &["--now"]);
    let said = [&done.stdout[..], &done.stderr[..]].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains(&sha256(b"{ no manifest")), "{said}");
    assert_eq!(fs::read(layer(&server, GONE)).unwrap(), GONE);
    server.restart();
    assert_eq!(pull(&server, STAYS), 200);
}

#[test]
fn gc_schema1() {
    let mut server = start();
    server.push_blob("app", STAYS);
    stop(&mut server);
    let body = json!({"schemaVersion": 1, "name": "app", "tag": "old",
        "fsLayers": [{"blobSum": sha256(STAYS)}]});
    super::store::plant(&server, "app", "old", body.to_string().as_bytes());
    text(&collect(&server, &["--now"]));
    assert!(layer(&server, STAYS).exists());
}
