//! Whom a request is taken to be from.

use std::net::{Ipv4Addr, SocketAddr};

use proptest::prelude::*;

use super::*;

fn named(list: &[&str]) -> Proxies {
    let list: Vec<String> = list.iter().map(|name| (*name).to_owned()).collect();
    Proxies::named(&list).unwrap()
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn peer(address: &str) -> PeerAddr {
    PeerAddr(
        address
            .parse()
            .ok()
            .map(|address| SocketAddr::new(address, 4711)),
    )
}

/// Who asks, where the proxies are these and the peer is `10.0.0.1`.
#[track_caller]
fn check(proxies: &[&str], lines: &[(&'static str, &str)], expected: &str) {
    let front = Front::new(named(proxies));
    let client = front.client(peer("10.0.0.1"), &headers(lines));
    assert_eq!(client.address(), expected.parse().ok(), "{lines:?}");
}

#[test]
fn the_proxies_are_addresses_networks_sockets_or_everyone() {
    let table: [(&[&str], &str, bool); 14] = [
        (&[], "127.0.0.1", false),
        (&[], "", false),
        (&["10.0.0.0/8"], "10.1.2.3", true),
        (&["10.0.0.0/8"], "::ffff:10.1.2.3", true),
        (&["10.0.0.1/8"], "10.1.2.3", true),
        (&["10.0.0.0/8"], "11.0.0.0", false),
        (&["10.0.0.0/8"], "", false),
        (&["192.0.2.1", "fd00::/8"], "192.0.2.1", true),
        (&["192.0.2.1", "fd00::/8"], "192.0.2.2", false),
        (&["192.0.2.1", "fd00::/8"], "fd12::1", true),
        (&["0.0.0.0/0"], "::1", false),
        (&["unix"], "", true),
        (&["unix"], "127.0.0.1", false),
        (&["all"], "192.0.2.1", true),
    ];
    for (proxies, peer, expected) in table {
        let trusts = named(proxies).trusts(peer.parse().ok());
        assert_eq!(trusts, expected, "{proxies:?} {peer:?}");
    }
    assert!(named(&["all"]).trusts(None));
    for wrong in [
        "",
        "ALL",
        "localhost",
        "10.0.0.0/33",
        "10.0.0",
        "10.0.0.0/",
        "::/129",
    ] {
        let list = ["unix".to_owned(), wrong.to_owned()];
        assert_eq!(Proxies::named(&list), Err(1), "{wrong:?}");
    }
}

#[test]
fn who_asks_is_the_first_on_the_way_back_who_is_no_proxy() {
    const FOR: &str = "x-forwarded-for";
    let inside = ["10.0.0.0/8"];
    check(&inside, &[], "10.0.0.1");
    check(&inside, &[(FOR, "192.0.2.1")], "192.0.2.1");
    // Whatever a client sends stands to the left of what a proxy adds.
    check(&inside, &[(FOR, "1.1.1.1, 192.0.2.1")], "192.0.2.1");
    check(
        &inside,
        &[(FOR, "1.1.1.1, 192.0.2.1, 10.0.0.2")],
        "192.0.2.1",
    );
    check(
        &inside,
        &[(FOR, "1.1.1.1"), (FOR, "192.0.2.1,10.0.0.2")],
        "192.0.2.1",
    );
    check(&inside, &[(FOR, "10.0.0.3, 10.0.0.2")], "10.0.0.3");
    check(&inside, &[(FOR, "evil, 10.0.0.2")], "10.0.0.2");
    check(&inside, &[(FOR, "evil")], "10.0.0.1");
    check(&inside, &[(FOR, "192.0.2.1, ")], "10.0.0.1");
    check(&["all"], &[(FOR, "1.1.1.1, 192.0.2.1")], "1.1.1.1");
    check(&["10.0.0.2"], &[(FOR, "192.0.2.1")], "10.0.0.1");
    check(&[], &[(FOR, "192.0.2.1")], "10.0.0.1");
    check(&inside, &[("x-real-ip", "192.0.2.1")], "192.0.2.1");
    check(&[], &[("x-real-ip", "192.0.2.1")], "10.0.0.1");
    check(
        &inside,
        &[("x-real-ip", "1.1.1.1"), (FOR, "192.0.2.1")],
        "192.0.2.1",
    );
    check(
        &inside,
        &[("x-real-ip", "1.1.1.1"), (FOR, "evil")],
        "10.0.0.1",
    );
    let forwarded = (
        "forwarded",
        "for=1.1.1.1, for=\"[2001:db8::1]:1\", for=10.0.0.2",
    );
    check(&inside, &[forwarded], "2001:db8::1");
    check(&[], &[forwarded], "10.0.0.1");
}

#[test]
fn of_two_headers_that_disagree_none_is_believed() {
    let inside = ["10.0.0.0/8"];
    let listed = ("x-forwarded-for", "192.0.2.1");
    check(
        &inside,
        &[listed, ("forwarded", "for=192.0.2.1;proto=https")],
        "192.0.2.1",
    );
    check(&inside, &[listed, ("forwarded", "for=1.1.1.1")], "10.0.0.1");
    check(&inside, &[listed, ("forwarded", "for=evil")], "10.0.0.1");
    // It says nothing of who asks, or nothing at all.
    check(
        &inside,
        &[listed, ("forwarded", "proto=https")],
        "192.0.2.1",
    );
    check(&inside, &[listed, ("forwarded", "for=\"")], "192.0.2.1");
}

#[test]
fn a_client_without_an_address_is_as_good_as_its_socket() {
    let lines = headers(&[("x-forwarded-for", "1.1.1.1, 192.0.2.1")]);
    let address = |proxies: &[&str]| {
        let front = Front::new(named(proxies));
        front.client(PeerAddr(None), &lines).address()
    };
    assert_eq!(address(&["unix"]), "192.0.2.1".parse().ok());
    assert_eq!(address(&["10.0.0.0/8"]), None);
}

#[test]
fn a_scheme_is_believed_of_everyone_until_someone_is_named_and_a_host_is_not() {
    let lines = headers(&[
        ("host", "inside:5000"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "outside"),
    ]);
    let told = |proxies| {
        let outside = Front::new(proxies).outside(peer("10.0.0.1"), &lines, false);
        (outside.scheme, outside.host)
    };
    let host = |host: &str| host.to_owned();
    assert_eq!(
        told(Proxies::default()),
        (Some("https"), host("inside:5000"))
    );
    assert_eq!(told(named(&[])), (None, host("inside:5000")));
    assert_eq!(told(named(&["10.0.0.2"])), (None, host("inside:5000")));
    assert_eq!(told(named(&["10.0.0.1"])), (Some("https"), host("outside")));
}

#[test]
fn few_are_said_not_to_be_believed_and_each_once() {
    let front = Front::default();
    let lines = headers(&[("x-forwarded-for", "192.0.2.1")]);
    for _ in 0..2 {
        for n in 0..100 {
            let address = Ipv4Addr::new(10, 0, 0, n).to_string();
            front.client(peer(&address), &lines);
        }
    }
    let said = front.said.lock().unwrap();
    let first = (0..8).map(|n| Some(IpAddr::from([10, 0, 0, n])));
    assert!(said.iter().copied().eq(first), "{said:?}");
}

proptest! {
    /// Whatever a client sends, the address that a trusted proxy adds is who asks.
    #[test]
    fn nobody_leaves_an_address_that_a_proxy_has_seen(sent in "[ -~\t]{0,60}", line: bool) {
        let mut headers = HeaderMap::new();
        let seen = "192.0.2.1";
        match line {
            true => {
                headers.append("x-forwarded-for", sent.parse().unwrap());
                headers.append("x-forwarded-for", seen.parse().unwrap());
            }
            false => {
                headers.append("x-forwarded-for", format!("{sent}, {seen}").parse().unwrap());
            }
        }
        let client = Front::new(named(&["10.0.0.0/8"])).client(peer("10.0.0.1"), &headers);
        prop_assert_eq!(client.address(), seen.parse().ok());
    }

    /// Whatever is sent in any of them, it is no panic, and no host but a host.
    #[test]
    fn nothing_odd_is_told(sent in proptest::collection::vec("[ -~\t]{0,40}", 4)) {
        let mut headers = HeaderMap::new();
        for (name, value) in [X_HOST, X_PROTO, FORWARDED, FORWARDED].iter().zip(&sent) {
            headers.append(name, value.parse().unwrap());
        }
        let front = Front::new(named(&["all"]));
        let outside = front.outside(peer("10.0.0.1"), &headers, false);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        prop_assert!(outside.host.chars().all(plain), "{:?}", outside.host);
        front.client(peer("10.0.0.1"), &headers);
    }
}
