//! Deleting.

use super::proved_on_a_server_by;
use crate::manifests::image;
use crate::server::{Server, Setup, sha256};
use crate::{blobs, manifests};

proved_on_a_server_by! {
    delete_tag: manifests::deleting_a_tag_leaves_the_manifest;
    delete_manifest: manifests::deleting_a_manifest_takes_its_tags;
    delete_blob: blobs::a_deleted_blob_is_gone_here_and_stays_elsewhere;
}

#[test]
fn delete_off() {
    let setup = Setup {
        variables: &[("REGISTRY_STORAGE_DELETE_ENABLED", "false")],
        ..Setup::default()
    };
    let server = Server::with("inmemory", setup);
    let digest = server.push_manifest("a", "t", &image(&server, "a", "layer"));
    for path in [
        "manifests/t".to_owned(),
        format!("manifests/{digest}"),
        format!("blobs/{}", sha256(b"layer")),
    ] {
        let refused = server.delete(&format!("/v2/a/{path}"));
        refused.expect(405, "UNSUPPORTED");
    }
}

#[test]
fn delete_unknown() {
    let server = super::server("");
    let digest = sha256(b"nowhere");
    server.push_blob("a", b"content");
    for repository in ["a", "unused"] {
        let delete = |what: &str| server.delete(&format!("/v2/{repository}/{what}"));
        assert_eq!(delete("manifests/t").status, 404);
        assert_eq!(delete(&format!("manifests/{digest}")).status, 404);
        delete(&format!("blobs/{digest}")).expect(404, "BLOB_UNKNOWN");
    }
}
