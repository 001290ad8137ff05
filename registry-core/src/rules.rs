//! Who may do what, decided once for every scheme.

use std::sync::Arc;

use crate::access::{Access, Identity, Scheme};

/// What may someone do? Without rules, whoever is let in may do everything, as in distribution.
#[derive(Clone, Debug, Default)]
pub struct Rules {}

impl Rules {
    /// No rules: everything is allowed to everyone who is let in.
    #[must_use]
    pub fn everything() -> Self {
        Self {}
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

    fn allow(&self, _who: &Identity, _access: &Access) -> bool {
        true
    }
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
