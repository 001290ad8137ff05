//! The records of referrers in a store where nothing tells of changes: what others may have done to
//! a repository is looked for once in each process, by one listing of its revisions.

use std::future::ready;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::super::Repository;
use super::scan::{Marker, Seen, Stamps};
use crate::digest::{Algorithm, Digest};
use crate::layout::{Dir, Key};
use crate::storage::{ListQuery, RecordEntry, StorageError};

/// Manifests that are read side by side.
const SIDE_BY_SIDE: usize = 8;

/// How far the clocks of a store that has several may be apart, and how long a listing may take to
/// show what was written.
const SLACK: Duration = Duration::from_secs(5 * 60);

/// What became of a revision whose record was looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Recorded {
    /// It has its record, or needs none.
    Yes,
    /// It lacks the record, and nothing may be written.
    No,
    /// There is nothing to look at, which may change unnoticed.
    Absent,
}

impl Repository {
    /// Sees to it that every manifest with a subject has its record: what was linked since that was
    /// last written down is read, as far as the links tell. Says whether it is so, which it is not
    /// where nothing may be written and something lacks.
    pub(super) async fn catch_up(&self) -> Result<bool, StorageError> {
        let scans = &self.inner.scans;
        let _reading = scans.reading(&self.name).await;
        if scans.valid(&self.name).is_some() {
            return Ok(true);
        }
        let begun = scans.begin();
        let now = self.inner.blobs.now().await?;
        let until = self.marker().await?.and_then(|marker| marker.until);
        let until = until.map(|until| SystemTime::UNIX_EPOCH + Duration::from_secs(until));
        let news = self.linked_since(until);
        let looks = news.map_ok(|digest| self.record(digest));
        let mut looks = looks.try_buffered(SIDE_BY_SIDE).boxed();
        let (mut some, mut complete) = (false, true);
        while let Some(recorded) = looks.try_next().await? {
            if recorded == Recorded::No {
                return Ok(false);
            }
            some = true;
            complete &= recorded == Recorded::Yes;
        }
        if some && complete && !self.inner.options.read_only {
            self.put_marker(&Marker {
                form: 1,
                stamps: Stamps::new(),
                until: seconds(now),
            })
            .await?;
        }
        scans.set_valid(&self.name, Stamps::new(), begun);
        Ok(true)
    }

    /// The revisions that were linked after this time, or shortly before it.
    fn linked_since(
        &self,
        since: Option<SystemTime>,
    ) -> impl futures_util::Stream<Item = Result<Digest, StorageError>> + Send + '_ {
        let since = since.and_then(|since| since.checked_sub(SLACK));
        let is_new = move |modified: Option<SystemTime>| match (modified, since) {
            (Some(modified), Some(since)) => modified > since,
            _ => true,
        };
        let of_one = move |algorithm| {
            let dir = Dir::Revisions(self.name.clone(), algorithm).path();
            let entries = self.inner.records.list(ListQuery::recursive(dir.clone()));
            entries.try_filter_map(move |entry| {
                let RecordEntry::Record { name, modified } = entry else {
                    return ready(Ok(None));
                };
                let key = Key::parse(&format!("{dir}/{name}"));
                ready(Ok(match key {
                    Some(Key::Revision(_, digest)) if is_new(modified) => Some(digest),
                    _ => None,
                }))
            })
        };
        stream::iter(Algorithm::ALL).flat_map(of_one)
    }

    async fn record(&self, digest: Digest) -> Result<Recorded, StorageError> {
        let (manifest, subject) = match self.see(digest).await? {
            Seen::Absent => return Ok(Recorded::Absent),
            Seen::Other => return Ok(Recorded::Yes),
            Seen::Refers(manifest, subject) => (manifest, subject),
        };
        let path = self.referrer_path(&subject, &digest);
        if self.inner.records.get(&path).await?.is_some() {
            return Ok(Recorded::Yes);
        }
        if self.inner.options.read_only {
            return Ok(Recorded::No);
        }
        self.put_referrer(&manifest, &subject).await?;
        Ok(Recorded::Yes)
    }
}

fn seconds(time: SystemTime) -> Option<u64> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.ok().map(|since| since.as_secs())
}
