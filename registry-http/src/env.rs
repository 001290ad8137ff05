//! The `REGISTRY_*` variables over the other layers: names are matched against the known keys,
//! values are YAML.

use figment::value::{Dict, Value};

use crate::config::known::{self, Node};
use crate::config::layers::{Layers, Origin, Step, find};
use crate::config::{ConfigError, Notes};
use crate::yaml;

const PREFIX: &str = "REGISTRY_";

/// Names the file when the command line does not; no key.
pub(crate) const CONFIGURATION_PATH: &str = "REGISTRY_CONFIGURATION_PATH";

/// Reads the environment of the process: the one place that does.
#[must_use]
pub fn variables() -> Vec<(String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os()
        .map(|(name, value)| (text(name), text(value)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect()
}

/// Puts every variable on top, in the order of their names.
pub(crate) fn apply(
    layers: &mut Layers,
    variables: &[(String, String)],
    notes: &mut Notes,
) -> Result<(), ConfigError> {
    let mut variables: Vec<_> = variables
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?, name, value)))
        .filter(|(_, name, _)| *name != CONFIGURATION_PATH)
        .collect();
    variables.sort_by_cached_key(|(rest, ..)| order(rest));
    for (rest, name, value) in variables {
        let merged = Value::from(layers.merged());
        let Some((path, node)) = resolve(known::tree(), Some(&merged), rest) else {
            notes.warn(unknown(name));
            continue;
        };
        let value = parse(name, value, node)?;
        note_replaced(name, &path, &value, layers, notes);
        if let Err(index) = layers.set(name, &path, value) {
            let list: Vec<String> = path.iter().map(Step::to_string).collect();
            return Err(ConfigError::Value {
                key: list.join("."),
                origin: Origin::Variable(name.clone()),
                message: format!("the list has no item {index}, and no item before it to follow"),
            });
        }
    }
    Ok(())
}

/// Sorts by parts, so that a section comes before what is in it, and `_10` after `_2`.
fn order(name: &str) -> Vec<(Option<u64>, String)> {
    name.split('_')
        .map(|part| (part.parse().ok(), part.to_owned()))
        .collect()
}

fn parse(name: &str, text: &str, node: Option<&Node>) -> Result<Value, ConfigError> {
    let is_text = node.is_some_and(Node::is_leaf);
    match yaml::parse(text) {
        Ok(document) => Ok(match document.value {
            Value::Dict(..) | Value::Array(..) if is_text => Value::from(text),
            value => value,
        }),
        // `[::]:5000` is no YAML, and was never meant to be.
        Err(_) if is_text => Ok(Value::from(text)),
        Err(error) => Err(ConfigError::Syntax {
            origin: Origin::Variable(name.to_owned()),
            message: error.message,
        }),
    }
}

/// The path that a name stands for, and what is known to stand there.
fn resolve(
    node: &'static Node,
    value: Option<&Value>,
    rest: &str,
) -> Option<(Vec<Step>, Option<&'static Node>)> {
    if let Some(item) = &node.item {
        return index(item, value, rest);
    }
    let dict = value.and_then(Value::as_dict);
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    candidates.extend(node.keys.iter().map(|(key, node)| (*key, *key, Some(node))));
    for (part, key) in &node.aliases {
        candidates.push((part, key, node.keys.get(key)));
    }
    // Whatever the lower layers have may be set, if it is a key that users choose. Drivers that
    // are not ours have keys that only they know.
    let existing = dict.into_iter().flat_map(Dict::keys).map(String::as_str);
    candidates.extend(
        existing
            .filter(|key| !node.keys.contains_key(*key))
            .map(|key| (key, key, None)),
    );
    // `header_timeout` before `header`.
    candidates.sort_by_key(|(part, ..)| std::cmp::Reverse(part.len()));
    for (part, key, child) in candidates {
        let Some(rest) = strip(rest, part) else {
            continue;
        };
        let step = Step::Key(key.to_owned());
        if rest.is_empty() {
            return Some((vec![step], child));
        }
        let value = dict.and_then(|dict| dict.get(key));
        let found = match child {
            Some(child) => resolve(child, value, rest),
            None => resolve_free(value, rest),
        };
        if let Some((mut path, node)) = found {
            path.insert(0, step);
            return Some((path, node));
        }
    }
    node.open.then(|| new_key(rest))
}

