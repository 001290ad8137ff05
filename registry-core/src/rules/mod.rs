//! Who may do what, decided once for every scheme.

mod pattern;
mod rule;

use std::sync::Arc;

pub use self::pattern::{NamePattern, PatternError, TagPattern};
pub use self::rule::{Groups, Immutable, Right, Rule, UnknownRight, UnknownWho, Who};
use crate::access::{Access, Action, Identity, Scheme};
use crate::name::RepositoryName;

/// What may someone do? Without rules, whoever is let in may do everything, as in distribution.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Who is given what; nobody is given anything else.
    rules: Option<(Vec<Rule>, Groups)>,
}

impl Rules {
    /// No rules: everything is allowed to everyone who is let in.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// What these give, and nothing else.
    #[must_use]
    pub fn only(rules: Vec<Rule>, groups: Groups) -> Self {
        Self {
            rules: Some((rules, groups)),
        }
    }

    /// Whether there are any, so that someone who is known may lack a right.
    #[must_use]
    pub fn are_set(&self) -> bool {
        self.rules.is_some()
    }

    /// Whether they give anything to those who do not say who they are.
    #[must_use]
    pub fn name_anonymous(&self) -> bool {
        self.first_for_anonymous().is_some()
    }

    /// The number of the first rule that does, from zero.
    #[must_use]
    pub fn first_for_anonymous(&self) -> Option<usize> {
        let mut rules = self.rules.iter().flat_map(|(rules, _)| rules);
        rules.position(|rule| rule.who.contains(&Who::Anonymous))
    }

    /// All of `required`, or a refusal. `optional` joins the scope of a challenge and is
    /// otherwise asked through the grant.
    ///
    /// # Errors
    /// [`Refusal`] says how to answer.
    pub fn authorize(
        self: &Arc<Self>,
        who: Identity,
        required: &[Access],
        optional: &[Access],
    ) -> Result<Grant, Refusal> {
        let grant = Grant {
            who,
            rules: Arc::clone(self),
        };
        if required.iter().all(|access| grant.may(access)) {
            return Ok(grant);
        }
        Err(match grant.who.scheme {
            Scheme::Basic | Scheme::Certificate => Refusal::Denied,
            Scheme::Anonymous | Scheme::Bearer => Refusal::Challenge {
                scope: [required, optional].concat(),
            },
        })
    }

    /// Whether someone has a right, on this repository or, of [`Right::Catalog`], at all; and the
    /// number of the rule that gives it, from zero.
    #[must_use]
    pub fn decide(
        &self,
        who: &Identity,
        right: Right,
        repository: Option<&RepositoryName>,
    ) -> Decision {
        let Some((rules, groups)) = &self.rules else {
            return Decision::Open;
        };
        let mut all = rules.iter();
        match all.position(|rule| rule.gives(right, repository, who, groups)) {
            Some(rule) => Decision::Given { rule },
            None => Decision::Denied,
        }
    }

    fn gives(&self, who: &Identity, right: Right, repository: Option<&RepositoryName>) -> bool {
        self.decide(who, right, repository) != Decision::Denied
    }

    /// Whether someone may have this, whatever a token says.
    #[must_use]
    pub fn allow(&self, who: &Identity, access: &Access) -> bool {
        match access {
            Access::Catalog => self.gives(who, Right::Catalog, None),
            Access::Repository { name, action } => match action {
                Action::Pull => self.gives(who, Right::Pull, Some(name)),
                Action::Push => {
                    self.gives(who, Right::Push, Some(name))
                        || self.gives(who, Right::Create, Some(name))
                }
                Action::Delete => self.gives(who, Right::Delete, Some(name)),
            },
        }
    }

    /// Whether someone may move a tag that is there to another digest.
    #[must_use]
    pub fn allow_moving_tags(&self, who: &Identity, name: &RepositoryName) -> bool {
        self.gives(who, Right::Push, Some(name))
    }
}

/// What the rules say of a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)]
pub enum Decision {
    /// There are no rules.
    Open,
    /// A rule gives it.
    Given {
        /// Which, from zero.
        rule: usize,
    },
    /// None does.
    Denied,
}

/// The proof that a request was authorized, without which no handler runs. Only
/// [`Rules::authorize`] makes one.
#[derive(Clone, Debug)]
pub struct Grant {
    who: Identity,
    rules: Arc<Rules>,
}

impl Grant {
    /// Asked by a mount for its source, by the catalog for each name.
    #[must_use]
    pub fn may(&self, access: &Access) -> bool {
        let token = self.who.granted.as_deref();
        token.is_none_or(|granted| granted.contains(access)) && self.rules.allow(&self.who, access)
    }

    /// Asked by the catalog for each name. What lets someone list is no right to pull, and of what
    /// may be listed the rules alone decide: a token for that names no repository.
    #[must_use]
    pub fn may_see(&self, name: &RepositoryName) -> bool {
        let lists = self.may(&Access::Catalog);
        lists
            && self
                .rules
                .allow(&self.who, &Access::repository(name, Action::Pull))
    }

    /// Asked by a push for a tag that is there already, with another digest.
    #[must_use]
    pub fn may_move_tags(&self, name: &RepositoryName) -> bool {
        self.rules.allow_moving_tags(&self.who, name)
    }

    /// Whose it is.
    #[must_use]
    pub fn who(&self) -> &Identity {
        &self.who
    }
}

/// Why a request is not authorized.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)]
pub enum Refusal {
    /// 401, always, with the scope: other credentials may help.
    Challenge {
        /// What was wanted.
        scope: Vec<Access>,
    },
    /// Known by Basic or certificate, and the rules say no: 403 `DENIED`.
    Denied,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Action;

