//! What rules give, with tokens and certificates.

use super::*;
use crate::access::{Certificate, CertificateName};

#[test]
fn a_token_grants_what_it_carries_and_nothing_else() {
    let rules = Arc::new(Rules::everything());
    let pull = Access::repository(&"a".parse().unwrap(), Action::Pull);
    let push = Access::repository(&"a".parse().unwrap(), Action::Push);
    let mut who = Identity::named("alice", Scheme::Bearer);
    who.granted = Some(vec![pull.clone()]);
    let grant = rules
        .authorize(who.clone(), std::slice::from_ref(&pull), &[])
        .unwrap();
    assert!(grant.may(&pull) && !grant.may(&push));
    let refusal = rules.authorize(
        who,
        std::slice::from_ref(&push),
        std::slice::from_ref(&pull),
    );
    assert_eq!(
        refusal.unwrap_err(),
        Refusal::Challenge {
            scope: vec![push, pull]
        }
    );
}

fn rule(who: &[&str], names: &[&str], rights: &[&str]) -> Rule {
    Rule::new(
        who.iter().map(|text| text.parse().unwrap()).collect(),
        names
            .iter()
            .map(|text| NamePattern::parse(text).unwrap())
            .collect(),
        rights.iter().map(|text| text.parse().unwrap()).collect(),
    )
}

fn some_rules() -> Rules {
    let mut groups = Groups::default();
    let members = ["bob", "certificate:dns=dev.example"];
    groups.insert("dev", members.map(|text| text.parse().unwrap()).into());
    Rules::only(
        vec![
            rule(&["anonymous"], &["public/**"], &["pull"]),
            rule(
                &["authenticated"],
                &["${user}/**"],
                &["pull", "push", "delete"],
            ),
            rule(&["group:dev"], &["team/*"], &["pull", "create"]),
            rule(
                &["user:root", "group:admins"],
                &["**"],
                &["pull", "push", "delete", "catalog"],
            ),
        ],
        groups,
    )
}

#[test]
fn rules_give_what_they_say_and_nothing_else() {
    let rules = some_rules();
    let of = |who: &Identity, name: &str| -> String {
        let name = name.parse().unwrap();
        let given = |right: &Right| {
            let name = (*right != Right::Catalog).then_some(&name);
            rules.decide(who, *right, name) != Decision::Denied
        };
        let rights: Vec<&str> = Right::ALL
            .iter()
            .filter(|right| given(right))
            .map(|right| right.as_str())
            .collect();
        rights.join(" ")
    };
    let named = |name: &str| Identity::named(name, Scheme::Basic);
    let nobody = Identity::anonymous();
    assert_eq!(of(&nobody, "public/a"), "pull");
    assert_eq!(of(&nobody, "public"), "");
    assert_eq!(of(&nobody, "team/a"), "");
    assert_eq!(
        of(&named("bob"), "public/a"),
        "pull",
        "nothing is lost by logging in"
    );
    assert_eq!(of(&named("bob"), "bob/a"), "pull push delete");
    assert_eq!(of(&named("bob"), "alice/a"), "");
    assert_eq!(of(&named("bob"), "team/a"), "pull create");
    assert_eq!(of(&named("alice"), "team/a"), "");
    assert_eq!(of(&named("root"), "a"), "pull push delete catalog");
    assert_eq!(
        of(&named(""), "public/a"),
        "pull",
        "the empty name is nobody's"
    );
    let mut carol = named("carol");
    carol.groups.push("admins".to_owned());
    assert_eq!(of(&carol, "x/y"), "pull push delete catalog");
    let bob = named("bob");
    let team = "team/a".parse().unwrap();
    assert_eq!(
        rules.decide(&bob, Right::Create, Some(&team)),
        Decision::Given { rule: 2 }
    );
    let access = |action| Access::repository(&team, action);
    assert!(rules.allow(&bob, &access(Action::Push)) && !rules.allow_moving_tags(&bob, &team));
    assert!(!rules.allow(&bob, &access(Action::Delete)) && !rules.allow(&bob, &Access::Catalog));
    assert!(rules.name_anonymous() && !Rules::everything().name_anonymous());
}

#[test]
fn a_token_never_widens_what_rules_give() {
    let rules = Arc::new(some_rules());
    let all: Vec<Access> = ["team/a", "bob/a"]
        .iter()
        .flat_map(|name| {
            [Action::Pull, Action::Push, Action::Delete]
                .map(|action| Access::repository(&name.parse().unwrap(), action))
        })
        .collect();
    let mut who = Identity::named("bob", Scheme::Bearer);
    who.granted = Some(all.clone());
    let grant = rules.authorize(who, &[], &[]).unwrap();
    let may: Vec<bool> = all.iter().map(|access| grant.may(access)).collect();
    assert_eq!(may, [true, true, false, true, true, true]);
    assert!(!grant.may_move_tags(&"team/a".parse().unwrap()));
    assert!(grant.may_move_tags(&"bob/a".parse().unwrap()));
}

#[test]
fn who_is_known_is_denied_and_others_are_asked_who_they_are() {
    let rules = Arc::new(some_rules());
    let push = Access::repository(&"public/a".parse().unwrap(), Action::Push);
    let ask = |who| {
        rules
            .authorize(who, std::slice::from_ref(&push), &[])
            .unwrap_err()
    };
    assert_eq!(ask(Identity::named("bob", Scheme::Basic)), Refusal::Denied);
    let scope = vec![push.clone()];
    let refused = Refusal::Challenge { scope };
    assert_eq!(ask(Identity::anonymous()), refused);
    let certified = Identity::anonymous().with_certificate(certificate("dns=dev.example"));
    assert_eq!(certified.scheme, Scheme::Certificate);
    assert_eq!(ask(certified), refused, "a user could still be someone");
    let bob = Identity::named("bob", Scheme::Basic);
    let both = bob.with_certificate(certificate("dns=dev.example"));
    assert_eq!(ask(both), Refusal::Denied);
}

