use std::net::IpAddr;

use hmac::KeyInit;

use super::*;

fn limiter(free: u32) -> Limiter {
    Limiter::new(free, Hmac::new_from_slice(&[1; 32]).unwrap())
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn some_failures_are_free_and_then_each_waits_longer() {
    let limiter = limiter(3);
    let pair = limiter.culprit(Network::of(None), "u");
    let mut now = 0;
    for _ in 0..3 {
        assert_eq!(limiter.begin(&pair, at(now)), Ok(()));
    }
    for wait in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        let expected = Err(Duration::from_secs(wait));
        assert_eq!(limiter.begin(&pair, at(now)), expected);
        // To ask in vain does not make it longer.
        assert_eq!(limiter.begin(&pair, at(now)), expected);
        now += wait;
        assert_eq!(limiter.begin(&pair, at(now)), Ok(()));
    }
    now += FORGIVEN.as_secs();
    for _ in 0..3 {
        assert_eq!(limiter.begin(&pair, at(now)), Ok(()));
    }
    assert!(limiter.begin(&pair, at(now)).is_err());
}

#[test]
fn a_success_forgives_and_what_was_not_tried_does_not_count() {
    let limiter = limiter(1);
    let pair = limiter.culprit(Network::of(None), "u");
    for _ in 0..10 {
        assert_eq!(limiter.begin(&pair, at(0)), Ok(()));
        limiter.succeed(&pair);
        assert_eq!(limiter.begin(&pair, at(0)), Ok(()));
        limiter.withdraw(&pair);
    }
    assert_eq!(limiter.begin(&pair, at(0)), Ok(()));
    assert!(limiter.begin(&pair, at(0)).is_err());
}

#[test]
fn a_culprit_is_a_network_and_a_user() {
    let limiter = limiter(1);
    let culprit = |address: &str, user| limiter.culprit(Network::of(address.parse().ok()), user);
    let here = culprit("2001:db8::1", "u");
    assert_eq!(here, culprit("2001:db8::ffff:1", "u"));
    let (neighbour, elsewhere) = (culprit("2001:db8::1", "v"), culprit("10.0.0.1", "u"));
    assert_eq!(here.network, neighbour.network);
    assert_ne!(here.network, elsewhere.network);
    assert_ne!(here.pair, neighbour.pair);
    assert_ne!(here.pair, elsewhere.pair);
    assert_ne!(
        culprit("10.0.0.1", "").pair,
        culprit("10.0.0.1", "").network
    );
}

/// Tries of one user after the other from one network, until one has to wait.
fn spray(limiter: &Limiter, network: Network, now: SystemTime) -> (usize, Duration) {
    let mut tries = (0..1000).map(|n| {
        let culprit = limiter.culprit(network, &format!("user {n}"));
        limiter.begin(&culprit, now)
    });
    let free = tries.by_ref().take_while(Result::is_ok).count();
    (free, tries.next().unwrap().unwrap_err())
}

#[test]
fn many_users_from_one_network_wait_in_the_end_and_another_network_does_not() {
    let [here, there] = ["10.0.0.1", "10.0.0.2"].map(|from| Network::of(from.parse().ok()));
    for (free, expected) in [(1, 100), (10, 100), (20, 200)] {
        let limiter = limiter(free);
        let expected = (expected, Duration::from_secs(1));
        assert_eq!(spray(&limiter, here, at(0)), expected);
        let unheard_of = limiter.culprit(here, "unheard of");
        assert_eq!(limiter.begin(&unheard_of, at(0)), Err(expected.1));
        assert_eq!(spray(&limiter, there, at(0)), expected);
        // It waits for longer, and a password of their own does not help.
        for (now, wait) in [(1, 2), (3, 4), (7, 8)] {
            let failing = limiter.culprit(here, &format!("at {now}"));
            assert_eq!(limiter.begin(&failing, at(now)), Ok(()));
            let wait = Duration::from_secs(wait);
            assert_eq!(limiter.begin(&unheard_of, at(now)), Err(wait));
        }
        let own = limiter.culprit(here, "own");
        assert_eq!(limiter.begin(&own, at(15)), Ok(()));
        limiter.succeed(&own);
        assert!(limiter.begin(&unheard_of, at(15)).is_err());
        let long_after = at(15 + FORGIVEN.as_secs());
        assert_eq!(spray(&limiter, here, long_after), expected);
    }
}

#[test]
fn a_network_where_some_mistype_now_and_then_never_waits() {
    let limiter = limiter(1);
    for n in 0..1000 {
        let somebody = limiter.culprit(Network::of(None), &format!("user {n}"));
        assert_eq!(limiter.begin(&somebody, at(n * 60)), Ok(()), "{n}");
        for _ in 0..3 {
            let other = limiter.culprit(Network::of(None), "other");
            assert_eq!(limiter.begin(&other, at(n * 60 + 30)), Ok(()), "{n}");
            limiter.succeed(&other);
        }
    }
}

#[test]
fn who_was_not_tried_is_not_remembered() {
    let limiter = limiter(2);
    let count = |marks: fn(&Memory) -> &Entries| {
        let memory = limiter.memory.as_ref().unwrap().lock().unwrap();
        marks(&memory).by_mark.len()
    };
    let failed = limiter.culprit(Network::of(None), "failed");
    assert_eq!(limiter.begin(&failed, at(0)), Ok(()));
    for n in 0..ENTRIES {
        let refused = limiter.culprit(Network::of(None), &n.to_string());
        assert_eq!(limiter.begin(&refused, at(0)), Ok(()));
        limiter.withdraw(&refused);
    }
    assert_eq!((count(|m| &m.pairs), count(|m| &m.networks)), (1, 1));
    // Of two tries the one that was made counts.
    assert_eq!(limiter.begin(&failed, at(0)), Ok(()));
    limiter.withdraw(&failed);
    assert_eq!(limiter.begin(&failed, at(0)), Ok(()));
    assert!(limiter.begin(&failed, at(0)).is_err());
    let elsewhere = limiter.culprit(Network::of("10.0.0.1".parse().ok()), "u");
    assert_eq!(limiter.begin(&elsewhere, at(0)), Ok(()));
    limiter.succeed(&elsewhere);
    assert_eq!((count(|m| &m.pairs), count(|m| &m.networks)), (1, 1));
}

#[test]
fn a_limit_of_none_is_none_and_a_clock_set_back_locks_nobody_out_for_long() {
    let none = limiter(0);
    let pair = none.culprit(Network::of(None), "u");
    assert!((0..1000).all(|_| none.begin(&pair, at(0)).is_ok()));
    let limiter = limiter(1);
    assert_eq!(limiter.begin(&pair, at(1_000_000)), Ok(()));
    assert_eq!(limiter.begin(&pair, at(5)), Err(Duration::from_secs(1)));
    assert_eq!(limiter.begin(&pair, at(6)), Ok(()));
}

#[test]
fn however_many_fail_the_memory_is_bounded() {
    let limiter = limiter(1);
    for n in 0..3 * ENTRIES {
        let address = IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
        let culprit = limiter.culprit(Network::of(Some(address)), "u");
        assert_eq!(limiter.begin(&culprit, at(0)), Ok(()));
    }
    let memory = limiter.memory.as_ref().unwrap().lock().unwrap();
    assert!(memory.pairs.by_mark.len() <= ENTRIES);
    assert!(memory.networks.by_mark.len() <= ENTRIES);
}
