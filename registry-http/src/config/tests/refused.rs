//! Names that were to protect, and sections that are none.

use super::*;

/// Whoever misspells what protects is not served without it.
#[test]
fn a_name_that_was_to_protect_and_is_unknown_is_refused() {
    let variables = [
        ("REGISTRY_AUTH_HTPASWD_REALM", "x"),
        ("REGISTRY_AUTH_LDAP", "{url: x}"),
        ("REGISTRY_AUTH_FOO", ""),
        ("REGISTRY_AUHT_HTPASSWD_REALM", "x"),
        ("REGISTRY_auth_htpasswd_realm", "x"),
        ("REGISTRY_HTTP_TLS_CERTIFCATE", "x"),
        ("REGISTRY_HTTP_TSL_CERTIFICATE", "x"),
        ("REGISTRY_PROXY_REMOTURL", "x"),
        ("REGISTRY_STORAGE_MAINTENANCE_READONYL_ENABLED", "true"),
        ("REGISTRY_EXTENSIONS_ACESS", "{}"),
        ("REGISTRY_EXTENSIONS_IMUTABLE", "[]"),
    ];
    for (name, value) in variables {
        let variables = [(name.to_owned(), value.to_owned())];
        let error = Config::parse("config.yml", SMALL, &variables).unwrap_err();
        assert!(
            error.to_string().contains(&format!(" ({name}): ")),
            "{error}"
        );
        assert!(!error.to_string().contains("NONE"), "{error}");
        // Who maintains the store needs nobody's protection.
        Config::read("config.yml", SMALL, &variables).unwrap();
    }
    let table = [
        ("auht: {htpasswd: {realm: a}}", "auht", "`auth`?"),
        ("AUTH: {htpasswd: {realm: a}}", "AUTH", "`auth`?"),
        ("Auth: htpasswd", "Auth", "`auth`?"),
        ("authentication: {}", "authentication", "`auth`"),
        ("http: {TLS: {certificate: a}}", "http.TLS", "`http.tls`?"),
        ("HTTP: {tls: {certificate: a}}", "HTTP", "`http`?"),
        (
            "http: {tls: {certifcate: a}}",
            "http.tls.certifcate",
            "`http.tls.certificate`?",
        ),
        (
            "proxy: {remoturl: a}",
            "proxy.remoturl",
            "`proxy.remoteurl`?",
        ),
        (
            "extensions: {acess: {}}",
            "extensions.acess",
            "`extensions.access`?",
        ),
        (
            "storage: {maintenance: {readonyl: {enabled: true}}}",
            "storage.maintenance.readonyl",
            "`storage.maintenance.readonly`?",
        ),
    ];
    for (text, key, meant) in table {
        let text = match text.strip_prefix("storage: {") {
            Some(rest) => format!("version: 0.1\nfoo:\nstorage: {{inmemory: , {rest}\n"),
            None => format!("{SMALL}{text}"),
        };
        let error = error(&text);
        let start = format!("`{key}` (config.yml:3:");
        assert!(
            error.starts_with(&start) && error.contains(meant),
            "{error}"
        );
    }
}

#[test]
fn every_refusal_is_told_once_and_nothing_beside_it() {
    let config = Config::read(
        "config.yml",
        &format!(
            "{SMALL}http: {{tls: {{ciphersuites: [TLS_RSA_WITH_RC4_128_SHA, TLS_AES_128_GCM_SHA256]}}}}\n\
             proxy: {{remoteurl: 'https://a'}}\nauth: {{htpasswd: {{realm: a}}, token: {{realm: a}}}}\n\
             Auth: {{}}\n"
        ),
        &[],
    );
    let config = config.unwrap();
    let told: Vec<_> = config.refusals().iter().map(ToString::to_string).collect();
    let keys: Vec<_> = told
        .iter()
        .filter_map(|told| told.split('`').nth(1))
        .collect();
    let expected = ["auth", "proxy.remoteurl", "Auth"];
    assert_eq!(keys, expected);
    let [warning] = config.notes.warnings.as_slice() else {
        panic!("{:?}", config.notes.warnings);
    };
    assert!(
        warning.starts_with("TLS_RSA_WITH_RC4_128_SHA of "),
        "{warning}"
    );
}

#[test]
fn what_is_no_section_is_refused_where_one_is_wanted() {
    for (text, start) in [
        ("proxy: []", "`proxy` (config.yml:3:1): a section"),
        ("redis: x", "`redis` (config.yml:3:1): a section"),
        ("http: {tls: [a]}", "`http.tls` (config.yml:3:8): a section"),
        (
            "log: {hooks: {type: mail}}",
            "`log.hooks` (config.yml:3:7): a list",
        ),
    ] {
        let error = with(text).unwrap_err().to_string();
        assert!(error.starts_with(start), "{text:?}: {error}");
    }
}
