//! Metrics, line by line as Prometheus reads them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::client::Request;
use crate::health::{ask, debug_address};
use crate::manifests::image;
use crate::process::wait_for;
use crate::server::{Server, Setup, sha256};

const ON: &str = "http: {debug: {addr: '127.0.0.1:0', prometheus: {enabled: true}}}\n";

/// Names with their labels in the order of the alphabet, as `name{a="b"}`, and their values.
type Samples = BTreeMap<String, f64>;

/// Reads the text format 0.0.4, and is strict about it.
fn samples(text: &str) -> Samples {
    let mut samples = Samples::new();
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    assert!(text.ends_with('\n'), "{text}");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(kinds.insert(name, kind).is_none(), "{line}");
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let name = series.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|end| name.strip_suffix(end))
            .find(|family| kinds.get(family) == Some(&"histogram"))
            .unwrap_or(name);
        assert!(kinds.contains_key(family), "of no type: {line}");
        if kinds[family] == "counter" {
            assert!(name.ends_with("_total"), "{line}");
        }
        for label in series[name.len()..].trim_matches(['{', '}']).split(',') {
            let well = label.is_empty() || label.contains("=\"") && label.ends_with('"');
            assert!(well, "{line}");
        }
        let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(
            samples.insert(series.to_owned(), value).is_none(),
            "twice: {line}"
        );
    }
    samples
}

fn scrape(debug: SocketAddr) -> Samples {
    let answer = ask(debug, "GET", "/metrics");
    assert_eq!(answer.status, 200, "{answer:?}");
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(answer.header("content-type"), kind);
    samples(std::str::from_utf8(&answer.body).unwrap())
}

fn of(samples: &Samples, series: &str) -> f64 {
    samples.get(series).copied().unwrap_or_default()
}

fn start(driver: &str) -> (Server, SocketAddr) {
    let server = Server::with(
        driver,
        Setup {
            more: ON,
            ..Setup::default()
        },
    );
    let debug = debug_address(&server);
    (server, debug)
}

/// Waits until as many requests have been counted: the last of them is when its answer was sent.
fn scrape_after(debug: SocketAddr, requests: f64) -> Samples {
    wait_for(|| {
        let samples = scrape(debug);
        let counted =
            |(name, _): &(&String, &f64)| name.starts_with("registry_http_requests_total");
        let total: f64 = samples.iter().filter(counted).map(|(_, value)| value).sum();
        assert!(total <= requests, "{samples:?}");
        (total == requests).then_some(samples)
    })
}

