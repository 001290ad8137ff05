//! An image of six layers, pushed and pulled as clients do.

use std::thread;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::digest::{self, Noise};
use crate::http::Connection;
use crate::image::MANIFEST;

/// Bytes of the layers: a small base, and what a build puts upon it.
const LAYERS: [usize; 6] = [3 << 20, 1 << 20, 512 << 10, 64 << 10, 4 << 10, 1 << 10];

/// What nobody has pushed before.
#[derive(Debug)]
pub(super) struct Image {
    layers: Vec<Blob>,
    config: Blob,
    manifest: Vec<u8>,
}

/// Bytes, and their digest.
#[derive(Debug)]
pub(super) struct Blob {
    bytes: Vec<u8>,
    pub(super) digest: String,
}

impl Blob {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        let digest = digest::digest(&bytes);
        Self { bytes, digest }
    }

    /// One that no other number has.
    pub(super) fn unique(number: u64, len: usize) -> Self {
        let mut bytes = vec![0; len];
        Noise::new(number).fill(&mut bytes);
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Self::new(bytes)
    }

    /// POST and PUT, as containerd, buildkit and crane do.
    pub(super) fn put(&self, connection: &mut Connection, repository: &str) -> Result<()> {
        let location = begin(connection, repository)?;
        self.finish(connection, &location, &self.bytes)
    }

    /// POST, PATCH and PUT, as docker and podman do.
    pub(super) fn patch(&self, connection: &mut Connection, repository: &str) -> Result<()> {
        let location = begin(connection, repository)?;
        let headers = [("Content-Type", "application/octet-stream")];
        let answer = connection.request("PATCH", &location, &headers, &self.bytes)?;
        let location = answer.expect(202)?.location()?.to_owned();
        self.finish(connection, &location, b"")
    }

    fn finish(&self, connection: &mut Connection, location: &str, rest: &[u8]) -> Result<()> {
        let mark = if location.contains('?') { '&' } else { '?' };
        let target = format!("{location}{mark}digest={}", self.digest);
        let answer = connection.request("PUT", &target, &[], rest)?;
        answer.expect(201).map(|_| ())
    }

    /// After asking whether it is there, as everybody does.
    fn push(&self, address: &str, repository: &str) -> Result<()> {
        let mut connection = Connection::open(address)?;
        let target = format!("/v2/{repository}/blobs/{}", self.digest);
        let asked = connection.request("HEAD", &target, &[], b"")?;
        ensure!(asked.status == 404, "it is there before it is pushed");
        self.patch(&mut connection, repository)
    }
}

fn begin(connection: &mut Connection, repository: &str) -> Result<String> {
    let target = format!("/v2/{repository}/blobs/uploads/");
    let answer = connection.request("POST", &target, &[], b"")?.expect(202)?;
    Ok(answer.location()?.to_owned())
}

impl Image {
    /// One that no other number has; each takes as many numbers as it has layers.
    pub(super) fn new(number: u64) -> Self {
        let layers = (number..).zip(LAYERS);
        let layers: Vec<Blob> = layers
            .map(|(number, len)| Blob::unique(number, len))
            .collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "rootfs": {}, "author": number.to_string(),
        });
        let config = Blob::new(config.to_string().into_bytes());
        let described = |blob: &Blob, kind: &str| {
            json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": blob.digest,
                "size": blob.bytes.len(),
            })
        };
        let all = layers.iter();
        let all: Vec<_> = all
            .map(|layer| described(layer, "layer.v1.tar+gzip"))
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described(&config, "config.v1+json"),
            "layers": all,
        });
        Self {
            layers,
            config,
            manifest: manifest.to_string().into_bytes(),
        }
    }

    /// All layers side by side, then the config, then the manifest.
    pub(super) fn push(&self, address: &str, repository: &str, tag: &str) -> Result<()> {
        thread::scope(|scope| {
            let all = self.layers.iter();
            let all: Vec<_> = all
                .map(|layer| scope.spawn(|| layer.push(address, repository)))
                .collect();
            all.into_iter()
                .try_for_each(|one| one.join().ok().context("a thread panicked")?)
        })?;
        self.config.push(address, repository)?;
        self.name(&mut Connection::open(address)?, repository, tag)
    }

    pub(super) fn digest(&self) -> String {
        digest::digest(&self.manifest)
    }

    /// Tags it where its layers are.
    pub(super) fn name(
        &self,
        connection: &mut Connection,
        repository: &str,
        tag: &str,
    ) -> Result<()> {
        let target = format!("/v2/{repository}/manifests/{tag}");
        let headers = [("Content-Type", MANIFEST)];
        let answer = connection.request("PUT", &target, &headers, &self.manifest)?;
        answer.expect(201).map(|_| ())
    }
}

/// All of an image, one after the other, and how many bytes that was.
pub(super) fn pull(connection: &mut Connection, repository: &str, tag: &str) -> Result<u64> {
    let target = format!("/v2/{repository}/manifests/{tag}");
    let answer = connection.request("GET", &target, &[("Accept", MANIFEST)], b"")?;
    let manifest: Value = serde_json::from_slice(&answer.expect(200)?.body)?;
    let layers = manifest["layers"].as_array().context("no layers")?;
    let mut received = 0;
    for blob in layers.iter().chain([&manifest["config"]]) {
        let digest = blob["digest"].as_str().context("no digest")?;
        let target = format!("/v2/{repository}/blobs/{digest}");
        let text = connection.format("GET", &target, &[], None);
        let mut len = 0;
        let head =
            connection.exchange(text.as_bytes(), false, |piece| len += piece.len() as u64)?;
        ensure!(head.status == 200, "status {}", head.status);
        ensure!(blob["size"] == len, "{len} bytes of {blob}");
        received += len;
    }
    Ok(received)
}
