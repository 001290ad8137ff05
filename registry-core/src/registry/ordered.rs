//! From the order of a store's listing to plain byte order, in bounded memory.
//!
//! A store lists by key, where a directory sorts as `name/`; so `a-b` comes before `a`. Names
//! leave us in plain byte order. The names that a listing brings late are those cut before a `-`
//! or `.` of a name already seen, for only these two sort before `/`. They are asked for by key.

/// Puts names that arrive in the order of `name/` into plain byte order.
#[derive(Debug)]
pub(super) struct PlainOrder {
    last: Option<String>,
    /// Cuts already asked for whose own turn in the listing has not come: each begins the next.
    early: Vec<String>,
}

impl PlainOrder {
    /// Of the names after `last`.
    pub(super) fn new(last: Option<String>) -> Self {
        Self {
            last,
            early: Vec::new(),
        }
    }

    /// Where the listing has to begin so that no name after `last` is passed over.
    pub(super) fn listing_after(&self) -> Option<String> {
        self.last.clone()
    }

    fn wanted(&self, name: &str) -> bool {
        self.last.as_deref().is_none_or(|last| name > last)
    }

    /// Takes the next name of the listing: the cuts that must be asked for and come first, if
    /// they exist, and then whether the name itself comes now.
    pub(super) fn take(&mut self, name: &str) -> (Vec<String>, bool) {
        let is_cut = |cut: &str| {
            name.strip_prefix(cut)
                .is_some_and(|rest| rest.starts_with(['-', '.']))
        };
        while self
            .early
            .last()
            .is_some_and(|cut| cut != name && !is_cut(cut))
        {
            self.early.pop();
        }
        if self.early.last().is_some_and(|cut| cut == name) {
            self.early.pop();
            return (Vec::new(), false);
        }
        let mut ask = Vec::new();
        for (at, _) in name.match_indices(['-', '.']).filter(|(at, _)| *at > 0) {
            let cut = &name[..at];
            if self.early.iter().any(|known| known == cut) {
                continue;
            }
            self.early.push(cut.to_owned());
            if self.wanted(cut) {
                ask.push(cut.to_owned());
            }
        }
        (ask, self.wanted(name))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn plain(names: &BTreeSet<String>, last: Option<&str>) -> Vec<String> {
        let mut order = PlainOrder::new(last.map(str::to_owned));
        let mut listing: Vec<&String> = names.iter().collect();
        listing.sort_by_key(|name| format!("{name}/"));
        let start = order.listing_after().unwrap_or_default();
        let mut out = Vec::new();
        for name in listing
            .into_iter()
            .filter(|name| format!("{name}/") > start)
        {
            let (ask, now) = order.take(name);
            out.extend(ask.into_iter().filter(|cut| names.contains(cut)));
            out.extend(now.then(|| name.clone()));
        }
        out
    }

    proptest! {
        #[test]
        fn names_leave_in_plain_order_each_once_and_after_last(
            names in proptest::collection::btree_set("[ab][-./0a]{0,4}", 0..12),
            last in proptest::option::of("[ab][-./0a]{0,4}"),
        ) {
            let expected: Vec<String> =
                names.iter().filter(|name| last.as_ref().is_none_or(|last| *name > last)).cloned().collect();
            prop_assert_eq!(plain(&names, last.as_deref()), expected);
        }
    }
}
