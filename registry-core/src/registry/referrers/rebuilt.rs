//! The records of a repository's referrers, made again from its manifests.

use futures_util::TryStreamExt;

use super::super::Repository;
use super::scan::Seen;
use crate::digest::Digest;
use crate::layout::{Dir, Key};
use crate::registry::find::is_unreadable;
use crate::storage::{ListQuery, StorageError};

impl Repository {
    /// Makes each record that is not what its manifest says, and removes those of manifests that
    /// are gone or say something else. Says how many of either. What was written down of earlier
    /// scans is forgotten first.
    pub(in crate::registry) async fn rebuild_referrers(&self) -> Result<(u64, u64), StorageError> {
        let scanned = Key::ReferrersScanned(self.name.clone()).path();
        if self.inner.records.get(&scanned).await?.is_some() {
            let _ = self.inner.records.delete(&scanned, None).await?;
        }
        let (mut made, mut removed) = (0, 0);
        let mut revisions = self.revisions();
        while let Some(digest) = revisions.try_next().await? {
            made += u64::from(self.remake(digest).await?);
        }
        let dir = Dir::AllReferrers(self.name.clone()).path();
        let mut records = self.inner.records.list(ListQuery::recursive(dir.clone()));
        while let Some(entry) = records.try_next().await? {
            let key = Key::parse(&format!("{dir}/{}", entry.name()));
            if let Some(Key::Referrer {
                subject, referrer, ..
            }) = key
            {
                removed += u64::from(self.forget_referrer(&subject, referrer).await?);
            }
        }
        Ok((made, removed))
    }

    /// Bytes that are not what they should be tell as much as none.
    async fn see_or_miss(&self, digest: Digest) -> Result<Seen, StorageError> {
        match self.see(digest).await {
            Err(error) if is_unreadable(&error) => Ok(Seen::Absent),
            seen => seen,
        }
    }

    /// Whether it had to be made.
    async fn remake(&self, digest: Digest) -> Result<bool, StorageError> {
        let Seen::Refers(manifest, subject) = self.see_or_miss(digest).await? else {
            return Ok(false);
        };
        let path = self.referrer_path(&subject, &digest);
        let record = self.inner.records.get(&path).await?;
        let right = Self::referrer_record(&manifest);
        if record.is_some_and(|record| record.value == right) {
            return Ok(false);
        }
        self.put_referrer(&manifest, &subject).await?;
        Ok(true)
    }

    /// Whether it had to go.
    async fn forget_referrer(
        &self,
        subject: &Digest,
        referrer: Digest,
    ) -> Result<bool, StorageError> {
        // Of what is not here now nothing is known: its bytes may come again.
        let gone = match self.see_or_miss(referrer).await? {
            Seen::Refers(_, of) => of != *subject,
            Seen::Other => true,
            Seen::Absent => {
                let revision = Key::Revision(self.name.clone(), referrer).path();
                self.inner.records.get(&revision).await?.is_none()
            }
        };
        if gone {
            let path = self.referrer_path(subject, &referrer);
            let _ = self.inner.records.delete(&path, None).await?;
            // Another may have pushed it in between.
            return Ok(!self.remake(referrer).await?);
        }
        Ok(false)
    }
}
