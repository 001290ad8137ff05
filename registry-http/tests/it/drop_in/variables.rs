//! Variables over the file.

use std::net::TcpListener;

use super::{Checked, MEMORY, check, serve};
use crate::client::{Request, exchange, parse};

/// Over a file that asks for storage in memory, and for this.
fn over(keys: &str, variables: &[(&str, &str)]) -> Checked {
    check(&format!("{MEMORY}{keys}\n"), variables)
}

/// These variables come to these values, and to no warning.
#[track_caller]
fn come_to(variables: &[(&str, &str)], expected: &[(&str, &str)]) {
    let checked = over("", variables);
    assert_eq!(checked.warnings(), [""; 0]);
    for (key, value) in expected {
        assert_eq!(checked.value(key), *value, "{key}");
    }
}

#[test]
fn variable_key() {
    let variables = [("REGISTRY_HTTP_PREFIX", "/new/")];
    let checked = over("http: {prefix: /old/, host: 'http://a'}", &variables);
    assert_eq!(checked.value("http.prefix"), "/new/");
    assert_eq!(checked.value("http.host"), "http://a");
}

#[test]
fn variable_order() {
    let name = |n: usize| format!("REGISTRY_POLICY_REPOSITORY_CLASSES_{n}");
    let names: Vec<String> = (0..12).rev().map(name).collect();
    let mut variables: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "image")).collect();
    // The section before what is in it.
    variables.push(("REGISTRY_HTTP_PREFIX", "/after/"));
    variables.push(("REGISTRY_HTTP", "{prefix: /before/, net: tcp}"));
    let checked = over("", &variables);
    assert_eq!(checked.value("policy.repository.classes.11"), "image");
    assert_eq!(checked.value("http.prefix"), "/after/");
}

#[test]
fn variable_section() {
    come_to(
        &[
            ("REGISTRY_CATALOG", "{maxentries: 7}"),
            (
                "REGISTRY_VALIDATION_MANIFESTS_URLS_ALLOW",
                r#"["^a", "^b"]"#,
            ),
        ],
        &[
            ("catalog.maxentries", "7"),
            ("validation.manifests.urls.allow.1", "^b"),
        ],
    );
}

#[test]
fn variable_wrong_type() {
    let checked = over("", &[("REGISTRY_HTTP_DRAINTIMEOUT", "soon")]);
    let named = "`http.draintimeout` (REGISTRY_HTTP_DRAINTIMEOUT): ";
    assert!(checked.problem().starts_with(named), "{checked:?}");
}

#[test]
fn variable_unknown() {
    for name in ["REGISTRY_PORT_5000_TCP", "REGISTRY_SERVICE_HOST"] {
        let checked = over("", &[(name, "tcp://10.0.0.1:5000")]);
        assert!(checked.warning().contains(name), "{checked:?}");
    }
    let checked = over("", &[("REGISTRY_HTTP_PREFX", "/a/")]);
    let nearest = "did you mean REGISTRY_HTTP_PREFIX";
    assert!(
        checked.warning().replace('`', "").contains(nearest),
        "{checked:?}"
    );
}

#[test]
fn variable_unknown_auth() {
    for name in [
        "REGISTRY_AUTH_HTPASWD_REALM",
        "REGISTRY_HTTP_TLS_CERTIFCATE",
        "REGISTRY_PROXY_REMOTURL",
    ] {
        let checked = over("", &[(name, "a")]);
        let told = checked.problem();
        assert!(told.contains(&format!(" ({name}): ")), "{told}");
        assert!(told.contains("did you mean REGISTRY_"), "{told}");
    }
}

#[test]
fn variable_lower_case() {
    let checked = over("http: {prefix: /a/}", &[("REGISTRY_http_prefix", "/b/")]);
    assert_eq!(checked.value("http.prefix"), "/a/");
    assert!(
        checked.warning().contains("REGISTRY_http_prefix"),
        "{checked:?}"
    );
}

#[cfg(feature = "fs")]
#[test]
fn variable_storage() {
    let text = "version: 0.1\nstorage: {filesystem: {rootdirectory: a}, delete: {enabled: true}}\n";
    let checked = check(text, &[("REGISTRY_STORAGE", "inmemory")]);
    assert_eq!(checked.value("storage.delete.enabled"), "false");
    let told = checked.warning();
    for gone in ["REGISTRY_STORAGE", "delete", "filesystem"] {
        assert!(told.contains(gone), "{told}");
    }
}

#[test]
fn variable_second_driver() {
    let variables = [("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/a")];
    let checked = over("", &variables);
    let told = checked.problem();
    let named = "filesystem (REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY)";
    assert!(
        told.contains(named) && told.contains("inmemory (c.yml:2:"),
        "{told}"
    );
}

#[test]
fn variable_second_auth() {
    let text = format!("{MEMORY}auth: {{htpasswd: {{realm: a, path: /b}}}}\n");
    let (_dir, served) = serve(&text, &[("REGISTRY_AUTH_TOKEN_REALM", "https://a")]);
    let ended = served.err().expect("it does not start");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.lines.last().unwrap().starts_with("registry: `auth"),
        "{ended:?}"
    );
}

#[test]
fn variable_maintenance() {
    come_to(
        &[
            ("REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED", "true"),
            ("REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_AGE", "1h"),
        ],
        &[
            ("storage.maintenance.readonly.enabled", "true"),
            ("storage.maintenance.uploadpurging.age", "1h"),
        ],
    );
}

