//! What counts in the end, key by key, with where each value came from. Secrets are not shown.

use std::collections::BTreeMap;

use figment::value::Value;

use super::described::{self, Described};
use super::layers::find;
use super::status::{Status, status};
use super::{Config, Origin, known};
use crate::factories::Factories;

/// One key that counts, or that somebody wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) value: String,
    /// `None` where it is the default.
    pub(crate) origin: Option<Origin>,
}

/// What is shown instead of a secret.
const HIDDEN: &str = "(hidden)";

/// Names that say that what they hold is nobody's business, whatever else they say.
const SECRET: &[&str] = &[
    "secret",
    "pass",
    "key",
    "token",
    "credential",
    "connectionstring",
    "authorization",
    "cookie",
];

impl Config {
    /// Everything that was written, and the defaults of what was not, sorted by key.
    pub(crate) fn effective(&self, factories: &Factories) -> Vec<Setting> {
        let merged = Value::from(self.layers.merged());
        let mut told = BTreeMap::new();
        self.written(&mut Vec::new(), &merged, &mut told);
        for key in described::all() {
            if !told.contains_key(key.path) && self.has_default(&key, factories) {
                told.insert(key.path.to_owned(), (key.default.to_owned(), None));
            }
        }
        told.into_iter()
            .map(|(key, (value, origin))| Setting { key, value, origin })
            .collect()
    }

    fn written(
        &self,
        path: &mut Vec<String>,
        value: &Value,
        told: &mut BTreeMap<String, (String, Option<Origin>)>,
    ) {
        let children: Vec<(String, &Value)> = match value {
            Value::Dict(_, dict) => dict.iter().map(|(key, at)| (key.clone(), at)).collect(),
            Value::Array(_, items) => (0..).map(|n: u64| n.to_string()).zip(items).collect(),
            _ => Vec::new(),
        };
        for (key, child) in &children {
            path.push(key.clone());
            self.written(path, child, told);
            path.pop();
        }
        let key = path.join(".");
        let text = match value {
            Value::Dict(..) if children.is_empty() => "{}",
            Value::Array(..) if children.is_empty() => "[]",
            Value::Dict(..) | Value::Array(..) => return,
            Value::Empty(..) => "",
            value => value.as_str().unwrap_or("?"),
        };
        let counts = text.is_empty() && described::described(&key).is_some();
        if path.is_empty() || counts {
            // As with no key at all, the default counts.
            return;
        }
        let shown = match is_secret(path) && !text.is_empty() {
            true => HIDDEN.to_owned(),
            false => without_password(text),
        };
        let origin = self.layers.origin(path).clone();
        told.insert(key, (shown, Some(origin)));
    }

    fn has_default(&self, key: &Described, factories: &Factories) -> bool {
        let parts: Vec<&str> = key.path.split('.').collect();
        let elsewhere = matches!(*parts.as_slice(), ["storage", kind, _, ..]
            if !super::NOT_DRIVERS.contains(&kind) && kind != self.driver.kind)
            || matches!(*parts.as_slice(), ["auth", kind, _, ..]
                if self.auth.as_ref().is_none_or(|auth| kind != auth.kind));
        let is_open = parts.iter().any(|part| matches!(*part, "[]" | "*"));
        !key.default.is_empty()
            && !elsewhere
            && !is_open
            && find(&self.layers.merged(), &parts).is_none_or(is_empty)
            && status(key, factories) == Status::Honoured
    }
}

fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Empty(..)) || value.as_str() == Some("")
}

/// Whether its own name says so, or, unless the key is known for what it is, one above.
fn is_secret(path: &[String]) -> bool {
    let says = |name: &String| {
        let name = name.to_ascii_lowercase();
        SECRET.iter().any(|word| name.contains(word))
    };
    let Some((own, above)) = path.split_last() else {
        return false;
    };
    // Its arguments may be anything.
    let is_command = matches!(above, [.., exec] if exec == "exec") && own == "command";
    is_command || says(own) || above.iter().any(says) && known::node(path).is_none()
}

