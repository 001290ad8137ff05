//! The keys of `http`.

use std::time::{Duration, Instant};

use super::{MEMORY, check, check_with, proved_by, serve, server};
use crate::client::{Request, exchange, parse};
use crate::process::wait_for;
#[cfg(feature = "fs")]
use crate::stopping;
use crate::{
    client_certificates, health, letsencrypt, limits, metrics, proxies, proxy_protocol, refusals,
    robustness, sockets, tls,
};

proved_by! {
    http_net: sockets::a_socket_of_the_file_system_is_served_and_removed_at_the_end,
        sockets::a_socket_that_was_left_is_replaced_and_one_that_is_anothers_by_now_stays,
        sockets::a_file_in_the_place_of_the_socket_is_left_alone_and_named;
    http_tls_files: tls::files::what_is_wrong_with_a_file_is_told_with_its_name,
        tls::files::a_chain_is_served_whole,
        tls::files::what_clients_refuse_is_served_and_told;
    http_tls_plain: tls::http_without_tls_is_told_what_is_wrong,
        tls::stalled::tls_where_there_is_none_is_told_in_the_log;
    http_tls_urls: tls::urls_begin_as_the_connection_did;
    http_tls_reload: tls::reload::another_pair_counts_for_new_connections_and_cuts_no_other,
        tls::reload::a_link_that_points_elsewhere_is_a_change,
        tls::reload::what_cannot_be_used_leaves_the_old_until_it_can,
        tls::reload::a_signal_has_the_files_read_at_once,
        tls::reload::an_end_that_is_near_is_told_in_the_log_and_as_a_metric;
    http_tls_stalled: tls::stalled::five_hundred_that_stop_within_their_first_words_delay_nobody,
        tls::stalled::the_oldest_handshake_has_to_go_where_there_are_too_many,
        tls::stalled::a_handshake_that_does_not_end_is_cut;
    http_http2: tls::http_2_is_offered_unless_it_is_disabled;
    http_systemd: sockets::the_socket_of_systemd_is_served_instead_of_the_address,
        sockets::several_sockets_are_refused_and_those_of_another_process_are_not_ours;
    http_headers: robustness::configured_headers_replace_ours_and_describe_no_answer;
    http_refused: robustness::what_is_no_http_is_told_in_the_log,
        limits::a_head_that_is_too_large_is_refused_and_one_that_stalls_is_cut;
    http_debug_addr: health::each_listener_answers_its_own_paths_alone,
        health::a_second_listener_that_cannot_listen_keeps_the_server_from_starting;
}

#[cfg(feature = "fs")]
proved_by! {
    http_draintimeout: stopping::what_has_not_ended_after_the_drain_timeout_is_cut;
}

#[test]
fn http_debug_prometheus() {
    metrics::metrics_are_served_where_they_were_asked_for_and_nowhere_else();
    #[cfg(target_os = "linux")]
    metrics::what_the_process_takes_is_told();
    #[cfg(feature = "fs")]
    metrics::the_calls_of_the_store_are_timed_under_the_name_of_its_driver();
}

/// Where an upload goes on.
fn location(more: &str, request: Request) -> String {
    let answer = server(more).send(request);
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.header("location").to_owned()
}

fn post() -> Request {
    Request::new("POST", "/v2/a/blobs/uploads/")
}

#[test]
fn http_addr() {
    let (_dir, served) = serve(&format!("{MEMORY}http: {{addr: '127.0.0.1:0'}}\n"), &[]);
    let answer = Request::new("GET", "/v2/").send(served.unwrap().address);
    assert_eq!(answer.status, 200);
    assert_eq!(check_with("").problems(), [""; 0]);
    refusals::an_address_that_cannot_be_had_is_named();
}

#[test]
fn http_tls_certificate() {
    tls::http_1_is_spoken_over_both_versions_of_tls();
    for (keys, key, says) in [
        ("certificate: a", "certificate", "`http.tls.key` is wanted"),
        ("key: a", "key", "`http.tls.certificate` is wanted"),
        ("certificate: a, key: b", "certificate", "a: reading it"),
    ] {
        let checked = check_with(&format!("http: {{tls: {{{keys}}}}}"));
        let told = checked.problems().join("\n");
        let start = format!("`http.tls.{key}` (c.yml:3:");
        assert!(told.starts_with(&start) && told.contains(says), "{told}");
    }
}

#[test]
fn http_tls_minimumtls() {
    tls::a_version_below_the_oldest_that_was_asked_for_is_not_spoken();
    let files = tls::Files::new();
    for old in ["tls1.0", "tls1.1"] {
        let checked = check_with(&files.section("", &format!("minimumtls: {old}")));
        assert!(checked.warning().contains("TLS 1.2 is the oldest"));
    }
    let checked = check_with(&files.section("", "minimumtls: tls1.4"));
    let start = "`http.tls.minimumtls` (c.yml:3:";
    assert!(checked.problems()[0].starts_with(start), "{checked:?}");
}

