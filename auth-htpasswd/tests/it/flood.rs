//! Many wrong logins at once.

use std::net::IpAddr;
use std::task::{Context, Poll, Waker};

use crate::clock;
use crate::fixture::Outcome::{In, Out, Wait};
use crate::fixture::{Fixture, login_by};

/// What a flood comes to: the logins that were tried, and those that were sent away.
async fn flood(fixture: &Fixture, user: impl Fn(usize) -> String, count: usize) -> (u64, u64) {
    let logins = (0..count).map(|n| {
        let (users, user) = (fixture.users.clone(), user(n));
        let address = Some(IpAddr::from([10, 0, 0, 66]));
        let password = format!("wrong {n}");
        tokio::spawn(async move { login_by(&users, address, &user, &password).await })
    });
    let logins: Vec<_> = logins.collect();
    let (mut tried, mut sent_away) = (0, 0);
    for login in logins {
        match login.await.unwrap() {
            In => panic!("a wrong password was right"),
            Out => tried += 1,
            Wait(_) => sent_away += 1,
        }
    }
    (tried, sent_away)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_in_needs_no_turn_while_others_flood() {
    let fixture = Fixture::new(clock!(), &[("alice", "a")]);
    assert_eq!(fixture.login("alice", "a").await, In);
    let before = fixture.users.comparisons();
    let flooding = flood(&fixture, |n| format!("user {n}"), 500);
    let pulling = async {
        for _ in 0..500 {
            assert_eq!(fixture.login("alice", "a").await, In);
        }
    };
    let ((tried, sent_away), ()) = tokio::join!(flooding, pulling);
    assert_eq!(tried + sent_away, 500);
    // Not one of them is alice's.
    assert_eq!(fixture.users.comparisons() - before, tried);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn as_many_at_once_are_tried_as_one_after_the_other() {
    let fixture = Fixture::new(clock!(), &[("alice", "a")]);
    let (tried, sent_away) = flood(&fixture, |_| "alice".to_owned(), 300).await;
    assert_eq!(tried + sent_away, 300);
    assert_eq!(fixture.users.comparisons(), tried);
    assert_eq!(tried, 10);
}

#[tokio::test]
async fn those_who_hang_up_are_counted_too() {
    let fixture = Fixture::new(clock!(), &[("alice", "a")]);
    for _ in 0..10 {
        let login = std::pin::pin!(fixture.login("alice", "wrong"));
        let polled = login.poll(&mut Context::from_waker(Waker::noop()));
        // And it is dropped: the client has gone, mostly before it could be told anything.
        assert_ne!(polled, Poll::Ready(In));
    }
    assert_eq!(fixture.login("alice", "a").await, Wait(1));
    fixture.later(1);
    assert_eq!(fixture.login("alice", "a").await, In);
}
