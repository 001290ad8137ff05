//! What a store has to hold, and whether a server gives all of it and nothing else.

mod check;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A repository, and a digest in it.
type Place = (String, String);

/// A manifest as it was pushed.
#[derive(Clone, Debug)]
struct Document {
    media_type: String,
    bytes: Vec<u8>,
}

impl Document {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    fn subject(&self) -> Option<String> {
        Some(self.json()["subject"]["digest"].as_str()?.to_owned())
    }

    fn children(&self) -> Vec<String> {
        let json = self.json();
        let all = json["manifests"].as_array().into_iter().flatten();
        all.filter_map(|child| Some(child["digest"].as_str()?.to_owned()))
            .collect()
    }

    fn blobs(&self) -> Vec<String> {
        let json = self.json();
        let layers = json["layers"].as_array().into_iter().flatten();
        layers
            .chain([&json["config"]])
            .filter_map(|blob| Some(blob["digest"].as_str()?.to_owned()))
            .collect()
    }
}

/// Everything that lives, and what must not be there.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf {
    manifests: BTreeMap<Place, Document>,
    blobs: BTreeMap<Place, Vec<u8>>,
    tags: BTreeMap<String, BTreeMap<String, String>>,
    /// Paths below `/v2/`.
    gone: BTreeSet<String>,
    /// What anything has ever referred to.
    subjects: BTreeSet<Place>,
    /// Tags of which only a part is there: distribution lists them, and does not have them.
    half: BTreeSet<(String, String)>,
    /// Manifests that cannot be had and still count when things are collected.
    hidden: BTreeMap<Place, Document>,
    /// What only a torn tag holds.
    held: BTreeSet<Place>,
}

/// What holds a manifest where untagged ones are removed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Holds {
    /// A tag, and nothing else.
    Tags,
    /// And an index that is held.
    Children,
    /// And a subject that is held.
    Subjects,
}

impl Shelf {
    pub(super) fn add_manifest(
        &mut self,
        repository: &str,
        digest: &str,
        media_type: &str,
        bytes: &[u8],
    ) {
        let document = Document {
            media_type: media_type.to_owned(),
            bytes: bytes.to_owned(),
        };
        if let Some(subject) = document.subject() {
            self.subjects.insert((repository.to_owned(), subject));
        }
        self.gone
            .remove(&format!("{repository}/manifests/{digest}"));
        self.hidden.remove(&place(repository, digest));
        self.manifests.insert(place(repository, digest), document);
    }

    pub(super) fn add_blob(&mut self, repository: &str, digest: &str, bytes: &[u8]) {
        self.gone.remove(&format!("{repository}/blobs/{digest}"));
        self.blobs
            .insert(place(repository, digest), bytes.to_owned());
    }

    pub(super) fn add_tag(&mut self, repository: &str, tag: &str, digest: &str) {
        self.gone.remove(&format!("{repository}/manifests/{tag}"));
        self.half.remove(&(repository.to_owned(), tag.to_owned()));
        let tags = self.tags.entry(repository.to_owned()).or_default();
        tags.insert(tag.to_owned(), digest.to_owned());
    }

    /// The bytes of a blob that is there.
    pub(super) fn blob(&self, repository: &str, digest: &str) -> Result<&[u8]> {
        let bytes = self.blobs.get(&place(repository, digest));
        let bytes = bytes.with_context(|| format!("no {digest} in {repository}"))?;
        Ok(bytes)
    }

    /// The bytes of a manifest that is there.
    pub(super) fn manifest(&self, repository: &str, digest: &str) -> Result<&[u8]> {
        let document = self.manifests.get(&place(repository, digest));
        let document = document.with_context(|| format!("no {digest} in {repository}"))?;
        Ok(&document.bytes)
    }

    /// What a tag points to.
    pub(super) fn tagged(&self, repository: &str, tag: &str) -> Option<&str> {
        Some(self.tags.get(repository)?.get(tag)?)
    }

    /// The digests of config and layers.
    pub(super) fn blobs_of(&self, repository: &str, manifest: &str) -> Vec<String> {
        let document = self.manifests.get(&place(repository, manifest));
        document.map(Document::blobs).unwrap_or_default()
    }

    pub(super) fn remove_tag(&mut self, repository: &str, tag: &str) {
        if let Some(tags) = self.tags.get_mut(repository) {
            tags.remove(tag);
        }
        self.gone.insert(format!("{repository}/manifests/{tag}"));
    }

    /// No longer a tag, but listed by distribution.
    pub(super) fn halve_tag(&mut self, repository: &str, tag: &str) {
        self.remove_tag(repository, tag);
        self.half.insert((repository.to_owned(), tag.to_owned()));
    }

