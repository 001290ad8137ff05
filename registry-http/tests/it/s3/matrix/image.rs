//! What is pushed, and whether it is whole.

use registry_core::testing::content;
use serde_json::json;

use super::client::Client;
use crate::server::sha256;

/// A config, a layer and the manifest of both.
pub(super) struct Image {
    blobs: [Vec<u8>; 2],
    pub(super) manifest: String,
}

impl Image {
    pub(super) fn new(seed: u64) -> Self {
        let blobs = [
            content(seed, 100).to_vec(),
            content(seed + 1, 1_000).to_vec(),
        ];
        let of = |kind: &str, blob: &[u8]| {
            let kind = format!("application/vnd.oci.image.{kind}");
            json!({"mediaType": kind, "digest": sha256(blob), "size": blob.len()})
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": of("config.v1+json", &blobs[0]),
            "layers": [of("layer.v1.tar", &blobs[1])],
        });
        let manifest = manifest.to_string();
        Self { blobs, manifest }
    }

    pub(super) fn digest(&self) -> String {
        sha256(self.manifest.as_bytes())
    }

    pub(super) fn push_blobs(&self, client: &Client) {
        for blob in &self.blobs {
            client.push_at_once(blob);
        }
    }

    pub(super) fn push(&self, client: &Client, tag: &str) {
        self.push_blobs(client);
        client.put_manifest(tag, &self.manifest);
    }

    pub(super) fn assert_whole(&self, client: &Client) {
        let found = client.get(&format!("manifests/{}", self.digest()));
        assert_eq!(found.body, self.manifest.as_bytes(), "{}", client.context);
        for blob in &self.blobs {
            assert_blob(client, blob);
        }
    }
}

pub(super) fn assert_blob(client: &Client, bytes: &[u8]) {
    let found = client.get(&format!("blobs/{}", sha256(bytes)));
    assert_eq!(found.status, 200, "{}: {found:?}", client.context);
    assert!(found.body == bytes, "{}", client.context);
}
