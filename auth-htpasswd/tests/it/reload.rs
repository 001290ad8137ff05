//! The file changes while it is in use.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use auth_htpasswd::{Config, Missing};
use registry_core::access::Authenticator;

use crate::clock;
use crate::fixture::Outcome::{In, Out};
use crate::fixture::{Fixture, lines, login_by, open, rename_over};

const BEFORE: &[(&str, &str)] = &[("alice", "a"), ("bob", "b")];
const AFTER: &[(&str, &str)] = &[("alice", "a2"), ("carol", "c")];

/// From the users before to those after, two seconds after the change.
async fn expect_after(fixture: &Fixture) {
    fixture.settle();
    for (user, password, expected) in [
        ("bob", "b", Out),
        ("alice", "a", Out),
        ("alice", "a2", In),
        ("carol", "c", In),
    ] {
        assert_eq!(fixture.login(user, password).await, expected, "{user}");
    }
}

async fn begin(fixture: &Fixture) {
    // So that they are remembered, which does not help them later.
    for (user, password) in BEFORE {
        assert_eq!(fixture.login(user, password).await, In);
    }
}

#[tokio::test]
async fn a_file_written_in_place_counts() {
    let fixture = Fixture::new(clock!(), BEFORE);
    begin(&fixture).await;
    fs::write(fixture.path(), lines(AFTER)).unwrap();
    expect_after(&fixture).await;
}

#[tokio::test]
async fn a_file_renamed_over_it_counts() {
    let fixture = Fixture::new(clock!(), BEFORE);
    begin(&fixture).await;
    rename_over(&fixture.path(), &lines(AFTER));
    expect_after(&fixture).await;
}

#[tokio::test]
async fn a_link_that_is_swapped_counts_as_kubernetes_swaps_it() {
    let clock = clock!();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, users) in [("1", BEFORE), ("2", AFTER)] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("htpasswd"), lines(users)).unwrap();
    }
    symlink("1", at("..data")).unwrap();
    symlink("..data/htpasswd", at("htpasswd")).unwrap();
    let config = Config::new("the realm", at("htpasswd"));
    let users = open(clock, &config, Missing::Create).unwrap();
    assert_eq!(login_by(&users, None, "bob", "b").await, In);
    symlink("2", at("..next")).unwrap();
    fs::rename(at("..next"), at("..data")).unwrap();
    clock.settle();
    assert_eq!(login_by(&users, None, "bob", "b").await, Out);
    assert_eq!(login_by(&users, None, "carol", "c").await, In);
}

#[tokio::test]
async fn the_file_is_looked_at_once_a_second_at_most() {
    let fixture = Fixture::new(clock!(), BEFORE);
    fixture.settle();
    begin(&fixture).await;
    let runs = fixture.users.comparisons();
    rename_over(&fixture.path(), &lines(AFTER));
    // Nobody has looked, and nothing is verified again.
    for (user, password) in BEFORE {
        assert_eq!(fixture.login(user, password).await, In);
    }
    assert_eq!(fixture.users.comparisons(), runs);
    expect_after(&fixture).await;
}