    #[test]
    fn a_token_grants_what_it_carries_and_nothing_else() {
        let rules = Arc::new(Rules::everything());
        let pull = Access::repository(&"a".parse().unwrap(), Action::Pull);
        let push = Access::repository(&"a".parse().unwrap(), Action::Push);
        let mut who = Identity::named("alice", Scheme::Bearer);
        who.granted = Some(vec![pull.clone()]);
        let grant = rules
            .authorize(who.clone(), std::slice::from_ref(&pull), &[])
            .unwrap();
        assert!(grant.may(&pull) && !grant.may(&push));
        let refusal = rules.authorize(
            who,
            std::slice::from_ref(&push),
            std::slice::from_ref(&pull),
        );
        assert_eq!(
            refusal.unwrap_err(),
            Refusal::Challenge {
                scope: vec![push, pull]
            }
        );
    }

    fn rule(who: &[&str], names: &[&str], rights: &[&str]) -> Rule {
        Rule::new(
            who.iter().map(|text| text.parse().unwrap()).collect(),
            names
                .iter()
                .map(|text| NamePattern::parse(text).unwrap())
                .collect(),
            rights.iter().map(|text| text.parse().unwrap()).collect(),
        )
    }

    fn some_rules() -> Rules {
        let mut groups = Groups::default();
        groups.insert("dev", vec!["bob".to_owned()]);
        Rules::only(
            vec![
                rule(&["anonymous"], &["public/**"], &["pull"]),
                rule(
                    &["authenticated"],
                    &["${user}/**"],
                    &["pull", "push", "delete"],
                ),
                rule(&["group:dev"], &["team/*"], &["pull", "create"]),
                rule(
                    &["user:root", "group:admins"],
                    &["**"],
                    &["pull", "push", "delete", "catalog"],
                ),
            ],
            groups,
        )
    }

    #[test]
    fn rules_give_what_they_say_and_nothing_else() {
        let rules = some_rules();
        let of = |who: &Identity, name: &str| -> String {
            let name = name.parse().unwrap();
            let given = |right: &Right| {
                let name = (*right != Right::Catalog).then_some(&name);
                rules.decide(who, *right, name) != Decision::Denied
            };
            let rights: Vec<&str> = Right::ALL
                .iter()
                .filter(|right| given(right))
                .map(|right| right.as_str())
                .collect();
            rights.join(" ")
        };
        let named = |name: &str| Identity::named(name, Scheme::Basic);
        let nobody = Identity::anonymous();
        assert_eq!(of(&nobody, "public/a"), "pull");
        assert_eq!(of(&nobody, "public"), "");
        assert_eq!(of(&nobody, "team/a"), "");
        assert_eq!(
            of(&named("bob"), "public/a"),
            "pull",
            "nothing is lost by logging in"
        );
        assert_eq!(of(&named("bob"), "bob/a"), "pull push delete");
        assert_eq!(of(&named("bob"), "alice/a"), "");
        assert_eq!(of(&named("bob"), "team/a"), "pull create");
        assert_eq!(of(&named("alice"), "team/a"), "");
        assert_eq!(of(&named("root"), "a"), "pull push delete catalog");
        assert_eq!(
            of(&named(""), "public/a"),
            "pull",
            "the empty name is nobody's"
        );
        let mut carol = named("carol");
        carol.groups.push("admins".to_owned());
        assert_eq!(of(&carol, "x/y"), "pull push delete catalog");
        let bob = named("bob");
        let team = "team/a".parse().unwrap();
        assert_eq!(
            rules.decide(&bob, Right::Create, Some(&team)),
            Decision::Given { rule: 2 }
        );
        let access = |action| Access::repository(&team, action);
        assert!(rules.allow(&bob, &access(Action::Push)) && !rules.allow_moving_tags(&bob, &team));
        assert!(
            !rules.allow(&bob, &access(Action::Delete)) && !rules.allow(&bob, &Access::Catalog)
        );
        assert!(rules.name_anonymous() && !Rules::everything().name_anonymous());
    }

    #[test]
    fn a_token_never_widens_what_rules_give() {
        let rules = Arc::new(some_rules());
        let all: Vec<Access> = ["team/a", "bob/a"]
            .iter()
            .flat_map(|name| {
                [Action::Pull, Action::Push, Action::Delete]
                    .map(|action| Access::repository(&name.parse().unwrap(), action))
            })
            .collect();
        let mut who = Identity::named("bob", Scheme::Bearer);
        who.granted = Some(all.clone());
        let grant = rules.authorize(who, &[], &[]).unwrap();
        let may: Vec<bool> = all.iter().map(|access| grant.may(access)).collect();
        assert_eq!(may, [true, true, false, true, true, true]);
        assert!(!grant.may_move_tags(&"team/a".parse().unwrap()));
        assert!(grant.may_move_tags(&"bob/a".parse().unwrap()));
    }

    #[test]
    fn who_is_known_is_denied_and_others_are_asked_who_they_are() {
        let rules = Arc::new(some_rules());
        let push = Access::repository(&"public/a".parse().unwrap(), Action::Push);
        let ask = |who| {
            rules
                .authorize(who, std::slice::from_ref(&push), &[])
                .unwrap_err()
        };
        assert_eq!(ask(Identity::named("bob", Scheme::Basic)), Refusal::Denied);
        let scope = vec![push.clone()];
        assert_eq!(ask(Identity::anonymous()), Refusal::Challenge { scope });
    }

    #[test]
    fn without_rules_everyone_may_do_everything() {
        let rules = Arc::new(Rules::everything());
        assert!(
            rules
                .authorize(Identity::anonymous(), &[Access::Catalog], &[])
                .is_ok()
        );
    }
}