#[test]
fn variable_maintenance_section() {
    come_to(
        &[(
            "REGISTRY_STORAGE_MAINTENANCE_READONLY",
            r#"{"enabled": true}"#,
        )],
        &[("storage.maintenance.readonly.enabled", "true")],
    );
}

#[test]
fn variable_list_item() {
    come_to(
        &[
            ("REGISTRY_VALIDATION_MANIFESTS_URLS_ALLOW_0", "^https://a/"),
            ("REGISTRY_VALIDATION_MANIFESTS_URLS_ALLOW_1", "^https://b/"),
        ],
        &[
            ("validation.manifests.urls.allow.0", "^https://a/"),
            ("validation.manifests.urls.allow.1", "^https://b/"),
        ],
    );
    let text = format!("{MEMORY}http: {{addr: '127.0.0.1:0'}}\n");
    let (_dir, served) = serve(&text, &[("REGISTRY_HTTP_HEADERS_X-A_0", "b")]);
    let answer = exchange(served.unwrap().address, &Request::new("GET", "/v2/").wire());
    assert_eq!(parse(&answer).unwrap().all("x-a"), ["b"]);
}

#[test]
fn variable_list_section() {
    come_to(
        &[
            ("REGISTRY_HEALTH_TCP_0_ADDR", "127.0.0.1:1"),
            ("REGISTRY_HEALTH_TCP_0_INTERVAL", "1m"),
        ],
        &[
            ("health.tcp.0.addr", "127.0.0.1:1"),
            ("health.tcp.0.interval", "1m"),
        ],
    );
}

#[test]
fn variable_list_whole_item() {
    come_to(
        &[("REGISTRY_HEALTH_FILE_0", "{file: /a, interval: 1m}")],
        &[
            ("health.file.0.file", "/a"),
            ("health.file.0.interval", "1m"),
        ],
    );
}

#[test]
fn variable_list_gap() {
    let checked = over("", &[("REGISTRY_HEALTH_FILE_1_FILE", "/a")]);
    let told = checked.problem();
    assert!(told.contains("(REGISTRY_HEALTH_FILE_1_FILE): "), "{told}");
}

#[test]
fn variable_health() {
    for (file, http, tcp) in [
        ("FILECHECKERS", "HTTPCHECKERS", "TCPCHECKERS"),
        ("FILE", "HTTP", "TCP"),
    ] {
        let names = [
            format!("REGISTRY_HEALTH_{file}_0_FILE"),
            format!("REGISTRY_HEALTH_{http}_0_URI"),
            format!("REGISTRY_HEALTH_{tcp}_0_ADDR"),
        ];
        let values = ["/a", "http://127.0.0.1:1/", "127.0.0.1:1"];
        let variables: Vec<_> = names.iter().map(String::as_str).zip(values).collect();
        let keys = [
            "health.file.0.file",
            "health.http.0.uri",
            "health.tcp.0.addr",
        ];
        let expected: Vec<_> = keys.into_iter().zip(values).collect();
        come_to(&variables, &expected);
    }
}

#[test]
fn variable_events() {
    for (events, options) in [("EVENTCONFIG", "MAILOPTIONS"), ("EVENTS", "OPTIONS")] {
        let events = format!("REGISTRY_NOTIFICATIONS_{events}_INCLUDEREFERENCES");
        let options = format!("REGISTRY_LOG_HOOKS_0_{options}_FROM");
        let checked = over("", &[(&*events, "true"), (&*options, "a@b")]);
        assert_eq!(
            checked.value("notifications.events.includereferences"),
            "true"
        );
        assert_eq!(checked.value("log.hooks.0.options.from"), "a@b");
    }
}

#[test]
fn variable_header() {
    let text = format!("{MEMORY}http: {{addr: '127.0.0.1:0', headers: {{X-A: [a]}}}}\n");
    let (_dir, served) = serve(&text, &[("REGISTRY_HTTP_HEADERS_X-A", "[b]")]);
    let answer = exchange(served.unwrap().address, &Request::new("GET", "/v2/").wire());
    assert_eq!(parse(&answer).unwrap().all("x-a"), ["b"]);
}

#[test]
fn variable_field() {
    let text = format!("{MEMORY}http: {{addr: '127.0.0.1:0'}}\n");
    let (_dir, served) = serve(&text, &[("REGISTRY_LOG_FIELDS_ENVIRONMENT", "prod")]);
    let line = served.unwrap().log.wait("serving; ");
    assert!(line.ends_with(" environment=prod"), "{line}");
}

#[test]
fn variable_underscore() {
    come_to(
        &[("REGISTRY_EXTENSIONS_LIMITS_HEADER_TIMEOUT", "7s")],
        &[("extensions.limits.header_timeout", "7s")],
    );
}

#[test]
fn variable_empty() {
    come_to(
        &[
            ("REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR", ""),
            ("REGISTRY_HTTP_PREFIX", ""),
        ],
        &[("http.prefix", "/")],
    );
}

#[test]
fn variable_otel() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    collector.set_nonblocking(true).unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let text = format!("{MEMORY}http: {{addr: '127.0.0.1:0'}}\n");
    let variables = [
        ("OTEL_TRACES_EXPORTER", "otlp"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "1"),
    ];
    let (_dir, served) = serve(&text, &variables);
    let mut served = served.unwrap();
    assert_eq!(Request::new("GET", "/v2/").send(served.address).status, 200);
    // What is left to send would be sent at the end.
    served.signal("TERM");
    assert_eq!(served.end().code(), Some(0));
    assert!(collector.accept().is_err());
}