    /// The manifest goes, and its tags are left to point to nothing.
    pub(super) fn remove_revision(&mut self, repository: &str, digest: &str) {
        self.manifests.remove(&place(repository, digest));
        self.gone.insert(format!("{repository}/manifests/{digest}"));
    }

    /// The manifest cannot be had, and what it needs is not to be collected.
    pub(super) fn hide_revision(&mut self, repository: &str, digest: &str) {
        let place = place(repository, digest);
        if let Some(document) = self.manifests.get(&place) {
            self.hidden.insert(place, document.clone());
        }
        self.remove_revision(repository, digest);
    }

    /// The bytes of the manifest are others now; it is not asked for.
    pub(super) fn rot_manifest(&mut self, repository: &str, digest: &str) {
        self.hide_revision(repository, digest);
        self.gone
            .remove(&format!("{repository}/manifests/{digest}"));
    }

    /// A manifest that is kept although no tag is seen to point to it.
    pub(super) fn hold(&mut self, repository: &str, digest: &str) {
        self.held.insert(place(repository, digest));
    }

    /// The manifest goes, and its tags with it.
    pub(super) fn remove_manifest(&mut self, repository: &str, digest: &str) {
        self.remove_revision(repository, digest);
        let tags = self.tags.get(repository).into_iter().flatten();
        let of_it = tags.filter(|(_, to)| *to == digest);
        let of_it: Vec<String> = of_it.map(|(tag, _)| tag.clone()).collect();
        for tag in of_it {
            self.remove_tag(repository, &tag);
        }
    }

    pub(super) fn remove_blob(&mut self, repository: &str, digest: &str) {
        self.forget_blob(repository, digest);
        self.gone.insert(format!("{repository}/blobs/{digest}"));
    }

    /// It may be there or not from now on.
    pub(super) fn forget_blob(&mut self, repository: &str, digest: &str) {
        self.blobs.remove(&place(repository, digest));
    }

    /// What a collection of untagged manifests leaves. What it takes must be gone if `strictly`.
    pub(super) fn keep_held(&mut self, by: Holds, strictly: bool) {
        let mut held: BTreeSet<Place> = BTreeSet::new();
        let tags = self.tags.iter();
        let mut waiting: Vec<Place> = tags
            .flat_map(|(name, tags)| tags.values().map(|to| place(name, to)))
            .chain(self.held.iter().cloned())
            .collect();
        while let Some(next) = waiting.pop() {
            if !held.insert(next.clone()) {
                continue;
            }
            let (name, digest) = &next;
            if !matches!(by, Holds::Tags)
                && let Some(document) = self.manifests.get(&next)
            {
                waiting.extend(document.children().iter().map(|child| place(name, child)));
            }
            if matches!(by, Holds::Subjects) {
                let referrers = self.referrers(name, digest);
                waiting.extend(referrers.iter().map(|one| place(name, one)));
            }
        }
        let lost: Vec<Place> = self
            .manifests
            .keys()
            .filter(|place| !held.contains(*place))
            .cloned()
            .collect();
        for lost in lost {
            self.manifests.remove(&lost);
            if strictly {
                let (name, digest) = lost;
                self.gone.insert(format!("{name}/manifests/{digest}"));
            }
        }
        self.keep_needed();
    }

    /// What a collection leaves of the blobs: those that some manifest needs.
    pub(super) fn keep_needed(&mut self) {
        let all = self.manifests.values().chain(self.hidden.values());
        let needed: BTreeSet<String> = all.flat_map(Document::blobs).collect();
        self.blobs.retain(|(_, digest), _| needed.contains(digest));
    }

    /// The digests whose bytes a store has, and no others, once it is collected. Nobody can say
    /// where there is sha512, which either keeps in its own way.
    pub(super) fn bytes(&self) -> Option<BTreeSet<String>> {
        let places = self.manifests.keys().chain(self.blobs.keys());
        let all: BTreeSet<String> = places
            .chain(self.hidden.keys())
            .map(|(_, digest)| digest.clone())
            .collect();
        let is_plain = all.iter().all(|digest| digest.starts_with("sha256:"));
        is_plain.then_some(all)
    }

    fn referrers(&self, repository: &str, subject: &str) -> BTreeSet<String> {
        let there = self.manifests.iter().filter(|((name, _), document)| {
            name == repository && document.subject().as_deref() == Some(subject)
        });
        there.map(|((_, digest), _)| digest.clone()).collect()
    }
}

fn place(repository: &str, digest: &str) -> Place {
    (repository.to_owned(), digest.to_owned())
}