#[test]
fn what_was_done_is_what_was_counted() {
    let (server, debug) = start("inmemory");
    let before = scrape(debug);
    assert_eq!(of(&before, "registry_blob_pulls_total"), 0.0);

    let content = vec![b'x'; 5000];
    // POST and PUT, twice each; one mount; one upload that nobody finishes.
    let digest = server.push_blob("a", &content);
    server.push_blob("a", b"second");
    let mount = format!("/v2/b/blobs/uploads/?mount={digest}&from=a");
    assert_eq!(server.send(Request::new("POST", &mount)).status, 201);
    let begun = server.send(Request::new("POST", "/v2/a/blobs/uploads/"));
    let patch = Request::new("PATCH", begun.header("location")).chunked(b"half");
    assert_eq!(server.send(patch).status, 202);
    // Whole by POST.
    let whole = format!("/v2/a/blobs/uploads/?digest={}", sha256(b"whole"));
    let whole = Request::new("POST", &whole).body(b"whole");
    assert_eq!(server.send(whole).status, 201);
    let blob = format!("/v2/a/blobs/{digest}");
    assert_eq!(server.get(&blob).status, 200);
    let part = Request::new("GET", &blob).header("Range", "bytes=0-9");
    assert_eq!(server.send(part).status, 206);
    assert_eq!(server.head(&blob).status, 200);
    assert_eq!(
        server.get(&format!("/v2/a/blobs/{}", sha256(b"no"))).status,
        404
    );
    assert_eq!(server.get("/nowhere").status, 404);
    assert_eq!(
        server.send(Request::new("BREW", "/v2/_catalog")).status,
        405
    );

    let after = scrape_after(debug, 14.0);
    let total = |code: u16, handler: &str, method: &str| {
        let labels = format!("code=\"{code}\",handler=\"{handler}\",method=\"{method}\"");
        of(&after, &format!("registry_http_requests_total{{{labels}}}"))
    };
    assert_eq!(total(202, "blob_upload", "post"), 3.0);
    assert_eq!(total(201, "blob_upload", "post"), 2.0);
    assert_eq!(total(201, "blob_upload_chunk", "put"), 2.0);
    assert_eq!(total(202, "blob_upload_chunk", "patch"), 1.0);
    assert_eq!(total(200, "blob", "get"), 1.0);
    assert_eq!(total(206, "blob", "get"), 1.0);
    assert_eq!(total(200, "blob", "head"), 1.0);
    assert_eq!(total(404, "blob", "get"), 1.0);
    assert_eq!(total(404, "other", "get"), 1.0);
    assert_eq!(total(405, "other", "unknown"), 1.0);
    for (name, expected) in [
        ("registry_uploads_begun_total", 4.0),
        ("registry_uploads_finished_total", 3.0),
        (
            "registry_upload_received_bytes_total",
            5000.0 + 6.0 + 4.0 + 5.0,
        ),
        ("registry_blob_pulls_total", 2.0),
        ("registry_blob_sent_bytes_total", 5010.0),
        ("registry_manifest_pulls_total", 0.0),
    ] {
        assert_eq!(after.get(name), Some(&expected), "{name}");
    }
    let chunks = "{handler=\"blob_upload_chunk\"}";
    let size = |end: &str| {
        of(
            &after,
            &format!("registry_http_request_size_bytes_{end}{chunks}"),
        )
    };
    assert_eq!((size("count"), size("sum")), (3.0, 5010.0));
    let bucket =
        "registry_http_request_size_bytes_bucket{handler=\"blob_upload_chunk\",le=\"1024\"}";
    assert_eq!(of(&after, bucket), 2.0);
    let sent = "registry_http_response_size_bytes_bucket{handler=\"blob\",le=\"4096\"}";
    assert_eq!(of(&after, sent), 3.0);
    let timed = "registry_http_request_duration_seconds_count{handler=\"blob\",method=\"get\"}";
    assert_eq!(of(&after, timed), 3.0);
}

#[test]
fn manifests_are_counted_apart_from_blobs() {
    let (server, debug) = start("inmemory");
    let manifest = image(&server, "a", "layer");
    let pushed = of(&scrape(debug), "registry_uploads_finished_total");
    let digest = server.push_manifest("a", "t", &manifest);
    for reference in ["t", digest.as_str()] {
        let path = format!("/v2/a/manifests/{reference}");
        assert_eq!(server.get(&path).status, 200);
        assert_eq!(server.head(&path).status, 200);
        let known = Request::new("GET", &path).header("If-None-Match", &format!("\"{digest}\""));
        assert_eq!(server.send(known).status, 304);
    }
    let after = scrape(debug);
    assert_eq!(of(&after, "registry_manifest_pushes_total"), 1.0);
    assert_eq!(of(&after, "registry_manifest_pulls_total"), 2.0);
    assert_eq!(of(&after, "registry_blob_pulls_total"), 0.0);
    assert_eq!(of(&after, "registry_uploads_finished_total"), pushed);
}

#[cfg(feature = "fs")]
pub(crate) fn the_calls_of_the_store_are_timed_under_the_name_of_its_driver() {
    let (server, debug) = start("filesystem");
    let digest = server.push_blob("a", b"content");
    server.get(&format!("/v2/a/blobs/{digest}"));
    let samples = scrape(debug);
    for action in [
        "Writer",
        "Write",
        "Commit",
        "Reader",
        "PutContent",
        "GetContent",
    ] {
        let labels = format!("{{action=\"{action}\",driver=\"filesystem\"}}");
        let count = format!("registry_storage_action_seconds_count{labels}");
        assert!(of(&samples, &count) >= 1.0, "{action}: {samples:?}");
    }
    let errors = |name: &&String| name.starts_with("registry_storage_errors_total");
    assert_eq!(samples.keys().filter(errors).count(), 0);
}

