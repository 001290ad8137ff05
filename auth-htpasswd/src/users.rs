//! The users that count at a time.

use std::collections::HashMap;

use crate::file::Parsed;
use crate::hash::{DEFAULT_COST, Hash};

/// One version of the file.
#[derive(Debug)]
pub(crate) struct Users {
    by_name: HashMap<String, Hash>,
    /// For everyone who is not there, so that a login of nobody takes as long.
    nobody: Hash,
}

impl Users {
    pub(crate) fn new(parsed: Parsed, random: fn() -> [u8; 32]) -> Self {
        let cost = commonest(parsed.users.values().map(Hash::cost));
        Self {
            by_name: parsed.users,
            nobody: Hash::of_nobody(cost.unwrap_or(DEFAULT_COST), random),
        }
    }

    /// The hash to compare with, and whether it is anybody's.
    pub(crate) fn find(&self, user: &str) -> (Hash, bool) {
        match self.by_name.get(user) {
            Some(hash) => (*hash, true),
            None => (self.nobody, false),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }
}

/// The cost that most have, of several the highest.
fn commonest(costs: impl Iterator<Item = u32>) -> Option<u32> {
    let mut counts: HashMap<u32, usize> = HashMap::new();
    costs.for_each(|cost| *counts.entry(cost).or_default() += 1);
    let most = counts
        .into_iter()
        .max_by_key(|(cost, count)| (*count, *cost));
    most.map(|(cost, _)| cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_the_cost_that_most_have() {
        let table: [(&[u32], u32); 4] = [
            (&[], DEFAULT_COST),
            (&[5], 5),
            (&[12, 5, 5], 5),
            (&[5, 12, 5, 12], 12),
        ];
        for (costs, expected) in table {
            let hash = |cost: &u32| Hash::of_nobody(*cost, || [0; 32]);
            let users = (0..)
                .map(|n: usize| n.to_string())
                .zip(costs.iter().map(hash));
            let parsed = Parsed {
                users: users.collect(),
                ..Parsed::default()
            };
            let users = Users::new(parsed, || [1; 32]);
            let (nobody, is_there) = users.find("nobody");
            assert_eq!((nobody.cost(), is_there), (expected, false), "{costs:?}");
            assert_eq!(users.find("0").1, !costs.is_empty());
        }
    }
}
