//! What becomes of a key: found out by configuring it, so that it cannot be told wrong.

use figment::value::{Dict, Value};
use registry_core::storage::OpenMode;

use super::described::Described;
use super::{Config, ConfigError, known};
use crate::factories::Factories;

/// What this release does with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It counts.
    Honoured,
    /// It is named in a warning, with this reason.
    Warned(Option<&'static str>),
    /// There is no start with it.
    Refused(String),
}

/// What the text of the probe is called.
const NAME: &str = "probe";

/// What would become of it in a configuration of its own.
pub(crate) fn status(key: &Described, factories: &Factories) -> Status {
    let parts: Vec<&str> = key.path.split('.').collect();
    if let ["storage", kind, ..] = *parts.as_slice()
        && !super::NOT_DRIVERS.contains(&kind)
    {
        return driver_status(&parts, factories);
    }
    if let ["auth", kind, rest @ ..] = parts.as_slice()
        && *kind != "none"
    {
        return auth_status(kind, rest, factories);
    }
    // What was not even looked at cannot be wrong, so that an error is of a key that counts.
    let Ok(config) = Config::read(NAME, &probe(key), &[]) else {
        return Status::Honoured;
    };
    match config.refusals().into_iter().next() {
        Some(ConfigError::Value { message, .. }) => return Status::Refused(message),
        Some(other) => return Status::Refused(other.to_string()),
        None => {}
    }
    let warned = |warning: &String| {
        warning.contains("not honoured") && names(warning, &concrete(&parts).join("."))
    };
    match config.notes.warnings.iter().any(warned) {
        true => Status::Warned(known::reason(key.path)),
        false => Status::Honoured,
    }
}

/// What a driver wants beside the key that is asked for.
const OF_STORES: [&str; 2] = ["bucket", "region"];

fn driver_status(parts: &[&str], factories: &Factories) -> Status {
    let [_, kind, rest @ ..] = parts else {
        return Status::Honoured;
    };
    let open = match factories.storage(kind) {
        Ok(open) => open,
        Err(message) => return Status::Refused(message),
    };
    let key = concrete(rest).into_iter().next().unwrap_or_default();
    let keys = OF_STORES.into_iter().chain([key]);
    let section = keys.map(|key| (key.to_owned(), Value::from("0")));
    let section = Value::from(section.collect::<Dict>());
    // It is opened by polling, and nobody does.
    match open(&section, kind, OpenMode::Check) {
        Ok((_, unwanted)) if unwanted.iter().any(|other| other.path[2] == key) => {
            Status::Warned(Some("the driver has no such key"))
        }
        _ => Status::Honoured,
    }
}

/// What a scheme wants beside the key that is asked for.
const MANDATORY: [&str; 4] = ["issuer", "path", "realm", "service"];

fn auth_status(kind: &str, rest: &[&str], factories: &Factories) -> Status {
    let open = match factories.auth(kind) {
        Ok(open) => open,
        Err(message) => return Status::Refused(message),
    };
    let key = concrete(rest).into_iter().next().unwrap_or_default();
    let keys = MANDATORY.into_iter().chain([key]);
    let section = keys.map(|key| (key.to_owned(), Value::from("0")));
    let section = Value::from(section.collect::<Dict>());
    // It is opened by polling, and nobody does.
    match open(&section, kind, OpenMode::Check) {
        Ok((_, unwanted)) if unwanted.iter().any(|other| other.path[2] == key) => {
            Status::Warned(Some("there is no such key"))
        }
        _ => Status::Honoured,
    }
}

/// A configuration of this key alone, at its default where there is one.
pub(super) fn probe(key: &Described) -> String {
    let value = match (key.is_writable(), key.kind) {
        (true, _) => format!("'{}'", key.default),
        (_, "boolean") => "true".to_owned(),
        (_, "number") => "1".to_owned(),
        (_, "duration") => "1s".to_owned(),
        (_, "section") => "{}".to_owned(),
        _ => "x".to_owned(),
    };
    let wrapped = key.path.rsplit('.').fold(value, |value, part| match part {
        "[]" => format!("[{value}]"),
        "*" => format!("{{x: {value}}}"),
        part => format!("{{{part}: {value}}}"),
    });
    let inner = &wrapped[1..wrapped.len() - 1];
    match inner.strip_prefix("storage: {") {
        Some(storage) => format!("{{version: '0.1', storage: {{inmemory: , {storage}}}"),
        None if key.path == "version" => format!("{{storage: {{inmemory: }}, {inner}}}"),
        None => format!("{{version: '0.1', storage: {{inmemory: }}, {inner}}}"),
    }
}

/// The path as it is in the probe.
fn concrete<'p>(parts: &[&'p str]) -> Vec<&'p str> {
    let part = |part: &&'p str| match *part {
        "[]" => "0",
        "*" => "x",
        part => part,
    };
    parts.iter().map(part).collect()
}

/// Whether the warning is of this key or of a section around it.
fn names(warning: &str, path: &str) -> bool {
    let Some(named) = warning.split('`').nth(1) else {
        return false;
    };
    path.strip_prefix(named)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use crate::config::described;

    #[test]
    fn a_key_counts_is_warned_about_or_refused() {
        let mut factories = Factories::default();
        builtin::register(&mut factories);
        let of = |path: &str| status(&described::described(path).unwrap(), &factories);
        for path in [
            "version",
            "http.addr",
            "http.headers.*",
            "storage.delete.enabled",
        ] {
            assert_eq!(of(path), Status::Honoured, "{path}");
        }
        let warned = Status::Warned(Some("nothing is kept in redis"));
        assert_eq!(of("redis.addrs.[]"), warned);
        for path in ["auth.silly.realm", "storage.gcs.*"] {
            assert!(matches!(of(path), Status::Refused(_)), "{path}");
        }
    }

    /// But for where it came from.
    fn settled(text: &str) -> String {
        let config = Config::read(NAME, text, &[]).unwrap();
        let told = format!("{config:?}");
        told[..told.find(", layers: ").unwrap()].to_owned()
    }

    #[test]
    fn a_default_that_is_written_out_says_the_same_as_none() {
        let nothing = settled("{version: '0.1', storage: {inmemory: }}");
        let mut compared = 0;
        let factories = Factories::default();
        for key in described::all().filter(Described::is_writable) {
            let in_list = key.path.contains("[]");
            let of_driver = matches!(
                key.path.split('.').nth(1),
                Some("filesystem" | "s3" | "htpasswd")
            );
            // A section that asks for something by being there.
            let asks = key.path.starts_with("extensions.token.");
            if in_list || of_driver || asks || status(&key, &factories) != Status::Honoured {
                continue;
            }
            assert_eq!(settled(&probe(&key)), nothing, "{}", key.path);
            compared += 1;
        }
        assert!(compared > 15, "{compared}");
    }
}
