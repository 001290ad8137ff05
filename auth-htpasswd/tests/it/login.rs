//! Who is let in, and what that costs.

use std::net::IpAddr;

use auth_htpasswd::{Hash, MAX_PASSWORD};
use registry_core::access::{AuthError, Authenticator, Caller, Challenge, Credentials, Secret};

use crate::clock;
use crate::fixture::Outcome::{In, Out, Wait};
use crate::fixture::{Fixture, lines, login_by};

#[tokio::test]
async fn who_has_the_password_is_in_and_nobody_else() {
    let long = "p".repeat(MAX_PASSWORD);
    let users = [
        ("alice", "open sesame"),
        ("bob", "a:b:c"),
        ("jürgen", "straße"),
        ("with space", "x"),
        ("long", &long),
    ];
    let fixture = Fixture::new(clock!(), &users);
    for (user, password) in users {
        assert_eq!(fixture.login(user, password).await, In, "{user}");
    }
    let longer = "p".repeat(MAX_PASSWORD + 1);
    for (user, password) in [
        ("alice", "open Sesame"),
        ("alice", "open sesame "),
        ("alice", ""),
        ("alice", "\0"),
        ("alice", "open sesame\0"),
        ("alice", &longer),
        ("long", &longer),
        ("Alice", "open sesame"),
        ("alice ", "open sesame"),
        ("", "open sesame"),
        ("", ""),
        ("bob", "a"),
        ("bob:a", "b:c"),
        ("nobody", "open sesame"),
    ] {
        assert_eq!(
            fixture.login(user, password).await,
            Out,
            "{user} {password}"
        );
    }
}

#[tokio::test]
async fn a_password_with_more_behind_it_costs_what_a_wrong_one_costs_and_counts_as_one() {
    let long = "p".repeat(MAX_PASSWORD);
    let longer = "p".repeat(MAX_PASSWORD + 1);
    let fixture = Fixture::new(clock!(), &[("long", &long)]);
    for (n, (user, password)) in [("long", &longer), ("nobody", &longer), ("long", &longer)]
        .into_iter()
        .enumerate()
    {
        assert_eq!(fixture.login(user, password).await, Out);
        assert_eq!(
            fixture.users.comparisons(),
            n as u64 + 1,
            "none is remembered"
        );
    }
    // It forgives no failures, other than the right one.
    for _ in 2..10 {
        assert_eq!(fixture.login("long", &longer).await, Out);
    }
    let waits = fixture.login("long", &longer).await;
    assert!(matches!(waits, Wait(_)), "{waits:?}");
}