type Candidate<'c> = (&'c str, &'c str, Option<&'static Node>);

/// Below a key that only a driver of someone else knows: an existing key, or a new one.
fn resolve_free(value: Option<&Value>, rest: &str) -> Option<(Vec<Step>, Option<&'static Node>)> {
    match value? {
        Value::Dict(_, dict) => {
            let existing = dict.keys().find(|key| key.eq_ignore_ascii_case(rest));
            Some(existing.map_or_else(|| new_key(rest), |key| (vec![Step::Key(key.clone())], None)))
        }
        Value::Empty(..) => Some(new_key(rest)),
        _ => None,
    }
}

fn new_key(rest: &str) -> (Vec<Step>, Option<&'static Node>) {
    (vec![Step::Key(rest.to_ascii_lowercase())], None)
}

fn index(
    item: &'static Node,
    value: Option<&Value>,
    rest: &str,
) -> Option<(Vec<Step>, Option<&'static Node>)> {
    let (number, rest) = rest.split_once('_').unwrap_or((rest, ""));
    let index: usize = number.parse().ok()?;
    let mut path = vec![Step::Index(index)];
    if rest.is_empty() {
        return Some((path, Some(item)));
    }
    let value = value.and_then(|value| match value {
        Value::Array(_, items) => items.get(index),
        _ => None,
    });
    let (inner, node) = resolve(item, value, rest)?;
    path.extend(inner);
    Some((path, node))
}

fn strip<'r>(rest: &'r str, part: &str) -> Option<&'r str> {
    let head = rest.get(..part.len())?;
    let tail = &rest[part.len()..];
    if !head.eq_ignore_ascii_case(part) {
        return None;
    }
    match tail.strip_prefix('_') {
        Some("") => None,
        Some(tail) => Some(tail),
        None => tail.is_empty().then_some(""),
    }
}

fn unknown(name: &str) -> String {
    let known = known::variables();
    let nearest = known::nearest(name, known.iter().map(String::as_str));
    match nearest {
        Some(nearest) => format!("unknown variable {name}; did you mean {nearest}?"),
        None => format!("unknown variable {name}"),
    }
}

