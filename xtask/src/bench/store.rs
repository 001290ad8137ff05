//! A contender: its server, what is in its store beforehand, and what is taken out again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::Scale;
use super::login::Login;
use super::upload::{self, Content, Way};
use crate::digest::{Noise, digest};
use crate::http::Connection;
use crate::image::MANIFEST;
use crate::server::Server;

pub(super) const ACCEPT: &str = MANIFEST;
/// The repository of what is read.
pub(super) const IMAGES: &str = "bench/images";
/// The repository with many tags.
pub(super) const TAGS: &str = "bench/tags";
const BLOCK: usize = 16 << 20;
const LAYERS: u64 = 8;

#[derive(Debug)]
pub(super) struct Store {
    pub(super) name: String,
    /// It takes everybody.
    pub(super) server: Server,
    /// Only with rows that need it.
    pub(super) login: Option<Login>,
    /// Digests of what is read.
    pub(super) manifest: String,
    pub(super) small: String,
    pub(super) large: String,
    block: Arc<[u8]>,
    number: u64,
    forgotten: Vec<String>,
}

impl Store {
    pub(super) fn open(name: &str, binary: &Path, folder: &Path, scale: Scale) -> Result<Self> {
        let server = Server::start(binary, folder, "error")?;
        let mut store = Self {
            name: name.to_owned(),
            server,
            login: None,
            manifest: String::new(),
            small: String::new(),
            large: String::new(),
            block: block(),
            number: 1,
            forgotten: Vec::new(),
        };
        store.fill(scale)?;
        Ok(store)
    }

    fn fill(&mut self, scale: Scale) -> Result<()> {
        let mut connection = Connection::open(&self.server.address)?;
        let content = self.unique_large(scale.large);
        upload::push(&mut connection, IMAGES, &content, Way::Put)?;
        self.large = content.digest.clone();
        upload::verify(&mut connection, IMAGES, &self.large)?;

        self.manifest = image(&mut connection, IMAGES, "latest")?;
        self.small = digest(&upload::unique_small(u64::MAX));
        image(&mut connection, TAGS, "t000000")?;
        let target = format!("/v2/{TAGS}/manifests/t000000");
        let manifest = connection
            .request("GET", &target, &[("Accept", ACCEPT)], b"")?
            .expect(200)?;
        for number in 1..scale.tags {
            let target = format!("/v2/{TAGS}/manifests/t{number:06}");
            let headers = [("Content-Type", MANIFEST)];
            connection
                .request("PUT", &target, &headers, &manifest.body)?
                .expect(201)?;
        }
        Ok(())
    }

    /// A large blob that was never pushed.
    pub(super) fn unique_large(&mut self, size: u64) -> Content {
        self.number += 1;
        Content::new(Arc::clone(&self.block), self.number, size)
    }

    /// Numbers for a million small blobs that were never pushed.
    pub(super) fn fresh_range(&mut self) -> u64 {
        self.number += 1;
        self.number << 20
    }

    /// Says that a blob is no longer needed.
    pub(super) fn forget(&mut self, digest: &str) {
        self.forgotten.push(digest.to_owned());
    }

    /// Frees the room of what was pushed, behind the server's back: its own collection is not
    /// what is measured.
    pub(super) fn clean_up(&mut self) -> Result<()> {
        for digest in std::mem::take(&mut self.forgotten) {
            for file in data_of(&self.server.root, &digest)? {
                fs::remove_file(file)?;
            }
        }
        Ok(())
    }
}

/// Where a blob is: all of them keep one in a folder of its digits.
pub(super) fn data_of(root: &Path, digest: &str) -> Result<Vec<PathBuf>> {
    let hex = digest.rsplit(':').next().unwrap_or_default();
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let data = entry.path().join("data");
            if entry.file_name() == *hex && data.is_file() {
                found.push(data);
            } else if entry.file_type()?.is_dir() && entry.file_name() != "repositories" {
                waiting.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// What large blobs are made of.
pub(super) fn block() -> Arc<[u8]> {
    let mut block = vec![0; BLOCK];
    Noise::new(1).fill(&mut block);
    block.into()
}

/// An image of small layers with a manifest of the usual size, and its digest.
pub(super) fn image(connection: &mut Connection, repository: &str, tag: &str) -> Result<String> {
    let mut layers = Vec::new();
    for number in 0..LAYERS {
        let blob = upload::unique_small(u64::MAX - number);
        upload::push_small(connection, repository, &blob)?;
        layers.push(json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": digest(&blob),
            "size": blob.len(),
        }));
    }
    let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": {} }).to_string();
    upload::push_small(connection, repository, config.as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest(config.as_bytes()),
            "size": config.len(),
        },
        "layers": layers,
    })
    .to_string();
    let target = format!("/v2/{repository}/manifests/{tag}");
    let headers = [("Content-Type", MANIFEST)];
    connection
        .request("PUT", &target, &headers, manifest.as_bytes())?
        .expect(201)?;
    Ok(digest(manifest.as_bytes()))
}
