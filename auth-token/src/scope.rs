//! The `scope` of a request for a token, and what of it is granted.

use std::fmt::Write as _;

use registry_core::access::Access;

use crate::claims::add;

/// Longest text of all scopes of one request, and most parts of it: a token that grants it all is
/// still short enough for a header.
const MAX_TEXT: usize = 4 * 1024;
const MAX_PARTS: usize = 64;

/// More is asked for than a token could carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many scopes")]
#[allow(clippy::exhaustive_structs)]
pub struct TooMuch;

/// What the parameters ask for. Each may name several resources, with spaces between. What we do
/// not know, or no repository can be called, is no error: it is not granted.
///
/// # Errors
/// [`TooMuch`], of what no client needs.
pub fn requested<'a>(
    parameters: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Access>, TooMuch> {
    let mut wanted = Vec::new();
    let (mut text, mut parts) = (0, 0);
    for parameter in parameters {
        text += parameter.len();
        for part in parameter.split(' ').filter(|part| !part.is_empty()) {
            parts += 1;
            if text > MAX_TEXT || parts > MAX_PARTS {
                return Err(TooMuch);
            }
            add_part(&mut wanted, part);
        }
    }
    Ok(wanted)
}

/// What of it is allowed, in its order.
pub fn granted(requested: Vec<Access>, may: impl Fn(&Access) -> bool) -> Vec<Access> {
    requested.into_iter().filter(may).collect()
}

/// `type:name:actions`. A name may have colons, as those of hosts with a port do; a class in
/// parentheses after the type is a relic.
fn add_part(wanted: &mut Vec<Access>, part: &str) {
    let Some((kind, rest)) = part.split_once(':') else {
        return;
    };
    let Some((name, actions)) = rest.rsplit_once(':') else {
        return;
    };
    let kind = match kind.split_once('(') {
        Some((kind, class)) if class.ends_with(')') => kind,
        Some(_) => return,
        None => kind,
    };
    let actions: Vec<&str> = actions.split(',').collect();
    add(wanted, kind, name, &actions);
}

/// The actions of one resource.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Resource {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    actions: Vec<&'static str>,
}

/// One entry for each resource, in the order in which they come.
pub(crate) fn resources(accesses: &[Access]) -> Vec<Resource> {
    let mut entries: Vec<Resource> = Vec::new();
    for access in accesses {
        let (kind, name, action) = match access {
            Access::Repository { name, action } => ("repository", name.as_str(), action.as_str()),
            Access::Catalog => ("registry", "catalog", "*"),
            // What we do not know, we cannot say.
            _ => continue,
        };
        let known = entries
            .iter_mut()
            .find(|entry| entry.kind == kind && entry.name == name);
        match known {
            Some(entry) => entry.actions.push(action),
            None => entries.push(Resource {
                kind,
                name: name.to_owned(),
                actions: vec![action],
            }),
        }
    }
    entries
}

/// The accesses as a scope.
pub(crate) fn text(accesses: &[Access]) -> String {
    let mut text = String::new();
    for Resource {
        kind,
        name,
        actions,
    } in resources(accesses)
    {
        let space = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{space}{kind}:{name}:{}", actions.join(","));
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use registry_core::access::Action;

    use super::*;

    const ACTIONS: [Action; 3] = [Action::Pull, Action::Push, Action::Delete];

    fn check(parameters: &[&str], expected: &str) {
        let wanted = requested(parameters.iter().copied()).unwrap();
        assert_eq!(text(&wanted), expected, "{parameters:?}");
    }

    #[test]
    fn a_scope_asks_for_what_it_says() {
        check(&[], "");
        check(&[""], "");
        check(&["repository:a/b:pull"], "repository:a/b:pull");
        check(&["repository:a/b:push,pull"], "repository:a/b:pull,push");
        check(&["repository:a:*"], "repository:a:pull,push,delete");
        check(&["registry:catalog:*"], "registry:catalog:*");
        check(
            &["repository:a:pull  repository:b:pull", "repository:a:push"],
            "repository:a:pull,push repository:b:pull",
        );
        check(&["repository(plugin):a:pull"], "repository:a:pull");
        check(&["repository:a:pull,pull,,fly"], "repository:a:pull");
    }

    #[test]
    fn what_is_not_known_is_not_granted() {
        for scope in [
            "repository:a:fly",
            "repository:a:",
            "repository:a",
            "repository::pull",
            "repository",
            ":a:pull",
            "Repository:a:pull",
            "repository(plugin:a:pull",
            "image:a:pull",
            "repository:A:pull",
            "repository:../a:pull",
            "registry:catalog:pull",
            "registry:other:*",
            "repository:host:5000/a:pull",
            "repository:a:PULL",
        ] {
            check(&[scope], "");
        }
    }

    #[test]
    fn only_what_is_allowed_is_granted() {
        let wanted = requested(["repository:a:pull,push repository:b:pull"]).unwrap();
        let may = |access: &Access| {
            let Access::Repository { action, .. } = access else {
                return false;
            };
            *action == Action::Pull
        };
        let given = granted(wanted, may);
        assert_eq!(text(&given), "repository:a:pull repository:b:pull");
    }

    #[test]
    fn more_than_a_token_could_carry_is_refused() {
        let many = vec!["repository:a:pull"; MAX_PARTS];
        assert!(requested(many.iter().copied()).is_ok());
        let many = vec!["repository:a:pull"; MAX_PARTS + 1];
        assert_eq!(requested(many.iter().copied()), Err(TooMuch));
        assert_eq!(requested([many.join(" ").as_str()]), Err(TooMuch));
        assert_eq!(requested(["x".repeat(MAX_TEXT + 1).as_str()]), Err(TooMuch));
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_read_or_dropped(texts in prop::collection::vec(".{0,80}", 0..4)) {
            let wanted = requested(texts.iter().map(String::as_str)).unwrap();
            let again = requested([text(&wanted).as_str()]).unwrap();
            prop_assert_eq!(again, wanted);
        }

        #[test]
        fn a_scope_that_we_write_is_read_as_it_was_meant(
            names in prop::collection::vec("[a-z]{1,3}(/[a-z0-9]{1,3}){0,2}", 1..5),
            picks in prop::collection::vec(0_usize..3, 5),
        ) {
            let mut wanted: Vec<Access> = Vec::new();
            for (name, pick) in names.iter().zip(picks) {
                let access = Access::repository(&name.parse().unwrap(), ACTIONS[pick]);
                if !wanted.contains(&access) {
                    wanted.push(access);
                }
            }
            let read = requested([text(&wanted).as_str()]).unwrap();
            prop_assert_eq!(read.len(), wanted.len());
            prop_assert!(wanted.iter().all(|access| read.contains(access)));
        }
    }
}