/// A variable for a whole section forgets what the file has in it: the user is told what.
fn note_replaced(name: &str, path: &[Step], value: &Value, layers: &Layers, notes: &mut Notes) {
    let keys: Vec<&str> = path
        .iter()
        .filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
        .collect();
    let merged = layers.merged();
    let Some(Value::Dict(_, old)) = find(&merged, &keys).filter(|_| keys.len() == path.len())
    else {
        return;
    };
    let gone: Vec<&str> = old
        .keys()
        .map(String::as_str)
        .filter(|key| match value {
            Value::Dict(_, new) => !new.contains_key(*key),
            Value::String(_, kind) => kind != key,
            _ => true,
        })
        .collect();
    if !gone.is_empty() {
        notes.warn(format!(
            "{name} replaces all of `{}`; no longer configured are: {}",
            keys.join("."),
            gone.join(", "),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(file: &str, variables: &[(&str, &str)]) -> (String, Vec<String>) {
        let mut layers = Layers::from_text("file", file).unwrap();
        let mut notes = Notes::default();
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        if let Err(error) = apply(&mut layers, &variables, &mut notes) {
            return (error.to_string(), Vec::new());
        }
        (
            serde_json::to_string(&layers.merged()).unwrap(),
            notes.into_warnings(),
        )
    }

    /// The table "Behaviour by example" of the configuration notes, and our additions to it.
    #[test]
    fn variables_do_what_users_mean() {
        type Row<'r> = (&'r str, &'r [(&'r str, &'r str)], &'r str);
        let table: &[Row<'_>] = &[
            (
                "",
                &[("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/data")],
                r#"{"storage":{"filesystem":{"rootdirectory":"/data"}}}"#,
            ),
            (
                "storage: {filesystem: {rootdirectory: /a}, delete: {enabled: true}}",
                &[
                    ("REGISTRY_STORAGE_S3_BUCKET", "b"),
                    ("REGISTRY_STORAGE", "s3"),
                ],
                r#"{"storage":{"s3":{"bucket":"b"}}}"#,
            ),
            (
                "storage: {filesystem: }",
                &[("REGISTRY_STORAGE_S3_BUCKET", "b")],
                r#"{"storage":{"filesystem":null,"s3":{"bucket":"b"}}}"#,
            ),
            (
                "auth: {token: {realm: a}}",
                &[
                    ("REGISTRY_AUTH", "htpasswd"),
                    ("REGISTRY_AUTH_HTPASSWD_REALM", "r"),
                ],
                r#"{"auth":{"htpasswd":{"realm":"r"}}}"#,
            ),
            (
                "",
                &[("REGISTRY_STORAGE_DELETE_ENABLED", "true")],
                r#"{"storage":{"delete":{"enabled":"true"}}}"#,
            ),
            (
                "storage: {cache: {blobdescriptor: inmemory}}",
                &[("REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR", "")],
                r#"{"storage":{"cache":{"blobdescriptor":null}}}"#,
            ),
            (
                "",
                &[("REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED", "true")],
                r#"{"storage":{"maintenance":{"readonly":{"enabled":"true"}}}}"#,
            ),
            (
                "",
                &[(
                    "REGISTRY_STORAGE_MAINTENANCE_READONLY",
                    r#"{"enabled": true}"#,
                )],
                r#"{"storage":{"maintenance":{"readonly":{"enabled":"true"}}}}"#,
            ),
            (
                "",
                &[("REGISTRY_HTTP_TLS_CLIENTCAS", r#"["/a.pem","/b.pem"]"#)],
                r#"{"http":{"tls":{"clientcas":["/a.pem","/b.pem"]}}}"#,
            ),
            (
                "",
                &[("REGISTRY_HTTP_TLS_LETSENCRYPT_HOSTS_0", "a.example")],
                r#"{"http":{"tls":{"letsencrypt":{"hosts":["a.example"]}}}}"#,
            ),
            (
                "notifications: {endpoints: [{name: a}]}",
                &[
                    ("REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL", "http://a"),
                    ("REGISTRY_NOTIFICATIONS_ENDPOINTS_1", "{name: b}"),
                ],
                r#"{"notifications":{"endpoints":[{"name":"a","url":"http://a"},{"name":"b"}]}}"#,
            ),
            (
                "",
                &[(
                    "REGISTRY_NOTIFICATIONS_EVENTCONFIG_INCLUDEREFERENCES",
                    "true",
                )],
                r#"{"notifications":{"events":{"includereferences":"true"}}}"#,
            ),
            (
                "",
                &[("REGISTRY_NOTIFICATIONS_EVENTS_INCLUDEREFERENCES", "true")],
                r#"{"notifications":{"events":{"includereferences":"true"}}}"#,
            ),
            (
                "http: {headers: {X-Frame-Options: [SAMEORIGIN]}}",
                &[("REGISTRY_HTTP_HEADERS_X-FRAME-OPTIONS", "[DENY]")],
                r#"{"http":{"headers":{"X-Frame-Options":["DENY"]}}}"#,
            ),
            (
                "",
                &[("REGISTRY_HTTP_HEADERS_X-FRAME-OPTIONS", "[DENY]")],
                r#"{"http":{"headers":{"x-frame-options":["DENY"]}}}"#,
            ),
            (
                "log: {fields: {a: b}}",
                &[("REGISTRY_LOG_FIELDS_ENVIRONMENT", "prod")],
                r#"{"log":{"fields":{"a":"b","environment":"prod"}}}"#,
            ),
            (
                "",
                &[("REGISTRY_REDIS_ADDRS", "[r1:6379]")],
                r#"{"redis":{"addrs":["r1:6379"]}}"#,
            ),
            (
                "",
                &[("REGISTRY_STORAGE_AZURE_MAX_RETRIES", "3")],
                r#"{"storage":{"azure":{"max_retries":"3"}}}"#,
            ),
            (
                "",
                &[("REGISTRY_EXTENSIONS_LIMITS_HEADER_TIMEOUT", "3s")],
                r#"{"extensions":{"limits":{"header_timeout":"3s"}}}"#,
            ),
            (
                "storage: {tape: }",
                &[("REGISTRY_STORAGE_TAPE_MAX_SPEED", "3")],
                r#"{"storage":{"tape":{"max_speed":"3"}}}"#,
            ),
            (
                "",
                &[("REGISTRY_HTTP_ADDR", "[::]:5000")],
                r#"{"http":{"addr":"[::]:5000"}}"#,
            ),
            (
                "",
                &[("REGISTRY_HTTP_ADDR", ":5000")],
                r#"{"http":{"addr":":5000"}}"#,
            ),
            (
                "",
                &[("REGISTRY_HTTP_SECRET", "{a, b}")],
                r#"{"http":{"secret":"{a, b}"}}"#,
            ),
        ];
        for (file, variables, expected) in table {
            assert_eq!(outcome(file, variables).0, *expected, "{variables:?}");
        }
    }

    #[test]
    fn ten_comes_after_two() {
        let variables: Vec<_> = (0..=10)
            .map(|n| (format!("REGISTRY_HTTP_TLS_CLIENTCAS_{n}"), n.to_string()))
            .collect();
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let (json, _) = outcome("", &variables);
        assert!(json.contains(r#""9","10"]"#), "{json}");
    }

    #[test]
    fn an_item_beyond_the_end_is_an_error_that_names_the_variable() {
        let (error, _) = outcome("", &[("REGISTRY_HTTP_TLS_CLIENTCAS_1", "a")]);
        assert!(error.contains("REGISTRY_HTTP_TLS_CLIENTCAS_1"), "{error}");
        assert!(error.contains("http.tls.clientcas"), "{error}");
    }

    #[test]
    fn a_section_that_is_not_yaml_is_an_error_that_names_the_variable() {
        let (error, _) = outcome("", &[("REGISTRY_STORAGE", "{filesystem: [")]);
        assert!(error.contains("REGISTRY_STORAGE"), "{error}");
    }

    #[test]
    fn unknown_variables_warn_and_never_fail() {
        let kubernetes = [
            ("REGISTRY_PORT", "tcp://10.0.0.1:5000"),
            ("REGISTRY_PORT_5000_TCP", "tcp://10.0.0.1:5000"),
            ("REGISTRY_SERVICE_HOST", "10.0.0.1"),
            ("REGISTRY_STORAGE_PORT", "tcp://10.0.0.1:5000"),
            ("REGISTRY_", "x"),
            ("REGISTRY_HTTP_", "x"),
        ];
        let (json, warnings) = outcome("", &kubernetes);
        assert_eq!(json, "{}");
        assert_eq!(warnings.len(), kubernetes.len(), "{warnings:?}");

        let (_, warnings) = outcome("", &[("REGISTRY_HTP_ADDR", ":5000")]);
        let expected = "unknown variable REGISTRY_HTP_ADDR; did you mean REGISTRY_HTTP_ADDR?";
        assert_eq!(warnings, [expected]);

        let (_, warnings) = outcome("", &[("REGISTRY_CONFIGURATION_PATH", "/etc/x.yml")]);
        assert!(warnings.is_empty());
    }

    #[test]
    fn a_replaced_section_is_mentioned() {
        let file = "storage: {filesystem: , delete: {enabled: true}}";
        let (_, warnings) = outcome(file, &[("REGISTRY_STORAGE", "filesystem")]);
        let expected =
            "REGISTRY_STORAGE replaces all of `storage`; no longer configured are: delete";
        assert_eq!(warnings, [expected]);
    }
}
