//! Clients that prove who they are by certificates, from the real binary.

#[cfg(all(feature = "fs", feature = "htpasswd", feature = "token"))]
mod identity;
pub(crate) mod shown;

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::{ClientConfig, HandshakeKind};

use self::shown::{Asked, Shown, Voucher, World};
use crate::client::{Answer, Request, parse};
use crate::process::wait_for;
use crate::server::Server;
use crate::tls::{Version, connect};

const VERSIONS: [Version; 2] = [Version::Tls12, Version::Tls13];

/// The answer; none where the connection is refused, which in TLS 1.3 a client learns when it
/// reads.
pub(crate) fn try_send(server: &Server, config: ClientConfig, request: &Request) -> Option<Answer> {
    let mut stream = connect(server, Arc::new(config)).ok()?;
    stream.write_all(&request.wire()).ok()?;
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => parse(&bytes),
        Err(_) => None,
    }
}

fn is_served(world: &World, server: &Server, shown: &Shown, version: Version) -> bool {
    let config = shown.client(&world.files, version, &["http/1.1"]);
    let answer = try_send(server, config, &Request::new("GET", "/v2/"));
    answer
        .inspect(|answer| assert_eq!(answer.status, 200))
        .is_some()
}

/// Everyone comes in both versions: those whom somebody vouches for, others, who shows nothing, and
/// who shows what is another's.
fn serves(auth: &str, vouched: bool, others: bool, nobody: bool) {
    let world = World::new();
    let server = world.files.start("", &world.keys(auth), "");
    for version in VERSIONS {
        for (name, is_vouched, shown) in &world.clients {
            let expected = if *is_vouched { vouched } else { others };
            let served = is_served(&world, &server, shown, version);
            assert_eq!(served, expected, "{auth} {version:?}: {name}");
        }
        let served = is_served(&world, &server, &Shown::default(), version);
        assert_eq!(served, nobody, "{auth} {version:?}: nobody");
        let thief = is_served(&world, &server, &world.thief, version);
        assert!(!thief, "{auth} {version:?}: who has not the key");
    }
}

#[test]
pub(crate) fn by_default_only_those_are_served_whom_somebody_vouches_for() {
    serves("", true, false, false);
}

#[test]
fn who_is_not_let_in_is_told_of_in_the_log() {
    let world = World::new();
    let server = world.files.start("", &world.keys(""), "");
    assert!(!is_served(
        &world,
        &server,
        &Shown::default(),
        Version::Tls13
    ));
    let line = "no handshake of TLS";
    wait_for(|| (server.process.log.count(line) == 1).then_some(()));
    let lines = server.process.log.lines();
    let line = lines.iter().find(|told| told.contains(line)).unwrap();
    assert!(
        line.contains("level=info") && line.contains("certificate"),
        "{line}"
    );
}

#[test]
pub(crate) fn require_and_verify_is_the_same() {
    serves("require-and-verify-client-cert", true, false, false);
}

#[test]
pub(crate) fn who_shows_nothing_is_served_where_certificates_are_verified_if_given() {
    serves("verify-client-cert-if-given", true, false, true);
}

#[test]
pub(crate) fn any_certificate_will_do_where_any_is_required() {
    serves("require-any-client-cert", true, true, false);
}

#[test]
pub(crate) fn where_one_is_requested_everyone_is_served_but_who_has_not_the_key() {
    serves("request-client-cert", true, true, true);
}

#[test]
pub(crate) fn without_authorities_any_certificate_can_be_asked_for() {
    let world = World::new();
    let server = world
        .files
        .start("", "clientauth: require-any-client-cert", "");
    for version in VERSIONS {
        for name in ["good", "own, not trusted"] {
            assert!(is_served(&world, &server, world.find(name), version));
        }
        assert!(!is_served(&world, &server, &Shown::default(), version));
        assert!(!is_served(&world, &server, &world.thief, version));
    }
}

#[test]
fn clients_are_told_whom_the_server_trusts() {
    let world = World::new();
    let modes = ["verify-client-cert-if-given", "request-client-cert"];
    for auth in modes {
        let server = world.files.start("", &world.keys(auth), "");
        for version in VERSIONS {
            let asked = Arc::new(Asked::default());
            let mut config = Shown::default().client(&world.files, version, &[]);
            config.client_auth_cert_resolver = Arc::clone(&asked) as _;
            let answer = try_send(&server, config, &Request::new("GET", "/v2/"));
            assert_eq!(answer.unwrap().status, 200);
            let hints = asked.0.lock().unwrap().take().unwrap();
            let names =
                |hint: &Vec<u8>, name: &[u8]| hint.windows(name.len()).any(|part| part == name);
            let expected: [&[u8]; 3] = [b"voucher", b"past", b"own"];
            assert_eq!(hints.len(), 3, "{hints:?}");
            for (hint, name) in hints.iter().zip(expected) {
                assert!(names(hint, name), "{hint:?}");
            }
        }
    }
}

/// As many as a message of TLS has no room for.
#[test]
fn authorities_without_number_are_no_hint_and_vouch_all_the_same() {
    let world = World::new();
    let long = "o".repeat(2000);
    let many: String = (0..40)
        .map(|at| Voucher::new(&format!("{long}{at}")).pem())
        .collect();
    world.write("a.pem", &(world.voucher.pem() + &many));
    let server = world.files.start("", &world.keys(""), "");
    for version in VERSIONS {
        assert!(is_served(&world, &server, world.find("good"), version));
    }
}

/// A resumed session shows no certificate again, and nobody would look whether it still counts.
#[test]
pub(crate) fn where_certificates_are_asked_for_no_session_is_resumed() {
    let world = World::new();
    for (keys, expected) in [
        (world.keys(""), HandshakeKind::Full),
        (String::new(), HandshakeKind::Resumed),
    ] {
        let server = world.files.start("", &keys, "");
        for version in VERSIONS {
            let config = Arc::new(world.find("good").client(&world.files, version, &[]));
            let kinds = [(); 2].map(|()| {
                let mut stream = connect(&server, Arc::clone(&config)).unwrap();
                let request = Request::new("GET", "/v2/");
                stream.write_all(&request.wire()).unwrap();
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes).unwrap();
                assert_eq!(parse(&bytes).unwrap().status, 200);
                stream.conn.handshake_kind().unwrap()
            });
            assert!(matches!(
                kinds[0],
                HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest
            ));
            assert_eq!(kinds[1], expected, "{version:?}");
        }
    }
}

/// At once after a signal, and also for who could resume what was begun before.
#[test]
pub(crate) fn an_authority_that_is_taken_away_vouches_for_nobody_after_it_was_read_again() {
    let world = World::new();
    let server = world.files.start("", &world.keys(""), "");
    let (good, own) = (world.find("good"), world.find("own"));
    let clients = VERSIONS.map(|version| Arc::new(good.client(&world.files, version, &[])));
    let served = |config: &Arc<ClientConfig>| {
        let request = Request::new("GET", "/v2/");
        try_send(&server, ClientConfig::clone(config), &request).is_some()
    };
    assert!(clients.iter().all(served));
    // What cannot be used leaves what was read before.
    world.write("a.pem", "nothing");
    server.process.signal("HUP");
    server.process.log.wait("a.pem: it is no PEM");
    assert!(clients.iter().all(served));
    world.write("a.pem", &Voucher::new("voucher").pem());
    server.process.signal("HUP");
    wait_for(|| (!served(&clients[0])).then_some(()));
    assert!(!clients.iter().any(served));
    for version in VERSIONS {
        assert!(is_served(&world, &server, own, version));
    }
}
