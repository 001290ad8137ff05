//! One turn of writing: everything that clients leave in a registry.

use anyhow::{Context as _, Result};
use serde_json::json;

use super::party::{Kind, Party};
use super::shelf::Shelf;
use super::writer::{DOCKER, Writer, layer, text};
use crate::digest::{digest, digest512};
use crate::http::Connection;
use crate::image::{INDEX, MANIFEST};

/// The repository that every turn writes to.
pub(super) const APP: &str = "swap/app";
/// What is mounted from there.
const MOUNTED: &str = "swap/mounted";
/// Blobs without a manifest.
const BLOBS: &str = "swap/blobs";
/// What has sha512 digests.
const WIDE: &str = "swap/wide";
/// What is mounted from there.
const WIDE_MOUNTED: &str = "swap/wide-mounted";

const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The turns of one store are numbered. `wide` is with sha512.
pub(super) fn write(
    to: &mut Connection,
    party: &Party,
    turn: u64,
    wide: bool,
    shelf: &mut Shelf,
) -> Result<()> {
    let mut writer = Writer { to, shelf };
    writer.images(turn).context("images")?;
    writer.artifacts(turn).context("artifacts")?;
    writer.mounts(turn).context("mounts")?;
    writer.deletes(turn, party.kind).context("deletes")?;
    writer.leaves_unfinished().context("an unfinished upload")?;
    if wide {
        writer.wide(turn, party.kind).context("sha512")?;
    }
    Ok(())
}

impl Writer<'_> {
    fn images(&mut self, turn: u64) -> Result<()> {
        let docker = self.image(APP, DOCKER, turn * 100, Some(&format!("docker-{turn}")))?;
        let inner = self.image(APP, DOCKER, turn * 100 + 10, None)?;
        let list = self.index(
            APP,
            DOCKER_LIST,
            &[&docker, &inner],
            Some(&format!("list-{turn}")),
        )?;
        let oci = self.image(APP, MANIFEST, turn * 100 + 20, Some(&format!("oci-{turn}")))?;
        let child = self.image(APP, MANIFEST, turn * 100 + 30, None)?;
        let index = self.index(APP, INDEX, &[&oci, &child], None)?;
        let nested = self.index(
            APP,
            INDEX,
            &[&index, &docker],
            Some(&format!("nested-{turn}")),
        )?;
        // Nothing holds it.
        self.image(APP, MANIFEST, turn * 100 + 40, None)?;
        for moved_to in [&docker, &list, &nested, &oci] {
            self.tag(APP, "latest", moved_to)?;
        }
        let mut bare = self.image_body(APP, MANIFEST, turn * 100 + 50)?;
        if let Some(body) = bare.as_object_mut() {
            body.remove("mediaType");
        }
        self.manifest(APP, Some(&format!("bare-{turn}")), MANIFEST, &bare)?;
        Ok(())
    }

    /// Of images of this turn and of the one before, which another has written, and of each other.
    fn artifacts(&mut self, turn: u64) -> Result<()> {
        for of in [turn, turn.saturating_sub(1)] {
            let Some(subject) = self.shelf.tagged(APP, &format!("oci-{of}")) else {
                continue;
            };
            let subject = json!({ "mediaType": MANIFEST, "digest": subject, "size": 1 });
            let note = self.artifact(APP, &subject, &format!("note {turn} of {of}"))?;
            self.artifact(APP, &note, &format!("signature {turn} of {of}"))?;
        }
        Ok(())
    }

    fn mounts(&mut self, turn: u64) -> Result<()> {
        let tag = format!("docker-{turn}");
        let manifest = self.shelf.tagged(APP, &tag).context("no image")?.to_owned();
        for blob in self.shelf.blobs_of(APP, &manifest) {
            for to in [MOUNTED, BLOBS] {
                self.mount(APP, to, &blob)?;
            }
        }
        let body = self.image_body(MOUNTED, DOCKER, turn * 100)?;
        self.manifest(MOUNTED, Some("latest"), DOCKER, &body)?;
        Ok(())
    }

    fn deletes(&mut self, turn: u64, kind: Kind) -> Result<()> {
        let tag = format!("doomed-{turn}");
        if kind != Kind::Two {
            let kept = self
                .shelf
                .tagged(APP, &format!("oci-{turn}"))
                .context("no image")?;
            let kept = json!({ "mediaType": MANIFEST, "digest": kept });
            self.tag(APP, &tag, &kept)?;
            self.delete(&format!("{APP}/manifests/{tag}"))?;
            self.shelf.remove_tag(APP, &tag);
        }
        let (image, tag) = (turn * 100 + 60, format!("deleted-{turn}"));
        let deleted = self.image(APP, MANIFEST, image, Some(&tag))?;
        let deleted = text(&deleted["digest"])?;
        for blob in self.shelf.blobs_of(APP, &deleted) {
            if blob != digest(&layer(0)) {
                self.shelf.forget_blob(APP, &blob);
            }
        }
        self.delete(&format!("{APP}/manifests/{deleted}"))?;
        self.shelf.remove_manifest(APP, &deleted);

        self.blob(APP, &layer(turn * 100 + 70))?; // which no manifest ever needs
        let blob = self.blob(APP, &layer(turn * 100 + 71))?;
        let blob = text(&blob["digest"])?;
        self.delete(&format!("{APP}/blobs/{blob}"))?;
        self.shelf.remove_blob(APP, &blob);
        Ok(())
    }

    fn leaves_unfinished(&mut self) -> Result<()> {
        let location = self.begin(APP)?;
        let headers = [("Content-Type", "application/octet-stream")];
        self.to
            .request("PATCH", &location, &headers, b"and then nothing came")?
            .expect(202)?;
        Ok(())
    }

    /// An image whose layer has a sha512 digest, and one that has such a digest itself. A layer
    /// that another has written is mounted, and pushed again.
    fn wide(&mut self, turn: u64, kind: Kind) -> Result<()> {
        let tag = format!("wide-{turn}");
        if turn > 1 {
            let bytes = layer((turn - 1) * 100 + 80);
            let wide = digest512(&bytes);
            self.mount(WIDE, WIDE_MOUNTED, &wide)?;
            self.wide_image(WIDE_MOUNTED, turn * 100 + 83, &wide, &tag)?;
            self.wide_blob(&bytes)?;
        }
        let wide = self.wide_blob(&layer(turn * 100 + 80))?;
        self.wide_image(WIDE, turn * 100 + 81, &wide, &tag)?;
        if kind == Kind::Ours {
            let bytes = self
                .image_body(WIDE, MANIFEST, turn * 100 + 82)?
                .to_string();
            let wide = digest512(bytes.as_bytes());
            self.put_manifest(WIDE, &wide, MANIFEST, bytes.as_bytes())?;
            self.shelf
                .add_manifest(WIDE, &wide, MANIFEST, bytes.as_bytes());
        }
        Ok(())
    }

    fn wide_image(&mut self, repository: &str, seed: u64, wide: &str, tag: &str) -> Result<()> {
        let size = self.shelf.blob(repository, wide)?.len();
        let mut body = self.image_body(repository, MANIFEST, seed)?;
        let layers = body["layers"].as_array_mut().context("no layers")?;
        layers.push(json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": wide,
            "size": size,
        }));
        self.manifest(repository, Some(tag), MANIFEST, &body)
            .map(|_| ())
    }

    fn wide_blob(&mut self, bytes: &[u8]) -> Result<String> {
        let wide = digest512(bytes);
        self.put_blob(WIDE, bytes, &wide)?;
        self.shelf.add_blob(WIDE, &wide, bytes);
        Ok(wide)
    }
}
