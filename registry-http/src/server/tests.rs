//! Servers as a program with drivers of its own would make them.

use registry_core::manifest::Children;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;

fn config(text: &str) -> Config {
    let text = format!("version: 0.1\nhttp: {{addr: '127.0.0.1:0'}}\n{text}");
    Config::parse("config.yml", &text, &[]).unwrap()
}

async fn refusal(text: &str) -> String {
    let built = Server::builder()
        .with_builtin()
        .storage("torn", |(), _mode| async {
            Err::<Storage, _>("the tape is torn")
        })
        .config(config(text))
        .build();
    cli::chain(&built.await.unwrap_err())
}

#[tokio::test]
async fn a_server_answers_until_it_is_told_to_stop() {
    let config = config("storage: {inmemory: }");
    let server = Server::builder().with_builtin().config(config).build();
    let server = server.await.unwrap();
    let mut client = TcpStream::connect(server.local_addr().unwrap())
        .await
        .unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(async {
        let _ = stopped.await;
    }));
    client
        .write_all(b"GET /v2/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    stop.send(()).unwrap();
    serving.await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_opened_is_explained() {
    let table = [
        (
            "storage: torn",
            "`storage.torn` (config.yml:3:1): opening the torn store: the tape is torn",
        ),
        (
            "storage: {gcs: {bucket: a}}",
            "`storage.gcs` (config.yml:3:11): there is no driver for storage kind \"gcs\"",
        ),
    ];
    for (text, expected) in table {
        let refusal = refusal(text).await;
        assert!(refusal.starts_with(expected), "{text:?}: {refusal}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let taken = accept::bind("127.0.0.1:0").await.unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let variables = [("REGISTRY_HTTP_ADDR".to_owned(), addr.clone())];
    let text = "version: 0.1\nstorage: inmemory";
    let config = Config::parse("config.yml", text, &variables).unwrap();
    let built = Server::builder().with_builtin().config(config).build();
    let refusal = cli::chain(&built.await.unwrap_err());
    assert!(
        refusal.starts_with(&format!(
            "`http.addr` (REGISTRY_HTTP_ADDR): listening on {addr}: "
        )),
        "{refusal}"
    );
}

#[test]
fn a_setting_reaches_what_it_is_for() {
    let mut config = Config::parse(
        "config.yml",
        "version: 0.1
storage: {inmemory: , delete: {enabled: true}, maintenance: {uploadpurging: {age: 1h}}}
http: {prefix: /p/, host: 'https://a.example', relativeurls: false, secret: s, draintimeout: 3s,
       headers: {x: [y]}}
validation: {manifests: {urls: {deny: [b]}, indexes: {platforms: none}}}
policy: {repository: {classes: [plugin]}}
catalog: {maxentries: 3}
tags: {maxtags: 4}
extensions: {limits: {manifest: 5, connections: 6}}
",
        &[],
    )
    .unwrap();
    let app = app_config(&config);
    assert_eq!(app.prefix, "/p");
    assert_eq!(app.base.unwrap(), "https://a.example/p");
    assert!(app.absolute);
    assert_eq!((app.limits.catalog, app.limits.tags), (3, 4));
    assert_eq!(app.manifest_limit, 5);
    assert_eq!(app.headers.len(), 1);
    let limits = accept_limits(&config);
    assert_eq!(limits.connections, 6);
    assert_eq!(limits.drain, Duration::from_secs(3));
    assert!(purging(&config).is_some());
    let options = options(&mut config);
    assert!(options.delete && !options.read_only);
    assert_eq!(options.demands.children, Children::None);
    assert_eq!(options.demands.classes, ["plugin"]);
    let urls = options.demands.urls.unwrap();
    assert!(urls.admits("https://a/") && !urls.admits("https://b/"));
    assert_eq!(options.upload_age, Duration::from_secs(3600));
    assert_eq!(options.secret.unwrap().expose(), "s");
}

#[test]
fn a_fixed_url_says_where_everything_lies_for_clients() {
    for (host, prefix, expected) in [
        ("https://a.example", "", "https://a.example"),
        ("https://a.example:444/", "", "https://a.example:444"),
        ("http://a.example", "/p", "http://a.example/p"),
        ("https://a.example/p", "/p/", "https://a.example/p"),
        ("https://a.example/q/r/?x", "/p/", "https://a.example/q/r"),
    ] {
        let text = format!("storage: {{inmemory: }}\nhttp: {{host: '{host}', prefix: '{prefix}'}}");
        let config = Config::parse("config.yml", &format!("version: 0.1\n{text}"), &[]);
        let base = app_config(&config.unwrap()).base;
        assert_eq!(base.as_deref(), Some(expected), "{host} {prefix}");
    }
}

#[test]
fn a_registry_that_may_not_change_purges_nothing() {
    for text in [
        "storage: {inmemory: , maintenance: {readonly: {enabled: true}}}",
        "storage: {inmemory: , maintenance: {uploadpurging: {enabled: false}}}",
    ] {
        assert!(purging(&config(text)).is_none(), "{text}");
    }
}
