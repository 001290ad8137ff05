//! Who may do what, decided once for every scheme.

mod pattern;
mod rule;

use std::sync::Arc;

pub use self::pattern::{NamePattern, PatternError, TagPattern};
use self::rule::Party;
pub use self::rule::{Groups, Immutable, Member, Right, Rule, UnknownRight, UnknownWho, Who};
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

    /// Whether they give anything to a certificate by its name.
    #[must_use]
    pub fn name_certificates(&self) -> bool {
        self.rules.iter().any(|(rules, groups)| {
            let mut who = rules.iter().flat_map(|rule| &rule.who);
            who.any(|who| who.names_certificate(groups))
        })
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
            Scheme::Basic => Refusal::Denied,
            Scheme::Anonymous | Scheme::Bearer | Scheme::Certificate => Refusal::Challenge {
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
        let decisions = Party::all(who).map(|party| self.decide_for(party, right, repository));
        decisions
            .min_by_key(|decision| match decision {
                Decision::Open => 0,
                Decision::Given { rule } => rule.saturating_add(1),
                Decision::Denied => usize::MAX,
            })
            .unwrap_or(Decision::Denied)
    }

    fn decide_for(
        &self,
        who: Party<'_>,
        right: Right,
        repository: Option<&RepositoryName>,
    ) -> Decision {
        let Some((rules, groups)) = &self.rules else {
            // Who is let in is decided by who authenticates users, who asks for no certificate.
            return match who {
                Party::User(_) => Decision::Open,
                Party::Certificate(_) => Decision::Denied,
            };
        };
        let mut all = rules.iter();
        match all.position(|rule| rule.gives(right, repository, who, groups)) {
            Some(rule) => Decision::Given { rule },
            None => Decision::Denied,
        }
    }

    fn gives(&self, who: Party<'_>, right: Right, repository: Option<&RepositoryName>) -> bool {
        self.decide_for(who, right, repository) != Decision::Denied
    }

    /// Whether someone may have this, whatever a token says.
    #[must_use]
    pub fn allow(&self, who: &Identity, access: &Access) -> bool {
        Party::all(who).any(|party| self.allow_for(party, access))
    }

    fn allow_for(&self, who: Party<'_>, access: &Access) -> bool {
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

    /// Whether someone may move a tag that is there to another digest, whatever a token says.
    #[must_use]
    pub fn allow_moving_tags(&self, who: &Identity, name: &RepositoryName) -> bool {
        Party::all(who).any(|party| self.gives(party, Right::Push, Some(name)))
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
        Party::all(&self.who).any(|party| self.may_as(party, access))
    }

    fn may_as(&self, party: Party<'_>, access: &Access) -> bool {
        Self::token_gives(party, access) && self.rules.allow_for(party, access)
    }

    /// A token is of its user alone.
    fn token_gives(party: Party<'_>, access: &Access) -> bool {
        match party {
            Party::User(who) => {
                let token = who.granted.as_deref();
                token.is_none_or(|granted| granted.contains(access))
            }
            Party::Certificate(_) => true,
        }
    }

    /// Asked by the catalog for each name. What lets someone list is no right to pull, and of what
    /// may be listed the rules alone decide: a token for that names no repository.
    #[must_use]
    pub fn may_see(&self, name: &RepositoryName) -> bool {
        let pull = Access::repository(name, Action::Pull);
        Party::all(&self.who)
            .any(|party| self.may_as(party, &Access::Catalog) && self.rules.allow_for(party, &pull))
    }

    /// Asked by a push for a tag that is there already, with another digest.
    #[must_use]
    pub fn may_move_tags(&self, name: &RepositoryName) -> bool {
        let push = Access::repository(name, Action::Push);
        Party::all(&self.who).any(|party| {
            // That there is a right to push is not enough: it may be the other's.
            Self::token_gives(party, &push) && self.rules.gives(party, Right::Push, Some(name))
        })
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
    /// Known by Basic, and the rules say no: 403 `DENIED`.
    Denied,
}

#[cfg(test)]
mod tests;