#[tokio::test]
async fn who_shows_no_password_is_asked_for_one() {
    let fixture = Fixture::new(clock!(), &[("alice", "a")]);
    let bearer = Credentials::Bearer(Secret::new("YTph".to_owned()));
    for credentials in [Credentials::Anonymous, bearer] {
        let caller = Caller::new(credentials, None);
        let refused = fixture.users.authenticate(&caller).await.unwrap_err();
        let AuthError::Challenge(Challenge::Basic { realm }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(realm, "the realm");
    }
    assert_eq!(fixture.users.comparisons(), 0);
    assert!(!fixture.users.is_open());
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_cost_one_comparison_each() {
    let fixture = Fixture::new(clock!(), &[("alice", "a"), ("bob", "b")]);
    let mut expected = 0;
    for (user, password) in [
        ("alice", "wrong"),
        ("nobody", "wrong"),
        ("alice", "wrong"),
        ("nobody", "wrong"),
        ("nobody", "a"),
        ("alice", "b"),
    ] {
        assert_eq!(fixture.login(user, password).await, Out);
        expected += 1;
        assert_eq!(fixture.users.comparisons(), expected, "{user} {password}");
    }
}

#[tokio::test]
async fn a_hash_of_any_other_kind_costs_the_same_and_the_others_log_in() {
    let text = "md5:$apr1$aKQOaT48$yIghbgBsJj1fe6Y5Bz9y20\nplain:secret\n".to_owned();
    let fixture = Fixture::with(clock!(), &(text + &lines(&[("alice", "a")])), |_| {});
    for (user, password) in [("md5", "b"), ("plain", "secret")] {
        assert_eq!(fixture.login(user, password).await, Out);
    }
    assert_eq!(fixture.users.comparisons(), 2);
    assert_eq!(fixture.login("alice", "a").await, In);
}

#[tokio::test]
async fn every_cost_that_is_accepted_works() {
    // The dear ones take a second each where nothing is optimized.
    for cost in 4..=10 {
        let hash = Hash::make(b"a", cost, [9; 16]).unwrap();
        let fixture = Fixture::with(clock!(), &format!("alice:{hash}"), |_| {});
        assert_eq!(fixture.login("alice", "a").await, In, "{cost}");
    }
}

#[tokio::test]
async fn what_was_verified_is_not_verified_again_for_a_minute() {
    let fixture = Fixture::new(clock!(), &[("alice", "a"), ("bob", "a")]);
    for _ in 0..100 {
        assert_eq!(fixture.login("alice", "a").await, In);
    }
    assert_eq!(fixture.users.comparisons(), 1);
    assert_eq!(fixture.login("bob", "a").await, In);
    assert_eq!(
        fixture.users.comparisons(),
        2,
        "another user is another thing"
    );
    fixture.later(30);
    assert_eq!(fixture.login("alice", "a").await, In);
    assert_eq!(fixture.users.comparisons(), 2);
    fixture.later(31);
    assert_eq!(fixture.login("alice", "a").await, In);
    assert_eq!(fixture.users.comparisons(), 3);
}

#[tokio::test]
async fn a_failure_is_never_remembered_as_one() {
    let fixture = Fixture::new(clock!(), &[("alice", "a")]);
    for runs in 1..=5 {
        assert_eq!(fixture.login("alice", "wrong").await, Out);
        assert_eq!(fixture.users.comparisons(), runs);
    }
    assert_eq!(fixture.login("alice", "a").await, In);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_same_logins_at_once_share_one_comparison() {
    let fixture = Fixture::new(clock!(), &[("alice", "a")]);
    let logins = (0..200).map(|_| {
        let users = fixture.users.clone();
        tokio::spawn(async move { login_by(&users, None, "alice", "a").await })
    });
    let logins: Vec<_> = logins.collect();
    for login in logins {
        assert_eq!(login.await.unwrap(), In);
    }
    assert_eq!(fixture.users.comparisons(), 1);
}

#[tokio::test]
async fn the_eleventh_failure_waits_and_another_address_does_not() {
    let fixture = Fixture::new(clock!(), &[("alice", "a"), ("bob", "b")]);
    let here = Some(IpAddr::from([10, 0, 0, 1]));
    let there = Some(IpAddr::from([10, 0, 0, 2]));
    for user in ["alice", "nobody"] {
        for _ in 0..10 {
            assert_eq!(fixture.login_from(here, user, "wrong").await, Out);
        }
        let runs = fixture.users.comparisons();
        // The right one, too: nobody has looked.
        for password in ["wrong", "a"] {
            assert_eq!(
                fixture.login_from(here, user, password).await,
                Wait(1),
                "{user}"
            );
        }
        assert_eq!(fixture.users.comparisons(), runs, "{user}");
    }
    assert_eq!(fixture.login_from(there, "alice", "a").await, In);
    assert_eq!(fixture.login_from(None, "alice", "a").await, In);
    assert_eq!(fixture.login_from(here, "bob", "b").await, In);
    fixture.later(1);
    assert_eq!(fixture.login_from(here, "nobody", "wrong").await, Out);
    assert_eq!(fixture.login_from(here, "nobody", "wrong").await, Wait(2));
}

#[tokio::test]
async fn who_was_in_before_is_not_kept_out_by_the_failures_of_others() {
    // As from behind a proxy: all have one address.
    let fixture = Fixture::new(clock!(), &[("alice", "a")]);
    assert_eq!(fixture.login("alice", "a").await, In);
    for _ in 0..10 {
        assert_eq!(fixture.login("alice", "wrong").await, Out);
    }
    assert_eq!(fixture.login("alice", "wrong").await, Wait(1));
    assert_eq!(fixture.login("alice", "a").await, In);
    fixture.later(61);
    assert_eq!(fixture.login("alice", "wrong").await, Out);
    assert_eq!(fixture.login("alice", "wrong").await, Wait(2));
    let runs = fixture.users.comparisons();
    // Verified again, and still not limited: whoever knows it knew it then.
    for _ in 0..2 {
        assert_eq!(fixture.login("alice", "a").await, In);
    }
    assert_eq!(fixture.users.comparisons(), runs + 1);
}

#[tokio::test]
async fn one_password_for_many_users_waits_and_who_was_in_before_does_not() {
    let fixture = Fixture::new(clock!(), &[("alice", "a"), ("bob", "b")]);
    let here = Some(IpAddr::from([10, 0, 0, 1]));
    assert_eq!(fixture.login_from(here, "alice", "a").await, In);
    for n in 0..100 {
        let user = format!("user {n}");
        assert_eq!(fixture.login_from(here, &user, "summer").await, Out, "{n}");
    }
    let runs = fixture.users.comparisons();
    assert_eq!(fixture.login_from(here, "bob", "b").await, Wait(1));
    assert_eq!(fixture.users.comparisons(), runs);
    assert_eq!(fixture.login_from(here, "alice", "a").await, In);
    fixture.later(61);
    // One failure is forgotten by now, and here is the next.
    assert_eq!(fixture.login_from(here, "user", "summer").await, Out);
    assert_eq!(fixture.login_from(here, "bob", "b").await, Wait(1));
    // Verified again, and still not limited.
    assert_eq!(fixture.login_from(here, "alice", "a").await, In);
    assert_eq!(fixture.users.comparisons(), runs + 2);
    let there = Some(IpAddr::from([10, 0, 0, 2]));
    assert_eq!(fixture.login_from(there, "bob", "b").await, In);
}

#[tokio::test]
async fn a_success_forgives_the_failures_before_it() {
    let fixture = Fixture::with(clock!(), &lines(&[("alice", "a")]), |config| {
        config.failures = 2;
    });
    for _ in 0..5 {
        assert_eq!(fixture.login("alice", "wrong").await, Out);
        assert_eq!(fixture.login("alice", "a").await, In);
        fixture.users.reload().await;
        std::fs::write(fixture.path(), lines(&[("alice", "a")])).unwrap();
        fixture.users.reload().await;
    }
    for _ in 0..2 {
        assert_eq!(fixture.login("alice", "wrong").await, Out);
    }
    assert_eq!(fixture.login("alice", "a").await, Wait(1));
}

#[tokio::test]
async fn failures_of_zero_is_no_limit() {
    let fixture = Fixture::with(clock!(), &lines(&[("alice", "a")]), |config| {
        config.failures = 0;
    });
    for _ in 0..150 {
        assert_eq!(fixture.login("alice", "wrong").await, Out);
    }
    assert_eq!(fixture.login("alice", "a").await, In);
}
