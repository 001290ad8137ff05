//! The keys of `storage`.

use super::{Checked, MEMORY, check, proved_by, serve};
use crate::client::Request;
use crate::disk;
use crate::manifests::image;
use crate::server::{Server, Setup, sha256};

proved_by! {
    storage_full: disk::a_full_disk_is_served_from_and_written_to_once_there_is_room;
    storage_unwritable:
        disk::a_disk_that_may_not_be_written_to_is_refused_with_the_key_and_the_way_out;
}

const FREE: [(&str, &str); 1] = [("REGISTRY_HTTP_ADDR", "127.0.0.1:0")];

/// Storage in memory with these keys beside it.
fn beside(keys: &str) -> Checked {
    check(
        &format!("version: 0.1\nstorage: {{inmemory: , {keys}}}\n"),
        &[],
    )
}

/// Files with these keys of their driver.
fn files(keys: &str) -> Checked {
    let text = format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: a, {keys}}}}}\n");
    check(&text, &[])
}

#[test]
fn storage_filesystem() {
    let server = Server::start("filesystem");
    let digest = server.push_blob("a", b"content");
    let data = super::store::data(&server, &digest);
    assert!(data.starts_with(server.root.path().join("store")));
    assert_eq!(std::fs::read(data).unwrap(), b"content");
    let second = server.beside(Setup::default()).err();
    assert_eq!(second.expect("it is refused").code, Some(1));
}

#[test]
fn storage_filesystem_maxthreads() {
    let text = "version: 0.1\nstorage: {filesystem: {rootdirectory: a, maxthreads: 1}}\n";
    let (_dir, served) = serve(text, &FREE);
    let served = served.unwrap();
    assert_eq!(
        Request::new("GET", "/v2/_catalog")
            .send(served.address)
            .status,
        200
    );
    assert_eq!(served.log.count("level=warning"), 0);
    let refused = files("maxthreads: few");
    assert!(refused.problem().contains("maxthreads"), "{refused:?}");
    assert_eq!(files("").value("storage.filesystem.maxthreads"), "100");
    assert_eq!(files("maxthreads: -1").warnings(), [""; 0]);
}

#[test]
fn storage_filesystem_durability() {
    assert_eq!(files("").value("storage.filesystem.durability"), "full");
    let relaxed = files("durability: relaxed");
    assert_eq!(relaxed.value("storage.filesystem.durability"), "relaxed");
    assert_eq!(relaxed.warnings(), [""; 0]);
    let refused = files("durability: none");
    assert!(refused.problem().contains("durability"), "{refused:?}");
}

#[test]
fn storage_filesystem_rest() {
    let warned = files("rootdirectry: b");
    let told = warned.warning();
    assert!(told.contains("`storage.filesystem.rootdirectry`"), "{told}");
}

#[test]
fn storage_inmemory() {
    let mut server = Server::start("inmemory");
    let path = format!("/v2/a/blobs/{}", server.push_blob("a", b"content"));
    assert_eq!(server.get(&path).body, b"content");
    server.restart();
    assert_eq!(server.get(&path).status, 404);
}

#[test]
fn storage_delete() {
    let body = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    for (keys, statuses) in [
        ("inmemory: ", [405, 405]),
        ("inmemory: , delete: {enabled: false}", [405, 405]),
        ("inmemory: , delete: {enabled: true}", [202, 202]),
    ] {
        let (_dir, served) = serve(&format!("version: 0.1\nstorage: {{{keys}}}\n"), &FREE);
        let served = served.unwrap();
        let put = Request::new("PUT", "/v2/a/manifests/t").body(body);
        assert_eq!(put.send(served.address).status, 201);
        let digest = sha256(body);
        let answers = ["t", &digest].map(|reference| {
            let path = format!("/v2/a/manifests/{reference}");
            Request::new("DELETE", &path).send(served.address).status
        });
        assert_eq!(answers, statuses, "{keys}");
    }
}

#[test]
fn storage_cache() {
    for keys in [
        "cache: {blobdescriptor: inmemory, blobdescriptorsize: 5}",
        "cache: {layerinfo: inmemory}",
    ] {
        assert_eq!(beside(keys).warnings(), [""; 0], "{keys}");
    }
    let warned = beside("cache: {blobdescriptor: redis}");
    assert!(
        warned.warning().contains("nothing is kept in redis"),
        "{warned:?}"
    );
}

#[test]
fn storage_redirect() {
    for disable in [true, false] {
        let server = super::server(&format!("  redirect: {{disable: {disable}}}\n"));
        let digest = server.push_blob("a", b"content");
        assert_eq!(server.get(&format!("/v2/a/blobs/{digest}")).status, 200);
        assert_eq!(server.process.log.count("level=warning"), 0);
    }
}

#[test]
fn storage_tag() {
    assert_eq!(beside("tag: {concurrencylimit: 5}").warnings(), [""; 0]);
    let refused = beside("tag: {concurrencylimit: -1}");
    let named = "`storage.tag.concurrencylimit` (c.yml:2:";
    assert!(refused.problem().starts_with(named), "{refused:?}");
}

#[test]
fn storage_uploadpurging() {
    let section = "storage.maintenance.uploadpurging";
    let defaults = [
        ("enabled", "true"),
        ("age", "168h"),
        ("interval", "24h"),
        ("dryrun", "false"),
    ];
    let others = ["false", "2h", "3h", "true"];
    for ((key, _), other) in defaults.into_iter().zip(others) {
        let checked = beside(&format!(
            "maintenance: {{uploadpurging: {{{key}: {other}}}}}"
        ));
        assert_eq!(checked.warnings(), [""; 0]);
        for (name, default) in defaults {
            let expected = if name == key { other } else { default };
            assert_eq!(
                checked.value(&format!("{section}.{name}")),
                expected,
                "{name}"
            );
        }
    }
}

#[test]
fn storage_readonly() {
    let mut server = Server::start("filesystem");
    let digest = server.push_manifest("a", "t", &image(&server, "a", "layer"));
    server.restart_with(Setup {
        variables: &[("REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED", "true")],
        ..Setup::default()
    });
    for (method, path) in [
        ("POST", "blobs/uploads/".to_owned()),
        ("PUT", "manifests/t".to_owned()),
        ("DELETE", "manifests/t".to_owned()),
        ("DELETE", format!("blobs/{}", sha256(b"layer"))),
    ] {
        let request = Request::new(method, &format!("/v2/a/{path}"));
        server.send(request).expect(405, "UNSUPPORTED");
    }
    assert_eq!(server.get(&format!("/v2/a/manifests/{digest}")).status, 200);
    assert_eq!(
        check(MEMORY, &[]).value("storage.maintenance.readonly.enabled"),
        "false"
    );
}