#[test]
fn http_tls_ciphersuites() {
    tls::suites_are_those_of_the_list();
    let files = tls::Files::new();
    let checked = |keys: &str| check_with(&files.section("", keys));
    let broken = "TLS_RSA_WITH_AES_128_CBC_SHA";
    let warned = checked(&format!("ciphersuites: [{broken}, TLS_AES_128_GCM_SHA256]"));
    let start = format!("{broken} of `http.tls.ciphersuites` (c.yml:3:");
    assert!(warned.warning().starts_with(&start), "{warned:?}");
    let idle = "minimumtls: tls1.3, ciphersuites: [TLS_AES_128_GCM_SHA256]";
    assert!(
        checked(idle)
            .warning()
            .contains("has no effect with TLS 1.3 alone")
    );
    for (names, says) in [
        (
            broken,
            "none of these is spoken; those that are: TLS_AES_128_GCM_SHA256, ",
        ),
        (
            "TLS_FOO",
            "\"TLS_FOO\" is no suite; those that are spoken: TLS_AES_128_GCM_SHA256, ",
        ),
    ] {
        let checked = checked(&format!("ciphersuites: [{names}]"));
        let told = checked.problem();
        assert!(
            told.starts_with("`http.tls.ciphersuites` (c.yml:3:"),
            "{told}"
        );
        assert!(told.contains(says), "{told}");
    }
}

#[test]
fn http_tls_clients() {
    client_certificates::by_default_only_those_are_served_whom_somebody_vouches_for();
    client_certificates::without_authorities_any_certificate_can_be_asked_for();
    let files = tls::Files::new();
    let own = files.certificate();
    for (keys, key, says) in [
        (
            "clientauth: any",
            "clientauth",
            "is not one of request-client-cert, ",
        ),
        (
            "clientauth: require-and-verify-client-cert",
            "clientauth",
            "nobody to vouch",
        ),
        ("clientcas: [gone.pem]", "clientcas", "gone.pem: reading it"),
        ("clientcas: [c.yml]", "clientcas", "c.yml: it is no PEM"),
    ] {
        let checked = check_with(&files.section("", keys));
        let told = checked.problems().join("\n");
        let start = format!("`http.tls.{key}` (c.yml:3:");
        assert!(told.starts_with(&start) && told.contains(says), "{told}");
    }
    for keys in ["clientcas: [a]", "clientauth: request-client-cert"] {
        let checked = check_with(&format!("http: {{tls: {{{keys}}}}}"));
        let told = checked.problems().join("\n");
        assert!(told.contains("there is no TLS"), "{told}");
    }
    let section = format!("{MEMORY}{}", files.section("", ""));
    let path = own.to_str().unwrap();
    for variables in [
        [("REGISTRY_HTTP_TLS_CLIENTCAS", &*format!("[{path:?}]"))],
        [("REGISTRY_HTTP_TLS_CLIENTCAS_0", path)],
    ] {
        let checked = check(&section, &variables);
        assert_eq!(checked.value("http.tls.clientcas.0"), path);
    }
}

#[test]
fn http_tls_letsencrypt() {
    letsencrypt::what_is_kept_is_served_and_the_authority_is_not_asked();
    for (keys, key) in [
        ("cachefile: a", "hosts"),
        ("hosts: [a.example]", "cachefile"),
        (
            "cachefile: a, hosts: [a.example], directoryurl: 'http://a'",
            "directoryurl",
        ),
    ] {
        let checked = check_with(&format!("http: {{tls: {{letsencrypt: {{{keys}}}}}}}"));
        let start = format!("`http.tls.letsencrypt.{key}` (c.yml:3:");
        assert!(checked.problems()[0].starts_with(&start), "{checked:?}");
    }
}

#[test]
fn http_host() {
    let told = location("http: {host: 'https://a.example:444'}\n", post());
    let start = "https://a.example:444/v2/a/blobs/uploads/";
    assert!(told.starts_with(start), "{told}");
    let warned = check_with("http: {host: 'a.example:444'}");
    let named = "`http.host` (c.yml:3:";
    assert!(warned.warning().starts_with(named), "{warned:?}");
    let told = location("http: {host: 'a.example:444'}\n", post());
    assert!(told.starts_with("/v2/a/blobs/uploads/"), "{told}");
    // Whatever else is said.
    let more = "http: {host: 'https://a.example/', relativeurls: true}\n";
    let told = location(more, post().header("X-Forwarded-Proto", "http"));
    assert!(told.starts_with("https://a.example/v2/a/"), "{told}");
    for path in ["", "/", "/below", "/below/"] {
        let more = format!("http: {{host: 'https://a.example{path}', prefix: /below/}}\n");
        let told = location(&more, Request::new("POST", "/below/v2/a/blobs/uploads/"));
        assert!(told.starts_with("https://a.example/below/v2/a/"), "{told}");
    }
}

