//! Whole configurations: what they come to, what is refused and how, what is warned about.

use std::time::Duration;

use registry_core::manifest::{Children, Platform, UrlRule as _};

use super::*;

mod access;
mod refused;
mod warned;

const SMALL: &str = "version: 0.1\nstorage: {inmemory: }\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse("config.yml", text, &[])
}

fn with(text: &str) -> Result<Config, ConfigError> {
    parse(&format!("{SMALL}{text}"))
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn warnings(text: &str) -> Vec<String> {
    with(text).unwrap().notes.warnings
}

#[test]
fn without_any_key_the_defaults_count() {
    let config = parse(SMALL).unwrap();
    assert_eq!(config.driver.kind, "inmemory");
    assert_eq!(config.log.level, LogLevel::Info);
    assert_eq!(config.log.format, LogFormat::Text);
    assert!(config.log.access && !config.log.caller && config.log.fields.is_empty());
    assert!(!config.delete);
    assert!(!config.readonly);
    assert!(config.uploadpurging.enabled);
    assert_eq!(config.uploadpurging.age, Duration::from_secs(168 * 3600));
    assert_eq!(config.uploadpurging.interval, Duration::from_secs(86_400));
    assert_eq!(
        (config.http.net, config.http.addr.as_str()),
        (Net::Tcp, ":5000")
    );
    assert_eq!(config.http.prefix, "/");
    assert_eq!(config.http.relativeurls, None);
    assert!(!config.http.h2c);
    assert_eq!(config.http.draintimeout, Duration::from_secs(8));
    assert_eq!((config.catalog_max, config.tags_max), (1000, 1000));
    assert_eq!(config.validation.children, Children::All);
    assert!(config.validation.urls.is_none());
    assert!(config.classes.is_empty());
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.http.debug, None);
    assert_eq!(config.health, Health::default());
    assert!(config.notes.warnings.is_empty());
}

