//! What a token says once its signature is believed: for whom, how long, and what it grants.

use std::time::SystemTime;

use registry_core::RepositoryName;
use registry_core::access::{Access, Action};
use serde_json::{Map, Value};

use crate::error::TokenError;
use crate::json;
use crate::verifier::Verifier;

/// How far clocks may be apart, in seconds; distribution's.
pub(crate) const LEEWAY: i64 = 60;

/// A claim of our own, in tokens of our own: what binds one to what its user is known by.
pub(crate) const PROOF: &str = "proof";

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    /// Empty for an anonymous caller.
    pub(crate) subject: String,
    /// From and until when it is good, in seconds of the epoch, leeway included.
    pub(crate) from: i64,
    pub(crate) until: i64,
    pub(crate) granted: Vec<Access>,
    /// Its id and its proof. In a token of another issuer they may be anything.
    pub(crate) proof: Option<(String, String)>,
}

impl Claims {
    /// Reads and checks the claims.
    pub(crate) fn read(payload: &[u8], expected: &Verifier, now: i64) -> Result<Self, TokenError> {
        let claims = json::object(payload)
            .map_err(|_| TokenError::Malformed("its claims are no plain JSON object"))?;
        if claims.get("iss").and_then(Value::as_str) != Some(&expected.issuer) {
            return Err(TokenError::Issuer);
        }
        audience(&claims, &expected.service)?;
        let (from, until) = times(&claims, expected, now)?;
        Ok(Self {
            subject: subject(&claims)?,
            from,
            until,
            granted: access(claims.get("access"))?,
            proof: proof(&claims),
        })
    }
}

fn subject(claims: &Map<String, Value>) -> Result<String, TokenError> {
    match claims.get("sub") {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(subject)) => Ok(subject.clone()),
        Some(_) => Err(TokenError::Claim("sub")),
    }
}

fn proof(claims: &Map<String, Value>) -> Option<(String, String)> {
    let text = |name| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    Some((text("jti")?, text(PROOF)?))
}

fn audience(claims: &Map<String, Value>, service: &str) -> Result<(), TokenError> {
    let found = match claims.get("aud") {
        Some(Value::String(one)) => one == service,
        Some(Value::Array(all)) => {
            if !all.iter().all(Value::is_string) {
                return Err(TokenError::Claim("aud"));
            }
            all.iter().any(|one| one == service)
        }
        _ => return Err(TokenError::Claim("aud")),
    };
    if found {
        Ok(())
    } else {
        Err(TokenError::Audience)
    }
}

/// From and until when the token is good.
fn times(
    claims: &Map<String, Value>,
    expected: &Verifier,
    now: i64,
) -> Result<(i64, i64), TokenError> {
    let expires = seconds(claims, "exp")?.ok_or(TokenError::Claim("exp"))?;
    let not_before = seconds(claims, "nbf")?;
    let issued = seconds(claims, "iat")?;
    if let Some(longest) = expected.max_lifetime {
        let begin = issued.unwrap_or(now);
        let longest = i64::try_from(longest.as_secs()).unwrap_or(i64::MAX);
        if expires.saturating_sub(begin) > longest {
            return Err(TokenError::Lifetime);
        }
    }
    let from = not_before.max(issued).unwrap_or(0).saturating_sub(LEEWAY);
    let until = expires.saturating_add(LEEWAY);
    if now > until {
        return Err(TokenError::Expired);
    }
    if now < from {
        return Err(TokenError::NotYet);
    }
    Ok((from, until))
}

/// Whole seconds, as numbers: a text, a fraction or a null is an error, and never "absent".
fn seconds(claims: &Map<String, Value>, name: &'static str) -> Result<Option<i64>, TokenError> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or(TokenError::Claim(name)),
    }
}

/// Seconds since the epoch; before it, 0.
pub(crate) fn seconds_of(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// What the entries grant of what we know. Other types, other actions and names that no repository
/// of ours can have grant nothing.
fn access(claim: Option<&Value>) -> Result<Vec<Access>, TokenError> {
    let wrong = || TokenError::Claim("access");
    let entries = match claim {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(wrong()),
    };
    let mut granted = Vec::new();
    for entry in entries {
        let entry = entry.as_object().ok_or_else(wrong)?;
        let member = |name| entry.get(name).and_then(Value::as_str).ok_or_else(wrong);
        let (kind, name) = (member("type")?, member("name")?);
        let actions = match entry.get("actions") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(actions)) => actions
                .iter()
                .map(Value::as_str)
                .collect::<Option<Vec<_>>>()
                .ok_or_else(wrong)?,
            Some(_) => return Err(wrong()),
        };
        add(&mut granted, kind, name, &actions);
    }
    Ok(granted)
}

/// Adds what an entry, or a part of a scope, stands for.
pub(crate) fn add(granted: &mut Vec<Access>, kind: &str, name: &str, actions: &[&str]) {
    let mut put = |access: Access| {
        if !granted.contains(&access) {
            granted.push(access);
        }
    };
    match kind {
        "repository" => {
            let Ok(name) = name.parse::<RepositoryName>() else {
                return;
            };
            for action in [Action::Pull, Action::Push, Action::Delete] {
                if actions.contains(&"*") || actions.contains(&action.as_str()) {
                    put(Access::repository(&name, action));
                }
            }
        }
        "registry" if name == "catalog" && actions.contains(&"*") => put(Access::Catalog),
        _ => {}
    }
}