/// A URL may hold a password before its host, and a token in its query.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (user, from) = match rest[..end].rfind('@') {
        Some(at) => (HIDDEN, at),
        None => ("", 0),
    };
    match rest[from..].find('?') {
        Some(query) => {
            let query = from + query;
            format!("{scheme}://{user}{}?{HIDDEN}", &rest[from..query])
        }
        None => format!("{scheme}://{user}{}", &rest[from..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;

    fn effective(text: &str, variables: &[(&str, &str)]) -> BTreeMap<String, (String, String)> {
        let mut factories = Factories::default();
        builtin::register(&mut factories);
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let config = Config::read("f", text, &variables).unwrap();
        let settings = config.effective(&factories).into_iter();
        let origin = |origin: Option<Origin>| {
            origin.map_or("default".to_owned(), |origin| origin.to_string())
        };
        settings
            .map(|setting| (setting.key, (setting.value, origin(setting.origin))))
            .collect()
    }

    #[test]
    fn every_value_is_told_with_its_origin() {
        let text =
            "version: 0.1\nstorage:\n  inmemory:\n  delete: {enabled: yes}\nlog: {level: }\n";
        let told = effective(
            text,
            &[
                ("REGISTRY_HTTP_ADDR", ":80"),
                ("REGISTRY_HTTP_HEADERS", "{X-A: [b]}"),
            ],
        );
        let table = [
            ("version", "0.1", "f:1:1"),
            ("storage.delete.enabled", "yes", "f:4:12"),
            ("http.addr", ":80", "REGISTRY_HTTP_ADDR"),
            ("http.headers.X-A.0", "b", "REGISTRY_HTTP_HEADERS"),
            ("http.secret", "(a key kept in the store)", "default"),
            ("log.level", "info", "default"),
            ("extensions.limits.headers", "100", "default"),
        ];
        for (key, value, origin) in table {
            let found = told.get(key).unwrap_or_else(|| panic!("{key} in {told:?}"));
            assert_eq!(*found, (value.to_owned(), origin.to_owned()), "{key}");
        }
        // Neither another driver's, nor what does not count.
        for key in [
            "storage.filesystem.maxthreads",
            "proxy.ttl",
            "http.headers.*",
        ] {
            assert!(!told.contains_key(key), "{key}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let text = "
version: 0.1
storage: {s3: {accesskey: hush, secretkey: hush, other: {password: hush}, region: open}}
http: {secret: hush}
proxy: {remoteurl: 'https://me:hush@a.example/x@y', username: open, password: hush, exec: {command: 'x --key hush'}}
redis: {password: hush, tls: {key: hush}, sentinelpassword: hush}
notifications: {endpoints: [{name: open, headers: {Authorization: [hush]},
                            url: 'https://b.example/c?token=hush#d'}]}
health: {http: [{uri: 'http://me:hush@d.example?k=hush'}]}
log: {hooks: [{options: {smtp: {password: hush}}}]}
auth: {token: {realm: open, service: open, unheard: {of: hush}}}
extensions: {token: {unheard: hush}}
reporting: {bugsnag: {apikey: hush}}
";
        let told = effective(text, &[("REGISTRY_STORAGE_S3_SESSIONTOKEN", "hush")]);
        let shown = format!("{told:?}");
        assert!(!shown.contains("hush"), "{shown}");
        assert_eq!(shown.matches("open\"").count(), 5, "{shown}");
        assert_eq!(told["proxy.remoteurl"].0, "https://(hidden)@a.example/x@y");
        for (key, value) in [
            (
                "notifications.endpoints.0.url",
                "https://b.example/c?(hidden)",
            ),
            ("health.http.0.uri", "http://(hidden)@d.example?(hidden)"),
            ("proxy.exec.command", HIDDEN),
        ] {
            assert_eq!(told[key].0, value, "{key}");
        }
        assert_eq!(told["storage.s3.sessiontoken"].0, HIDDEN);
    }
}
