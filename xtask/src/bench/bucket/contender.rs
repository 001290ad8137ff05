//! A registry on a bucket: one server that is near the store, and one that is far from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::super::Scale;
use super::super::store::block;
use super::super::upload::Content;
use super::image::Image;
use crate::fault_proxy::{FaultProxy, Seen};
use crate::s3::Endpoint;
use crate::server::{Server, Start, free_address};
use crate::sh;

/// What is read.
pub(super) const IMAGES: &str = "bench/images";
/// The repository with many tags.
pub(super) const TAGS: &str = "bench/tags";

#[derive(Debug)]
pub(super) struct Contender {
    pub(super) name: String,
    /// It asks the store itself.
    pub(super) near: Server,
    /// It asks through the proxy.
    pub(super) far: Server,
    // Behind the server, so that it ends after it.
    pub(super) proxy: FaultProxy,
    binary: PathBuf,
    folder: PathBuf,
    section: String,
    block: Arc<[u8]>,
    number: u64,
}

/// Fills the bucket by this server. The many tags are put there as distribution writes them, which
/// takes a tenth of the time.
pub(super) fn fill(
    binary: &Path,
    folder: &Path,
    store: &Endpoint,
    bucket: &str,
    scale: Scale,
) -> Result<()> {
    let server = start(binary, folder, &section(store, bucket))?;
    let image = Image::new(u64::MAX >> 1);
    image.push(&server.address, IMAGES, "latest")?;
    image.push(&server.address, TAGS, "t000000")?;
    let digest = image.digest();
    let link = folder.join("link");
    fs::write(&link, &digest)?;
    let hex = digest.trim_start_matches("sha256:");
    let mut urls = String::new();
    for tag in 1..scale.bucket_tags() {
        // tidy: layout: distribution's tree, seen from outside
        let below = format!("docker/registry/v2/repositories/{TAGS}/_manifests/tags/t{tag:06}");
        for key in ["current".to_owned(), format!("index/sha256/{hex}")] {
            let (address, link) = (&store.address, link.display());
            urls += &format!("url = \"http://{address}/{bucket}/{below}/{key}/link\"\n");
            urls += &format!("upload-file = \"{link}\"\n");
        }
    }
    let list = folder.join("urls");
    fs::write(&list, urls)?;
    let mut curl = sh::command("curl");
    curl.args(["-sS", "--fail", "--parallel", "--parallel-max", "32"]);
    curl.args(["--aws-sigv4", &format!("aws:amz:{}:s3", store.region)]);
    let who = format!("{}:{}", store.access_key, store.secret_key);
    curl.args(["--user", &who, "--config"]).arg(&list);
    sh::output(&mut curl).map(|_| ())
}

/// Blobs come from the registry itself.
fn section(store: &Endpoint, bucket: &str) -> String {
    format!("{}\n  redirect: {{disable: true}}", store.section(bucket))
}

fn start(binary: &Path, folder: &Path, section: &str) -> Result<Server> {
    fs::create_dir_all(folder)?;
    Server::launch(Start {
        binary,
        folder,
        address: &free_address()?,
        level: "error",
        driver: Some(section),
        more: "",
        tls: None,
    })
}

impl Contender {
    pub(super) fn open(
        name: &str,
        binary: &Path,
        folder: &Path,
        store: &Endpoint,
        (bucket, number): (&str, u64),
    ) -> Result<Self> {
        let proxy = FaultProxy::start(&store.address)?;
        let there = Endpoint {
            address: proxy.address.clone(),
            ..store.clone()
        };
        let here = section(store, bucket);
        Ok(Self {
            name: name.to_owned(),
            near: start(binary, &folder.join("near"), &here)?,
            far: start(binary, &folder.join("far"), &section(&there, bucket))?,
            proxy,
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            section: here,
            block: block(),
            number,
        })
    }

    /// One that has done nothing yet.
    pub(super) fn fresh(&self) -> Result<Server> {
        start(&self.binary, &self.folder.join("fresh"), &self.section)
    }

    /// So many numbers that nobody has had.
    pub(super) fn numbers(&mut self, how_many: u64) -> u64 {
        let first = self.number;
        self.number += how_many;
        first
    }

    /// A large blob that was never pushed.
    pub(super) fn unique_large(&mut self, size: u64) -> Content {
        let number = self.numbers(1);
        Content::new(Arc::clone(&self.block), number, size)
    }

    /// What of the requests to the store has come when the answer is here, and how many come
    /// after it.
    pub(super) fn counted(
        &mut self,
        act: impl FnOnce(&Server) -> Result<()>,
    ) -> Result<(Vec<Seen>, usize)> {
        self.quiet()?;
        self.proxy.take_log();
        act(&self.far)?;
        let until = self.proxy.take_log();
        self.quiet()?;
        Ok((until, self.proxy.count()))
    }

    /// Waits until nothing is asked any more.
    fn quiet(&self) -> Result<()> {
        let (mut last, mut since) = (self.proxy.count(), 0);
        sh::wait_for("the end of requests", Duration::from_secs(60), || {
            let now = self.proxy.count();
            since = if now == last { since + 1 } else { 0 };
            last = now;
            Ok((since > 10).then_some(()))
        })
    }
}
