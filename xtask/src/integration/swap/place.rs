//! A store: a folder, or a bucket.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::s3::Endpoint;
use crate::sh;

// tidy: layout: distribution's tree, seen from outside
pub(in crate::integration) const TREE: &str = "docker/registry/v2";

/// Where a store is, and what serves it has its configuration.
#[derive(Debug)]
pub(super) struct Place {
    /// Of the configuration and the log; of the store, too, if that is files.
    pub(super) folder: PathBuf,
    bucket: Option<(Endpoint, String)>,
}

impl Place {
    pub(super) fn new(folder: PathBuf, buckets: Option<&Endpoint>, name: &str) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        if let Some(buckets) = buckets {
            buckets.make_bucket(name)?;
        }
        let bucket = buckets.map(|buckets| (buckets.clone(), name.to_owned()));
        Ok(Self { folder, bucket })
    }

    /// The section of its driver, if it is not files.
    pub(super) fn driver(&self) -> Option<String> {
        let (endpoint, bucket) = self.bucket.as_ref()?;
        // What is compared comes from the registry.
        let redirect = "redirect:\n    disable: true";
        Some(format!("{}\n  {redirect}", endpoint.section(bucket)))
    }

    /// Where distribution's tree is, if it is files.
    pub(super) fn tree(&self) -> PathBuf {
        self.folder.join("store").join(TREE)
    }

    /// All that is in it goes into another, which is empty.
    pub(super) fn copy_to(&self, other: &Self) -> Result<()> {
        if let (Some((from, bucket)), Some((_, to))) = (&self.bucket, &other.bucket) {
            return from.copy_all(bucket, to);
        }
        let (from, to) = (self.folder.join("store"), other.folder.join("store"));
        sh::output(sh::command("cp").arg("-a").arg(from).arg(to)).map(|_| ())
    }

    /// The digests of all blobs and manifests whose bytes are here.
    pub(super) fn bytes(&self) -> Result<BTreeSet<String>> {
        let keys = match &self.bucket {
            Some((endpoint, bucket)) => endpoint.keys(bucket, &format!("{TREE}/blobs/"))?,
            None => files(&self.tree().join("blobs"))?,
        };
        let digests = keys.iter().filter_map(|key| {
            let mut words = key.strip_suffix("/data")?.rsplit('/');
            let hex = words.next()?;
            Some(format!("{}:{hex}", words.nth(1)?))
        });
        Ok(digests.collect())
    }
}

/// The paths of all files below.
fn files(folder: &Path) -> Result<Vec<String>> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false => all.push(entry.path().display().to_string()),
            }
        }
    }
    Ok(all)
}
