//! Which digests are needed: a walk over all roots. Whatever fails ends it, since a root that was
//! not seen would cost its blobs.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::TryStreamExt;

use super::plan::{Marks, Plan};
use super::progress::marking;
use super::source::Source;
use super::{CollectOptions, Observer, Seen};
use crate::digest::{Algorithm, AnyDigest, Digest};
use crate::layout::Key;
use crate::manifest::Manifest;
use crate::name::RepositoryName;
use crate::registry::catalog::Walk;
use crate::registry::find::{is_unreadable, read_manifest};
use crate::registry::{Inner, Registry};
use crate::storage::StorageError;

/// What one walk found.
#[derive(Debug, Default)]
pub(super) struct Marked {
    pub(super) marks: Marks,
    /// Revisions that nothing holds. None, unless untagged ones are to go.
    pub(super) untagged: Vec<(RepositoryName, Digest)>,
    /// Revisions that a tag or an index asks for and that are not there.
    pub(super) dangling: HashSet<(RepositoryName, Digest)>,
    pub(super) repositories: u64,
    pub(super) revisions: u64,
    pub(super) unreadable: u64,
}

impl Marked {
    fn progress(&self) -> Seen<'static> {
        marking(self.repositories, self.revisions)
    }
}

/// A revision, and what its manifest says.
struct Revision {
    digest: Digest,
    /// Where the link leads, which is another digest only where distribution made an alias.
    target: Digest,
    /// When the link was written.
    linked: SystemTime,
    body: Body,
}

enum Body {
    Read {
        needs: Vec<Digest>,
        subject: Option<Digest>,
        /// Whether that is all.
        complete: bool,
    },
    Unreadable,
    /// There are no bytes, so that it keeps nothing.
    Missing,
}

impl Body {
    fn of(manifest: &Manifest) -> Self {
        let needs = manifest.needs().iter();
        Self::Read {
            needs: needs
                .filter_map(|need| need.digest.known())
                .copied()
                .collect(),
            subject: manifest.subject().and_then(AnyDigest::known).copied(),
            complete: manifest.is_complete(),
        }
    }

    /// Whether it may need more than could be read of it.
    fn is_doubtful(&self) -> bool {
        match self {
            Self::Read { complete, .. } => !complete,
            Self::Unreadable => true,
            Self::Missing => false,
        }
    }
}

impl Registry {
    /// As [`mark`](Self::mark), by one who was told already what there is.
    pub(super) async fn mark_again(
        &self,
        options: &CollectOptions,
        now: SystemTime,
        observer: &mut Observer<'_>,
    ) -> Result<Marked, StorageError> {
        let mut tell = |seen: Seen<'_>| {
            if matches!(seen, Seen::Progress(_)) {
                observer(seen);
            }
        };
        self.mark(options, now, &mut tell).await
    }

    pub(super) async fn mark(
        &self,
        options: &CollectOptions,
        now: SystemTime,
        observer: &mut Observer<'_>,
    ) -> Result<Marked, StorageError> {
        let mut marked = Marked::default();
        let mut source = Source::new(options);
        let mut walk = Walk::new(None);
        observer(marked.progress());
        while let Some(name) = walk.next(self).await? {
            if !self.0.is_repository(&name).await? {
                continue;
            }
            observer(Seen::Repository(&name));
            marked.repositories += 1;
            observer(marked.progress());
            marked.marks.enter(name.clone());
            self.0
                .mark_repository(&name, options, now, &mut source, &mut marked, observer)
                .await?;
        }
        Ok(marked)
    }
}

impl Inner {
    async fn mark_repository(
        self: &Arc<Self>,
        name: &RepositoryName,
        options: &CollectOptions,
        now: SystemTime,
        source: &mut Source,
        marked: &mut Marked,
        observer: &mut Observer<'_>,
    ) -> Result<(), StorageError> {
        let mut held = Vec::new();
        let mut doubt = false;
        let mut revisions = self.revisions(name);
        while let Some(digest) = revisions.try_next().await? {
            let Some(revision) = self.revision_of(name, digest, source).await? else {
                continue;
            };
            marked.revisions += 1;
            observer(marked.progress());
            if revision.body.is_doubtful() {
                observer(Seen::Unreadable(name, &digest));
                marked.unreadable += 1;
                doubt = true;
            }
            match options.untagged {
                true => held.push(revision),
                false => mark_revision(&mut marked.marks, &revision),
            }
        }
        if doubt {
            // What cannot be read may be an index of what has no tag.
            held.iter()
                .for_each(|revision| mark_revision(&mut marked.marks, revision));
            self.mark_all_layers(name, &mut marked.marks).await
        } else if options.untagged {
            self.mark_held(name, held, options, now, marked).await
        } else {
            Ok(())
        }
    }

