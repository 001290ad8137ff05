//! The configuration file.

use super::{check, check_with};

#[test]
fn file_version() {
    assert_eq!(check_with("").warnings(), [""; 0]);
    for version in ["version: 0.2", "version: 1", ""] {
        let checked = check(&format!("{version}\nstorage: {{inmemory: }}\n"), &[]);
        assert!(
            checked.problem().starts_with("`version` (c.yml"),
            "{checked:?}"
        );
    }
}

#[test]
fn file_unknown_key() {
    let checked = check_with("http: {adr: ':5000'}");
    let expected = "unknown key `http.adr` (c.yml:3:8); did you mean `http.addr`?";
    assert_eq!(checked.warning(), expected);
}

#[test]
fn file_wrong_type() {
    let checked = check_with("catalog: {maxentries: many}");
    let named = "`catalog.maxentries` (c.yml:3:11): ";
    assert!(checked.problem().starts_with(named), "{checked:?}");
}

#[test]
fn file_boolean() {
    for (word, value) in [("yes", true), ("on", true), ("no", false), ("off", false)] {
        let checked = check(
            &format!(
                "version: 0.1\nstorage: {{inmemory: , maintenance: {{readonly: {{enabled: {word}}}}}}}\n"
            ),
            &[],
        );
        assert_eq!(checked.warnings(), [""; 0]);
        let server = super::server(&format!(
            "  maintenance: {{readonly: {{enabled: {word}}}}}\n"
        ));
        let post = crate::client::Request::new("POST", "/v2/a/blobs/uploads/");
        let status = if value { 405 } else { 202 };
        assert_eq!(server.send(post).status, status, "{word}");
    }
}

#[test]
fn file_boolean_text() {
    let (_dir, served) = super::serve(
        "version: 0.1\nstorage: {inmemory: , delete: {enabled: 'true'}}\n",
        &[("REGISTRY_HTTP_ADDR", "127.0.0.1:0")],
    );
    let line = served.unwrap().log.wait("serving; ");
    assert!(
        line.contains("everyone may pull, push and delete"),
        "{line}"
    );
}

#[cfg(feature = "fs")]
#[test]
fn file_number_text() {
    let text = "version: 0.1\nstorage: {filesystem: {rootdirectory: 0123}}\n";
    let (dir, served) = super::serve(text, &[("REGISTRY_HTTP_ADDR", "127.0.0.1:0")]);
    served.unwrap();
    assert!(dir.path().join("0123").is_dir());
}

#[test]
fn file_key_twice() {
    let checked = check_with("http: {prefix: /a/}\nhttp: {prefix: /b/}");
    assert!(checked.problem().contains("c.yml:4:"), "{checked:?}");
}

#[test]
fn file_duration() {
    let checked = check_with("http: {draintimeout: 1h30m}");
    assert_eq!(checked.value("http.draintimeout"), "1h30m");
    let checked = check_with("http: {draintimeout: soon}");
    assert!(
        checked.problem().starts_with("`http.draintimeout`"),
        "{checked:?}"
    );
}

#[test]
fn file_duration_number() {
    // A tenth of a second, in which nobody sends a body.
    let server = super::server("extensions: {limits: {header_timeout: 100000000}}\n");
    let cut = crate::client::exchange(server.address, b"GET /v2/ HTTP/1.1\r\nHost:");
    assert_eq!(cut, b"");
    for number in ["60", "999999"] {
        let checked = check_with(&format!("http: {{draintimeout: {number}}}"));
        let named = "`http.draintimeout` (c.yml:3:";
        assert!(checked.problem().starts_with(named), "{checked:?}");
    }
}

#[test]
fn file_misspelt_auth() {
    for (keys, key, meant) in [
        ("auht: {htpasswd: {realm: a}}", "auht", "`auth`?"),
        ("Auth: {htpasswd: {realm: a}}", "Auth", "`auth`?"),
        ("http: {TLS: {certificate: a}}", "http.TLS", "`http.tls`?"),
    ] {
        let checked = check_with(keys);
        let told = checked.problem();
        let start = format!("`{key}` (c.yml:3:");
        assert!(told.starts_with(&start) && told.contains(meant), "{told}");
    }
}

#[test]
fn file_two_drivers() {
    let checked = check("version: 0.1\nstorage:\n  inmemory:\n  filesystem:\n", &[]);
    let told = checked.problem();
    for named in ["inmemory (c.yml:3:3)", "filesystem (c.yml:4:3)"] {
        assert!(told.contains(named), "{told}");
    }
}

/// That distribution serves it is another test's, of docs/examples.
#[cfg(feature = "fs")]
#[test]
fn file_own() {
    let text = "version: 0.1\nstorage: {filesystem: {rootdirectory: a, durability: relaxed}}\n\
                extensions: {limits: {connections: 7}}\n";
    let (_dir, served) = super::serve(text, &[("REGISTRY_HTTP_ADDR", "127.0.0.1:0")]);
    assert_eq!(served.unwrap().log.count("level=warning"), 0);
    let checked = check(
        &format!("{}limits: {{connections: 7}}\n", super::MEMORY),
        &[],
    );
    assert!(
        checked.warning().contains("unknown key `limits`"),
        "{checked:?}"
    );
}
