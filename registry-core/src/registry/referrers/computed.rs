//! Who refers to whom in a store that must not be written: found by a look at every manifest, and
//! kept in memory for as long as the revisions stay as they are.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::super::Repository;
use super::scan::{Seen, Stamps};
use crate::digest::Digest;
use crate::name::RepositoryName;
use crate::storage::StorageError;

/// Subject and referrer.
type Pair = (Digest, Digest);

/// Before a referrer of a subject; `None` is before the first.
type Place = (Digest, Option<Digest>);

/// Pairs held of one repository: some 8 MiB. Of a larger one, the part that is asked for.
const MOST: usize = 1 << 16;

/// Bytes held of all repositories.
const BUDGET: u64 = 64 << 20;

/// Repositories that the cache expects: few, so that it is not cut into parts smaller than what
/// one repository may hold.
const REPOSITORIES: usize = 32;

/// A part of the pairs of a repository, in order.
#[derive(Debug)]
pub(super) struct Part {
    /// It begins after this; where there is none, with the first.
    from: Option<Place>,
    pairs: Vec<Pair>,
    /// It does not go to the end.
    more: bool,
}

impl Part {
    /// The first pair after this place.
    fn after(&self, place: &Place) -> Option<&Pair> {
        let index = self
            .pairs
            .partition_point(|(subject, referrer)| (*subject, Some(*referrer)) <= *place);
        self.pairs.get(index)
    }

    fn knows(&self, place: &Place) -> bool {
        self.from.as_ref().is_none_or(|from| from <= place)
            && (!self.more || self.after(place).is_some())
    }
}

/// Gathers a part: what comes first after a place.
struct Gathering {
    from: Option<Place>,
    pairs: BTreeSet<Pair>,
    most: usize,
    more: bool,
}

impl Gathering {
    fn new(from: Option<Place>, most: usize) -> Self {
        Self {
            from,
            pairs: BTreeSet::new(),
            most,
            more: false,
        }
    }

    fn add(&mut self, (subject, referrer): Pair) {
        let place = (subject, Some(referrer));
        if self.from.as_ref().is_some_and(|from| place <= *from) {
            return;
        }
        self.pairs.insert((subject, referrer));
        if self.pairs.len() > self.most {
            self.pairs.pop_last();
            self.more = true;
        }
    }

    fn end(self) -> Part {
        Part {
            from: self.from,
            pairs: self.pairs.into_iter().collect(),
            more: self.more,
        }
    }
}

#[derive(Clone)]
struct PairsWeight;

type Held = (Stamps, Arc<Part>);

impl Weighter<RepositoryName, Held> for PairsWeight {
    fn weight(&self, name: &RepositoryName, (_, part): &Held) -> u64 {
        (name.as_str().len() + part.pairs.len() * size_of::<Pair>()) as u64 + 256
    }
}

/// The parts that are held, each valid for one state of its revisions.
pub(super) struct Parts(Cache<RepositoryName, Held, PairsWeight>);

