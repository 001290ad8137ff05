//! Names of repositories as one component of a path, in an order that is theirs.
//!
//! Within a name a `.` or a `/` stands between letters or digits, and never beside another. So `/` is
//! written `.`, and `.` is written `..`: a component sorts by its bytes as its name does, and holds
//! nothing that a name could not.

use crate::name::RepositoryName;

/// The component that stands for a name.
pub(super) fn component(name: &RepositoryName) -> String {
    let mut text = String::with_capacity(name.as_str().len() + 8);
    for c in name.as_str().chars() {
        match c {
            '.' => text.push_str(".."),
            '/' => text.push('.'),
            c => text.push(c),
        }
    }
    text
}

/// The name that a component stands for, which may come from a listing; `None` for what is foreign.
#[must_use]
pub fn catalog_name(component: &str) -> Option<RepositoryName> {
    let mut text = String::with_capacity(component.len());
    let mut chars = component.chars().peekable();
    while let Some(c) = chars.next() {
        text.push(match c {
            '.' if chars.next_if_eq(&'.').is_some() => '.',
            '.' => '/',
            '/' => return None,
            c => c,
        });
    }
    text.parse().ok()
}

/// After which component a listing must begin so that it has every name after `last`, which need be
/// no name. What it has before those is to be passed over.
#[must_use]
pub fn catalog_start(last: &str) -> Option<String> {
    let mut ends = (1..=last.len()).rev();
    // The longest name that it begins with: what comes after the one comes after the other.
    ends.find_map(|end| last.get(..end)?.parse().ok())
        .map(|name| component(&name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name() -> impl Strategy<Value = RepositoryName> {
        "[a0]{1,2}([._-][a0]{1,2}){0,2}(/[a0]{1,2}([.-][a0]){0,2}){0,3}"
            .prop_map(|text| text.parse().unwrap())
    }

    proptest! {
        #[test]
        fn a_name_is_read_back_and_sorts_as_its_component(one in name(), other in name()) {
            let (first, second) = (component(&one), component(&other));
            prop_assert_eq!(one.cmp(&other), first.cmp(&second));
            prop_assert_eq!(catalog_name(&first), Some(one));
            prop_assert!(first != "." && !first.starts_with('.') && !first.contains('/'));
        }

        #[test]
        fn no_name_after_the_last_one_comes_before_the_start(
            name in name(), last in "[a0]{0,3}[-._/a0~é]{0,6}",
        ) {
            let start = catalog_start(&last);
            if name.as_str() > last.as_str() {
                prop_assert!(start.is_none_or(|start| component(&name) > start));
            }
        }

        #[test]
        fn what_is_foreign_is_no_name(text in "[a0./-]{0,6}") {
            if let Some(name) = catalog_name(&text) {
                prop_assert_eq!(component(&name), text);
            }
        }
    }

    #[test]
    fn components_are_spelled_so() {
        for (name, text) in [
            ("app", "app"),
            ("team/app", "team.app"),
            ("a.b/c__d-e", "a..b.c__d-e"),
        ] {
            assert_eq!(component(&name.parse().unwrap()), text);
        }
        for foreign in ["", ".", "..", "a.", ".a", "a...b", "A", "a/b"] {
            assert_eq!(catalog_name(foreign), None, "{foreign}");
        }
    }
}