#[test]
fn every_key_that_is_honoured_is_read() {
    let config = parse(
        "version: 0.1
log:
  {level: DEBUG, formatter: json, accesslog: {disabled: yes}, reportcaller: on, fields: {a: 0755}}
storage:
  filesystem: {rootdirectory: /r}
  delete: {enabled: on}
  maintenance:
    uploadpurging: {enabled: off, age: 1h, interval: 30m, dryrun: true}
    readonly: {enabled: true}
http:
  addr: localhost:80
  net: tcp
  host: https://a.example
  prefix: /p
  secret: 0123
  relativeurls: false
  draintimeout: 1m
  h2c: {enabled: yes}
  headers: {X-A: [b, c]}
  debug: {addr: 'localhost:81', prometheus: {enabled: true, path: /m}}
health:
  storagedriver: {enabled: true, interval: 1s, threshold: 2}
  file: [{file: /f}, {file: g, interval: 20s, threshold: 3}]
  http: [{uri: 'http://a.example:8080/b', headers: {X-A: [b]}, statuscode: 204, timeout: 2s,
          interval: 3s, threshold: 4}, {uri: 'http://a.example'}]
  tcp: [{addr: 'a.example:80', timeout: 4s, interval: 5s, threshold: 6}, {addr: ':81'}]
catalog: {maxentries: 7}
tags: {maxtags: 8}
validation:
  enabled: true
  disabled: true
  manifests:
    urls: {allow: [^https://a/], deny: [b]}
    indexes: {platforms: List, platformlist: [{os: a, architecture: b}]}
policy: {repository: {classes: [image, plugin]}}
extensions: {limits: {manifest: 1, header: 2, headers: 3, connections: 4, handshakes: 8,
                      handshake_timeout: 9s, header_timeout: 5s,
                      idle_timeout: 6s, stall_timeout: 7s}}
",
    )
    .unwrap();
    assert_eq!(config.notes.warnings, Vec::<String>::new());
    assert_eq!(config.driver.kind, "filesystem");
    assert_eq!(config.log.level, LogLevel::Debug);
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(!config.log.access && config.log.caller);
    assert_eq!(config.log.fields["a"], "0755");
    assert!(config.delete && config.readonly);
    let purging = UploadPurging {
        enabled: false,
        age: Duration::from_secs(3600),
        interval: Duration::from_secs(1800),
        dryrun: true,
    };
    assert_eq!(config.uploadpurging, purging);
    assert_eq!(config.http.net, Net::Tcp);
    assert_eq!(config.http.addr, "localhost:80");
    let unix = with("http: {net: unix, addr: /run/a.sock}").unwrap().http;
    assert_eq!((unix.net, unix.addr.as_str()), (Net::Unix, "/run/a.sock"));
    assert_eq!(config.http.host.unwrap().host(), Some("a.example"));
    assert_eq!(config.http.prefix, "/p/");
    assert_eq!(config.http.secret.unwrap().expose(), "0123");
    assert_eq!(config.http.relativeurls, Some(false));
    assert_eq!(config.http.draintimeout, Duration::from_secs(60));
    assert!(config.http.h2c);
    let values: Vec<_> = config.http.headers.get_all("x-a").iter().collect();
    assert_eq!(values, ["b", "c"]);
    let debug = Debug {
        addr: "localhost:81".to_owned(),
        metrics: Some("/m".to_owned()),
    };
    assert_eq!(config.http.debug, Some(debug));
    check_health(&config.health);
    assert_eq!((config.catalog_max, config.tags_max), (7, 8));
    let platform = Platform {
        os: "a".to_owned(),
        architecture: "b".to_owned(),
    };
    let listed = Children::For(vec![platform]);
    assert_eq!(config.validation.children, listed);
    let urls = config.validation.urls.unwrap();
    assert!(urls.admits("https://a/") && !urls.admits("https://a/b"));
    assert_eq!(config.classes, ["image", "plugin"]);
    let limits = Limits {
        manifest: 1,
        header: 2,
        headers: 3,
        connections: 4,
        handshakes: 8,
        handshake_timeout: Duration::from_secs(9),
        header_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(6),
        stall_timeout: Duration::from_secs(7),
    };
    assert_eq!(config.limits, limits);
}

fn check_health(health: &Health) {
    let pace = |interval, patience, threshold| Pace {
        interval: Duration::from_secs(interval),
        patience: Duration::from_secs(patience),
        threshold,
    };
    assert_eq!(health.storage, Some(pace(1, 10, 2)));
    let files: Vec<_> = health
        .files
        .iter()
        .map(|check| (check.file.to_str().unwrap(), check.pace))
        .collect();
    assert_eq!(files, [("/f", pace(10, 10, 1)), ("g", pace(20, 20, 3))]);
    let [full, short] = health.http.as_slice() else {
        panic!("{health:?}");
    };
    assert_eq!(full.uri, "http://a.example:8080/b");
    assert_eq!(full.headers["x-a"], "b");
    assert_eq!((full.status.as_u16(), full.pace), (204, pace(3, 2, 4)));
    assert_eq!(short.uri, "http://a.example/");
    assert_eq!((short.status.as_u16(), short.pace), (200, pace(10, 10, 1)));
    let tcp: Vec<_> = health
        .tcp
        .iter()
        .map(|check| (check.addr.as_str(), check.pace))
        .collect();
    let expected = [
        ("a.example:80", pace(5, 4, 6)),
        ("localhost:81", pace(10, 10, 1)),
    ];
    assert_eq!(tcp, expected);
}

#[test]
fn the_log_is_as_loud_and_of_the_form_that_was_asked_for() {
    let table = [
        ("log: {level: Error}", LogLevel::Error, LogFormat::Text),
        ("loglevel: WARN", LogLevel::Warn, LogFormat::Text),
        (
            "log: {level: debug}\nloglevel: error",
            LogLevel::Debug,
            LogFormat::Text,
        ),
        ("log: {formatter: text}", LogLevel::Info, LogFormat::Text),
        ("log: {formatter: json}", LogLevel::Info, LogFormat::Json),
        (
            "log: {formatter: logstash}",
            LogLevel::Info,
            LogFormat::Logstash,
        ),
    ];
    for (text, level, format) in table {
        let config = with(text).unwrap();
        assert_eq!(
            (config.log.level, config.log.format),
            (level, format),
            "{text}"
        );
        assert!(config.notes.warnings.is_empty(), "{text}");
    }
}

#[test]
fn an_error_names_the_key_and_where_it_came_from() {
    let table = [
        ("storage: {inmemory: }", "`version` (config.yml): "),
        (
            "",
            "`version` (config.yml): this key is mandatory and missing; write `version: 0.1`, and",
        ),
        (
            "version: ",
            "`version` (config.yml:1:1): this key is mandatory",
        ),
        (
            "version: 0.2\nstorage: {inmemory: }",
            "`version` (config.yml:1:1): ",
        ),
        ("version: 0.1", "`storage` (config.yml): no storage driver"),
        (
            "version: 0.1\nstorage: ",
            "`storage` (config.yml:2:1): no storage driver",
        ),
        (
            "version: 0.1\nstorage: {delete: {}}",
            "`storage` (config.yml:2:1): no storage driver",
        ),
        (
            "version: 0.1\nstorage:\n  inmemory:\n  filesystem:\n",
            "`storage` (config.yml:2:1): several storage drivers are configured, and there must \
             be one: filesystem (config.yml:4:3), inmemory (config.yml:3:3)",
        ),
        ("version: [", "config.yml:"),
        ("text", "config.yml:1:1: "),
    ];
    for (text, start) in table {
        let error = error(text);
        assert!(error.starts_with(start), "{text:?}: {error}");
    }
    let table = [
        ("log: {level: loud}", "`log.level` (config.yml:3:7): "),
        ("loglevel: loud", "`loglevel` (config.yml:3:1): "),
        (
            "log: {formatter: xml}",
            "`log.formatter` (config.yml:3:7): ",
        ),
        ("log: quiet", "`log` (config.yml:3:1): "),
        ("http: {addr: [a]}", "`http.addr` (config.yml:3:8): "),
        (
            "http: {net: udp}",
            "`http.net` (config.yml:3:8): \"udp\" is not one of tcp, unix",
        ),
        ("http: {net: unix}", "`http.addr` (config.yml:3:1): "),
        ("http: {host: 'https://'}", "`http.host` (config.yml:3:8): "),
        (
            "extensions: {proxies: [unix, localhost]}",
            "`extensions.proxies.1` (config.yml:3:30): \"localhost\" is no address such as 10.0.0.1",
        ),
        (
            "extensions: {proxies: [], proxyprotocol: true}",
            "`extensions.proxyprotocol` (config.yml:3:27): nobody could connect",
        ),
        (
            "extensions: {proxies: 10.0.0.1}",
            "`extensions.proxies` (config.yml:3:14): a list is wanted here",
        ),
        (
            "http: {draintimeout: '60'}",
            "`http.draintimeout` (config.yml:3:8): a duration with its unit, such as 1h30m",
        ),
        (
            "log: {level: info}\nloglevel: loud",
            "`loglevel` (config.yml:4:1): ",
        ),
        (
            "http: quiet",
            "`http` (config.yml:3:1): a section is wanted here, not \"quiet\"",
        ),
        (
            "http: {h2c: [a]}",
            "`http.h2c` (config.yml:3:8): a section is wanted here, not a list",
        ),
        (
            "http: {headers: {a: b}}",
            "`http.headers.a` (config.yml:3:18): a list is wanted here, not \"b\"",
        ),
        (
            "catalog: {maxentries: few}",
            "`catalog.maxentries` (config.yml:3:11): a whole number is wanted here, not \"few\"",
        ),
        (
            "health: {storagedriver: {threshold: -1}}",
            "`health.storagedriver.threshold` (config.yml:3:26): a whole number that fits",
        ),
        (
            "http: {relativeurls: [a]}",
            "`http.relativeurls` (config.yml:3:8): true or false is wanted here, not a list",
        ),
        ("http: {prefix: 'a b'}", "`http.prefix` (config.yml:3:8): "),
        (
            "http: {relativeurls: maybe}",
            "`http.relativeurls` (config.yml:3:8): ",
        ),
        (
            "http: {draintimeout: soon}",
            "`http.draintimeout` (config.yml:3:8): ",
        ),
        (
            "http: {headers: {'a b': [c]}}",
            "`http.headers.a b` (config.yml:3:18): ",
        ),
        (
            "http: {debug: {prometheus: {enabled: true, path: metrics}}}",
            "`http.debug.prometheus.path` (config.yml:3:",
        ),
        (
            "http: {debug: {prometheus: {enabled: true, path: /debug/health}}}",
            "`http.debug.prometheus.path` (config.yml:3:",
        ),
        (
            "catalog: {maxentries: many}",
            "`catalog.maxentries` (config.yml:3:11): ",
        ),
        ("tags: {maxtags: -1}", "`tags.maxtags` (config.yml:3:8): "),
        (
            "validation: {manifests: {indexes: {platforms: some}}}",
            "`validation.manifests.indexes.platforms` (config.yml:3:36): ",
        ),
        (
            "validation: {manifests: {urls: {deny: [a, '(']}}}",
            "`validation.manifests.urls.deny.1` (config.yml:3:43): \"(\" is no regular expression: ",
        ),
        (
            "health: {file: [{interval: 1s}]}",
            "`health.file.0.file` (config.yml:3:",
        ),
        (
            "health: {file: [{file: a}, {file: ''}]}",
            "`health.file.1.file` (config.yml:3:",
        ),
        (
            "health: {http: [{uri: 'ftp://a.example'}]}",
            "`health.http.0.uri` (config.yml:3:18): only http and https URLs can be checked",
        ),
        (
            "health: {http: [{uri: /alive}]}",
            "`health.http.0.uri` (config.yml:3:18): ",
        ),
        (
            "health: {http: [{uri: 'http://a', statuscode: 42}]}",
            "`health.http.0.statuscode` (config.yml:3:",
        ),
        (
            "health: {http: [{uri: 'http://a', headers: {'a b': [c]}}]}",
            "`health.http.0.headers.a b` (config.yml:3:",
        ),
        (
            "health: {tcp: [{addr: a.example}]}",
            "`health.tcp.0.addr` (config.yml:3:17): ",
        ),
        (
            "health: {tcp: [{addr: 'a:1', threshold: -1}]}",
            "`health.tcp.0.threshold` (config.yml:3:",
        ),
        (
            "extensions: {limits: {connections: 0}}",
            "`extensions.limits.connections` (config.yml:3:23): ",
        ),
        (
            "extensions: {limits: {manifest: 7340033}}",
            "`extensions.limits.manifest` (config.yml:3:23): must be at most 7340032",
        ),
        (
            "extensions: {limits: {stall_timeout: 0s}}",
            "`extensions.limits.stall_timeout` (config.yml:3:23): ",
        ),
    ];
    for (text, start) in table {
        let error = with(text).unwrap_err().to_string();
        assert!(error.starts_with(start), "{text:?}: {error}");
    }
}

#[test]
fn nothing_is_asked_of_manifests_where_validation_is_disabled() {
    let lists = "manifests: {urls: {allow: [a]}, indexes: {platforms: all}}";
    for (switches, disabled) in [
        ("disabled: true", true),
        ("disabled: true, enabled: false", true),
        ("disabled: true, enabled: true", false),
        ("enabled: false", false),
    ] {
        let config = with(&format!("validation: {{{switches}, {lists}}}")).unwrap();
        let validation = config.validation;
        assert_eq!(
            validation.children == Children::None,
            disabled,
            "{switches}"
        );
        assert_eq!(validation.urls.is_none(), disabled, "{switches}");
    }
    let nothing = with("validation: {manifests: {indexes: {platforms: list}}}").unwrap();
    assert_eq!(nothing.validation.children, Children::All);
}

#[test]
fn an_error_in_a_variable_names_the_variable() {
    let variables = [("REGISTRY_HTTP_DRAINTIMEOUT".to_owned(), "soon".to_owned())];
    let error = Config::parse("config.yml", SMALL, &variables).unwrap_err();
    let start = "`http.draintimeout` (REGISTRY_HTTP_DRAINTIMEOUT): ";
    assert!(error.to_string().starts_with(start), "{error}");
}

#[test]
fn a_secret_is_in_no_message() {
    let error = with("http: {secret: [hunter2]}").unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let config = with("http: {secret: hunter2}").unwrap();
    assert!(!format!("{:?}", config.http).contains("hunter2"));
}

#[test]
fn what_protects_and_cannot_be_honoured_is_refused() {
    let table = [
        ("auth: {htpasswd: {realm: a, path: b}, token: {}}", "auth"),
        ("auth: [htpasswd]", "auth"),
        ("http: {tls: {clientcas: [a]}}", "http.tls.clientcas"),
        (
            "http: {tls: {clientauth: request-client-cert}}",
            "http.tls.clientauth",
        ),
        ("proxy: {remoteurl: https://a.example}", "proxy.remoteurl"),
    ];
    for (text, key) in table {
        let error = with(text).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("`{key}` (config.yml:3:")),
            "{text:?}: {error}"
        );
    }
}