fn certificate(text: &str) -> Arc<Certificate> {
    let name: CertificateName = format!("certificate:{text}").parse().unwrap();
    Arc::new(Certificate::default().with(name))
}

/// Rules of a certificate and of users, where each might be taken for the other.
fn mixed_rules() -> Arc<Rules> {
    let mut groups = Groups::default();
    let members = ["certificate:dns=dev.example", "certificate:subject=CN=ci"];
    groups.insert("dev", members.map(|text| text.parse().unwrap()).into());
    Arc::new(Rules::only(
        vec![
            rule(&["authenticated"], &["${user}/**", "shared/*"], &["pull"]),
            rule(&["user:alice"], &["team/*"], &["pull", "push"]),
            rule(&["certificate:subject=CN=ci"], &["team/*"], &["create"]),
            rule(&["certificate:uri=a:ci"], &["team/*"], &["catalog"]),
            rule(&["group:dev"], &["dev/*"], &["pull", "delete"]),
        ],
        groups,
    ))
}

#[test]
fn a_certificate_has_what_rules_give_to_it_and_nothing_of_a_user() {
    let rules = mixed_rules();
    assert!(rules.name_certificates() && !Rules::everything().name_certificates());
    let may = |who: &Identity, right, name: &str| {
        let name = name.parse().unwrap();
        rules.decide(who, right, Some(&name)) != Decision::Denied
    };
    let by = |text| Identity::anonymous().with_certificate(certificate(text));
    let ci = by("subject=CN=ci");
    assert!(may(&ci, Right::Create, "team/a") && !may(&ci, Right::Push, "team/a"));
    assert!(may(&ci, Right::Delete, "dev/a") && may(&by("dns=DEV.example"), Right::Pull, "dev/a"));
    assert!(
        !may(&by("dns=ci"), Right::Create, "team/a") && !may(&by("dns=ci"), Right::Pull, "dev/a")
    );
    assert!(
        may(&by("dns=anyone"), Right::Pull, "shared/a"),
        "it is someone"
    );
    for (text, name) in [
        ("subject=CN=alice", "alice/a"),
        ("subject=CN=alice", "team/a"),
        ("dns=alice", "alice/a"),
        ("email=alice", "alice/a"),
        ("uri=user:alice", "team/a"),
    ] {
        assert!(!may(&by(text), Right::Pull, name), "{text} {name}");
    }
    // Nor is a user a certificate.
    for user in ["certificate:subject=CN=ci", "CN=ci", "ci"] {
        let user = Identity::named(user, Scheme::Bearer);
        assert!(!may(&user, Right::Create, "team/a") && !may(&user, Right::Pull, "dev/a"));
    }
}

#[test]
fn a_user_with_a_certificate_has_what_either_has() {
    let rules = mixed_rules();
    let dev = || certificate("dns=dev.example");
    let alice = Identity::named("alice", Scheme::Basic).with_certificate(dev());
    let grant = rules.authorize(alice, &[], &[]).unwrap();
    for (name, action, expected) in [
        ("alice/a", Action::Pull, true),
        ("team/a", Action::Push, true),
        ("dev/a", Action::Delete, true),
        ("dev/a", Action::Push, false),
        ("team/a", Action::Delete, false),
    ] {
        let access = Access::repository(&name.parse().unwrap(), action);
        assert_eq!(grant.may(&access), expected, "{name} {action:?}");
    }
}

#[test]
fn a_token_limits_its_user_and_not_the_certificate() {
    let rules = mixed_rules();
    let team: RepositoryName = "team/a".parse().unwrap();
    let access = |name: &str, action| Access::repository(&name.parse().unwrap(), action);
    let mut alice = Identity::named("alice", Scheme::Bearer);
    alice.granted = Some(vec![access("team/a", Action::Pull)]);
    let grant = |text| {
        let who = alice.clone().with_certificate(certificate(text));
        assert_eq!(who.scheme, Scheme::Bearer);
        rules.authorize(who, &[], &[]).unwrap()
    };
    let ci = grant("subject=CN=ci");
    assert!(ci.may(&access("team/a", Action::Push)), "it may create");
    // Her token does not have her right to move tags, and the certificate has none.
    assert!(!ci.may_move_tags(&team));
    assert!(!ci.may(&access("alice/a", Action::Pull)));
    // What may be listed by one is not what may be pulled by the other.
    let lister = grant("uri=a:ci");
    assert!(lister.may(&Access::Catalog) && !lister.may_see(&team));
    assert!(lister.may(&access("team/a", Action::Pull)));
    assert!(!grant("dns=x").may(&access("team/a", Action::Push)));
}

#[test]
fn without_rules_a_certificate_gives_nothing_that_a_token_does_not() {
    let rules = Arc::new(Rules::everything());
    let pull = Access::repository(&"a".parse().unwrap(), Action::Pull);
    let mut who = Identity::named("alice", Scheme::Bearer);
    who.granted = Some(Vec::new());
    let who = who.with_certificate(certificate("dns=a"));
    let refused = rules.authorize(who.clone(), std::slice::from_ref(&pull), &[]);
    assert!(refused.is_err());
    let grant = rules.authorize(who, &[], &[]).unwrap();
    let name = "a".parse().unwrap();
    assert!(!grant.may_see(&name) && !grant.may_move_tags(&name));
}

#[test]
fn without_rules_everyone_may_do_everything() {
    let rules = Arc::new(Rules::everything());
    assert!(
        rules
            .authorize(Identity::anonymous(), &[Access::Catalog], &[])
            .is_ok()
    );
}