    /// `None` if it went away since it was listed.
    async fn revision_of(
        self: &Arc<Self>,
        name: &RepositoryName,
        digest: Digest,
        source: &mut Source,
    ) -> Result<Option<Revision>, StorageError> {
        let key = Key::Revision(name.clone(), digest);
        let Some(record) = self.records.get(&key.path()).await? else {
            return Ok(None);
        };
        // An empty link, which a crash of distribution leaves, counts as one to its path's digest.
        let target = crate::layout::parse_link(&record.value).unwrap_or(digest);
        let mut body = match source.manifest_bytes(self, &target).await {
            Ok(bytes) => read_manifest(bytes, digest)
                .await?
                .as_ref()
                .map_or(Body::Unreadable, Body::of),
            Err(StorageError::NotFound) => Body::Missing,
            Err(error) if is_unreadable(&error) => Body::Unreadable,
            Err(error) => return Err(error),
        };
        if let Body::Read { needs, .. } = &mut body {
            self.add_aliases(name, needs).await?;
        }
        Ok(Some(Revision {
            digest,
            target,
            linked: record.modified,
            body,
        }))
    }

    /// distribution keeps the bytes of a blob of any digest under their sha256, and has the link
    /// lead there.
    async fn add_aliases(
        &self,
        name: &RepositoryName,
        needs: &mut Vec<Digest>,
    ) -> Result<(), StorageError> {
        let foreign = |need: &&Digest| need.algorithm() != Algorithm::Sha256;
        let named: Vec<Digest> = needs.iter().filter(foreign).copied().collect();
        for digest in named {
            if let Some((target, _)) = self.link(&Key::Layer(name.clone(), digest)).await? {
                needs.push(target);
            }
        }
        Ok(())
    }

    /// Marks what is tagged or young, its children, and the referrers of all that lives.
    async fn mark_held(
        self: &Arc<Self>,
        name: &RepositoryName,
        revisions: Vec<Revision>,
        options: &CollectOptions,
        now: SystemTime,
        marked: &mut Marked,
    ) -> Result<(), StorageError> {
        let tagged = self.tagged(name).await?;
        let by_digest: HashMap<Digest, &Revision> = revisions
            .iter()
            .map(|revision| (revision.digest, revision))
            .collect();
        let mut referrers: HashMap<Digest, Vec<Digest>> = HashMap::new();
        for revision in &revisions {
            if let Body::Read {
                subject: Some(subject),
                ..
            } = &revision.body
            {
                referrers.entry(*subject).or_default().push(revision.digest);
            }
        }
        let mut queue: VecDeque<Digest> = tagged.iter().copied().collect();
        for revision in &revisions {
            if self.is_young(revision, options, now).await? {
                queue.push_back(revision.digest);
            }
        }
        let mut alive = HashSet::new();
        while let Some(digest) = queue.pop_front() {
            if !alive.insert(digest) {
                continue;
            }
            queue.extend(referrers.get(&digest).into_iter().flatten());
            let Some(revision) = by_digest.get(&digest) else {
                marked.dangling.insert((name.clone(), digest));
                continue;
            };
            mark_revision(&mut marked.marks, revision);
            if let Body::Read { needs, .. } = &revision.body {
                queue.extend(needs);
            }
        }
        let untagged = revisions
            .iter()
            .filter(|revision| !alive.contains(&revision.digest))
            .map(|revision| (name.clone(), revision.digest));
        marked.untagged.extend(untagged);
        Ok(())
    }

    /// Whether a push may still be about to tag it.
    async fn is_young(
        &self,
        revision: &Revision,
        options: &CollectOptions,
        now: SystemTime,
    ) -> Result<bool, StorageError> {
        let mut newest = revision.linked;
        match self.blobs.stat(&revision.target).await {
            Ok(stat) => newest = newest.max(stat.modified),
            Err(StorageError::NotFound) => {}
            Err(error) => return Err(error),
        }
        let plan = Plan {
            marks: &Marks::default(),
            now,
            grace: options.grace,
            quarantine: options.quarantine,
        };
        Ok(plan.age(newest) < options.grace)
    }

    /// What the tags of a repository point to; of a tag whose link is garbled, all that it ever
    /// pointed to.
    async fn tagged(&self, name: &RepositoryName) -> Result<HashSet<Digest>, StorageError> {
        let mut tagged = HashSet::new();
        let mut tags = self.all_tags(name);
        while let Some(tag) = tags.try_next().await? {
            let path = Key::TagCurrent(name.clone(), tag.clone()).path();
            let Some(record) = self.records.get(&path).await? else {
                continue;
            };
            match crate::layout::parse_link(&record.value) {
                Some(digest) => {
                    tagged.insert(digest);
                }
                None => {
                    let ever: Vec<Digest> = self.ever_tagged(name, &tag).try_collect().await?;
                    tagged.extend(ever);
                }
            }
        }
        Ok(tagged)
    }

    async fn mark_all_layers(
        &self,
        name: &RepositoryName,
        marks: &mut Marks,
    ) -> Result<(), StorageError> {
        let mut layers = self.layers(name);
        while let Some(digest) = layers.try_next().await? {
            marks.doubtful(digest);
            let key = Key::Layer(name.clone(), digest);
            if let Some((target, _)) = self.link(&key).await? {
                marks.doubtful(target);
            }
        }
        Ok(())
    }
}

fn mark_revision(marks: &mut Marks, revision: &Revision) {
    match &revision.body {
        Body::Missing => {}
        Body::Unreadable => mark_bytes(marks, revision),
        Body::Read { needs, .. } => {
            mark_bytes(marks, revision);
            needs.iter().for_each(|need| marks.needed(*need));
        }
    }
}

fn mark_bytes(marks: &mut Marks, revision: &Revision) {
    marks.manifest(revision.digest);
    marks.needed(revision.target);
}