#[tokio::test]
async fn what_is_remembered_goes_with_a_change_and_stays_without_one() {
    let fixture = Fixture::new(clock!(), BEFORE);
    begin(&fixture).await;
    let text = fs::read_to_string(fixture.path()).unwrap();
    // The same again: nothing to read, nothing to forget.
    rename_over(&fixture.path(), &text);
    fixture.settle();
    begin(&fixture).await;
    assert_eq!(fixture.users.comparisons(), 2);
    rename_over(&fixture.path(), &format!("{text}# more\n"));
    fixture.settle();
    begin(&fixture).await;
    assert_eq!(fixture.users.comparisons(), 4);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_leaves_the_users_as_they_were() {
    let fixture = Fixture::with(clock!(), &lines(BEFORE), |config| config.failures = 0);
    let path = fixture.path();
    let broken: [(&str, &dyn Fn()); 5] = [
        ("a line without a colon", &|| rename_over(&path, "secret\n")),
        ("none", &|| fs::remove_file(&path).unwrap()),
        ("a directory", &|| fs::create_dir(&path).unwrap()),
        ("a link to itself", &|| {
            fs::remove_dir(&path).unwrap();
            symlink(&path, &path).unwrap();
        }),
        ("as large as no file of users", &|| {
            fs::remove_file(&path).unwrap();
            let file = fs::File::create(&path).unwrap();
            file.set_len(1 << 30).unwrap();
        }),
    ];
    for (what, make) in broken {
        make();
        for _ in 0..3 {
            fixture.settle();
            fixture.later(61);
            assert_eq!(fixture.login("bob", "b").await, In, "{what}");
            assert_eq!(fixture.login("carol", "c").await, Out, "{what}");
        }
        fixture.users.reload().await;
        assert_eq!(fixture.login("bob", "b").await, In, "{what}");
    }
    rename_over(&path, &lines(AFTER));
    expect_after(&fixture).await;
}

#[tokio::test]
async fn a_file_that_is_being_written_counts_once_it_rests() {
    let fixture = Fixture::new(clock!(), BEFORE);
    fixture.earlier(6);
    // What a rewriting program leaves for a moment: nothing, and then half of a line.
    for text in ["", &lines(AFTER)[..30]] {
        fs::write(fixture.path(), text).unwrap();
        for _ in 0..2 {
            assert_eq!(fixture.login("bob", "b").await, In, "{text:?}");
            fixture.later(1);
        }
    }
    fs::write(fixture.path(), lines(AFTER)).unwrap();
    expect_after(&fixture).await;
}

#[tokio::test]
async fn a_file_that_never_rests_counts_after_a_while() {
    let fixture = Fixture::new(clock!(), BEFORE);
    fixture.earlier(100);
    rename_over(&fixture.path(), &lines(AFTER));
    for _ in 0..10 {
        assert_eq!(fixture.login("bob", "b").await, In);
        fixture.later(1);
    }
    assert_eq!(fixture.login("bob", "b").await, Out);
    rename_over(&fixture.path(), &lines(BEFORE));
    fixture.later(1);
    assert_eq!(fixture.login("bob", "b").await, In);
}

#[tokio::test]
async fn a_file_without_users_lets_nobody_in() {
    let fixture = Fixture::new(clock!(), BEFORE);
    begin(&fixture).await;
    rename_over(&fixture.path(), "# nobody\n");
    fixture.settle();
    assert_eq!(fixture.login("bob", "b").await, Out);
}

#[tokio::test]
async fn asked_to_it_reads_the_file_at_once() {
    let fixture = Fixture::new(clock!(), BEFORE);
    begin(&fixture).await;
    rename_over(&fixture.path(), &lines(AFTER));
    fixture.users.reload().await;
    assert_eq!(fixture.login("carol", "c").await, In);
    assert_eq!(fixture.login("bob", "b").await, Out);
}

#[tokio::test]
async fn a_file_that_is_no_longer_ours_to_read_leaves_the_users() {
    let fixture = Fixture::new(clock!(), BEFORE);
    let mode = |mode| fs::set_permissions(fixture.path(), fs::Permissions::from_mode(mode));
    mode(0o000).unwrap();
    fixture.settle();
    assert_eq!(fixture.login("bob", "b").await, In);
    mode(0o600).unwrap();
    let mut file = OpenOptions::new()
        .append(true)
        .open(fixture.path())
        .unwrap();
    file.write_all(lines(&[("carol", "c")]).as_bytes()).unwrap();
    expect_carol(&fixture).await;
}

async fn expect_carol(fixture: &Fixture) {
    fixture.settle();
    assert_eq!(fixture.login("carol", "c").await, In);
    assert_eq!(fixture.login("bob", "b").await, In);
}

/// Makes the path lead to a file of this name beside it.
fn swap_link(path: &Path, name: &str, text: &str) {
    let next = path.with_extension("link");
    fs::write(path.with_file_name(name), text).unwrap();
    symlink(name, &next).unwrap();
    fs::rename(next, path).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_in_every_version_is_never_kept_out_by_a_rewrite() {
    let fixture = Fixture::new(clock!(), BEFORE);
    let versions = [lines(BEFORE), lines(&[BEFORE, AFTER].concat())];
    // Alice has one password in all of them.
    let versions = versions.map(|version| version.replace("alice", "other"));
    let alice = lines(&[("alice", "a")]);
    let versions = versions.map(|version| format!("{version}{alice}"));
    let done = Arc::new(AtomicBool::new(false));
    let path = fixture.path();
    let writer = tokio::task::spawn_blocking({
        let (done, versions) = (Arc::clone(&done), versions.clone());
        move || {
            for n in 0..1000 {
                let text = &versions[n % 2];
                match n / 2 % 3 {
                    0 => rename_over(&path, text),
                    1 => swap_link(&path, &format!("users-{}", n % 2), text),
                    // Through the link.
                    _ => fs::write(&path, text).unwrap(),
                }
            }
            done.store(true, Ordering::SeqCst);
        }
    });
    let mut logins = 0;
    while !done.load(Ordering::SeqCst) || logins < 100 {
        // Under a clock that is set back each looks at the file, and none finds it at rest.
        fixture.earlier(1);
        assert_eq!(fixture.login("alice", "a").await, In);
        logins += 1;
    }
    writer.await.unwrap();
    rename_over(&fixture.path(), &lines(AFTER));
    expect_after(&fixture).await;
}

#[tokio::test]
async fn a_generation_lasts_for_as_long_as_what_users_are_known_by() {
    let fixture = Fixture::new(clock!(), BEFORE);
    let users = &fixture.users;
    fixture.settle();
    assert_eq!(
        users.generation(),
        None,
        "nobody knows until it is looked at"
    );
    let known_by = users.credential("alice").await.unwrap();
    let first = users.generation();
    assert!(first.is_some());

    // What another look found to be the same, was the same meanwhile.
    fixture.settle();
    assert_eq!(users.generation(), None);
    assert_eq!(fixture.login("bob", "b").await, In);
    assert_eq!(users.generation(), first);

    rename_over(&fixture.path(), &lines(AFTER));
    fixture.settle();
    let other = users.credential("alice").await.unwrap();
    assert_ne!(known_by.expose(), other.expose());
    let second = users.generation();
    assert!(second.is_some() && second != first);

    // Users who come back are of a generation of their own.
    rename_over(&fixture.path(), &lines(BEFORE));
    users.reload().await;
    let third = users.generation();
    assert!(third.is_some() && third != first && third != second);

    // One that cannot be used changes nothing.
    rename_over(&fixture.path(), "alice\n");
    users.reload().await;
    assert_eq!(users.generation(), third);
}