#[test]
fn http_prefix() {
    let server = server("http: {prefix: /below/}\n");
    assert_eq!(server.get("/below/v2/").status, 200);
    assert_eq!(server.get("/v2/").status, 404);
    let begun = server.send(Request::new("POST", "/below/v2/a/blobs/uploads/"));
    let told = begun.header("location");
    assert!(told.starts_with("/below/v2/a/blobs/uploads/"), "{told}");
    assert_eq!(server.get(told).status, 204);
    robustness::below_a_prefix_there_is_the_api_and_the_root_stays_where_it_was();
}

#[test]
fn http_secret() {
    let keyed = |secret: &str| server(&format!("http: {{secret: {secret}}}\n"));
    let (one, same, other) = (keyed("hush"), keyed("hush"), keyed("hash"));
    let begun = one.send(post());
    let url = begun.header("location");
    assert_eq!(one.get(url).status, 204);
    assert_eq!(same.get(url).status, 204);
    assert_eq!(other.get(url).status, 404);
}

#[test]
fn http_relativeurls() {
    for more in ["", "http: {relativeurls: true}\n"] {
        let told = location(more, post());
        assert!(told.starts_with("/v2/a/blobs/uploads/"), "{told}");
    }
    let told = location("http: {relativeurls: false}\n", post());
    assert!(told.starts_with("http://registry/v2/a/"), "{told}");
}

#[test]
fn http_forwarded() {
    for header in [
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "proto=https;host=outside.example"),
    ] {
        let told = location(
            "http: {relativeurls: false}\n",
            post()
                .header(header.0, header.1)
                .header("X-Forwarded-Host", "outside.example"),
        );
        assert!(told.starts_with("https://registry/v2/a/"), "{told}");
    }
    proxies::a_proxy_says_what_clients_ask_and_who_they_are();
}

#[test]
fn extensions_proxies() {
    proxies::who_is_no_proxy_is_believed_nothing();
    let checked = check_with("extensions: {proxies: [all, unix, '::1', 10.0.0.0/8]}");
    assert_eq!(checked.value("extensions.proxies.3"), "10.0.0.0/8");
}

#[test]
fn extensions_proxyprotocol() {
    proxy_protocol::a_proxy_says_for_whom_it_speaks();
    proxy_protocol::who_does_not_speak_it_is_closed_and_told_of();
}

#[test]
fn http_h2c() {
    // The preface of HTTP/2, and settings of which there are none.
    let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for (more, spoken) in [("http: {h2c: {enabled: true}}\n", true), ("", false)] {
        let server = server(more);
        let mut stream = server.process.connect();
        std::io::Write::write_all(&mut stream, hello).unwrap();
        let mut frame = [0; 9];
        let got = std::io::Read::read_exact(&mut stream, &mut frame);
        // Settings are what either says first.
        assert_eq!(got.is_ok() && frame[3] == 4, spoken, "{frame:?}");
        let upgrade = Request::new("GET", "/v2/")
            .header("Connection", "Upgrade, HTTP2-Settings")
            .header("Upgrade", "h2c")
            .header("HTTP2-Settings", "AAMAAABkAAQAAP__");
        assert_eq!(server.send(upgrade).status, 200);
    }
}

#[test]
fn http_stalled() {
    limits::a_body_that_stops_arriving_ends_and_what_came_is_kept();
    let server = server("extensions: {limits: {idle_timeout: 200ms}}\n");
    let begun = Instant::now();
    // One that is slow to say something is cut, too: what is asked is asked again.
    let wire = b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = wait_for(|| parse(&exchange(server.address, wire)));
    assert_eq!((answer.status, answer.header("connection")), (200, ""));
    assert!(begun.elapsed() < Duration::from_secs(50), "it stays");
    let checked = check_with("");
    for (key, value) in [("stall_timeout", "60s"), ("idle_timeout", "75s")] {
        assert_eq!(checked.value(&format!("extensions.limits.{key}")), value);
    }
}

#[test]
fn http_limits() {
    let server = server("extensions: {limits: {header: 1000, manifest: 10}}\n");
    let long = Request::new("GET", "/v2/").header("x", &"a".repeat(1000));
    let answer = exchange(server.address, &long.wire());
    assert_eq!(parse(&answer).unwrap().status, 431);
    server
        .put_manifest("a", "t", "more than ten bytes")
        .expect(413, "MANIFEST_INVALID");
}
