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
            "",
            &[
                ("REGISTRY_HTTP_HEADERS_X-CONTENT-TYPE-OPTIONS_0", "foo"),
                ("REGISTRY_HTTP_HEADERS_X-CONTENT-TYPE-OPTIONS_1", "bar"),
            ],
            r#"{"http":{"headers":{"x-content-type-options":["foo","bar"]}}}"#,
        ),
        (
            "http: {headers: {X-A: [b, c]}}",
            &[("REGISTRY_HTTP_HEADERS_X-A_1", "d")],
            r#"{"http":{"headers":{"X-A":["b","d"]}}}"#,
        ),
        (
            "log: {fields: {a: b}}",
            &[("REGISTRY_LOG_FIELDS_A_0", "c")],
            r#"{"log":{"fields":{"a":"b","a_0":"c"}}}"#,
        ),
        (
            "",
            &[("REGISTRY_http_addr", ":5000"), ("REGISTRY_HTTP_addr", "a")],
            "{}",
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
        ("REGISTRY_AUTH_PORT", "tcp://10.0.0.1:5001"),
        ("REGISTRY_AUTH_PORT_5001_TCP_ADDR", "10.0.0.1"),
        ("REGISTRY_AUTH_SERVICE_HOST", "10.0.0.1"),
        ("REGISTRY_AUTH_SERVICE_PORT_HTTP", "5001"),
        ("REGISTRY_PROXY_SERVICE_PORT", "5001"),
        ("REGISTRY_", "x"),
        ("REGISTRY_http_addr", "x"),
        ("REGISTRY_HTTP_", "x"),
    ];
    let (json, warnings) = outcome("", &kubernetes);
    assert_eq!(json, "{}");
    assert_eq!(warnings.len(), kubernetes.len(), "{warnings:?}");

    let (_, warnings) = outcome("", &[("REGISTRY_HTP_ADDR", ":5000")]);
    let expected = "unknown variable REGISTRY_HTP_ADDR; did you mean REGISTRY_HTTP_ADDR?";
    assert_eq!(warnings, [expected]);

    let (_, warnings) = outcome("", &[("REGISTRY_http_addr", ":5000")]);
    let expected = "unknown variable REGISTRY_http_addr; did you mean REGISTRY_HTTP_ADDR?";
    assert_eq!(warnings, [expected]);

    let (_, warnings) = outcome("", &[("REGISTRY_CONFIGURATION_PATH", "/etc/x.yml")]);
    assert!(warnings.is_empty());
}

#[test]
fn a_replaced_section_is_mentioned() {
    let file = "storage: {filesystem: , delete: {enabled: true}}";
    let (_, warnings) = outcome(file, &[("REGISTRY_STORAGE", "filesystem")]);
    let expected = "REGISTRY_STORAGE replaces all of `storage`; no longer configured are: delete";
    assert_eq!(warnings, [expected]);
}

#[test]
fn a_driver_that_nobody_knows_is_an_error_that_names_both() {
    let file = "storage: {filesystem: , delete: {enabled: true}}";
    for (name, said) in [
        (
            "REGISTRY_STORAGE_FOO_BAR",
            "\"foo\" is known, and filesystem is configured",
        ),
        (
            "REGISTRY_STORAGE_FILESYTEM_ROOTDIRECTORY",
            "did you mean `storage.filesystem`?",
        ),
        (
            "REGISTRY_STORAGE_FOO",
            "`storage.foo` (REGISTRY_STORAGE_FOO)",
        ),
    ] {
        let (error, _) = outcome(file, &[(name, "x")]);
        assert!(error.contains(name) && error.contains(said), "{error}");
    }
    // A key of a section that is known.
    let (_, warnings) = outcome(file, &[("REGISTRY_STORAGE_DELETE_ALL", "x")]);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}
