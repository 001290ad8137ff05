//! The users that count at a time.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::file::Parsed;
use crate::hash::{DEFAULT_COST, Hash};

/// One version of the file.
#[derive(Debug)]
pub(crate) struct Users {
    by_name: HashMap<String, Hash>,
    nobody: Nobody,
}

impl Users {
    /// The key is the same for all versions, so that nobody's costs stay theirs.
    pub(crate) fn new(parsed: Parsed, key: Hmac<Sha256>, random: fn() -> [u8; 32]) -> Self {
        Self {
            nobody: Nobody::new(parsed.users.values().map(Hash::cost), key, random),
            by_name: parsed.users,
        }
    }

    /// The hash to compare with, and whether it is anybody's.
    pub(crate) fn find(&self, user: &str) -> (Hash, bool) {
        match self.by_name.get(user) {
            Some(hash) => (*hash, true),
            None => (self.nobody.find(user), false),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }
}

/// Hashes for everyone who is not there, so that a login of nobody takes as long. Where users
/// have different costs, so have those who are none, in the same parts and always the same one:
/// no cost tells that somebody is there.
struct Nobody {
    /// By costs, each with how many users have it or a lower one.
    hashes: Vec<(u64, Hash)>,
    /// How many users there are.
    all: u64,
    /// Of the highest cost; where there are no users, of the default.
    highest: Hash,
    key: Hmac<Sha256>,
}

impl Nobody {
    fn new(costs: impl Iterator<Item = u32>, key: Hmac<Sha256>, random: fn() -> [u8; 32]) -> Self {
        let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
        costs.for_each(|cost| *counts.entry(cost).or_default() += 1);
        let mut nobody = Self {
            hashes: Vec::with_capacity(counts.len()),
            all: 0,
            highest: Hash::of_nobody(DEFAULT_COST, random),
            key,
        };
        for (cost, count) in counts {
            nobody.all += count;
            nobody.highest = Hash::of_nobody(cost, random);
            nobody.hashes.push((nobody.all, nobody.highest));
        }
        nobody
    }

    /// The name is a point on a line that the costs share, so that few get another cost when a
    /// user comes or goes.
    fn find(&self, user: &str) -> Hash {
        let mut mac = self.key.clone();
        mac.update(b"nobody");
        mac.update(user.as_bytes());
        let mac: [u8; 32] = mac.finalize().into_bytes().into();
        let point = mac.iter().take(8);
        let point = point.fold(0, |point, byte| (point << 8) | u128::from(*byte));
        let place = (point * u128::from(self.all)) >> 64;
        let mut hashes = self.hashes.iter();
        let found = hashes.find(|(up_to, _)| place < u128::from(*up_to));
        found.map_or(self.highest, |(_, hash)| *hash)
    }
}

impl fmt::Debug for Nobody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nobody")
            .field("hashes", &self.hashes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use hmac::KeyInit;

    use super::*;

    /// Users of these costs, in a version of the file with randomness of its own.
    fn users(costs: &[u32], random: fn() -> [u8; 32]) -> Users {
        let hash = |cost: &u32| Hash::of_nobody(*cost, || [0; 32]);
        let users = (0..)
            .map(|n: usize| n.to_string())
            .zip(costs.iter().map(hash));
        let parsed = Parsed {
            users: users.collect(),
            ..Parsed::default()
        };
        let key = Hmac::new_from_slice(&[1; 32]).unwrap();
        Users::new(parsed, key, random)
    }

    /// The costs of names that are nobody's.
    fn costs_of_nobody(users: &Users) -> Vec<u32> {
        let find = |n| users.find(&format!("nobody {n}"));
        let found = (0..1000)
            .map(find)
            .inspect(|(_, is_there)| assert!(!is_there));
        found.map(|(hash, _)| hash.cost()).collect()
    }

    #[test]
    fn nobody_has_the_costs_that_users_have_in_the_same_parts() {
        #[allow(clippy::type_complexity, reason = "a table of cases")]
        let table: [(&[u32], &[(u32, usize)]); 5] = [
            (&[], &[(DEFAULT_COST, 1000)]),
            (&[5], &[(5, 1000)]),
            (&[12, 5, 5, 5], &[(5, 750), (12, 250)]),
            (&[5, 12, 5, 12], &[(5, 500), (12, 500)]),
            (&[4, 12, 10, 10, 10], &[(4, 200), (10, 600), (12, 200)]),
        ];
        for (costs, expected) in table {
            let users = users(costs, || [1; 32]);
            assert_eq!(users.find("0").1, !costs.is_empty());
            let found = costs_of_nobody(&users);
            for (cost, expected) in expected {
                let count = found.iter().filter(|found| *found == cost).count();
                assert!(
                    count.abs_diff(*expected) <= 50,
                    "{costs:?}: {count} of {cost}"
                );
            }
            assert!(
                found
                    .iter()
                    .all(|cost| expected.iter().any(|(of, _)| of == cost))
            );
        }
    }

    #[test]
    fn nobody_keeps_a_cost_when_the_file_is_read_again() {
        let mut costs = [5, 5, 12, 12].repeat(25);
        let before = costs_of_nobody(&users(&costs, || [1; 32]));
        assert_eq!(costs_of_nobody(&users(&costs, || [2; 32])), before);
        costs.push(5);
        let after = costs_of_nobody(&users(&costs, || [3; 32]));
        let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert!(changed <= 50, "{changed}");
    }
}