#[test]
fn certificates_that_are_ordered_want_a_folder_and_hosts_and_no_others_beside_them() {
    let section = |keys: &str| with(&format!("http: {{tls: {{letsencrypt: {{{keys}}}}}}}"));
    let both = "cachefile: a, hosts: [One.example, two.example.], email: ''";
    let tls = section(both).unwrap().http.tls.unwrap();
    let Identity::LetsEncrypt(settings) = tls.identity else {
        panic!("{tls:?}");
    };
    assert_eq!(settings.hosts, ["one.example", "two.example"]);
    assert_eq!(settings.email, None);
    let production = "https://acme-v02.api.letsencrypt.org/directory";
    assert_eq!(settings.directory, production);
    let table = [
        ("cachefile: a", "letsencrypt.hosts", "mandatory"),
        (
            "cachefile: a, hosts: ['']",
            "letsencrypt.hosts",
            "mandatory",
        ),
        ("hosts: [a]", "letsencrypt.cachefile", "mandatory"),
        ("email: a@a", "letsencrypt.cachefile", "mandatory"),
        (
            "directoryurl: 'https://a'",
            "letsencrypt.cachefile",
            "mandatory",
        ),
        (
            "cachefile: a, hosts: [a, '*.a']",
            "letsencrypt.hosts",
            "TLS-ALPN-01",
        ),
        (
            "cachefile: a, hosts: [a], directoryurl: 'http://a'",
            "letsencrypt.directoryurl",
            "is no URL such as",
        ),
    ];
    for (keys, key, says) in table {
        let error = section(keys).unwrap_err().to_string();
        let start = format!("`http.tls.{key}` (config.yml:3:");
        assert!(error.starts_with(&start) && error.contains(says), "{error}");
    }
    for (more, named) in [("certificate: a, key: b", "certificate"), ("key: b", "key")] {
        let text = format!("http: {{tls: {{{more}, letsencrypt: {{cachefile: a, hosts: [a]}}}}}}");
        let error = with(&text).unwrap_err().to_string();
        let says = format!("`http.tls.{named}` (config.yml:3:14) is there as well");
        assert!(
            error.starts_with("`http.tls.letsencrypt` (config.yml:3:"),
            "{error}"
        );
        assert!(error.contains(&says), "{error}");
    }
}