#[test]
fn a_request_is_in_flight_until_it_ends_and_counted_however_that_is() {
    use std::io::{Read as _, Write as _};
    let (server, debug) = start("inmemory");
    let begun = server.send(Request::new("POST", "/v2/a/blobs/uploads/"));
    let patch = Request::new("PATCH", begun.header("location"))
        .header("Expect", "100-continue")
        .body(&[b'x'; 1000]);
    let wire = patch.wire();
    let mut stream = server.process.connect();
    stream.write_all(&wire[..wire.len() - 1]).unwrap();
    stream.read_exact(&mut [0; 25]).unwrap();
    let flying = "registry_http_in_flight_requests{handler=\"blob_upload_chunk\"}";
    // Its bytes are seen before it ends.
    wait_for(|| {
        let samples = scrape(debug);
        assert_eq!(of(&samples, flying), 1.0);
        (of(&samples, "registry_upload_received_bytes_total") == 999.0).then_some(())
    });
    drop(stream);
    let after = scrape_after(debug, 2.0);
    assert_eq!(of(&after, flying), 0.0);
    for (name, value) in &after {
        assert!(
            !name.contains("in_flight") || *value == 0.0,
            "{name} {value}"
        );
    }
}

#[test]
fn no_name_of_a_client_becomes_a_label() {
    let (server, debug) = start("inmemory");
    for n in 0..50 {
        let (repo, method) = (format!("odd{n}"), format!("ODD{n}"));
        server.push_blob(&repo, repo.as_bytes());
        server.get(&format!("/v2/{repo}/tags/list?n={n}"));
        server.get(&format!("/odd{n}"));
        server.send(Request::new(&method, "/v2/"));
    }
    let samples = scrape(debug);
    for name in samples.keys() {
        assert!(!name.to_lowercase().contains("odd"), "{name}");
    }
    assert!(samples.len() < 1000, "{}", samples.len());
}

pub(crate) fn metrics_are_served_where_they_were_asked_for_and_nowhere_else() {
    let (server, debug) = start("inmemory");
    assert_eq!(server.get("/metrics").status, 404);
    assert_eq!(ask(debug, "GET", "/debug/health").status, 200);
    assert_eq!(ask(debug, "POST", "/metrics").status, 404);
    let head = ask(debug, "HEAD", "/metrics");
    assert_eq!((head.status, head.body.len()), (200, 0));

    let elsewhere = Server::with(
        "inmemory",
        Setup {
            more: "http: {debug: {addr: '127.0.0.1:0', prometheus: {enabled: true, path: /p/m}}}\n",
            ..Setup::default()
        },
    );
    let debug = debug_address(&elsewhere);
    assert_eq!(ask(debug, "GET", "/p/m").status, 200);
    assert_eq!(ask(debug, "GET", "/metrics").status, 404);
}

#[cfg(target_os = "linux")]
pub(crate) fn what_the_process_takes_is_told() {
    let server = Server::with(
        "inmemory",
        Setup {
            more: ON,
            ..Setup::default()
        },
    );
    let first = scrape(debug_address(&server));
    let least = [
        ("process_resident_memory_bytes", 1e6),
        ("process_virtual_memory_bytes", 1e6),
        ("process_open_fds", 3.0),
        ("process_max_fds", 3.0),
        ("process_start_time_seconds", 1.6e9),
        ("process_cpu_seconds_total", 0.0),
    ];
    for (name, least) in least {
        assert!(first[name] >= least, "{name} {}", first[name]);
    }
    for absent in ["registry_storage_cache_", "registry_proxy_", "go_"] {
        let told = first.keys().find(|name| name.starts_with(absent));
        assert_eq!(told, None);
    }
    // What is open shows.
    let open: Vec<_> = (0..50).map(|_| server.process.connect()).collect();
    let more = first["process_open_fds"] + 50.0;
    wait_for(|| (scrape(debug_address(&server))["process_open_fds"] >= more).then_some(()));
    drop(open);
}
