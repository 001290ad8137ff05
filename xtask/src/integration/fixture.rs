//! What all clients share: a server, images, and our own look at what the server holds.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::digest::digest;
use crate::http::{Answer, Connection};
use crate::image::{Descriptor, INDEX, Layout, MANIFEST};
use crate::replicas::Replicas;
use crate::server::{Server, Start, free_address};
use crate::sh::TempDir;

pub(super) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

#[derive(Debug)]
pub(super) struct Fixture {
    // Ends before the folder goes.
    pub(super) server: Server,
    /// What else is on its bucket, and what hands on requests to all of them.
    others: Option<Replicas>,
    /// What the server was started from.
    pub(super) binary: PathBuf,
    /// Named `one`, `two` and `both`, the last an index of the others.
    pub(super) images: Layout,
    pub(super) one: Descriptor,
    pub(super) two: Descriptor,
    pub(super) both: Descriptor,
    big: OnceCell<(Layout, Descriptor)>,
    folder: TempDir,
}

impl Fixture {
    pub(super) fn new(binary: &Path) -> Result<Self> {
        Self::stored_in(binary, "integration", None)
    }

    /// With the section of another driver than that of files. Each needs a name of its own.
    pub(super) fn stored_in(binary: &Path, name: &str, driver: Option<&str>) -> Result<Self> {
        let folder = TempDir::new(name)?;
        let server = Server::launch(Start {
            binary,
            folder: folder.path(),
            address: &free_address()?,
            level: "info",
            driver,
            more: "",
            tls: None,
        })?;
        Self::of(binary, folder, server, None)
    }

    /// So many servers on the bucket of this section, behind one address.
    pub(super) fn of_replicas(
        binary: &Path,
        name: &str,
        section: &str,
        count: usize,
    ) -> Result<Self> {
        let folder = TempDir::new(name)?;
        let mut replicas = Replicas::start(binary, folder.path(), section, count)?;
        let server = replicas.servers.remove(0);
        Self::of(binary, folder, server, Some(replicas))
    }

    fn of(
        binary: &Path,
        folder: TempDir,
        server: Server,
        others: Option<Replicas>,
    ) -> Result<Self> {
        let mut images = Layout::create(folder.path().join("images"))?;
        let one = images.image(10, "amd64", &[64 << 10, 1 << 20])?;
        let two = images.image(20, "arm64", &[100, 300 << 10])?;
        let both = images.index(&[(&one, "amd64"), (&two, "arm64")])?;
        for (name, what) in [("one", &one), ("two", &two), ("both", &both)] {
            images.name(name, what)?;
        }
        Ok(Self {
            server,
            others,
            binary: binary.to_owned(),
            images,
            one,
            two,
            both,
            big: OnceCell::new(),
            folder,
        })
    }

    pub(super) fn address(&self) -> &str {
        let front = self.others.as_ref().map(|others| &others.front);
        front.map_or(&self.server.address, |front| &front.address)
    }

    /// Shows what all the servers had to say.
    pub(super) fn print_logs(&self) {
        self.server.print_log();
        self.others.iter().for_each(Replicas::print_logs);
    }

    /// A folder for one client.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// A layout with an image named `big`, of one layer of 1 GiB.
    pub(super) fn big(&self) -> Result<&(Layout, Descriptor)> {
        if self.big.get().is_none() {
            let mut layout = Layout::create(self.folder.path().join("big"))?;
            let image = layout.image(30, "amd64", &[1 << 30])?;
            layout.name("big", &image)?;
            // It was empty a moment ago, and there is one thread.
            let _ = self.big.set((layout, image));
        }
        self.big.get().context("no big image")
    }

    pub(super) fn connect(&self) -> Result<Connection> {
        Connection::open(self.address())
    }

