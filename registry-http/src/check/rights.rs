//! `registry check --as WHO --may ACTION REPOSITORY`: the decision, and the rule that made it.

use std::sync::Arc;

use clap::Args;
use registry_core::RepositoryName;
use registry_core::access::{Certificate, Identity, Scheme};
use registry_core::rules::{Decision, Member, Right};
use serde_json::json;

use crate::config::Config;

/// A question about rights.
#[derive(Clone, Debug, Args)]
pub(crate) struct Question {
    /// Who would ask: a user, or what a certificate says, as a rule names it; given again, both;
    /// without it, someone who does not say who it is
    #[arg(long = "as", value_name = "WHO", requires = "may")]
    who: Vec<String>,
    /// Say only whether this is allowed (pull, create, push, delete; catalog with any name), and
    /// by which rule
    #[arg(long, num_args = 2, value_names = ["ACTION", "REPOSITORY"])]
    may: Vec<String>,
}

/// What was decided, in words and for machines.
pub(crate) struct Answer {
    pub(crate) allowed: bool,
    text: String,
    rule: Option<String>,
}

impl Question {
    /// The answer, if something was asked.
    ///
    /// # Errors
    /// What is wrong with the question.
    pub(crate) fn answer(&self, config: &Config) -> Result<Option<Answer>, String> {
        let [action, name] = self.may.as_slice() else {
            return Ok(None);
        };
        let right: Right = action.parse().map_err(|error| format!("--may: {error}"))?;
        let who = identity(&self.who).map_err(|error| format!("--as: {error}"))?;
        let repository = match right {
            Right::Catalog => None,
            _ => Some(repository(name)?),
        };
        Ok(Some(answer(config, &who, right, repository.as_ref())))
    }
}

/// One user at most; all that is said of a certificate is of one.
fn identity(texts: &[String]) -> Result<Identity, String> {
    let mut who = Identity::anonymous();
    let mut certificate: Option<Certificate> = None;
    for text in texts {
        match text.parse().map_err(|error| format!("{error}"))? {
            Member::Certificate(name) => {
                certificate = Some(certificate.unwrap_or_default().with(name));
            }
            Member::User(user) if who.name.is_none() => who = Identity::named(user, Scheme::Basic),
            _ => return Err("one user asks at a time".to_owned()),
        }
    }
    Ok(match certificate {
        Some(certificate) => who.with_certificate(Arc::new(certificate)),
        None => who,
    })
}

/// In the words of the question.
fn name(who: &Identity) -> String {
    match (&who.name, &who.certificate) {
        (Some(user), Some(certificate)) => format!("{user} with {certificate}"),
        _ => who.actor().unwrap_or_else(|| "anonymous".to_owned()),
    }
}

fn repository(name: &str) -> Result<RepositoryName, String> {
    name.parse()
        .map_err(|error| format!("--may: {name:?} is no name of a repository: {error}"))
}

fn answer(
    config: &Config,
    who: &Identity,
    right: Right,
    repository: Option<&RepositoryName>,
) -> Answer {
    let user = name(who);
    let what = match repository {
        Some(name) => format!("{right} {name}"),
        None => "list the catalog".to_owned(),
    };
    // Who may push may create, whatever the rule calls it.
    let rights = match right {
        Right::Create => &[Right::Create, Right::Push][..],
        _ => &[right],
    };
    let decisions = rights
        .iter()
        .map(|right| config.rules.decide(who, *right, repository));
    let decided = decisions
        .into_iter()
        .find(|decision| *decision != Decision::Denied);
    let rule = match decided {
        Some(Decision::Given { rule }) => Some(config.rule_at(rule)),
        _ => None,
    };
    let text = match (&rule, decided) {
        (Some(rule), _) if is_by_others(config) => {
            format!("{user} may {what} where a token of `auth.token` says so, by {rule}")
        }
        (None, Some(_)) if is_by_others(config) => {
            format!("{user} may {what} where a token of `auth.token` says so: there are no rules")
        }
        (Some(rule), _) => format!("{user} may {what}, by {rule}"),
        (None, Some(_)) => format!("{user} may {what}: there are no rules"),
        (None, None) => format!(
            "{user} may not {what}: no rule gives it{}",
            hint(config, who, right, repository)
        ),
    };
    Answer {
        allowed: decided.is_some(),
        text,
        rule,
    }
}

/// Whether rights are given by another service, and the rules take some of them away.
fn is_by_others(config: &Config) -> bool {
    config
        .auth
        .as_ref()
        .is_some_and(|auth| auth.kind == "token")
}

/// Where half of what was asked is given.
fn hint(
    config: &Config,
    who: &Identity,
    right: Right,
    repository: Option<&RepositoryName>,
) -> String {
    match (right, config.rules.decide(who, Right::Create, repository)) {
        (Right::Push, Decision::Given { rule }) => {
            let rule = config.rule_at(rule);
            format!("; {rule} lets add tags, and move none (create)")
        }
        _ => String::new(),
    }
}

impl Answer {
    /// In a line.
    pub(crate) fn line(&self, json: bool) -> String {
        match json {
            false => self.text.clone(),
            true => json!({
                "seen": "right",
                "allowed": self.allowed,
                "rule": self.rule,
                "message": self.text,
            })
            .to_string(),
        }
    }
}
