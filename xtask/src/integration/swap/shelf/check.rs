//! Whether a server gives all of it, byte for byte, and nothing else.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Shelf;
use crate::http::{Answer, Connection};
use crate::integration::fixture::ACCEPT;
use crate::integration::swap::party::{Kind, Party};

impl Shelf {
    fn catalog(&self, kind: Kind) -> BTreeSet<String> {
        // The original of version 3 passes over what holds only blobs.
        let blobs = self.blobs.keys().filter(|_| kind != Kind::Three);
        let places = self.manifests.keys().chain(blobs).chain(self.hidden.keys());
        places.map(|(name, _)| name.clone()).collect()
    }

    /// Compares everything, byte for byte.
    pub(in crate::integration::swap) fn check(
        &self,
        from: &mut Connection,
        party: &Party,
    ) -> Result<()> {
        self.check_manifests(from)?;
        self.check_blobs(from, party.kind)?;
        self.check_lists(from, party.kind)?;
        if party.kind == Kind::Ours {
            self.check_referrers(from)?;
        }
        Ok(())
    }

    /// What is absent is told to be so, with 404.
    pub(in crate::integration::swap) fn check_gone(&self, from: &mut Connection) -> Result<()> {
        for path in &self.gone {
            for method in ["GET", "HEAD"] {
                let headers = [("Accept", ACCEPT)];
                let answer = from.request(method, &format!("/v2/{path}"), &headers, b"")?;
                answer.expect(404).with_context(|| path.clone())?;
            }
        }
        Ok(())
    }

    fn check_manifests(&self, from: &mut Connection) -> Result<()> {
        for ((name, digest), document) in &self.manifests {
            let tags = self.tags.get(name).into_iter().flatten();
            let tags = tags.filter(|(_, to)| *to == digest).map(|(tag, _)| tag);
            for reference in tags.chain([digest]) {
                let target = format!("/v2/{name}/manifests/{reference}");
                check_bytes(
                    from,
                    &target,
                    &[digest],
                    &document.media_type,
                    &document.bytes,
                )?;
            }
        }
        Ok(())
    }

    fn check_blobs(&self, from: &mut Connection, kind: Kind) -> Result<()> {
        for ((name, digest), bytes) in &self.blobs {
            let target = format!("/v2/{name}/blobs/{digest}");
            // The original keeps what it takes under a sha512 digest by its sha256, and says so.
            let canonical = crate::digest::digest(bytes);
            let names = match kind {
                Kind::Ours => &[digest.as_str()][..],
                Kind::Two | Kind::Three => &[digest.as_str(), canonical.as_str()],
            };
            check_bytes(from, &target, names, "application/octet-stream", bytes)?;
        }
        Ok(())
    }

    fn check_lists(&self, from: &mut Connection, kind: Kind) -> Result<()> {
        for (name, tags) in &self.tags {
            let answer = from.request("GET", &format!("/v2/{name}/tags/list"), &[], b"")?;
            let mut found = strings(&answer.expect(200).with_context(|| name.clone())?, "tags")?;
            if kind != Kind::Ours {
                found.retain(|tag| !self.half.contains(&(name.clone(), tag.clone())));
                found.sort();
            }
            ensure!(found.iter().eq(tags.keys()), "tags of {name}: {found:?}");
        }
        let answer = from.request("GET", "/v2/_catalog?n=1000", &[], b"")?;
        let mut found = strings(&answer.expect(200)?, "repositories")?;
        if kind != Kind::Ours {
            // In a bucket the original goes by keys, in which `a-b/` is before `a/`.
            found.sort();
        }
        let wanted = self.catalog(kind);
        ensure!(
            found.iter().eq(&wanted),
            "the catalog is {found:?} in place of {wanted:?}"
        );
        Ok(())
    }

    fn check_referrers(&self, from: &mut Connection) -> Result<()> {
        for (name, subject) in &self.subjects {
            let target = format!("/v2/{name}/referrers/{subject}");
            let answer = from.request("GET", &target, &[], b"")?.expect(200)?;
            let index: Value = serde_json::from_slice(&answer.body)?;
            let all = index["manifests"].as_array().context("no referrers")?;
            let found = all.iter().filter_map(|one| one["digest"].as_str());
            let found: BTreeSet<String> = found.map(str::to_owned).collect();
            let wanted = self.referrers(name, subject);
            ensure!(
                found == wanted && all.len() == wanted.len(),
                "{target}: {found:?} in place of {wanted:?}"
            );
        }
        Ok(())
    }
}

/// Compares bytes and headers; the digest may be any of these.
fn check_bytes(
    from: &mut Connection,
    target: &str,
    digests: &[&str],
    media_type: &str,
    bytes: &[u8],
) -> Result<()> {
    for method in ["GET", "HEAD"] {
        let headers = [("Accept", ACCEPT)];
        let answer = from.request(method, target, &headers, b"")?;
        let answer = answer
            .expect(200)
            .with_context(|| format!("{method} {target}"))?;
        ensure!(
            method == "HEAD" || answer.body == bytes,
            "{target}: {} bytes, and not those pushed",
            answer.body.len()
        );
        let named = answer.head.header("docker-content-digest");
        let digest = named.filter(|named| digests.contains(named));
        let digest = digest.with_context(|| format!("{method} {target}: it is {named:?}"))?;
        for (header, wanted) in [
            ("content-type", media_type),
            ("etag", &format!("\"{digest}\"")),
            ("content-length", &bytes.len().to_string()),
        ] {
            let found = answer.head.header(header);
            ensure!(
                found == Some(wanted),
                "{method} {target}: {header} is {found:?} in place of {wanted}"
            );
        }
    }
    Ok(())
}

/// A list that distribution may leave out or make `null` when it is empty.
fn strings(answer: &Answer, member: &str) -> Result<Vec<String>> {
    let json: Value = serde_json::from_slice(&answer.body)?;
    let all = json[member].as_array().into_iter().flatten();
    Ok(all.filter_map(Value::as_str).map(str::to_owned).collect())
}