    /// Fails unless the reference is there with this digest, by what we ourselves receive.
    pub(super) fn expect(&self, repository: &str, reference: &str, wanted: &str) -> Result<()> {
        let answer = self.manifest(repository, reference)?.expect(200)?;
        let found = digest(&answer.body);
        ensure!(
            found == wanted,
            "{repository}:{reference} is {found} in place of {wanted}"
        );
        let named = answer.head.header("docker-content-digest");
        ensure!(
            named == Some(wanted),
            "the server says the digest is {named:?}"
        );
        Ok(())
    }

    pub(super) fn expect_absent(&self, repository: &str, reference: &str) -> Result<()> {
        self.manifest(repository, reference)?
            .expect(404)
            .map(|_| ())
    }

    pub(super) fn manifest(&self, repository: &str, reference: &str) -> Result<Answer> {
        let target = format!("/v2/{repository}/manifests/{reference}");
        self.connect()?
            .request("GET", &target, &[("Accept", ACCEPT)], b"")
    }

    pub(super) fn tags(&self, repository: &str) -> Result<Vec<String>> {
        let target = format!("/v2/{repository}/tags/list");
        let answer = self
            .connect()?
            .request("GET", &target, &[], b"")?
            .expect(200)?;
        let list: Value = serde_json::from_slice(&answer.body)?;
        let tags = list["tags"].as_array().context("no tags")?;
        Ok(tags
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect())
    }

    /// The digests that refer to a subject, and whether the server knows of such things at all.
    pub(super) fn referrers(&self, repository: &str, subject: &str) -> Result<Option<Vec<String>>> {
        let target = format!("/v2/{repository}/referrers/{subject}");
        let answer = self.connect()?.request("GET", &target, &[], b"")?;
        if answer.status == 404 && crate::server::is_stand_in() {
            crate::sh::skip("referrers", "the server in place of ours has none");
            return Ok(None);
        }
        let answer = answer.expect(200)?;
        ensure!(
            answer.head.header("content-type") == Some(INDEX),
            "referrers are not an index"
        );
        let index: Value = serde_json::from_slice(&answer.body)?;
        let all = index["manifests"].as_array().context("no referrers")?;
        let digests = all
            .iter()
            .filter_map(|one| one["digest"].as_str())
            .map(str::to_owned);
        Ok(Some(digests.collect()))
    }

    /// Uploads a blob with POST and PUT.
    pub(super) fn put_blob(&self, repository: &str, bytes: &[u8]) -> Result<String> {
        let mut connection = self.connect()?;
        let target = format!("/v2/{repository}/blobs/uploads/");
        let begun = connection.request("POST", &target, &[], b"")?.expect(202)?;
        let digest = digest(bytes);
        let location = begun.location()?;
        let mark = if location.contains('?') { '&' } else { '?' };
        let target = format!("{location}{mark}digest={digest}");
        connection
            .request("PUT", &target, &[], bytes)?
            .expect(201)?;
        Ok(digest)
    }

    /// An artifact with a subject, as signing tools push it: by digest, without a tag.
    pub(super) fn put_artifact(&self, repository: &str, subject: &Descriptor) -> Result<String> {
        self.put_blob(repository, b"{}")?;
        let empty = serde_json::json!({
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": digest(b"{}"),
            "size": 2,
        });
        let artifact = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "application/vnd.example.note",
            "config": empty,
            "layers": [empty],
            "subject": subject.json(),
            "annotations": { "org.example.note": repository },
        });
        let bytes = artifact.to_string().into_bytes();
        let digest = digest(&bytes);
        let target = format!("/v2/{repository}/manifests/{digest}");
        let headers = [("Content-Type", MANIFEST)];
        let answer = self
            .connect()?
            .request("PUT", &target, &headers, &bytes)?
            .expect(201)?;
        if !crate::server::is_stand_in() {
            let said = answer.head.header("oci-subject");
            ensure!(
                said == Some(subject.digest.as_str()),
                "OCI-Subject is {said:?}"
            );
        }
        Ok(digest)
    }
}