impl Default for Parts {
    fn default() -> Self {
        Self(Cache::with_weighter(REPOSITORIES, BUDGET, PairsWeight))
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

impl Parts {
    fn get(&self, name: &RepositoryName, stamps: &Stamps) -> Option<Arc<Part>> {
        let (valid, part) = self.0.get(name)?;
        (valid == *stamps).then_some(part)
    }
}

/// How far a listing has come.
struct Walk {
    part: Option<Arc<Part>>,
    place: Place,
    stamps: Option<Stamps>,
}

impl Repository {
    /// The referrers of a subject after one of them, while the revisions are at these stamps;
    /// without stamps nothing is held.
    pub(super) fn computed_referrers(
        &self,
        stamps: Option<Stamps>,
        subject: Digest,
        after: Option<Digest>,
    ) -> BoxStream<'_, Result<Digest, StorageError>> {
        let walk = Walk {
            part: None,
            place: (subject, after),
            stamps,
        };
        stream::try_unfold(walk, |walk| self.step(walk)).boxed()
    }

    async fn step(&self, mut walk: Walk) -> Result<Option<(Digest, Walk)>, StorageError> {
        let part = match walk.part.take().filter(|part| part.knows(&walk.place)) {
            Some(part) => part,
            None => self.part_at(&walk.place, walk.stamps.as_ref()).await?,
        };
        let (subject, _) = walk.place;
        let next = part.after(&walk.place).filter(|(of, _)| *of == subject);
        let Some((_, referrer)) = next.copied() else {
            return Ok(None);
        };
        walk.place = (subject, Some(referrer));
        walk.part = Some(part);
        Ok(Some((referrer, walk)))
    }

    /// A part that knows this place.
    async fn part_at(
        &self,
        place: &Place,
        stamps: Option<&Stamps>,
    ) -> Result<Arc<Part>, StorageError> {
        let parts = self.inner.scans.parts();
        let lookup = || stamps.and_then(|stamps| parts.get(&self.name, stamps));
        if let Some(part) = lookup().filter(|part| part.knows(place)) {
            return Ok(part);
        }
        // Where the result is held, one reads for all who ask meanwhile.
        let _reading = match stamps {
            Some(_) => Some(self.inner.scans.reading(&self.name).await),
            None => None,
        };
        let held = lookup();
        let elsewhere = held.is_some();
        if let Some(part) = held.filter(|part| part.knows(place)) {
            return Ok(part);
        }
        let (mut part, mut complete) = self.gather(elsewhere.then_some(*place)).await?;
        if !part.knows(place) {
            (part, complete) = self.gather(Some(*place)).await?;
        }
        let part = Arc::new(part);
        if let Some(stamps) = stamps
            && complete
            && self.settled_stamps().await?.as_ref() == Some(stamps)
        {
            let held = (stamps.clone(), Arc::clone(&part));
            parts.0.insert(self.name.clone(), held);
        }
        Ok(part)
    }

    /// A part, and whether stamps tell of everything that it may come to lack.
    async fn gather(&self, from: Option<Place>) -> Result<(Part, bool), StorageError> {
        let (mut gathering, mut complete) = (Gathering::new(from, MOST), true);
        let mut revisions = self.revisions();
        while let Some(digest) = revisions.try_next().await? {
            match self.see(digest).await? {
                Seen::Absent => complete = false,
                Seen::Other => {}
                Seen::Refers(_, subject) => gathering.add((subject, digest)),
            }
        }
        Ok((gathering.end(), complete))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> Digest {
        Digest::Sha256([number; 32])
    }

    /// Walks over the referrers of a subject as a listing does, and says how many parts it took.
    fn walk(all: &[Pair], subject: Digest, most: usize) -> (Vec<Digest>, usize) {
        let gather = |from| {
            let mut gathering = Gathering::new(from, most);
            all.iter().for_each(|pair| gathering.add(*pair));
            gathering.end()
        };
        let (mut part, mut parts) = (gather(None), 1);
        let (mut place, mut found) = ((subject, None), Vec::new());
        loop {
            if !part.knows(&place) {
                (part, parts) = (gather(Some(place)), parts + 1);
                assert!(part.pairs.len() <= most);
                assert!(part.knows(&place));
            }
            match part.after(&place) {
                Some((of, referrer)) if *of == subject => {
                    found.push(*referrer);
                    place = (subject, Some(*referrer));
                }
                _ => return (found, parts),
            }
        }
    }

    #[test]
    fn a_subject_is_walked_whole_whatever_fits_in_a_part() {
        let mut all = Vec::new();
        for subject in [3, 1, 2] {
            all.extend((0..10).rev().map(|n| (digest(subject), digest(100 + n))));
        }
        let expected: Vec<Digest> = (100..110).map(digest).collect();
        for most in 1..40 {
            for subject in 1..=3 {
                let (found, parts) = walk(&all, digest(subject), most);
                assert_eq!(found, expected, "subject {subject}, {most} in a part");
                assert!(most < 30 || parts == 1, "{parts} parts");
            }
            assert_eq!(walk(&all, digest(9), most).0, []);
        }
    }
}
