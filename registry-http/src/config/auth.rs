//! `auth`: which scheme was chosen. What stands in its section is its own business.

use figment::value::{Dict, Value};

use super::layers::Layers;
use super::{ConfigError, Driver};

/// The same as no section.
const NONE: &str = "none";

/// Takes the section of the scheme out of `auth`, if there is exactly one.
pub(super) fn take(merged: &mut Dict) -> Option<Driver> {
    let Some(Value::Dict(_, auth)) = merged.get_mut("auth") else {
        return None;
    };
    let [kind] = kinds(auth).try_into().ok()?;
    let section = auth.remove(&kind)?;
    Some(Driver { kind, section })
}

/// Refuses what leaves it open who is let in.
pub(super) fn check(auth: &Value, layers: &Layers) -> Result<(), ConfigError> {
    let auth = match auth {
        Value::Empty(..) => return Ok(()),
        Value::Dict(_, auth) => auth,
        _ => return Err(layers.refuse(&["auth"], "a section is wanted here")),
    };
    let kinds = kinds(auth);
    if kinds.len() < 2 {
        return Ok(());
    }
    let named = |kind: &String| {
        // A variable makes the section by one of its keys.
        let section = auth.get(kind).and_then(Value::as_dict);
        let key = section.and_then(|section| section.keys().next());
        let path: Vec<&str> = ["auth", kind]
            .into_iter()
            .chain(key.map(String::as_str))
            .collect();
        format!("{kind} ({})", layers.origin(&path))
    };
    let named: Vec<String> = kinds.iter().map(named).collect();
    Err(layers.refuse(
        &["auth"],
        format!(
            "several kinds of authentication are configured, and there must be one: {}; \
             REGISTRY_AUTH=<kind> replaces the section",
            named.join(", "),
        ),
    ))
}

fn kinds(auth: &Dict) -> Vec<String> {
    auth.keys().filter(|kind| *kind != NONE).cloned().collect()
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const SMALL: &str = "version: 0.1\nstorage: {inmemory: }\n";

    #[test]
    fn exactly_one_kind_counts_wherever_it_is_configured() {
        let kind = |text: &str, variables: &[(&str, &str)]| {
            let text = format!("{SMALL}{text}\n");
            let variables: Vec<_> = variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            let config = Config::parse("config.yml", &text, &variables);
            config.map(|config| config.auth.map(|auth| auth.kind))
        };
        let realm = ("REGISTRY_AUTH_HTPASSWD_REALM", "a");
        #[allow(clippy::type_complexity, reason = "a table of cases")]
        let table: [(&str, &[(&str, &str)], Option<&str>); 9] = [
            ("", &[], None),
            ("auth:", &[], None),
            ("auth: none", &[], None),
            ("auth: {none: {}}", &[], None),
            ("auth: htpasswd", &[], Some("htpasswd")),
            ("auth: {ldap: {url: x}}", &[], Some("ldap")),
            ("", &[realm], Some("htpasswd")),
            ("auth: none", &[realm], Some("htpasswd")),
            (
                "auth: {token: {}}",
                &[("REGISTRY_AUTH", "htpasswd"), realm],
                Some("htpasswd"),
            ),
        ];
        for (text, variables, expected) in table {
            let kind = kind(text, variables).unwrap();
            assert_eq!(kind.as_deref(), expected, "{text:?} {variables:?}");
        }
        let error = kind("auth: {token: {}}", &[realm]).unwrap_err().to_string();
        for word in [
            "`auth`",
            "htpasswd (REGISTRY_AUTH_HTPASSWD_REALM)",
            "token (config.yml:",
        ] {
            assert!(error.contains(word), "{error}");
        }
    }
}
