//! Pushing, and noting what was pushed.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::shelf::Shelf;
use crate::digest::{Noise, digest};
use crate::http::Connection;
use crate::image::MANIFEST;

pub(super) const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Puts things into a store and notes what has to be there from then on.
pub(super) struct Writer<'a> {
    pub(super) to: &'a mut Connection,
    pub(super) shelf: &'a mut Shelf,
}

impl Writer<'_> {
    /// An image of two layers, one of which all images have, and its descriptor.
    pub(super) fn image(
        &mut self,
        repository: &str,
        media_type: &str,
        seed: u64,
        tag: Option<&str>,
    ) -> Result<Value> {
        let body = self.image_body(repository, media_type, seed)?;
        self.manifest(repository, tag, media_type, &body)
    }

    pub(super) fn image_body(
        &mut self,
        repository: &str,
        media_type: &str,
        seed: u64,
    ) -> Result<Value> {
        let docker = media_type == DOCKER;
        let config = json!({ "architecture": "amd64", "os": "linux", "seed": seed }).to_string();
        let mut config = self.blob(repository, config.as_bytes())?;
        config["mediaType"] = json!(match docker {
            true => "application/vnd.docker.container.image.v1+json",
            false => "application/vnd.oci.image.config.v1+json",
        });
        let mut layers = Vec::new();
        for bytes in [layer(0), layer(seed)] {
            let mut one = self.blob(repository, &bytes)?;
            one["mediaType"] = json!(match docker {
                true => "application/vnd.docker.image.rootfs.diff.tar.gzip",
                false => "application/vnd.oci.image.layer.v1.tar+gzip",
            });
            layers.push(one);
        }
        Ok(json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": config,
            "layers": layers,
        }))
    }

    pub(super) fn index(
        &mut self,
        repository: &str,
        media_type: &str,
        of: &[&Value],
        tag: Option<&str>,
    ) -> Result<Value> {
        let platform = json!({ "architecture": "amd64", "os": "linux" });
        let children: Vec<Value> = of
            .iter()
            .map(|child| {
                let mut child = (*child).clone();
                child["platform"] = platform.clone();
                child
            })
            .collect();
        let body = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": children });
        self.manifest(repository, tag, media_type, &body)
    }

    /// As signing tools push it: by digest.
    pub(super) fn artifact(
        &mut self,
        repository: &str,
        subject: &Value,
        note: &str,
    ) -> Result<Value> {
        let mut empty = self.blob(repository, b"{}")?;
        empty["mediaType"] = json!("application/vnd.oci.empty.v1+json");
        let body = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "application/vnd.example.note",
            "config": empty,
            "layers": [empty],
            "subject": subject,
            "annotations": { "org.example.note": note },
        });
        self.manifest(repository, None, MANIFEST, &body)
    }

    /// Pushes a manifest under its digest, or under a tag, and returns its descriptor.
    pub(super) fn manifest(
        &mut self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        body: &Value,
    ) -> Result<Value> {
        let bytes = body.to_string().into_bytes();
        let digest = digest(&bytes);
        self.put_manifest(repository, tag.unwrap_or(&digest), media_type, &bytes)?;
        self.shelf
            .add_manifest(repository, &digest, media_type, &bytes);
        if let Some(tag) = tag {
            self.shelf.add_tag(repository, tag, &digest);
        }
        Ok(json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() }))
    }

    /// Lets a tag point to a manifest that is there.
    pub(super) fn tag(&mut self, repository: &str, tag: &str, to: &Value) -> Result<()> {
        let (media_type, digest) = (text(&to["mediaType"])?, text(&to["digest"])?);
        let bytes = self.shelf.manifest(repository, &digest)?.to_owned();
        self.put_manifest(repository, tag, &media_type, &bytes)?;
        self.shelf.add_tag(repository, tag, &digest);
        Ok(())
    }

    pub(super) fn put_manifest(
        &mut self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<()> {
        let target = format!("/v2/{repository}/manifests/{reference}");
        let headers = [("Content-Type", media_type)];
        self.to
            .request("PUT", &target, &headers, bytes)?
            .expect(201)
            .map(|_| ())
    }

    pub(super) fn delete(&mut self, path: &str) -> Result<()> {
        let answer = self
            .to
            .request("DELETE", &format!("/v2/{path}"), &[], b"")?;
        answer
            .expect(202)
            .with_context(|| path.to_owned())
            .map(|_| ())
    }

    pub(super) fn blob(&mut self, repository: &str, bytes: &[u8]) -> Result<Value> {
        let digest = digest(bytes);
        self.put_blob(repository, bytes, &digest)?;
        self.shelf.add_blob(repository, &digest, bytes);
        Ok(json!({ "digest": digest, "size": bytes.len() }))
    }

    /// In two parts, the second with the end.
    pub(super) fn put_blob(&mut self, repository: &str, bytes: &[u8], digest: &str) -> Result<()> {
        let location = self.begin(repository)?;
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        let headers = [("Content-Type", "application/octet-stream")];
        let answer = self
            .to
            .request("PATCH", &location, &headers, first)?
            .expect(202)?;
        let location = answer.location()?;
        let mark = if location.contains('?') { '&' } else { '?' };
        let target = format!("{location}{mark}digest={digest}");
        self.to
            .request("PUT", &target, &headers, rest)?
            .expect(201)
            .map(|_| ())
    }

    pub(super) fn begin(&mut self, repository: &str) -> Result<String> {
        let target = format!("/v2/{repository}/blobs/uploads/");
        let begun = self.to.request("POST", &target, &[], b"")?.expect(202)?;
        Ok(begun.location()?.to_owned())
    }

    pub(super) fn mount(&mut self, from: &str, to: &str, digest: &str) -> Result<()> {
        let target = format!("/v2/{to}/blobs/uploads/?mount={digest}&from={from}");
        self.to.request("POST", &target, &[], b"")?.expect(201)?;
        let bytes = self.shelf.blob(from, digest)?.to_owned();
        self.shelf.add_blob(to, digest, &bytes);
        Ok(())
    }
}

/// Some kilobytes that only this seed gives.
pub(super) fn layer(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; 3000];
    Noise::new(seed + 7000).fill(&mut bytes);
    bytes
}

pub(super) fn text(value: &Value) -> Result<String> {
    ensure!(value.is_string(), "{value} is no text");
    Ok(value.as_str().unwrap_or_default().to_owned())
}
