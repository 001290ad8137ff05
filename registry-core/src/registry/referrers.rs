//! Who refers to a subject: records made on push, and a scan for what distribution has pushed.

mod caught;
mod computed;
mod rebuilt;
mod scan;

use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

pub(super) use self::scan::Scans;
use self::scan::Source;
use super::Repository;
use crate::digest::{AnyDigest, Digest};
use crate::error::RegistryError;
use crate::layout::{Dir, Key, StorePath, parse_flat};
use crate::manifest::{Manifest, Referrer};
use crate::storage::{Durability, ListQuery, PutMode, StorageError};

/// Bytes of descriptors in one page: clients take an answer of more than 4 MiB for none.
const PAGE_BYTES: usize = 2 << 20;

/// Records that are read side by side.
const SIDE_BY_SIDE: usize = 16;

/// A page of referrers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReferrersPage {
    /// In the order of their digests.
    pub referrers: Vec<Referrer>,
    /// Where the next page begins, if something follows.
    pub next: Option<Digest>,
}

/// The record of one referrer.
#[derive(Serialize, Deserialize)]
struct Wire {
    form: u32,
    referrer: Referrer,
}

impl Repository {
    /// Manifests of this repository whose subject is this digest, which need not exist; of these
    /// artifact types only, if any are named.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn referrers(
        &self,
        subject: &Digest,
        types: &[String],
        n: Option<usize>,
        last: Option<Digest>,
    ) -> Result<ReferrersPage, RegistryError> {
        let digests = match self.settle_referrers().await? {
            Source::Records => self.recorded_referrers(subject, last),
            Source::Manifests(stamps) => self.computed_referrers(stamps, *subject, last),
        };
        let mut page = ReferrersPage {
            referrers: Vec::new(),
            next: last,
        };
        let (mut bytes, limit) = (0, n.unwrap_or(usize::MAX));
        let look = async |digest| Ok((digest, self.referrer(subject, &digest).await?));
        let ahead = SIDE_BY_SIDE.min(limit.saturating_add(1));
        let mut looks = std::pin::pin!(digests.map_ok(look).try_buffered(ahead));
        while let Some((digest, found)) = looks.try_next().await? {
            let Some((referrer, size)) = found else {
                continue;
            };
            let kind = referrer.artifact_type.as_deref().unwrap_or_default();
            if !types.is_empty() && !types.iter().any(|wanted| wanted == kind) {
                continue;
            }
            if page.referrers.len() >= limit
                || bytes + size > PAGE_BYTES && !page.referrers.is_empty()
            {
                return Ok(page);
            }
            bytes += size;
            page.referrers.push(referrer);
            page.next = Some(digest);
        }
        page.next = None;
        Ok(page)
    }

    fn recorded_referrers(
        &self,
        subject: &Digest,
        after: Option<Digest>,
    ) -> BoxStream<'_, Result<Digest, StorageError>> {
        let after = after.map(|after| format!("{}-{}", after.algorithm(), after.hex()));
        let dir = Dir::Referrers(self.name.clone(), *subject).path();
        let query = ListQuery::children(dir).after(after);
        let entries = self.inner.records.list(query);
        let digests = entries.try_filter_map(|entry| ready(Ok(parse_flat(entry.name()))));
        digests.boxed()
    }

    /// One referrer, if its revision is still there, and how large its description is.
    async fn referrer(
        &self,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<Option<(Referrer, usize)>, StorageError> {
        let key = Key::Revision(self.name.clone(), *digest);
        let Some((target, _)) = self.inner.link(&key).await? else {
            return Ok(None);
        };
        let path = self.referrer_path(subject, digest);
        let record = self.inner.records.get(&path).await?;
        if let Some(record) = &record
            && let Ok(wire) = serde_json::from_slice::<Wire>(&record.value)
        {
            return Ok(Some((wire.referrer, record.value.len())));
        }
        // Torn or of another release: the manifest itself tells.
        let manifest = self.inner.load(&target, *digest).await?;
        let manifest = manifest.filter(|manifest| {
            let named = manifest.subject().and_then(AnyDigest::known);
            named == Some(subject)
        });
        Ok(manifest.map(|manifest| (manifest.referrer(), manifest.bytes().len())))
    }

    /// Where the record of one referrer lies.
    pub(super) fn referrer_path(&self, subject: &Digest, referrer: &Digest) -> StorePath {
        let key = Key::Referrer {
            repository: self.name.clone(),
            subject: *subject,
            referrer: *referrer,
        };
        key.path()
    }

    fn referrer_record(manifest: &Manifest) -> Bytes {
        let wire = Wire {
            form: 1,
            referrer: manifest.referrer(),
        };
        Bytes::from(serde_json::to_vec(&wire).unwrap_or_default())
    }

    /// Writes the record of one referrer.
    pub(super) async fn put_referrer(
        &self,
        manifest: &Manifest,
        subject: &Digest,
    ) -> Result<(), StorageError> {
        let value = Self::referrer_record(manifest);
        let path = self.referrer_path(subject, manifest.digest());
        let put = self
            .inner
            .records
            .put(&path, value, PutMode::Replace, Durability::Durable);
        let _ = put.await?;
        Ok(())
    }
}
