//! What stops the start, and what has no effect.

use super::{MEMORY, check_with, serve, server};

/// A start with these keys ends, and names the one that is in the way.
#[track_caller]
fn is_refused(text: &str, key: &str) {
    let (_dir, served) = serve(text, &[("REGISTRY_HTTP_ADDR", "127.0.0.1:0")]);
    let ended = served.err().unwrap_or_else(|| panic!("it serves: {text}"));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let last = ended.lines.last().unwrap();
    assert!(
        last.starts_with(&format!("registry: `{key}` (c.yml:")),
        "{last}"
    );
}

macro_rules! refused {
    ($($row:ident: $($keys:literal names $key:literal),+;)+) => {
        $(#[test] fn $row() { $(is_refused(&format!("{MEMORY}{}\n", $keys), $key);)+ })+
    };
}

refused! {
    auth_silly: "auth: {silly: {realm: a, service: b}}" names "auth.silly";
    proxy_remoteurl: "proxy: {remoteurl: 'https://a'}" names "proxy.remoteurl";
}

fn is_no_storage(kinds: &[&str]) {
    for kind in kinds {
        let text = format!("version: 0.1\nstorage: {{{kind}: {{bucket: a}}}}\n");
        is_refused(&text, &format!("storage.{kind}"));
    }
}

#[test]
fn storage_other() {
    is_no_storage(&["gcs", "azure", "swift", "oss"]);
}

#[test]
fn auth_none() {
    let server = server("auth: {none: {}}\n");
    let line = server.process.log.wait("serving; ");
    assert!(
        line.contains("everyone may pull, push and delete"),
        "{line}"
    );
    server.push_blob("a", b"by anyone");
}

/// Each of these keys is named in a warning, with the reason, and there is a start.
#[track_caller]
fn is_warned(keys: &str, named: &[&str], reason: &str) {
    let checked = check_with(keys);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let warnings = checked.warnings();
    assert_eq!(warnings.len(), named.len(), "{warnings:?}");
    for key in named {
        let start = format!("`{key}` (c.yml:3:");
        let end = format!(" is not honoured by this release: {reason}");
        let said = |warning: &&str| warning.starts_with(&start) && warning.ends_with(&end);
        assert!(warnings.iter().any(said), "{key}: {warnings:?}");
    }
}

macro_rules! warned {
    ($($row:ident: $keys:literal names $named:expr, $reason:literal;)+) => {
        $(#[test] fn $row() { is_warned($keys, &$named, $reason); })+
    };
}

warned! {
    log_hooks: "log: {hooks: [{type: mail, levels: [panic], options: {smtp: {addr: a}, to: [b]}}]}"
        names ["log.hooks"], "no mail is sent; what gathers the log can tell of its errors";
    notifications: "notifications: {events: {includereferences: true}, \
                    endpoints: [{name: a, url: 'http://b', timeout: 1s}]}"
        names ["notifications"], "nobody is notified yet";
    proxy_rest: "proxy: {username: a, password: b, exec: {command: c}, ttl: 1h}"
        names ["proxy"], "there is no mirror yet";
    redis: "redis: {addrs: ['a:6379'], addr: 'a:6379', pool: {maxidle: 1}, tls: {rootcas: [b]}}"
        names ["redis"], "nothing is kept in redis";
    middleware: "middleware: {storage: [{name: redirect, options: {baseurl: 'https://a'}}], \
                 registry: [{name: b}], repository: [{name: c}]}"
        names ["middleware"], "there is no middleware yet";
    compatibility: "compatibility: {schema1: {enabled: true, signingkeyfile: a}}"
        names ["compatibility"], "manifests of schema 1 are not accepted";
    reporting: "reporting: {bugsnag: {apikey: a}, newrelic: {licensekey: b}}"
        names ["reporting"], "nothing is reported to anyone";
}
