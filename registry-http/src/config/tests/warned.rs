//! What is read and said to have no effect, and what is no news.

use super::*;

#[test]
fn keys_that_are_not_honoured_are_named_with_the_reason() {
    let table = [
        (
            "reporting: {newrelic: {licensekey: a}}",
            "`reporting` (config.yml:3:1) is not honoured by this release: \
             nothing is reported to anyone",
        ),
        (
            "log: {hooks: [{type: mail, disabled: true}]}",
            "`log.hooks` (config.yml:3:7) is not honoured by this release: \
             no mail is sent; what gathers the log can tell of its errors",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(warnings(text), [expected], "{text:?}");
    }
}

#[test]
fn what_a_store_is_asked_for_and_has_anyway_is_no_news() {
    let storage = |driver: &str, keys: &str| {
        parse(&format!("version: 0.1\nstorage: {{{driver}: , {keys}}}\n"))
    };
    let told = |driver: &str, keys: &str| storage(driver, keys).unwrap().notes.warnings;
    for keys in [
        "cache: {blobdescriptor: inmemory, blobdescriptorsize: 100}",
        "cache: {layerinfo: inmemory}",
        "cache: {blobdescriptor: '', layerinfo: ''}",
        "cache: ",
        "redirect: {disable: true}",
        "redirect: {disable: false}",
        "redirect: {}",
        "tag: {concurrencylimit: 8}",
        "tag: {concurrencylimit: 0}",
    ] {
        assert_eq!(told("filesystem", keys), Vec::<String>::new(), "{keys}");
    }
    for (driver, keys, expected) in [
        (
            "inmemory",
            "cache: {blobdescriptor: redis}",
            "`storage.cache.blobdescriptor` (config.yml:2:31): nothing is kept in redis",
        ),
        (
            "inmemory",
            "cache: {layerinfo: disk}",
            "`storage.cache.layerinfo` (config.yml:2:31): \"disk\" is not one of inmemory, redis",
        ),
    ] {
        let told = told(driver, keys);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(expected), "{told:?}");
    }
    for (keys, expected) in [
        (
            "tag: {concurrencylimit: -1}",
            "`storage.tag.concurrencylimit` (config.yml:2:29): must not be negative",
        ),
        (
            "tag: {concurrencylimit: few}",
            "`storage.tag.concurrencylimit` (config.yml:2:29): ",
        ),
        (
            "cache: {blobdescriptorsize: 10MB}",
            "`storage.cache.blobdescriptorsize` (config.yml:2:31): ",
        ),
        (
            "redirect: {disable: maybe}",
            "`storage.redirect.disable` (config.yml:2:34): ",
        ),
    ] {
        let error = storage("inmemory", keys).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{keys}: {error}");
    }
}

#[test]
fn unknown_keys_are_named_with_the_nearest_known_one() {
    let table = [
        (
            "htpp: {}",
            "unknown key `htpp` (config.yml:3:1); did you mean `http`?",
        ),
        (
            "http: {adr: ':5000'}",
            "unknown key `http.adr` (config.yml:3:8); did you mean `http.addr`?",
        ),
        (
            "http: {colour: red}",
            "unknown key `http.colour` (config.yml:3:8)",
        ),
        (
            "extensions: {limits: {header_timout: 1s}}",
            "unknown key `extensions.limits.header_timout` (config.yml:3:23); \
             did you mean `extensions.limits.header_timeout`?",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(warnings(text), [expected], "{text:?}");
    }
    let told = warnings("health: {http: [{uri: 'http://a', timeot: 1s}]}");
    let expected = "unknown key `health.http.0.timeot` (config.yml:3:35); \
                    did you mean `health.http.0.timeout`?";
    assert_eq!(told, [expected]);
    // In a section that is not honoured, too.
    let told = warnings("redis: {tls: {certifcate: a}}");
    let expected = "unknown key `redis.tls.certifcate` (config.yml:3:15); \
                    did you mean `redis.tls.certificate`?";
    assert_eq!((told.len(), told[1].as_str()), (2, expected));
}

#[test]
fn metrics_are_at_a_path_of_the_second_listener_if_there_is_one() {
    let of = |text: &str| {
        with(text)
            .unwrap()
            .http
            .debug
            .and_then(|debug| debug.metrics)
    };
    let addr = "http: {debug: {addr: ':81', prometheus:";
    assert_eq!(of(&format!("{addr} {{}}}}}}")), None);
    assert_eq!(of(&format!("{addr} {{path: /m}}}}}}")), None);
    let path = of(&format!("{addr} {{enabled: true}}}}}}"));
    assert_eq!(path.as_deref(), Some("/metrics"));
    let alone = "http: {debug: {prometheus: {enabled: true}}}";
    assert_eq!(of(alone), None);
    let expected = "`http.debug.prometheus.enabled` (config.yml:3:29) has no effect: \
                    `http.debug.addr` is not set";
    assert_eq!(warnings(alone), [expected]);
}

#[test]
fn a_host_without_a_scheme_is_left_out_and_named_with_the_remedy() {
    for host in ["reg.example.com:5000", "reg.example.com"] {
        let text = format!("http: {{host: '{host}'}}");
        assert_eq!(with(&text).unwrap().http.host, None);
        let told = warnings(&text);
        assert_eq!(told.len(), 1, "{told:?}");
        for word in ["`http.host` (config.yml:3:8)", &format!("https://{host}")] {
            assert!(told[0].contains(word), "{told:?}");
        }
    }
}

#[test]
fn no_time_at_all_between_two_looks_is_the_default() {
    let text = "version: 0.1\nstorage: {inmemory: , maintenance: {uploadpurging: {interval: 0s}}}";
    let config = parse(text).unwrap();
    assert_eq!(config.uploadpurging.interval, Duration::from_secs(86_400));
    let told = config.notes.warnings;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("uploadpurging.interval` (config.yml:2:"),
        "{told:?}"
    );
    let config = with("catalog: {maxentries: 5.0}").unwrap();
    assert_eq!((config.catalog_max, config.notes.warnings.len()), (5, 0));
}
