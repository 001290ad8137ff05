//! `registry fsck`: what it finds, what it says, and what it makes again.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::manifests::image;
use crate::server::{Server, command, sha256};

/// With its output, whatever that is.
pub(crate) fn fsck(server: &Server, flags: &[&str]) -> Output {
    let mut fsck = command(&[]);
    fsck.arg("fsck").args(flags).arg("config.yml").env_clear();
    fsck.env("REGISTRY_LOG_LEVEL", "error");
    fsck.current_dir(server.root.path()).output().unwrap()
}

/// What it says on standard output; whether all is well.
pub(crate) fn said(output: &Output) -> (bool, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output.status.success(), text)
}

/// Where the bytes of a digest are, in the tree.
pub(crate) fn data(digest: &str) -> String {
    let hex = digest.strip_prefix("sha256:").unwrap();
    format!("blobs/sha256/{}/{hex}/data", &hex[..2])
}

fn lines(output: &Output) -> Vec<Value> {
    let (_, text) = said(output);
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

#[test]
pub(crate) fn what_is_whole_is_told_so_beside_a_server_that_writes() {
    let server = Server::start("filesystem");
    server.push_manifest("app", "v1", &image(&server, "app", "layer"));
    let done = fsck(&server, &[]);
    let (well, text) = said(&done);
    assert!(well, "{done:?}");
    assert!(
        text.contains("1 repositories, 1 manifests, 1 tags; 3 blobs read"),
        "{text}"
    );
    assert!(
        text.contains("nothing is missing, cut short or rotten"),
        "{text}"
    );
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(told.contains("reading: 3 blobs"), "{told}");
    let done = fsck(&server, &["--json"]);
    let last = lines(&done).pop().unwrap();
    assert_eq!(
        (&last["seen"], &last["damaged"]),
        (&"end".into(), &0.into())
    );
    assert_eq!(last["read"]["count"], 3);
    // Whether it was asked in JSON or not, a server that writes is not told as damage.
    assert!(done.status.success());
}

#[test]
pub(crate) fn what_is_missing_cut_short_or_rotten_is_told_and_is_status_1() {
    let server = Server::start("filesystem");
    let contents = ["missing", "cut short", "rotten", "empty", "whole"];
    for content in contents {
        server.push_manifest(
            "app",
            &sha256(content.as_bytes())[7..],
            &image(&server, "app", content),
        );
    }
    let at = |content: &str| server.at(&data(&sha256(content.as_bytes())));
    fs::remove_file(at("missing")).unwrap();
    fs::write(at("cut short"), "cut").unwrap();
    fs::write(at("rotten"), "rottem").unwrap();
    fs::write(at("empty"), "").unwrap();
    // Nothing needs it, and all the same it is not what it says.
    let orphan = server.push_blob("app", b"orphan");
    fs::write(server.at(&data(&orphan)), "orphen").unwrap();
    let done = fsck(&server, &["--json"]);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    let lines = lines(&done);
    let told = |content: &str| {
        let hex = &sha256(content.as_bytes())[7..];
        let mut of = lines.iter().filter(|line| {
            let path = line["path"].as_str();
            path.is_some_and(|path| path.contains(hex))
        });
        let line = of.next();
        assert!(of.next().is_none(), "told twice: {content}");
        line.map(|line| {
            assert_eq!(line["damage"], true);
            let text = |key: &str| line[key].as_str().map(str::to_owned);
            (text("kind").unwrap(), text("detail"))
        })
    };
    let kind =
        |kind: &str, detail: Option<&str>| Some((kind.to_owned(), detail.map(str::to_owned)));
    assert_eq!(told("missing"), kind("missing-blob", None));
    assert_eq!(told("cut short"), kind("cut-short", Some("3 of 9 bytes")));
    assert_eq!(told("rotten"), kind("rotten", Some("6 bytes")));
    assert_eq!(told("empty"), kind("empty-blob", None));
    assert_eq!(told("orphan"), kind("rotten", Some("6 bytes")));
    assert_eq!(told("whole"), None);
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["damaged"], &last["revisions"]),
        (&5.into(), &5.into())
    );

    let (well, text) = said(&fsck(&server, &[]));
    let path = format!("docker/registry/v2/{}", data(&sha256(b"cut short")));
    let line = format!("a blob that was cut short: {path} (3 of 9 bytes)");
    assert!(!well && text.contains(&line), "{text}");
    assert!(text.contains("5 missing, cut short or rotten"), "{text}");
}

#[test]
pub(crate) fn a_rotten_manifest_is_told_where_it_is_linked_and_where_it_lies() {
    let server = Server::start("filesystem");
    let digest = server.push_manifest("app", "v1", &image(&server, "app", "layer"));
    fs::write(server.at(&data(&digest)), "{}").unwrap();
    let done = fsck(&server, &["--json"]);
    assert_eq!(done.status.code(), Some(1));
    let lines = lines(&done);
    let kinds = lines.iter().filter_map(|line| line["kind"].as_str());
    assert_eq!(kinds.collect::<Vec<_>>(), ["unreadable-manifest", "rotten"]);
}

#[test]
pub(crate) fn what_a_crash_has_left_and_harms_nobody_is_no_damage() {
    let server = Server::start("filesystem");
    server.push_manifest("app", "v1", &image(&server, "app", "layer"));
    let half = server.at("repositories/app/_manifests/tags/half/current");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join("link"), "").unwrap();
    let done = fsck(&server, &["--json"]);
    assert!(done.status.success(), "{done:?}");
    let lines = lines(&done);
    assert_eq!(
        (&lines[0]["kind"], &lines[0]["damage"]),
        (&"empty-tag".into(), &false.into())
    );
    let (_, text) = said(&fsck(&server, &[]));
    assert!(text.contains("1 traces of crashes and deletes"), "{text}");
}

#[test]
pub(crate) fn records_of_referrers_are_made_again_while_no_server_writes() {
    let mut server = Server::start("filesystem");
    let body = image(&server, "app", "layer");
    let subject = server.push_manifest("app", "v1", &body);
    let mut body: Value = serde_json::from_str(&body).unwrap();
    body["subject"] =
        serde_json::json!({"mediaType": body["mediaType"], "digest": subject, "size": 1});
    let body = body.to_string();
    let referrer = server.push_manifest("app", &sha256(body.as_bytes()), &body);
    let refused = fsck(&server, &["--reindex"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    server.process.signal("TERM");
    assert!(server.process.end().success());
    let of = |referrer: &str| {
        let dir = format!("repositories/app/_referrers/sha256/{}", &subject[7..]);
        server.at(&dir).join(referrer.replace(':', "-"))
    };
    let right = fs::read(of(&referrer)).unwrap();
    fs::write(of(&referrer), "{}").unwrap();
    fs::write(of(&sha256(b"nobody")), &right).unwrap();
    let (well, text) = said(&fsck(&server, &["--reindex"]));
    assert!(
        well && text.contains("1 records of referrers made, 1 removed"),
        "{text}"
    );
    assert_eq!(fs::read(of(&referrer)).unwrap(), right);
    assert!(!of(&sha256(b"nobody")).exists());
    let last = lines(&fsck(&server, &["--reindex", "--json"]))
        .pop()
        .unwrap();
    assert_eq!(
        (&last["seen"], &last["made"]),
        (&"reindexed".into(), &0.into())
    );
}

#[test]
pub(crate) fn no_store_is_read_that_nobody_has_named() {
    let done = command(&[]).arg("fsck").env_clear().output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(told.contains("fsck wants the configuration"), "{told}");
}
