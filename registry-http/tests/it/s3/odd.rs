//! What others leave in the bucket takes nothing down, and stays.

use super::run;
use crate::client::Request;
use crate::manifests::image;
use crate::server::Server;

/// As a console, a backup program and a script may leave it, below any directory.
const ODD: [&str; 6] = [
    "",
    "/double",
    "marker/",
    "../up",
    "a+b%2F ü",
    "control\u{1}",
];

#[test]
fn a_registry_goes_on_among_keys_that_are_not_its_own() {
    let mut server = Server::start("s3");
    let digest = server.push_manifest("app", "latest", &image(&server, "app", "layer"));
    let gone = server.push_manifest("app", "gone", &image(&server, "app", "other"));
    let tree = "docker/registry/v2";
    let dirs = [
        "repositories",
        "repositories/app",
        "repositories/app/_manifests",
        "repositories/app/_manifests/tags",
        "repositories/app/_manifests/tags/latest",
        "repositories/app/_manifests/revisions/sha256",
        "repositories/app/_layers/sha256",
        "repositories/app/_uploads",
        "blobs/sha256",
        "uploads",
        "gc",
    ];
    let planted = dirs.iter().flat_map(|dir| {
        let odd = ODD.iter();
        odd.map(move |odd| format!("{tree}/{dir}/{odd}"))
    });
    let planted: Vec<String> = planted.collect();
    for key in &planted {
        server.bucket().put(key, "");
    }
    server.restart();
    let tags = server.get("/v2/app/tags/list");
    let text = String::from_utf8(tags.body).unwrap();
    assert!(tags.status == 200 && text.contains("\"latest\""), "{text}");
    let catalog = server.get("/v2/_catalog");
    let text = String::from_utf8(catalog.body).unwrap();
    assert!(catalog.status == 200 && text.contains("\"app\""), "{text}");
    let path = format!("/v2/app/manifests/{digest}");
    assert_eq!(server.get(&path).status, 200);
    let deleted = server.send(Request::new("DELETE", &format!("/v2/app/manifests/{gone}")));
    assert_eq!(deleted.status, 202);
    server.process.signal("TERM");
    assert!(server.process.end().success());
    let checked = run(&server, &["check"]);
    assert!(checked.status.success(), "{checked:?}");
    let collected = run(&server, &["garbage-collect", "--now"]);
    assert!(collected.status.success(), "{collected:?}");
    let keys = server.bucket().keys();
    for key in planted {
        assert!(keys.contains(&key), "{key:?}");
    }
    server.restart();
    assert_eq!(server.get("/v2/app/manifests/latest").status, 200);
}