#[test]
fn what_protects_nothing_is_not_refused() {
    let table = [
        "auth: none",
        "auth: {none: {}}",
        "auth:",
        "http: {tls: {certificate: ''}}",
        "http: {tls: {letsencrypt: {hosts: []}}}",
        "http: {tls: }",
        "proxy: {remoteurl: }",
    ];
    for text in table {
        assert!(with(text).is_ok(), "{text:?}");
    }
}

#[test]
fn without_a_file_this_machine_alone_is_served_from_a_directory_of_its_own() {
    let config = Config::load(&Source::BuiltIn, &[]).unwrap();
    assert_eq!(config.driver.kind, "filesystem");
    assert_eq!(config.http.addr, "127.0.0.1:5000");
    assert!(config.delete);
    assert!(config.notes.warnings[0].contains("built-in"));

    let variables = [("REGISTRY_HTTP_ADDR".to_owned(), ":80".to_owned())];
    let config = Config::load(&Source::BuiltIn, &variables).unwrap();
    assert_eq!(config.http.addr, ":80");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let source = Source::File(PathBuf::from("/nowhere/config.yml"));
    let error = Config::load(&source, &[]).unwrap_err();
    let expected = "reading the configuration /nowhere/config.yml";
    assert_eq!(error.to_string(), expected);
}
