//! `extensions.access` and `extensions.immutable`: who may do what, and which tags stay.

use std::collections::BTreeMap;
use std::fmt::Display;

use registry_core::Rules;
use registry_core::rules::{Groups, Immutable, Member, NamePattern, Right, Rule, TagPattern, Who};
use serde::Deserialize;

use super::super::ConfigError;
use super::super::layers::Layers;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawAccess {
    rules: Option<Vec<RawRule>>,
    groups: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawRule {
    who: Vec<String>,
    repositories: Vec<String>,
    actions: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawImmutable {
    repositories: Vec<String>,
    tags: Vec<String>,
}

/// Whom a registry can know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Users, by whatever they log in with.
    pub(super) users: bool,
    /// Clients, by certificates that are verified.
    pub(super) certificates: bool,
}

const NO_USERS: &str = "nobody can be that: there is no `auth`, such as `auth.htpasswd`";

const NO_CERTIFICATES: &str = "nobody can be that: no certificates of clients are verified; \
                               `http.tls.clientcas` says by whom they are";

/// The rules, if there are any: an empty list is refused, since it can mean everything or nothing.
pub(super) fn rules(raw: RawAccess, known: Known, layers: &Layers) -> Result<Rules, ConfigError> {
    let path = ["extensions", "access", "rules"];
    let rules = match raw.rules {
        Some(rules) if !rules.is_empty() => rules,
        None if raw.groups.is_empty() => return Ok(Rules::everything()),
        _ => {
            return Err(layers.refuse(
                &path,
                "there are no rules: add one, or remove `extensions.access`, without which \
                 everyone who is let in may do everything",
            ));
        }
    };
    let mut groups = Groups::default();
    for (name, members) in raw.groups {
        let at = ["extensions", "access", "groups"];
        let members = members.iter().enumerate().map(|(n, text)| {
            let member: Result<Member, String> = text.parse().map_err(|error| format!("{error}"));
            match member {
                Ok(member) if member.is_certificate() && !known.certificates => {
                    Err(item(layers, &at, (&name, n), NO_CERTIFICATES))
                }
                member => member.map_err(|error| item(layers, &at, (&name, n), error)),
            }
        });
        let members = members.collect::<Result<_, _>>()?;
        groups.insert(name, members);
    }
    let rules = rules.into_iter().enumerate().map(|(at, raw)| {
        let at = at.to_string();
        let at = ["extensions", "access", "rules", &at];
        rule(&raw, &groups, &at, layers)
    });
    let rules: Vec<Rule> = rules.collect::<Result<_, _>>()?;
    for (at, rule) in rules.iter().enumerate() {
        for (n, who) in rule.who.iter().enumerate() {
            if let Some(message) = nobody(who, known, &groups) {
                let at = at.to_string();
                let at = ["extensions", "access", "rules", &at];
                return Err(item(layers, &at, ("who", n), message));
            }
        }
    }
    Ok(Rules::only(rules, groups))
}

/// Why nobody can ever be this one.
fn nobody(who: &Who, known: Known, groups: &Groups) -> Option<&'static str> {
    match who {
        Who::Anonymous => None,
        Who::Authenticated if known.users || known.certificates => None,
        who if who.names_certificate(groups) => (!known.certificates).then_some(NO_CERTIFICATES),
        _ => (!known.users).then_some(NO_USERS),
    }
}

fn rule(raw: &RawRule, groups: &Groups, at: &[&str], layers: &Layers) -> Result<Rule, ConfigError> {
    let who: Vec<Who> = each(&raw.who, at, "who", layers, |text| text.parse())?;
    for (n, who) in who.iter().enumerate() {
        if let Who::Group(group) = who
            && !groups.contains(group)
        {
            let message = format!("there is no group {group:?} in `extensions.access.groups`");
            return Err(item(layers, at, ("who", n), message));
        }
    }
    let rights: Vec<Right> = each(&raw.actions, at, "actions", layers, |text| text.parse())?;
    // The catalog is about all repositories, and names none.
    let names = match (rights.as_slice(), raw.repositories.is_empty()) {
        ([Right::Catalog], true) => Vec::new(),
        _ => patterns(&raw.repositories, at, layers)?,
    };
    Ok(Rule::new(who, names, rights))
}

/// Tags that stay what they are.
pub(super) fn immutable(
    raw: &[RawImmutable],
    layers: &Layers,
) -> Result<Vec<Immutable>, ConfigError> {
    let one = |(at, raw): (usize, &RawImmutable)| {
        let at = at.to_string();
        let at = ["extensions", "immutable", &at];
        let repositories = patterns(&raw.repositories, &at, layers)?;
        if let Some(n) = repositories.iter().position(NamePattern::names_user) {
            let message = "whoever asks, these tags stay: there is no user here";
            return Err(item(layers, &at, ("repositories", n), message));
        }
        let tags = each(&raw.tags, &at, "tags", layers, TagPattern::parse)?;
        Ok(Immutable::new(repositories, tags))
    };
    raw.iter().enumerate().map(one).collect()
}

fn patterns(
    texts: &[String],
    at: &[&str],
    layers: &Layers,
) -> Result<Vec<NamePattern>, ConfigError> {
    each(texts, at, "repositories", layers, NamePattern::parse)
}

/// Reads each text of a list that must have some; an error names its place.
fn each<T, E: Display>(
    texts: &[String],
    at: &[&str],
    key: &str,
    layers: &Layers,
    read: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, ConfigError> {
    if texts.is_empty() {
        return Err(layers.refuse(&[at, &[key]].concat(), "at least one is wanted here"));
    }
    let read = |(n, text): (usize, &String)| {
        read(text).map_err(|error| item(layers, at, (key, n), error.to_string()))
    };
    texts.iter().enumerate().map(read).collect()
}

fn item(
    layers: &Layers,
    at: &[&str],
    (key, n): (&str, usize),
    message: impl Into<String>,
) -> ConfigError {
    let n = n.to_string();
    layers.refuse(&[at, &[key, &n]].concat(), message)
}
